//! Joining subnets to routers.

use super::{
    Failure, Neutron, Outcome, Request,
    object::Object,
    port::Port,
    router::{INTERFACE, Router},
    subnet::Subnet,
};
use crate::{call::Answer, uuid::Uuid};
use serde_json::{Value, json};

impl Neutron {
    /// `add_router_interface` and `remove_router_interface`.
    pub(super) fn router_interface(&mut self, request: &Request<'_>, router: &str, action: &str) -> Outcome {
        let router = self.find::<Router>(request, router)?.meta().id;
        let body = request.call.body.as_deref();
        let text = |name: &str| body.and_then(|body| body.get(name)).and_then(Value::as_str);
        match (action, text("port_id"), text("subnet_id")) {
            ("add_router_interface", Some(port), _) => self.join_port(request, router, port),
            ("add_router_interface", None, Some(subnet)) => self.join_subnet(request, router, subnet),
            ("remove_router_interface", port, subnet) if port.is_some() || subnet.is_some() => {
                self.leave(router, port, subnet)
            }
            _ => {
                let message = "Bad router request: Either subnet_id or port_id must be specified.";
                Err(Failure::new(400, "BadRequest", message))
            }
        }
    }

    fn join_subnet(&mut self, request: &Request<'_>, router: Uuid, subnet: &str) -> Outcome {
        let subnet = self.find::<Subnet>(request, subnet)?;
        let (id, network) = (subnet.meta().id, subnet.network);
        let Some(gateway) = subnet.gateway else {
            let message = "Bad router request: Subnet for router interface must have a gateway IP.";
            return Err(Failure::new(400, "BadRequest", message));
        };
        if self.interface(router, None, Some(id)).is_some() {
            let message = format!("Bad router request: Router already has a port on subnet {id}.");
            return Err(Failure::new(400, "BadRequest", message));
        }
        let fixed = json!([{ "subnet_id": id.to_string(), "ip_address": gateway.to_string() }]);
        let new = json!({
            "network_id": network.to_string(), "fixed_ips": fixed, "device_id": router.to_string(),
            "device_owner": INTERFACE,
        });
        let project = request.caller.project.clone();
        let port = self.own_port(&project, new)?;
        self.joined(router, port)
    }

    fn join_port(&mut self, request: &Request<'_>, router: Uuid, port: &str) -> Outcome {
        let id = self.find::<Port>(request, port)?.meta().id;
        if let Some(mut port) = self.ports.remove(id) {
            port.device_id = router.to_string().into();
            port.device_owner = INTERFACE.into();
            port.touch();
            self.ports.insert(port);
        }
        self.joined(router, id)
    }

    fn leave(&mut self, router: Uuid, port: Option<&str>, subnet: Option<&str>) -> Outcome {
        let id = |text: Option<&str>| text.and_then(|text| text.parse::<Uuid>().ok());
        let Some(found) = self.interface(router, id(port), id(subnet)) else {
            return Err(match (port, subnet) {
                (_, Some(subnet)) => {
                    let message = format!("Router {router} has no interface on subnet {subnet}");
                    Failure::new(404, "RouterInterfaceNotFoundForSubnet", message)
                }
                (port, None) => {
                    let port = port.unwrap_or_default();
                    let message = format!("Router {router} does not have an interface with id {port}");
                    Failure::new(404, "RouterInterfaceNotFound", message)
                }
            });
        };
        let subnets: Vec<Uuid> = self.ports.get(found).into_iter().flat_map(Port::subnets).collect();
        if let Some(used) = subnets.into_iter().find(|subnet| self.has_floating_ips(router, *subnet)) {
            let message = format!(
                "Router interface for subnet {used} on router {router} cannot be deleted, as it is required by one or \
                 more floating IPs."
            );
            return Err(Failure::conflict("RouterInterfaceInUseByFloatingIP", message));
        }
        let answer = self.joined(router, found)?;
        self.drop_port(found);
        Ok(answer)
    }

    fn has_floating_ips(&self, router: Uuid, subnet: Uuid) -> bool {
        let through = self.floating_ips.values().filter(|floating| floating.router == Some(router));
        let mut ports = through.filter_map(|floating| floating.port.and_then(|port| self.ports.get(port)));
        ports.any(|port| port.subnets().any(|other| other == subnet))
    }

    /// The port of a router that is this one, or in this subnet.
    fn interface(&self, router: Uuid, port: Option<Uuid>, subnet: Option<Uuid>) -> Option<Uuid> {
        let device = router.to_string();
        let own = self.ports.values().filter(|port| *port.device_id == *device && *port.device_owner == *INTERFACE);
        let mut fitting = own.filter(|own| {
            port.is_none_or(|port| port == own.meta().id)
                && subnet.is_none_or(|subnet| own.subnets().any(|other| other == subnet))
        });
        fitting.next().map(|port| port.meta().id)
    }

    fn joined(&self, router: Uuid, port: Uuid) -> Outcome {
        let port = self.stored::<Port>(port)?;
        let project = self.stored::<Router>(router)?.meta().project.to_string();
        let subnets: Vec<String> = port.subnets().map(|subnet| subnet.to_string()).collect();
        Ok(Answer::json(
            200,
            &json!({
                "id": router.to_string(), "tenant_id": project, "project_id": project,
                "port_id": port.meta().id.to_string(), "network_id": port.network.to_string(),
                "subnet_id": subnets.first(), "subnet_ids": subnets,
            }),
        ))
    }
}
