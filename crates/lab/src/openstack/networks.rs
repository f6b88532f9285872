//! What the cloud holds: the networks, the router and the security groups that Kuryr is configured with.

use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    accounts::KURYR,
    neutron_api,
    rest::{ADMIN, Login, Session, id},
};
use crate::{
    engine::{CONTROL, Component, Lab, files, netns},
    node::EXTERNAL_GATEWAY,
};

/// The part of the services' IPv4 subnet that Kubernetes takes ClusterIPs from (`--service-cluster-ip-range`). The
/// other half is Neutron's: the gateway, and addresses that it chooses itself.
pub const CLUSTER_IPS_V4: &str = "10.96.0.0/17";
/// As [`CLUSTER_IPS_V4`], for IPv6.
pub const CLUSTER_IPS_V6: &str = "fd00:96::/113";

/// The IPv4 addresses of pods.
pub const PODS_V4: &str = "10.244.0.0/16";

/// A subnet of the lab.
struct Subnet {
    name: &'static str,
    cidr: &'static str,
    gateway: &'static str,
    /// From where Neutron takes addresses that nobody asked for.
    pool: (&'static str, &'static str),
}

const PODS: [Subnet; 2] = [
    Subnet { name: "pods-v4", cidr: PODS_V4, gateway: "10.244.0.1", pool: ("10.244.0.2", "10.244.255.254") },
    Subnet {
        name: "pods-v6",
        cidr: "fd00:244::/64",
        // Neutron's default would be the subnet's first address, `fd00:244::`, which is the routers' anycast address.
        gateway: "fd00:244::1",
        pool: ("fd00:244::2", "fd00:244::ffff:ffff:ffff:ffff"),
    },
];

const SERVICES: [Subnet; 2] = [
    Subnet {
        name: "services-v4",
        cidr: "10.96.0.0/16",
        gateway: "10.96.255.254",
        pool: ("10.96.128.0", "10.96.255.253"),
    },
    Subnet {
        name: "services-v6",
        cidr: "fd00:96::/112",
        gateway: "fd00:96::ffff",
        pool: ("fd00:96::8000", "fd00:96::fffe"),
    },
];

const EXTERNAL: Subnet =
    Subnet { name: "ext-v4", cidr: "172.24.4.0/24", gateway: "172.24.4.1", pool: ("172.24.4.10", "172.24.4.250") };

/// The ids of what the cloud holds, as written to [`cloud_file`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cloud {
    /// The project `kuryr`.
    pub project: String,
    /// The network `pods`.
    pub pod_network: String,
    /// The subnets `pods-v4` and `pods-v6`.
    pub pod_subnets: Vec<String>,
    /// The network `services`.
    pub service_network: String,
    /// The subnets `services-v4` and `services-v6`.
    pub service_subnets: Vec<String>,
    /// The external network `ext`.
    pub external_network: String,
    /// The subnet `ext-v4`.
    pub external_subnet: String,
    /// The router `kuryr` between all of them.
    pub router: String,
    /// The group `kuryr-pods`: ingress from pods, Services and the external gateway, all egress.
    pub pod_security_group: String,
    /// The group `kuryr-closed`, which has no rule.
    pub closed_security_group: String,
}

impl Cloud {
    /// Reads the ids, once the component `cloud-networks` is done.
    ///
    /// # Errors
    /// When the file is not there or can't be read.
    pub fn read(lab: &Lab) -> Result<Self> {
        let file = cloud_file(lab);
        let text =
            std::fs::read_to_string(&file).with_context(|| format!("reading {} (is the lab up?)", file.display()))?;
        serde_json::from_str(&text).with_context(|| format!("reading {}", file.display()))
    }
}

/// The file with the ids of what the cloud holds: a [`Cloud`] in JSON.
pub fn cloud_file(lab: &Lab) -> PathBuf {
    lab.state().join("cloud.json")
}

/// Networks, router and groups.
pub(super) struct Networks;

impl Component for Networks {
    fn name(&self) -> String {
        "cloud-networks".into()
    }

    fn after(&self) -> Vec<String> {
        vec!["keystone-accounts".into(), "neutron-api".into()]
    }

    fn prepare(&self, lab: &Lab) -> Result<()> {
        let cloud = netns::enter(CONTROL, make)??;
        let text = serde_json::to_string_pretty(&cloud).context("writing the cloud's ids")?;
        files::write_if_changed(&cloud_file(lab), &text).map(drop)
    }
}

fn make() -> Result<Cloud> {
    let admin = Neutron::open(ADMIN)?;
    let external = json!({"name": "ext", "router:external": true, "provider:network_type": "flat",
        "provider:physical_network": "physnet1"});
    let external = id(&admin.ensure("network", "name=ext", &external)?)?;
    let external_subnet = admin.subnet(&external, &EXTERNAL)?;

    // The rest belongs to Kuryr's project and is made by its user, which shows that its roles are enough.
    let kuryr = Neutron::open(KURYR)?;
    let pods = kuryr.network("pods")?;
    let pod_network = id(&pods)?;
    let service_network = id(&kuryr.network("services")?)?;
    let subnets =
        |network: &str, list: &[Subnet]| list.iter().map(|s| kuryr.subnet(network, s)).collect::<Result<Vec<_>>>();
    let pod_subnets = subnets(&pod_network, &PODS)?;
    let service_subnets = subnets(&service_network, &SERVICES)?;
    let router = kuryr.router(&external, pod_subnets.iter().chain(&service_subnets))?;
    let mut sources: Vec<String> = PODS.iter().chain(&SERVICES).map(|subnet| subnet.cidr.to_owned()).collect();
    sources.push(format!("{EXTERNAL_GATEWAY}/32"));
    Ok(Cloud {
        project: super::rest::text_at(&pods, "/project_id")?,
        pod_network,
        pod_subnets,
        service_network,
        service_subnets,
        external_network: external,
        external_subnet,
        router,
        pod_security_group: kuryr.open_group("kuryr-pods", &sources)?,
        closed_security_group: kuryr.closed_group("kuryr-closed")?,
    })
}

struct Neutron(Session);

impl Neutron {
    fn open(login: Login<'_>) -> Result<Self> {
        Session::open(login).map(Self)
    }

    fn url(path: &str) -> String {
        format!("{}/v2.0/{path}", neutron_api::url())
    }

    fn ensure(&self, single: &str, filter: &str, object: &Value) -> Result<Value> {
        let list = format!("{single}s");
        let url = Self::url(&list.replace('_', "-"));
        self.0.ensure(&url, filter, &list, single, object)
    }

    fn network(&self, name: &str) -> Result<Value> {
        self.ensure("network", &format!("name={name}"), &json!({"name": name}))
    }

    fn subnet(&self, network: &str, subnet: &Subnet) -> Result<String> {
        let filter = format!("name={}&network_id={network}", subnet.name);
        let object = json!({
            "name": subnet.name, "network_id": network, "cidr": subnet.cidr, "gateway_ip": subnet.gateway,
            "ip_version": if subnet.cidr.contains(':') { 6 } else { 4 }, "enable_dhcp": false,
            "allocation_pools": [{"start": subnet.pool.0, "end": subnet.pool.1}]});
        id(&self.ensure("subnet", &filter, &object)?)
    }

    fn router<'a>(&self, external: &str, subnets: impl Iterator<Item = &'a String>) -> Result<String> {
        let gateway = json!({"name": "kuryr", "external_gateway_info": {"network_id": external}});
        let router = id(&self.ensure("router", "name=kuryr", &gateway)?)?;
        let ports = self.0.get(&Self::url(&format!("ports?device_id={router}&fields=fixed_ips")))?.to_string();
        for subnet in subnets.filter(|subnet| !ports.contains(subnet.as_str())) {
            let url = Self::url(&format!("routers/{router}/add_router_interface"));
            self.0.put(&url, Some(&json!({"subnet_id": subnet})))?;
        }
        Ok(router)
    }

    /// A group that lets these networks in. Neutron itself adds the rules that let everything out.
    fn open_group(&self, name: &str, sources: &[String]) -> Result<String> {
        let group = self.ensure("security_group", &format!("name={name}"), &json!({"name": name}))?;
        let group_id = id(&group)?;
        let rules = group.pointer("/security_group_rules").unwrap_or(&Value::Null).to_string();
        let missing: Vec<Value> = sources
            .iter()
            .filter(|source| !rules.contains(&format!("\"{source}\"")))
            .map(|source| {
                let family = if source.contains(':') { "IPv6" } else { "IPv4" };
                json!({"security_group_id": group_id, "direction": "ingress", "ethertype": family,
                    "remote_ip_prefix": source})
            })
            .collect();
        if !missing.is_empty() {
            self.0.post(&Self::url("security-group-rules"), &json!({"security_group_rules": missing}))?;
        }
        Ok(group_id)
    }

    /// A group without rules: nothing in, nothing out.
    fn closed_group(&self, name: &str) -> Result<String> {
        let group = self.ensure("security_group", &format!("name={name}"), &json!({"name": name}))?;
        for rule in group.pointer("/security_group_rules").and_then(Value::as_array).into_iter().flatten() {
            self.0.delete(&Self::url(&format!("security-group-rules/{}", id(rule)?)))?;
        }
        id(&group)
    }
}
