//! Networks.

use super::{
    Failure, Neutron, Outcome, Request,
    attribute::{Attribute, Kind, check_change, check_new, free, read_only},
    body::Body,
    list::Query,
    object::{Meta, Names, Object},
};
use crate::uuid::Uuid;
use serde_json::{Value, json};

/// Largest packet of a Geneve network in the lab.
const MTU: i64 = 1442;

const ATTRIBUTES: [Attribute; 10] = [
    free("admin_state_up", Kind::Flag),
    free("shared", Kind::Flag),
    free("router:external", Kind::Flag),
    free("mtu", Kind::Integer),
    free("port_security_enabled", Kind::Flag),
    free("qos_policy_id", Kind::UuidOrNull),
    free("dns_domain", Kind::Text(255)),
    free("availability_zone_hints", Kind::List),
    read_only("status"),
    read_only("subnets"),
];

#[derive(Debug)]
pub(super) struct Network {
    meta: Meta,
    pub subnets: Vec<Uuid>,
    mtu: i64,
    admin_state_up: bool,
    pub shared: bool,
    pub external: bool,
    pub port_security: bool,
}

impl Object for Network {
    const NAMES: Names = Names {
        one: "network",
        many: "networks",
        quota: "network",
        title: "Network",
        not_found: "NetworkNotFound",
        missing: "could not be found.",
    };
    const FIELDS: &'static [&'static str] = &[
        "admin_state_up",
        "status",
        "subnets",
        "mtu",
        "shared",
        "router:external",
        "port_security_enabled",
        "qos_policy_id",
        "availability_zone_hints",
        "availability_zones",
        "ipv4_address_scope",
        "ipv6_address_scope",
        "vlan_transparent",
    ];
    const SERVICES_SEE: bool = true;

    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn is_shared(&self) -> bool {
        self.shared || self.external
    }

    fn field(&self, name: &str) -> Value {
        match name {
            "admin_state_up" => self.admin_state_up.into(),
            "status" => "ACTIVE".into(),
            "subnets" => self.subnets.iter().map(ToString::to_string).collect(),
            "mtu" => self.mtu.into(),
            "shared" => self.shared.into(),
            "router:external" => self.external.into(),
            "port_security_enabled" => self.port_security.into(),
            "availability_zone_hints" | "availability_zones" => json!([]),
            "vlan_transparent" => false.into(),
            _ => Value::Null,
        }
    }

    fn get(neutron: &Neutron, id: Uuid) -> Option<&Self> {
        neutron.networks.get(&id)
    }

    fn get_mut(neutron: &mut Neutron, id: Uuid) -> Option<&mut Meta> {
        neutron.networks.get_mut(&id).map(|network| &mut network.meta)
    }

    fn list(neutron: &mut Neutron, request: &Request<'_>) -> Outcome {
        let query = Query::parse(&request.call.query, Self::FIELDS)?;
        neutron.page(request, &query, neutron.networks.values())
    }

    fn count(neutron: &Neutron, project: &str) -> usize {
        neutron.networks.values().filter(|network| *network.meta.project == *project).count()
    }

    fn check(_: &Neutron, request: &Request<'_>, body: Body<'_>) -> Result<(), Failure> {
        check_new(&ATTRIBUTES, body)?;
        if body.flag("router:external") == Some(true) && !request.caller.admin {
            return Err(Failure::forbidden("create_network:router:external"));
        }
        Ok(())
    }

    fn create(neutron: &mut Neutron, request: &Request<'_>, body: Body<'_>) -> Result<Uuid, Failure> {
        let meta = Meta::new(request, body);
        neutron.default_group(request, &meta.project);
        let network = Self {
            subnets: Vec::new(),
            mtu: body.number("mtu").filter(|mtu| *mtu > 0).unwrap_or(MTU),
            admin_state_up: body.flag("admin_state_up").unwrap_or(true),
            shared: body.flag("shared").unwrap_or(false),
            external: body.flag("router:external").unwrap_or(false),
            port_security: body.flag("port_security_enabled").unwrap_or(true),
            meta,
        };
        let id = network.meta.id;
        neutron.networks.insert(id, network);
        Ok(id)
    }

    fn update(neutron: &mut Neutron, _: &Request<'_>, id: Uuid, body: Body<'_>) -> Result<(), Failure> {
        check_change(&ATTRIBUTES, body)?;
        let Some(network) = neutron.networks.get_mut(&id) else { return Ok(()) };
        let mut changed = network.meta.update(body);
        for (field, name) in [
            (&mut network.admin_state_up, "admin_state_up"),
            (&mut network.shared, "shared"),
            (&mut network.external, "router:external"),
            (&mut network.port_security, "port_security_enabled"),
        ] {
            changed |= body.flag(name).is_some_and(|flag| flag != std::mem::replace(field, flag));
        }
        changed |= body.number("mtu").is_some_and(|mtu| mtu != std::mem::replace(&mut network.mtu, mtu));
        if changed {
            network.meta.touch();
        }
        Ok(())
    }

    /// Deletes the network with its subnets, unless it has ports.
    fn delete(neutron: &mut Neutron, _: &Request<'_>, id: Uuid) -> Result<(), Failure> {
        let ports: Vec<String> = neutron.ports.of_network(id).map(|id| id.to_string()).collect();
        if !ports.is_empty() {
            let message = format!(
                "Unable to complete operation on network {id}. There are one or more ports still in use on the network, id for these ports is: {}.",
                ports.join(",")
            );
            return Err(Failure::conflict("NetworkInUse", message));
        }
        Self::remove(neutron, id);
        Ok(())
    }

    fn remove(neutron: &mut Neutron, id: Uuid) {
        let subnets = neutron.networks.remove(&id).map(|network| network.subnets).unwrap_or_default();
        for subnet in subnets {
            neutron.subnets.remove(&subnet);
        }
    }
}

impl Network {
    /// Notes that its subnets have changed.
    pub fn touch(&mut self) {
        self.meta.touch();
    }
}
