//! Security group rules.

use super::{
    Failure, Neutron, Outcome, Request,
    attribute::{check_new, plain},
    body::{Body, as_number},
    group::SecurityGroup,
    group_attributes::{PROTOCOLS, RULE},
    list::Query,
    object::{Meta, Names, Object},
};
use crate::uuid::Uuid;
use ipnet::IpNet;
use serde_json::{Map, Value};

#[derive(Debug)]
pub(super) struct Rule {
    meta: Meta,
    pub what: What,
}

/// What a rule allows: two rules of a group mustn't be the same in this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct What {
    pub group: Uuid,
    ingress: bool,
    v4: bool,
    protocol: Option<String>,
    min: Option<i64>,
    max: Option<i64>,
    prefix: Option<String>,
    pub remote_group: Option<Uuid>,
    address_group: Option<Uuid>,
}

impl What {
    fn new(group: Uuid, ingress: bool, v4: bool) -> Self {
        let (protocol, min, max, prefix) = (None, None, None, None);
        Self { group, ingress, v4, protocol, min, max, prefix, remote_group: None, address_group: None }
    }

    fn parse(body: Body<'_>) -> Result<Self, Failure> {
        let group = body.uuid("security_group_id").unwrap_or_else(Uuid::random);
        let v4 = body.text("ethertype").is_none_or(|text| text == "IPv4");
        let what = Self {
            protocol: protocol(body)?,
            min: port(body, "port_range_min")?,
            max: port(body, "port_range_max")?,
            prefix: body.text("remote_ip_prefix").map(ToOwned::to_owned),
            remote_group: body.uuid("remote_group_id"),
            address_group: body.uuid("remote_address_group_id"),
            ..Self::new(group, body.text("direction") == Some("ingress"), v4)
        };
        what.check_ports()?;
        let remotes = [what.prefix.is_some(), what.remote_group.is_some(), what.address_group.is_some()];
        if remotes.into_iter().filter(|given| *given).count() > 1 {
            let message = "Only one of remote_ip_prefix or remote_group_id or remote_address_group_id may be provided.";
            return Err(Failure::new(400, "SecurityGroupMultipleRemoteEntites", message));
        }
        what.check_prefix()?;
        Ok(what)
    }

    fn check_ports(&self) -> Result<(), Failure> {
        let icmp = self.protocol.as_deref().is_some_and(|protocol| protocol.contains("icmp"));
        match (&self.protocol, self.min, self.max) {
            (_, None, None) => Ok(()),
            (None, ..) => Err(Failure::new(
                400,
                "SecurityGroupProtocolRequiredWithPorts",
                "Must also specify protocol if port range is given.",
            )),
            (Some(_), Some(min), Some(max)) if min <= max || icmp => Ok(()),
            (Some(_), Some(_), None) if icmp => Ok(()),
            _ => Err(Failure::new(
                400,
                "SecurityGroupInvalidPortRange",
                "For TCP/UDP protocols, port_range_min must be <= port_range_max",
            )),
        }
    }

    fn check_prefix(&self) -> Result<(), Failure> {
        let Some(text) = &self.prefix else { return Ok(()) };
        let parsed: IpNet = text
            .parse()
            .map_err(|_| Failure::attribute("remote_ip_prefix", &format!("'{text}' is not a valid IP subnet.")))?;
        if parsed.addr().is_ipv4() != self.v4 {
            let family = if self.v4 { "IPv4" } else { "IPv6" };
            let message = format!("Conflicting value ethertype {family} for CIDR {text}");
            return Err(Failure::new(400, "SecurityGroupRuleParameterConflict", message));
        }
        Ok(())
    }
}

fn protocol(body: Body<'_>) -> Result<Option<String>, Failure> {
    let Some(value) = body.get("protocol").filter(|value| !value.is_null()) else { return Ok(None) };
    let text = plain(value).to_lowercase();
    let number = text.parse::<i64>().is_ok_and(|number| (0..=255).contains(&number));
    if !number && !PROTOCOLS.contains(&text.as_str()) {
        let known = PROTOCOLS.map(|name| format!("'{name}'")).join(", ");
        let message = format!(
            "Security group rule protocol {text} not supported. Only protocol values (None, {known}) and integer representations [0 to 255] are supported."
        );
        return Err(Failure::new(400, "SecurityGroupRuleInvalidProtocol", message));
    }
    Ok((text != "any").then_some(text))
}

fn port(body: Body<'_>, name: &str) -> Result<Option<i64>, Failure> {
    let Some(value) = body.get(name).filter(|value| !value.is_null()) else { return Ok(None) };
    let port = as_number(value).filter(|port| (0..=65535).contains(port));
    port.map(Some).ok_or_else(|| {
        Failure::new(400, "SecurityGroupInvalidPortValue", format!("Invalid value for port {}", plain(value)))
    })
}

impl Rule {
    /// A rule of every new group.
    pub fn everything_out(group: &Meta, family: &str) -> Self {
        Self { meta: group.of_same_project(), what: What::new(group.id, false, family == "IPv4") }
    }

    /// A rule of the group `default`: its members reach each other.
    pub fn of_default_group(group: &Meta, family: &str) -> Self {
        let what = What { remote_group: Some(group.id), ..What::new(group.id, true, family == "IPv4") };
        Self { meta: group.of_same_project(), what }
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
            "remote_ip_prefix" => prefix.clone().into(),
            "normalized_cidr" => {
                let parsed = prefix.as_deref().and_then(|prefix| prefix.parse::<IpNet>().ok());
                parsed.map(|prefix| prefix.trunc().to_string()).into()
            }
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
        let mut rules: Vec<&Self> = neutron.groups.values().flat_map(|group| group.rules.values()).collect();
        rules.sort_by_key(|rule| rule.meta.id);
        neutron.page(request, &query, rules.into_iter())
    }

    fn count(neutron: &Neutron, project: &str) -> usize {
        let rules = neutron.groups.values().flat_map(|group| group.rules.values());
        rules.filter(|rule| *rule.meta.project == *project).count()
    }

    fn check(neutron: &Neutron, request: &Request<'_>, body: Body<'_>) -> Result<(), Failure> {
        check_new(&RULE, body)?;
        for name in ["security_group_id", "remote_group_id"] {
            if let Some(id) = body.text(name) {
                neutron.find::<SecurityGroup>(request, id)?;
            }
        }
        let what = What::parse(body)?;
        // Within one bulk request Neutron has another word for it.
        let all = request.call.body.as_deref().and_then(|envelope| envelope.get(Self::NAMES.many)?.as_array());
        let same = |other: &&Value| {
            let other: Option<&Map<String, Value>> = other.as_object();
            other.is_some_and(|other| What::parse(Body(other)).is_ok_and(|other| other == what))
        };
        if all.is_some_and(|all| all.iter().filter(same).count() > 1) {
            let message = "Duplicate Security Group Rule in POST.";
            return Err(Failure::conflict("DuplicateSecurityGroupRuleInPost", message));
        }
        Ok(())
    }

    fn create(neutron: &mut Neutron, request: &Request<'_>, body: Body<'_>) -> Result<Uuid, Failure> {
        let what = What::parse(body)?;
        let Some(group) = neutron.groups.get_mut(&what.group) else {
            return Err(Failure::not_found(SecurityGroup::NAMES, &what.group.to_string()));
        };
        if let Some(same) = group.rules.values().find(|rule| rule.what == what) {
            let message = format!("Security group rule already exists. Rule id is {}.", same.meta.id);
            return Err(Failure::conflict("SecurityGroupRuleExists", message));
        }
        let rule = Self { meta: Meta::new(request, body), what };
        let id = rule.meta.id;
        group.rules.insert(id, rule);
        group.touch();
        Ok(id)
    }

    /// Only the description of a rule can be changed, which nobody needs.
    fn update(_: &mut Neutron, _: &Request<'_>, _: Uuid, _: Body<'_>) -> Result<(), Failure> {
        Err(Failure::no_such_path())
    }

    fn delete(neutron: &mut Neutron, _: &Request<'_>, id: Uuid) -> Result<(), Failure> {
        Self::remove(neutron, id);
        Ok(())
    }

    fn remove(neutron: &mut Neutron, id: Uuid) {
        if let Some(group) = neutron.groups.values_mut().find(|group| group.rules.contains_key(&id)) {
            group.rules.remove(&id);
            group.touch();
        }
    }
}
