//! Routers: just enough of them that floating IPs have a way from an external network to a port.

use super::{
    Failure, Neutron, Outcome, Request,
    attribute::{Attribute, Kind, check_change, check_new, free, read_only},
    body::Body,
    list::Query,
    network::Network,
    object::{Meta, Names, Object},
};
use crate::uuid::Uuid;
use serde_json::{Value, json};

/// What owns the port in the external network.
pub(super) const GATEWAY: &str = "network:router_gateway";
/// What owns the ports in the subnets that a router joins.
pub(super) const INTERFACE: &str = "network:router_interface";

const ATTRIBUTES: [Attribute; 5] = [
    free("admin_state_up", Kind::Flag),
    free("external_gateway_info", Kind::Any),
    free("distributed", Kind::Any),
    free("ha", Kind::Any),
    read_only("status"),
];

#[derive(Debug)]
pub(super) struct Router {
    meta: Meta,
    admin_state_up: bool,
    /// The external network, and the port there.
    pub gateway: Option<(Uuid, Uuid)>,
}

impl Object for Router {
    const NAMES: Names = Names {
        one: "router",
        many: "routers",
        quota: "router",
        title: "Router",
        not_found: "RouterNotFound",
        missing: "could not be found",
    };
    const FIELDS: &'static [&'static str] = &["admin_state_up", "status", "external_gateway_info", "routes"];

    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn field(&self, name: &str) -> Value {
        match name {
            "admin_state_up" => self.admin_state_up.into(),
            "status" => "ACTIVE".into(),
            "external_gateway_info" => {
                let info =
                    |(network, _): (Uuid, Uuid)| json!({ "network_id": network.to_string(), "enable_snat": true });
                self.gateway.map(info).into()
            }
            "routes" => json!([]),
            _ => Value::Null,
        }
    }

    fn get(neutron: &Neutron, id: Uuid) -> Option<&Self> {
        neutron.routers.get(&id)
    }

    fn get_mut(neutron: &mut Neutron, id: Uuid) -> Option<&mut Meta> {
        neutron.routers.get_mut(&id).map(|router| &mut router.meta)
    }

    fn list(neutron: &mut Neutron, request: &Request<'_>) -> Outcome {
        let query = Query::parse(&request.call.query, Self::FIELDS)?;
        neutron.page(request, &query, neutron.routers.values())
    }

    fn count(neutron: &Neutron, project: &str) -> usize {
        neutron.routers.values().filter(|router| *router.meta.project == *project).count()
    }

    fn check(_: &Neutron, _: &Request<'_>, body: Body<'_>) -> Result<(), Failure> {
        check_new(&ATTRIBUTES, body)
    }

    fn create(neutron: &mut Neutron, request: &Request<'_>, body: Body<'_>) -> Result<Uuid, Failure> {
        let meta = Meta::new(request, body);
        let id = meta.id;
        let gateway = neutron.new_gateway(request, id, body)?;
        let admin_state_up = body.flag("admin_state_up").unwrap_or(true);
        neutron.routers.insert(id, Self { meta, admin_state_up, gateway: gateway.flatten() });
        Ok(id)
    }

    fn update(neutron: &mut Neutron, request: &Request<'_>, id: Uuid, body: Body<'_>) -> Result<(), Failure> {
        check_change(&ATTRIBUTES, body)?;
        let before = neutron.routers.get(&id).and_then(|router| router.gateway);
        if body.get("external_gateway_info").is_some() {
            neutron.check_gateway_unused(id, before)?;
        }
        let gateway = neutron.new_gateway(request, id, body)?;
        if gateway.is_some()
            && let Some((_, port)) = before
        {
            neutron.drop_port(port);
        }
        let Some(router) = neutron.routers.get_mut(&id) else { return Ok(()) };
        router.admin_state_up = body.flag("admin_state_up").unwrap_or(router.admin_state_up);
        router.gateway = gateway.unwrap_or(router.gateway);
        router.meta.update(body);
        router.meta.touch();
        Ok(())
    }

    fn delete(neutron: &mut Neutron, _: &Request<'_>, id: Uuid) -> Result<(), Failure> {
        let device = id.to_string();
        let is_interface = |port: &&super::port::Port| *port.device_id == *device && *port.device_owner == *INTERFACE;
        if neutron.ports.values().any(|port| is_interface(&port)) {
            return Err(Failure::conflict("RouterInUse", format!("Router {id} still has ports")));
        }
        Self::remove(neutron, id);
        Ok(())
    }

    fn remove(neutron: &mut Neutron, id: Uuid) {
        if let Some((_, port)) = neutron.routers.remove(&id).and_then(|router| router.gateway) {
            neutron.drop_port(port);
        }
    }
}

impl Neutron {
    /// The gateway that a request gives to a router: none if it says nothing of it, `Some(None)` if it takes it away.
    fn new_gateway(
        &mut self,
        request: &Request<'_>,
        router: Uuid,
        body: Body<'_>,
    ) -> Result<Option<Option<(Uuid, Uuid)>>, Failure> {
        let Some(info) = body.get("external_gateway_info") else { return Ok(None) };
        let Some(network) = info.get("network_id").and_then(Value::as_str) else { return Ok(Some(None)) };
        let network = self.find::<Network>(request, network)?;
        let id = network.meta().id;
        if !network.external {
            let message = format!("Bad router request: Network {id} is not an external network.");
            return Err(Failure::new(400, "BadRequest", message));
        }
        let new = json!({ "network_id": id.to_string(), "device_id": router.to_string(), "device_owner": GATEWAY });
        let port = self.own_port(&"".into(), new)?;
        Ok(Some(Some((id, port))))
    }

    /// Floating IPs need the gateway that they go through.
    fn check_gateway_unused(&self, router: Uuid, gateway: Option<(Uuid, Uuid)>) -> Result<(), Failure> {
        let Some((network, _)) = gateway else { return Ok(()) };
        if self.floating_ips.values().any(|floating| floating.router == Some(router)) {
            let message = format!(
                "Gateway cannot be updated for router {router}, since a gateway to external network {network} is required \
                 by one or more floating IPs."
            );
            return Err(Failure::conflict("RouterExternalGatewayInUseByFloatingIp", message));
        }
        Ok(())
    }

    /// The router that joins a subnet with an external network; the one that is the subnet's gateway, if there are more.
    pub(super) fn router_between(&self, subnet: Uuid, external: Uuid) -> Option<Uuid> {
        let gateway = self.subnets.get(&subnet).and_then(|subnet| subnet.gateway);
        let mut found = None;
        for port in self.ports.values().filter(|port| *port.device_owner == *INTERFACE) {
            let Some(fixed) = port.fixed_ips.iter().find(|fixed| fixed.subnet == subnet) else { continue };
            let router = port.device_id.parse().ok().and_then(|id: Uuid| self.routers.get(&id));
            let Some(router) = router.filter(|router| router.gateway.is_some_and(|(network, _)| network == external))
            else {
                continue;
            };
            if Some(fixed.address) == gateway {
                return Some(router.meta.id);
            }
            found = found.or(Some(router.meta.id));
        }
        found
    }
}
