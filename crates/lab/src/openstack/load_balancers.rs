//! How pods reach the API server and the cluster's DNS until Kuryr makes load balancers for Services: two of them, made
//! here through Octavia, at the addresses that Kubernetes gives to `default/kubernetes` and `kube-system/kube-dns`.
//!
//! Their members are the control namespace's leg in the external network. A pod's packet is translated to it on the
//! pod's own node, leaves by the router with the router's address, and comes back the same way.

use std::{thread, time::Duration};

use anyhow::{Result, bail};
use serde_json::{Value, json};

use super::{
    accounts::KURYR,
    networks::Cloud,
    octavia_api,
    rest::{Session, id, text_at},
};
use crate::{
    engine::{CONTROL, Component, Lab, netns},
    node::EXTERNAL_GATEWAY,
};

/// The address of the API server for pods, port 443.
pub const API_SERVER_VIP: &str = "10.96.0.1";
/// The address of the cluster's DNS for pods, port 53, UDP and TCP.
pub const DNS_VIP: &str = "10.96.0.10";

/// The two load balancers.
pub(super) struct LoadBalancers;

impl Component for LoadBalancers {
    fn name(&self) -> String {
        "cloud-load-balancers".into()
    }

    fn after(&self) -> Vec<String> {
        vec!["cloud-networks".into(), "octavia-api".into()]
    }

    fn prepare(&self, lab: &Lab) -> Result<()> {
        let cloud = Cloud::read(lab)?;
        let Some(subnet) = cloud.service_subnets.first() else { bail!("the services' network has no subnet") };
        netns::enter(CONTROL, || {
            let session = Session::open(KURYR)?;
            let wanted = [
                load_balancer("lab-kube-apiserver", API_SERVER_VIP, subnet, &[("TCP", 443, 6443)]),
                load_balancer("lab-dns", DNS_VIP, subnet, &[("UDP", 53, 53), ("TCP", 53, 53)]),
            ];
            wanted.iter().try_for_each(|wanted| ensure(&session, wanted))
        })?
    }
}

/// A load balancer with everything in it. `ports` are protocol, port and the members' port.
fn load_balancer(name: &str, vip: &str, subnet: &str, ports: &[(&str, u16, u16)]) -> Value {
    let listeners: Vec<Value> = ports
        .iter()
        .map(|(protocol, port, target)| {
            let listener = format!("{name}-{protocol}");
            json!({"name": listener, "protocol": protocol, "protocol_port": port,
                "default_pool": {"name": listener, "protocol": protocol, "lb_algorithm": "SOURCE_IP_PORT",
                    "members": [{"address": EXTERNAL_GATEWAY, "protocol_port": target}]}})
        })
        .collect();
    json!({"name": name, "provider": "ovn", "vip_subnet_id": subnet, "vip_address": vip, "listeners": listeners})
}

/// Makes a load balancer unless there is one that works, and waits until it is active.
fn ensure(session: &Session, wanted: &Value) -> Result<()> {
    let url = format!("{}/v2/lbaas/loadbalancers", octavia_api::url());
    let name = text_at(wanted, "/name")?;
    let find = || session.first(&format!("{url}?name={name}"), "loadbalancers");
    for _ in 0..300 {
        let Some(there) = find()? else {
            session.post(&url, &json!({"loadbalancer": wanted}))?;
            continue;
        };
        match text_at(&there, "/provisioning_status")?.as_str() {
            "ACTIVE" => return Ok(()),
            "ERROR" => {
                session.delete(&format!("{url}/{}?cascade=true", id(&there)?))?;
            }
            _ => {}
        }
        thread::sleep(Duration::from_millis(200));
    }
    bail!("the load balancer {name} has not become active in a minute")
}
