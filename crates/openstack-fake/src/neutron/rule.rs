//! Security group rules.

use super::{
    Failure, Json, Neutron, Outcome, Request,
    address_group::AddressGroup,
    attribute::check_new,
    body::Body,
    group::SecurityGroup,
    group_attributes::RULE,
    list::Query,
    object::{Meta, Names, Object},
    rule_content::What,
};
use crate::uuid::Uuid;
use serde_json::Value;

#[derive(Debug)]
pub(super) struct Rule {
    meta: Meta,
    pub what: What,
}

impl Rule {
    /// A rule that a new group gets: what is configured, if it can be understood.
    pub fn of_new_group(group: &Meta, template: &Json) -> Option<Self> {
        let what = What::parse(Body(template)).ok()?;
        Some(Self { meta: group.of_same_project(), what: What { group: group.id, ..what } })
    }

    /// A rule of the group `default`: its members reach each other.
    pub fn of_default_group(group: &Meta, family: &str) -> Self {
        let what = What { remote_group: Some(group.id), ..What::new(group.id, true, family == "IPv4") };
        Self { meta: group.of_same_project(), what }
    }
}

impl Neutron {
    /// Gives the group of a rule the same rule once more.
    pub fn double_rule(&mut self, id: &str) -> Option<Uuid> {
        let id: Uuid = id.parse().ok()?;
        let group = self.groups.values_mut().find(|group| group.rules.contains_key(&id))?;
        let rule = group.rules.get(&id)?;
        let double = Rule { meta: rule.meta.of_same_project(), what: rule.what.clone() };
        let id = double.meta.id;
        group.add(double);
        group.touch();
        Some(id)
    }
}

impl Object for Rule {
    const NAMES: Names = Names {
        one: "security_group_rule",
        many: "security_group_rules",
        quota: "security_group_rule",
        title: "Security group rule",
        not_found: "SecurityGroupRuleNotFound",
        missing: "does not exist",
    };
    const FIELDS: &'static [&'static str] = &[
        "security_group_id",
        "direction",
        "ethertype",
        "protocol",
        "port_range_min",
        "port_range_max",
        "remote_ip_prefix",
        "normalized_cidr",
        "remote_group_id",
        "remote_address_group_id",
        "belongs_to_default_sg",
    ];

    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn field(&self, name: &str) -> Value {
        let What { group, ingress, v4, protocol, min, max, prefix, remote_group, address_group } = &self.what;
        let id = |id: &Option<Uuid>| id.map(|id| id.to_string()).into();
        match name {
            "security_group_id" => group.to_string().into(),
            "direction" => if *ingress { "ingress" } else { "egress" }.into(),
            "ethertype" => if *v4 { "IPv4" } else { "IPv6" }.into(),
            "protocol" => protocol.clone().into(),
            "port_range_min" => (*min).into(),
            "port_range_max" => (*max).into(),
            "remote_ip_prefix" => prefix.map(|prefix| prefix.to_string()).into(),
            "normalized_cidr" => prefix.map(|prefix| prefix.trunc().to_string()).into(),
            "remote_group_id" => id(remote_group),
            "remote_address_group_id" => id(address_group),
            "belongs_to_default_sg" => false.into(),
            _ => Value::Null,
        }
    }

    fn get(neutron: &Neutron, id: Uuid) -> Option<&Self> {
        neutron.groups.values().find_map(|group| group.rules.get(&id))
    }

    fn get_mut(neutron: &mut Neutron, id: Uuid) -> Option<&mut Meta> {
        neutron.groups.values_mut().find_map(|group| group.rules.get_mut(&id)).map(|rule| &mut rule.meta)
    }

    fn list(neutron: &mut Neutron, request: &Request<'_>) -> Outcome {
        let query = Query::parse(&request.call.query, Self::FIELDS)?;
        let group = query.values("security_group_id").and_then(|groups| groups.first().filter(|_| groups.len() == 1));
        let group = group.and_then(|group| group.parse().ok());
        let groups = neutron.groups.values().filter(|one| group.is_none_or(|group| one.meta().id == group));
        let mut rules: Vec<&Self> = groups.flat_map(|group| group.rules.values()).collect();
        rules.sort_by_key(|rule| rule.meta.id);
        neutron.page(request, &query, rules.into_iter())
    }

    fn count(neutron: &Neutron, project: &str) -> usize {
        let rules = neutron.groups.values().flat_map(|group| group.rules.values());
        rules.filter(|rule| *rule.meta.project == *project).count()
    }

    fn check(neutron: &Neutron, request: &Request<'_>, body: Body<'_>) -> Result<(), Failure> {
        if !neutron.options.address_groups && body.get("remote_address_group_id").is_some() {
            return Err(Failure::http("Unrecognized attribute(s) 'remote_address_group_id'"));
        }
        check_new(&RULE, body)?;
        let what = What::parse(body)?;
        if let Some(id) = body.text("remote_group_id") {
            neutron.find::<SecurityGroup>(request, id)?;
        }
        if let Some(id) = body.text("remote_address_group_id") {
            neutron.find::<AddressGroup>(request, id)?;
        }
        neutron.find::<SecurityGroup>(request, body.text("security_group_id").unwrap_or_default())?;
        check_bulk(request, &what)?;
        Ok(())
    }

    fn create(neutron: &mut Neutron, request: &Request<'_>, body: Body<'_>) -> Result<Uuid, Failure> {
        let what = What::parse(body)?;
        let Some(group) = neutron.groups.get_mut(&what.group) else {
            return Err(Failure::not_found(SecurityGroup::NAMES, &what.group.to_string()));
        };
        let wanted = what.comparable();
        if let Some(same) = group.rules.values().find(|rule| rule.what.comparable() == wanted) {
            let message = format!("Security group rule already exists. Rule id is {}.", same.meta.id);
            return Err(Failure::conflict("SecurityGroupRuleExists", message));
        }
        let rule = Self { meta: Meta::new(request, body), what };
        let id = rule.meta.id;
        group.add(rule);
        group.touch();
        Ok(id)
    }

    /// Rules can't be changed, and Neutron fails over it.
    fn update(_: &mut Neutron, _: &Request<'_>, _: Uuid, _: Body<'_>) -> Result<(), Failure> {
        Err(Failure::server())
    }

    fn delete(neutron: &mut Neutron, _: &Request<'_>, id: Uuid) -> Result<(), Failure> {
        Self::remove(neutron, id);
        Ok(())
    }

    fn remove(neutron: &mut Neutron, id: Uuid) {
        if let Some(group) = neutron.groups.values_mut().find(|group| group.rules.contains_key(&id)) {
            group.take(id);
        }
    }
}

/// Within one bulk request all rules must be of one group, and no two the same.
fn check_bulk(request: &Request<'_>, what: &What) -> Result<(), Failure> {
    let all = request.call.body.as_deref().and_then(|envelope| envelope.get(Rule::NAMES.many)?.as_array());
    let Some(all) = all else { return Ok(()) };
    let others = all.iter().filter_map(|other| other.as_object().and_then(|other| What::parse(Body(other)).ok()));
    let others: Vec<What> = others.collect();
    if others.iter().any(|other| other.group != what.group) {
        let message = "Only allowed to update rules for one security profile at a time";
        return Err(Failure::new(400, "SecurityGroupNotSingleGroupRules", message));
    }
    let wanted = what.comparable();
    if others.iter().filter(|other| other.comparable() == wanted).count() > 1 {
        let message = "Duplicate Security Group Rule in POST.";
        return Err(Failure::conflict("DuplicateSecurityGroupRuleInPost", message));
    }
    Ok(())
}
