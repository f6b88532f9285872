//! Security groups. Each project has one named `default`, which comes into being with the project's first object.

use super::{
    Failure, Neutron, Outcome, Request,
    attribute::{check_change, check_new},
    body::Body,
    group_attributes::GROUP,
    list::Query,
    object::{self, Meta, Names, Object},
    rule::Rule,
    rule_content::What,
};
use crate::{keystone::Caller, uuid::Uuid};
use serde_json::{Map, Value};
use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

const DEFAULT: &str = "default";

#[derive(Debug)]
pub(super) struct SecurityGroup {
    meta: Meta,
    pub rules: BTreeMap<Uuid, Rule>,
    /// What OVN lets pass: not always what the rules say.
    pub passing: HashSet<What>,
    pub stateful: bool,
}

impl SecurityGroup {
    fn is_default(&self) -> bool {
        &*self.meta.name == DEFAULT
    }

    /// Adds a rule; OVN lets pass what it allows.
    pub fn add(&mut self, rule: Rule) {
        self.passing.insert(rule.what.passing());
        self.rules.insert(rule.meta().id, rule);
    }

    /// Takes a rule away. OVN doesn't let pass any more what it allows, also if another rule says the same, unless that has the same
    /// prefix.
    pub fn take(&mut self, id: Uuid) {
        let Some(rule) = self.rules.remove(&id) else { return };
        let passing = rule.what.passing();
        let stays = rule.what.prefix.is_some() && self.rules.values().any(|other| other.what.passing() == passing);
        if !stays {
            self.passing.remove(&passing);
        }
        self.meta.touch();
    }

    /// Takes all rules away.
    pub fn close(&mut self) {
        self.rules.clear();
        self.passing.clear();
    }

    /// Notes that its rules have changed.
    pub fn touch(&mut self) {
        self.meta.touch();
    }
}

impl Object for SecurityGroup {
    const NAMES: Names = Names {
        one: "security_group",
        many: "security_groups",
        quota: "security_group",
        title: "Security group",
        not_found: "SecurityGroupNotFound",
        missing: "does not exist",
    };
    const FIELDS: &'static [&'static str] = &["stateful", "shared", "security_group_rules"];

    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn field(&self, name: &str) -> Value {
        match name {
            "stateful" => self.stateful.into(),
            "shared" => false.into(),
            "security_group_rules" => self.rules.values().map(|rule| object::json(rule, &[])).collect(),
            _ => Value::Null,
        }
    }

    fn get(neutron: &Neutron, id: Uuid) -> Option<&Self> {
        neutron.groups.get(&id)
    }

    fn get_mut(neutron: &mut Neutron, id: Uuid) -> Option<&mut Meta> {
        neutron.groups.get_mut(&id).map(|group| &mut group.meta)
    }

    /// Lists groups; whoever does so gets the default group of their project.
    fn list(neutron: &mut Neutron, request: &Request<'_>) -> Outcome {
        let query = Query::parse(&request.call.query, Self::FIELDS)?;
        neutron.default_group(request, &request.caller.project);
        neutron.page(request, &query, neutron.groups.values())
    }

    fn count(neutron: &Neutron, project: &str) -> usize {
        neutron.groups.values().filter(|group| *group.meta.project == *project).count()
    }

    fn check(neutron: &Neutron, request: &Request<'_>, body: Body<'_>) -> Result<(), Failure> {
        check_new(&GROUP, body)?;
        let project = request.project(body);
        let exists = neutron.groups.values().any(|group| group.is_default() && *group.meta.project == *project);
        if body.text("name") == Some(DEFAULT) && exists {
            return Err(default_exists());
        }
        Ok(())
    }

    fn create(neutron: &mut Neutron, request: &Request<'_>, body: Body<'_>) -> Result<Uuid, Failure> {
        let meta = Meta::new(request, body);
        if body.text("name") != Some(DEFAULT) {
            neutron.default_group(request, &meta.project);
        }
        let rules = i64::try_from(neutron.options.new_group_rules.len()).unwrap_or(i64::MAX);
        neutron.check_room::<Rule>(&meta.project, rules)?;
        Ok(neutron.insert_group(meta, body.flag("stateful").unwrap_or(true)))
    }

    fn update(neutron: &mut Neutron, _: &Request<'_>, id: Uuid, body: Body<'_>) -> Result<(), Failure> {
        check_change(&GROUP, body)?;
        let in_use = neutron.ports.any_in_group(id);
        let Some(group) = neutron.groups.get_mut(&id) else { return Ok(()) };
        if in_use && body.flag("stateful").is_some_and(|stateful| stateful != group.stateful) {
            return Err(Failure::conflict("SecurityGroupInUse", format!("Security Group {id} in use.")));
        }
        if group.is_default() && body.text("name").is_some_and(|name| name != DEFAULT) {
            let message = "Updating default security group not allowed.";
            return Err(Failure::conflict("SecurityGroupCannotUpdateDefault", message));
        }
        if !group.is_default() && body.text("name") == Some(DEFAULT) {
            return Err(default_exists());
        }
        let mut changed = group.meta.update(body);
        changed |= body.flag("stateful").is_some_and(|on| on != std::mem::replace(&mut group.stateful, on));
        if changed {
            group.meta.touch();
        }
        Ok(())
    }

    fn delete(neutron: &mut Neutron, request: &Request<'_>, id: Uuid) -> Result<(), Failure> {
        if neutron.ports.any_in_group(id) {
            return Err(Failure::conflict("SecurityGroupInUse", format!("Security Group {id} in use.")));
        }
        if neutron.groups.get(&id).is_some_and(Self::is_default) && !request.caller.admin {
            let message = "Insufficient rights for removing default security group.";
            return Err(Failure::conflict("SecurityGroupCannotRemoveDefault", message));
        }
        Self::remove(neutron, id);
        Ok(())
    }

    /// Takes the group away with its rules and those of other groups that name it.
    fn remove(neutron: &mut Neutron, id: Uuid) {
        neutron.groups.remove(&id);
        for group in neutron.groups.values_mut() {
            group.rules.retain(|_, rule| rule.what.remote_group != Some(id));
            group.passing.retain(|what| what.remote_group != Some(id));
        }
    }
}

fn default_exists() -> Failure {
    Failure::conflict("SecurityGroupDefaultAlreadyExists", "Default security group already exists.")
}

impl Neutron {
    /// The project's group `default`.
    pub(super) fn default_group(&mut self, request: &Request<'_>, project: &Arc<str>) -> Uuid {
        let mut groups = self.groups.values();
        if let Some(group) = groups.find(|group| group.is_default() && *group.meta.project == **project) {
            return group.meta.id;
        }
        let body: Map<String, Value> = [("name", DEFAULT), ("description", "Default security group")]
            .map(|(name, text)| (name.to_owned(), text.into()))
            .into_iter()
            .collect();
        let owner = Caller {
            user_id: String::new(),
            project: Arc::clone(project),
            admin: false,
            service: false,
            credential: None,
        };
        let request = Request { caller: &owner, call: request.call, revision: None, url: String::new() };
        let id = self.insert_group(Meta::new(&request, Body(&body)), true);
        if let Some(group) = self.groups.get_mut(&id) {
            let rules = ["IPv4", "IPv6"].map(|family| Rule::of_default_group(&group.meta, family));
            rules.into_iter().for_each(|rule| group.add(rule));
        }
        id
    }

    /// Adds a group with the rules that every new group has; usually, that everything may go out.
    fn insert_group(&mut self, meta: Meta, stateful: bool) -> Uuid {
        let id = meta.id;
        let rules = self.options.new_group_rules.iter().filter_map(|template| Rule::of_new_group(&meta, template));
        let rules: Vec<Rule> = rules.collect();
        let mut group = SecurityGroup { meta, rules: BTreeMap::new(), passing: HashSet::new(), stateful };
        rules.into_iter().for_each(|rule| group.add(rule));
        self.groups.insert(id, group);
        id
    }

    /// The groups that a port shall have.
    pub(super) fn groups_of(&self, request: &Request<'_>, list: &[Value]) -> Result<Vec<Uuid>, Failure> {
        let mut groups: Vec<Uuid> = Vec::with_capacity(list.len());
        for text in list.iter().filter_map(Value::as_str) {
            let id = self.find::<SecurityGroup>(request, text)?.meta.id;
            if !groups.contains(&id) {
                groups.push(id);
            }
        }
        let is_stateful = |id: &Uuid| self.groups.get(id).is_some_and(|group| group.stateful);
        if groups.iter().any(is_stateful) && !groups.iter().all(is_stateful) {
            let reason = "Cannot apply both stateful and stateless security groups on the same port at the same time";
            let message = format!("Error {reason} while attempting the operation.");
            return Err(Failure::conflict("SecurityGroupConflict", message));
        }
        Ok(groups)
    }
}
