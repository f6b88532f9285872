//! Ports.

use super::{
    Failure, Neutron, Outcome, Request,
    attribute::{check_change, check_new, parse_mac},
    body::Body,
    floating_ip,
    list::Query,
    network::Network,
    object::{Meta, Names, Object},
    port_attributes::{ATTRIBUTES, FIELDS, FixedIp, wanted},
    router,
};
use crate::uuid::Uuid;
use serde_json::{Value, json};
use std::net::IpAddr;

#[derive(Debug)]
pub(super) struct Port {
    meta: Meta,
    pub network: Uuid,
    pub mac: [u8; 6],
    pub fixed_ips: Vec<FixedIp>,
    pub groups: Vec<Uuid>,
    pub device_id: Box<str>,
    pub device_owner: Box<str>,
    host: Box<str>,
    pub binding: Binding,
    pub active: bool,
    admin_state_up: bool,
    port_security: bool,
    /// What this Neutron only keeps: address pairs, QoS policy and the like, as given.
    rest: Vec<(&'static str, Value)>,
}

/// How a port is plugged (`binding:vif_type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Binding {
    Unbound,
    Ovs,
    Failed,
}

/// Attributes that are kept as given.
const KEPT: [&str; 5] =
    ["allowed_address_pairs", "extra_dhcp_opts", "qos_policy_id", "binding:vnic_type", "binding:profile"];

/// What such an attribute is when nobody has set it.
fn default_of(name: &str) -> Value {
    match name {
        "allowed_address_pairs" | "extra_dhcp_opts" => json!([]),
        "binding:vnic_type" => "normal".into(),
        "binding:profile" => json!({}),
        _ => Value::Null,
    }
}

/// A port as tests see it without asking over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortView {
    /// Identifier.
    pub id: String,
    /// Network.
    pub network_id: String,
    /// Project.
    pub project_id: String,
    /// Name.
    pub name: String,
    /// Free text; Kuryr's owner mark.
    pub description: String,
    /// What uses the port.
    pub device_id: String,
    /// What kind of thing uses the port.
    pub device_owner: String,
    /// Host that it is bound to; empty: none.
    pub host: String,
    /// Ethernet address.
    pub mac_address: String,
    /// Addresses.
    pub addresses: Vec<IpAddr>,
    /// Security groups.
    pub security_groups: Vec<String>,
    /// Whether the status is `ACTIVE`.
    pub active: bool,
}

impl Port {
    pub fn view(&self) -> PortView {
        PortView {
            id: self.meta.id.to_string(),
            network_id: self.network.to_string(),
            project_id: self.meta.project.to_string(),
            name: self.meta.name.to_string(),
            description: self.meta.description.to_string(),
            device_id: self.device_id.to_string(),
            device_owner: self.device_owner.to_string(),
            host: self.host.to_string(),
            mac_address: mac_text(self.mac),
            addresses: self.fixed_ips.iter().map(|fixed| fixed.address).collect(),
            security_groups: self.groups.iter().map(ToString::to_string).collect(),
            active: self.active,
        }
    }

    /// The subnets that it has addresses of.
    pub fn subnets(&self) -> impl Iterator<Item = Uuid> {
        self.fixed_ips.iter().map(|fixed| fixed.subnet)
    }

    /// Notes a change from outside.
    pub fn touch(&mut self) {
        self.meta.touch();
    }

    fn keep(&mut self, body: Body<'_>) -> bool {
        let mut changed = false;
        for name in KEPT {
            let Some(value) = body.get(name) else { continue };
            let value = if value.is_null() { default_of(name) } else { value.clone() };
            if self.kept(name) != value {
                self.rest.retain(|(known, _)| *known != name);
                self.rest.push((name, value));
                changed = true;
            }
        }
        changed
    }

    fn kept(&self, name: &str) -> Value {
        let given = self.rest.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
        given.unwrap_or_else(|| default_of(name))
    }
}

impl Object for Port {
    const NAMES: Names = Names {
        one: "port",
        many: "ports",
        quota: "port",
        title: "Port",
        not_found: "PortNotFound",
        missing: "could not be found.",
    };
    const FIELDS: &'static [&'static str] = &FIELDS;
    const SERVICES_SEE: bool = true;
    const SERVICES_CHANGE: bool = true;

    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn field(&self, name: &str) -> Value {
        match name {
            "network_id" => self.network.to_string().into(),
            "mac_address" => mac_text(self.mac).into(),
            "fixed_ips" => {
                let one = |fixed: &FixedIp| json!({ "subnet_id": fixed.subnet.to_string(), "ip_address": fixed.address.to_string() });
                self.fixed_ips.iter().map(one).collect()
            }
            "device_id" => (*self.device_id).into(),
            "device_owner" => (*self.device_owner).into(),
            "admin_state_up" => self.admin_state_up.into(),
            "status" => if self.active { "ACTIVE" } else { "DOWN" }.into(),
            "security_groups" => self.groups.iter().map(ToString::to_string).collect(),
            "port_security_enabled" => self.port_security.into(),
            "binding:host_id" => (*self.host).into(),
            "binding:vif_type" => match self.binding {
                Binding::Unbound => "unbound".into(),
                Binding::Ovs => "ovs".into(),
                Binding::Failed => "binding_failed".into(),
            },
            "binding:vif_details" if self.binding == Binding::Ovs => json!({
                "port_filter": true, "connectivity": "l2", "bridge_name": "br-int", "datapath_type": "netdev",
                "bound_drivers": { "0": "ovn" },
            }),
            "binding:vif_details" => json!({}),
            name => self.kept(name),
        }
    }

    fn get(neutron: &Neutron, id: Uuid) -> Option<&Self> {
        neutron.ports.get(id)
    }

    fn get_mut(neutron: &mut Neutron, id: Uuid) -> Option<&mut Meta> {
        neutron.ports.get_mut(id).map(|port| &mut port.meta)
    }

    fn list(neutron: &mut Neutron, request: &Request<'_>) -> Outcome {
        let query = Query::parse(&request.call.query, Self::FIELDS)?;
        let candidates = neutron.ports.candidates(|name| query.values(name), query.begins_after());
        neutron.page(request, &query, candidates)
    }

    fn count(neutron: &Neutron, project: &str) -> usize {
        neutron.ports.count_of(project)
    }

    fn check(_: &Neutron, _: &Request<'_>, body: Body<'_>) -> Result<(), Failure> {
        check_new(&ATTRIBUTES, body)
    }

    fn create(neutron: &mut Neutron, request: &Request<'_>, body: Body<'_>) -> Result<Uuid, Failure> {
        let network = neutron.visible_network(request, body)?;
        let meta = Meta::new(request, body);
        let default = neutron.default_group(request, &meta.project);
        let port_security = body.flag("port_security_enabled");
        let port_security = port_security.or_else(|| neutron.networks.get(&network).map(|n| n.port_security));
        let port_security = port_security.unwrap_or(true);
        let groups = match body.list("security_groups") {
            Some(groups) => neutron.groups_of(request, groups)?,
            None if port_security => vec![default],
            None => Vec::new(),
        };
        let mac = neutron.mac(network, body)?;
        let fixed_ips = match body.list("fixed_ips") {
            Some(list) => neutron.allocate(network, &wanted(list)?)?,
            None => neutron.allocate_any(network)?,
        };
        let (host, binding) = neutron.bind(body.text("binding:host_id").unwrap_or_default());
        let mut port = Self {
            meta,
            network,
            mac,
            fixed_ips,
            groups,
            device_id: body.text("device_id").unwrap_or_default().into(),
            device_owner: body.text("device_owner").unwrap_or_default().into(),
            host,
            binding,
            active: false,
            admin_state_up: body.flag("admin_state_up").unwrap_or(true),
            port_security,
            rest: Vec::new(),
        };
        port.keep(body);
        if neutron.options.tag_ports {
            let tags = body.list("tags").unwrap_or_default().iter().filter_map(Value::as_str);
            port.meta.tags = tags.map(ToOwned::to_owned).collect();
        }
        let id = port.meta.id;
        neutron.ports.insert(port);
        Ok(id)
    }

    fn update(neutron: &mut Neutron, request: &Request<'_>, id: Uuid, body: Body<'_>) -> Result<(), Failure> {
        check_change(&ATTRIBUTES, body)?;
        let groups = body.list("security_groups").map(|groups| neutron.groups_of(request, groups)).transpose()?;
        let mac = neutron.changed_mac(id, body)?;
        if let Some(list) = body.list("fixed_ips") {
            neutron.move_addresses(id, &wanted(list)?)?;
        }
        let binding = body.text("binding:host_id").map(|host| neutron.bind(host));
        let Some(mut port) = neutron.ports.remove(id) else { return Ok(()) };
        let mut changed = port.meta.update(body) | port.keep(body);
        for (field, name) in [(&mut port.device_id, "device_id"), (&mut port.device_owner, "device_owner")] {
            if let Some(text) = body.text(name).filter(|text| **text != **field) {
                *field = text.into();
                changed = true;
            }
        }
        for (field, name) in
            [(&mut port.admin_state_up, "admin_state_up"), (&mut port.port_security, "port_security_enabled")]
        {
            changed |= body.flag(name).is_some_and(|flag| flag != std::mem::replace(field, flag));
        }
        changed |= groups.is_some_and(|groups| groups != std::mem::replace(&mut port.groups, groups.clone()));
        changed |= mac.is_some_and(|mac| mac != std::mem::replace(&mut port.mac, mac));
        if let Some((host, binding)) = binding.filter(|(host, _)| *host != port.host) {
            // Bound to another host it isn't plugged there yet.
            (port.host, port.binding, port.active) = (host, binding, false);
            changed = true;
        }
        if changed {
            port.meta.touch();
        }
        neutron.ports.insert(port);
        Ok(())
    }

    fn delete(neutron: &mut Neutron, _: &Request<'_>, id: Uuid) -> Result<(), Failure> {
        let owner = neutron.ports.get(id).map(|port| port.device_owner.clone()).unwrap_or_default();
        if [router::INTERFACE, router::GATEWAY, floating_ip::OWNER].contains(&&*owner) {
            let message = format!("Port {id} cannot be deleted directly via the port API: has device owner {owner}.");
            return Err(Failure::conflict("ServicePortInUse", message));
        }
        Self::remove(neutron, id);
        Ok(())
    }

    fn remove(neutron: &mut Neutron, id: Uuid) {
        if let Some(port) = neutron.ports.remove(id) {
            neutron.give_back(&port.fixed_ips);
            neutron.dissociate(id);
        }
    }
}

fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

impl Neutron {
    /// The network that a new object names, if the caller may see it.
    pub(super) fn visible_network(&self, request: &Request<'_>, body: Body<'_>) -> Result<Uuid, Failure> {
        let text = body.text("network_id").unwrap_or_default();
        self.find::<Network>(request, text).map(|network| network.meta().id)
    }

    /// Chooses the host's way to plug a port.
    fn bind(&self, host: &str) -> (Box<str>, Binding) {
        let known = self.options.hosts.as_ref().is_none_or(|hosts| hosts.contains(host));
        let binding = match (host, known) {
            ("", _) => Binding::Unbound,
            (_, true) => Binding::Ovs,
            (_, false) => Binding::Failed,
        };
        (host.into(), binding)
    }

    /// The MAC address that is asked for, or any that the network doesn't have.
    fn mac(&self, network: Uuid, body: Body<'_>) -> Result<[u8; 6], Failure> {
        if let Some(mac) = body.text("mac_address").and_then(parse_mac) {
            return self.free_mac(network, mac);
        }
        loop {
            let [_, a, b, c] = fastrand::u32(..).to_be_bytes();
            let mac = [0xfa, 0x16, 0x3e, a, b, c];
            if !self.ports.has_mac(network, mac) {
                return Ok(mac);
            }
        }
    }

    fn free_mac(&self, network: Uuid, mac: [u8; 6]) -> Result<[u8; 6], Failure> {
        if self.ports.has_mac(network, mac) {
            let message = format!(
                "Unable to complete operation for network {network}. The mac address {} is in use.",
                mac_text(mac)
            );
            return Err(Failure::conflict("MacAddressInUse", message));
        }
        Ok(mac)
    }

    fn changed_mac(&self, id: Uuid, body: Body<'_>) -> Result<Option<[u8; 6]>, Failure> {
        let wanted = body.text("mac_address").and_then(parse_mac);
        let port = self.ports.get(id).filter(|port| wanted.is_some_and(|mac| mac != port.mac));
        port.zip(wanted).map(|(port, mac)| self.free_mac(port.network, mac)).transpose()
    }
}
