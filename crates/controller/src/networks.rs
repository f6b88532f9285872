//! The configured subnets and security groups, as Neutron knows them.

use crate::{
    remembered::{configured, recalled},
    settings::Settings,
};
use kuryr_api::{Address, Configured, KuryrPool, Route};
use kuryr_openstack::{
    Error, Found, Kind, Neutron, Priority,
    neutron::{NetworkId, SecurityGroup, SecurityGroupId, SecurityGroupQuery, Subnet, SubnetId, SubnetQuery},
};
use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{sync::watch, time::Instant};

/// Smallest MTU of an IPv6 link (RFC 8200, section 5): what is assumed where Neutron doesn't tell.
const SMALLEST_MTU: u32 = 1280;

/// Why the configuration can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// The configuration names something that doesn't exist, or not exactly one thing.
    #[error("{setting}: {problem}")]
    Wrong {
        /// The key of the setting.
        setting: &'static str,
        /// What is wrong and what to do.
        problem: String,
    },
    /// Neutron could not be asked.
    #[error("could not look up the configured {what} in Neutron: {source}")]
    OpenStack {
        /// What was looked up.
        what: &'static str,
        /// The failure.
        #[source]
        source: Error,
    },
}

impl ResolveError {
    /// Whether OpenStack has answered, and trying again changes nothing.
    #[must_use]
    pub fn is_hopeless(&self) -> bool {
        match self {
            Self::Wrong { .. } => true,
            Self::OpenStack { source, .. } => {
                matches!(source.kind(), Kind::Unauthorized | Kind::NoEndpoint | Kind::Setup)
            }
        }
    }
}

/// What new ports are made of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Defaults {
    /// The network of all pods.
    pub network: String,
    /// The subnets that every port gets an address of, in the configured order.
    pub subnets: Vec<String>,
    /// Security groups of a pod's port, sorted.
    pub pod_groups: Vec<String>,
    /// Security groups of a node's port, sorted.
    pub node_groups: Vec<String>,
}

/// What is known of the configured subnets and groups.
#[derive(Debug, Clone)]
enum Known {
    /// Nothing yet: no port can be made or claimed.
    Nothing,
    /// What KuryrPools remember; Neutron hasn't been asked yet.
    Remembered(Arc<Defaults>),
    /// What Neutron says.
    Resolved(Arc<Defaults>),
}

/// What is known about Neutron's networks.
pub struct Networks {
    neutron: Neutron,
    fingerprint: String,
    began: Instant,
    known: watch::Sender<Known>,
    /// OpenStack answers that the login or a configured name is wrong.
    wrong: AtomicBool,
    subnets: Mutex<HashMap<String, Arc<Subnet>>>,
    mtus: Mutex<HashMap<String, u32>>,
}

/// What a node must know of a port beside its MAC address.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Addressing {
    /// Addresses with their prefixes and gateways, IPv4 first.
    pub addresses: Vec<Address>,
    /// Routes of the subnets, the default routes last.
    pub routes: Vec<Route>,
    /// Name servers of the subnets.
    pub name_servers: Vec<IpAddr>,
    /// The network's MTU, in bytes.
    pub mtu: u32,
}

impl Networks {
    /// Nothing is known yet. The fingerprint is that of the configuration.
    #[must_use]
    pub fn new(neutron: Neutron, fingerprint: String) -> Self {
        let (subnets, mtus, wrong) = Default::default();
        let (began, known) = (Instant::now(), watch::Sender::new(Known::Nothing));
        Self { neutron, fingerprint, began, known, wrong, subnets, mtus }
    }

    /// Looks everything up.
    ///
    /// # Errors
    /// When Neutron can't be asked, or the configuration names something that isn't there exactly once.
    pub async fn resolve(&self, settings: &Settings) -> Result<(), ResolveError> {
        let (defaults, subnets) = look_up(&self.neutron, settings).await?;
        self.remember(subnets);
        self.mtu(&defaults.network).await.map_err(openstack("network of the pods"))?;
        self.learn(defaults);
        Ok(())
    }

    /// Looks everything up again: a subnet's gateway, routes or name servers may have changed, a group of the configured
    /// name may be another one. `true` when new ports are made of something else from now on.
    ///
    /// # Errors
    /// As [`Self::resolve`]. What was known before stays in force.
    pub async fn refresh(&self, settings: &Settings) -> Result<bool, ResolveError> {
        let (defaults, subnets) = look_up(&self.neutron.with_priority(Priority::Background), settings).await?;
        self.mtus.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.subnets.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.remember(subnets);
        let before = self.defaults();
        self.learn(defaults);
        Ok(*before != *self.defaults())
    }

    /// Neutron has said it.
    fn learn(&self, defaults: Defaults) {
        self.set_wrong(false);
        self.known.send_replace(Known::Resolved(Arc::new(defaults)));
    }

    /// Works with what the pools remember, as long as Neutron hasn't said it. `false`: they remember nothing of use, and what was
    /// known stays in force.
    pub fn recall(&self, pools: &[Arc<KuryrPool>]) -> bool {
        let Some(defaults) = recalled(&self.fingerprint, pools) else { return false };
        self.known.send_if_modified(|known| {
            let resolved = matches!(known, Known::Resolved(_));
            if !resolved {
                *known = Known::Remembered(Arc::new(defaults));
            }
            !resolved
        });
        true
    }

    /// Takes what another controller has known last, where it is known here that Neutron has answered before.
    pub fn take_over(&self, pools: &[Arc<KuryrPool>]) {
        let Some(defaults) = recalled(&self.fingerprint, pools) else { return };
        self.known.send_if_modified(|known| {
            let older = matches!(known, Known::Resolved(known) if **known != defaults);
            if older {
                *known = Known::Resolved(Arc::new(defaults));
            }
            older
        });
    }

    /// Waits until Neutron has said it.
    pub async fn resolved(&self) {
        // The sender is ours.
        let _ = self.known.subscribe().wait_for(|known| matches!(known, Known::Resolved(_))).await;
    }

    /// Whether Neutron has said it.
    #[must_use]
    pub fn are_resolved(&self) -> bool {
        matches!(*self.known.borrow(), Known::Resolved(_))
    }

    /// Whether anything is known: work may begin, and has begun.
    #[must_use]
    pub fn are_known(&self) -> bool {
        !matches!(*self.known.borrow(), Known::Nothing)
    }

    /// For how long Neutron could have been asked.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.began.elapsed()
    }

    /// Whether OpenStack answers that the login or a configured name is wrong.
    #[must_use]
    pub fn are_wrong(&self) -> bool {
        self.wrong.load(Ordering::Relaxed)
    }

    /// OpenStack answers that the login or a configured name is wrong, or right.
    pub fn set_wrong(&self, wrong: bool) {
        self.wrong.store(wrong, Ordering::Relaxed);
    }

    /// What new ports are made of. Nothing while nothing is known: work doesn't begin before.
    #[must_use]
    pub fn defaults(&self) -> Arc<Defaults> {
        match &*self.known.borrow() {
            Known::Nothing => Arc::default(),
            Known::Remembered(defaults) | Known::Resolved(defaults) => defaults.clone(),
        }
    }

    /// What the pools of the pods' network are to remember.
    #[must_use]
    pub fn configured(&self) -> Configured {
        configured(&self.fingerprint, &self.defaults())
    }

    /// What a node must know of a port with these addresses on this network. Asks Neutron only about subnets and networks
    /// that aren't known yet.
    ///
    /// # Errors
    /// When Neutron can't be asked.
    pub async fn addressing(&self, network: &str, fixed: &[(String, IpAddr)]) -> Result<Addressing, Error> {
        let mut known = Vec::with_capacity(fixed.len());
        for (id, ip) in fixed {
            known.push((self.subnet(id).await?, *ip));
        }
        Ok(addressing(&known, self.mtu(network).await?))
    }

    fn remember(&self, subnets: Vec<Subnet>) {
        let mut known = self.subnets.lock().unwrap_or_else(PoisonError::into_inner);
        known.extend(subnets.into_iter().map(|subnet| (subnet.id.to_string(), Arc::new(subnet))));
    }

    async fn subnet(&self, id: &str) -> Result<Arc<Subnet>, Error> {
        let known = self.subnets.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned();
        if let Some(subnet) = known {
            return Ok(subnet);
        }
        let subnet = Arc::new(self.neutron.get_subnet(&SubnetId::from(id)).await?);
        self.subnets.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned(), subnet.clone());
        Ok(subnet)
    }

    async fn mtu(&self, network: &str) -> Result<u32, Error> {
        let known = self.mtus.lock().unwrap_or_else(PoisonError::into_inner).get(network).copied();
        if let Some(mtu) = known {
            return Ok(mtu);
        }
        let mtu = self.neutron.get_network(&NetworkId::from(network)).await?.mtu.unwrap_or(SMALLEST_MTU);
        self.mtus.lock().unwrap_or_else(PoisonError::into_inner).insert(network.to_owned(), mtu);
        Ok(mtu)
    }
}

/// Adds what was looked up to a failed request.
pub fn openstack(what: &'static str) -> impl FnOnce(Error) -> ResolveError {
    move |source| ResolveError::OpenStack { what, source }
}

/// A setting that can't be meant so.
pub fn wrong(setting: &'static str, problem: impl Into<String>) -> ResolveError {
    ResolveError::Wrong { setting, problem: problem.into() }
}

async fn look_up(neutron: &Neutron, settings: &Settings) -> Result<(Defaults, Vec<Subnet>), ResolveError> {
    let mut subnets = Vec::new();
    for wanted in &settings.pods.subnets {
        subnets.push(subnet(neutron, "pods.subnets", wanted).await?);
    }
    let Some(first) = subnets.first() else {
        return Err(wrong("pods.subnets", "at least one subnet is needed, by name or id"));
    };
    if let Some(other) = subnets.iter().find(|subnet| subnet.network_id != first.network_id) {
        let problem = format!(
            "`{}` and `{}` are subnets of different networks; a port has one network: name subnets of one",
            first.name, other.name
        );
        return Err(wrong("pods.subnets", problem));
    }
    let mut groups = BTreeMap::new();
    let wanted = [
        ("pods.securityGroups", &settings.pods.security_groups),
        ("nodePort.securityGroups", &settings.node_port.security_groups),
    ];
    for (setting, names) in wanted {
        let mut ids = Vec::new();
        for name in names {
            ids.push(group(neutron, setting, name).await?.id.to_string());
        }
        ids.sort();
        ids.dedup();
        groups.insert(setting, ids);
    }
    let defaults = Defaults {
        network: first.network_id.to_string(),
        subnets: subnets.iter().map(|subnet| subnet.id.to_string()).collect(),
        pod_groups: groups.remove("pods.securityGroups").unwrap_or_default(),
        node_groups: groups.remove("nodePort.securityGroups").unwrap_or_default(),
    };
    Ok((defaults, subnets))
}

/// The subnet of that name or id.
pub async fn subnet(neutron: &Neutron, setting: &'static str, wanted: &str) -> Result<Subnet, ResolveError> {
    let by_name = SubnetQuery { names: vec![wanted.to_owned()], ..SubnetQuery::default() };
    let found = neutron.list_subnets(&by_name).await.map_err(openstack("subnets"))?;
    let by_id = match found.is_empty() {
        true => neutron.get_subnet(&SubnetId::from(wanted)).await.found().map_err(openstack("subnets"))?,
        false => None,
    };
    only_one(setting, "subnet", wanted, found, by_id)
}

async fn group(neutron: &Neutron, setting: &'static str, wanted: &str) -> Result<SecurityGroup, ResolveError> {
    let by_name = SecurityGroupQuery { names: vec![wanted.to_owned()], ..SecurityGroupQuery::default() };
    let found = neutron.list_security_groups(&by_name).await.map_err(openstack("security groups"))?;
    let by_id = match found.is_empty() {
        true => {
            let id = SecurityGroupId::from(wanted);
            neutron.get_security_group(&id).await.found().map_err(openstack("security groups"))?
        }
        false => None,
    };
    only_one(setting, "security group", wanted, found, by_id)
}

/// The one thing of that name, else the one of that id.
pub fn only_one<T>(
    setting: &'static str,
    what: &str,
    wanted: &str,
    mut found: Vec<T>,
    by_id: Option<T>,
) -> Result<T, ResolveError> {
    let count = found.len();
    match (found.pop().or(by_id), count) {
        (Some(one), 0 | 1) => Ok(one),
        (None, _) => Err(wrong(setting, format!("there is no {what} `{wanted}` that this project may see"))),
        (Some(_), _) => {
            let problem = format!("`{wanted}` is the name of {count} {what}s: write the id of the one that is meant");
            Err(wrong(setting, problem))
        }
    }
}

/// Addresses, routes and name servers that follow from a port's addresses and their subnets.
fn addressing(fixed: &[(Arc<Subnet>, IpAddr)], mtu: u32) -> Addressing {
    let mut fixed: Vec<_> = fixed.iter().collect();
    fixed.sort_by_key(|(_, ip)| ip.is_ipv6());
    let mut all = Addressing { mtu, ..Addressing::default() };
    let mut defaults: Vec<Route> = Vec::new();
    for (subnet, ip) in fixed {
        all.addresses.push(Address {
            ip: *ip,
            prefix_length: subnet.cidr.prefix_len(),
            gateway: subnet.gateway_ip,
            subnet_id: subnet.id.to_string(),
        });
        let routes = subnet.host_routes.iter();
        all.routes.extend(routes.map(|route| Route { destination: route.destination, gateway: route.nexthop }));
        all.name_servers.extend(&subnet.dns_nameservers);
        let other_default = |route: &Route| route.gateway.is_ipv6() == ip.is_ipv6();
        if let Some(gateway) = subnet.gateway_ip
            && !defaults.iter().any(other_default)
        {
            defaults.push(Route { destination: everywhere(gateway), gateway });
        }
    }
    // A subnet may hand out a default route of its own: then that one is meant.
    defaults.retain(|default| all.routes.iter().all(|route| route.destination != default.destination));
    all.routes.extend(defaults);
    all
}

/// The default route's destination in the gateway's family.
fn everywhere(gateway: IpAddr) -> ipnet::IpNet {
    match gateway {
        IpAddr::V4(_) => ipnet::Ipv4Net::default().into(),
        IpAddr::V6(_) => ipnet::Ipv6Net::default().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn subnet(id: &str, cidr: &str, gateway: &str, routes: &serde_json::Value) -> Arc<Subnet> {
        let version = if cidr.contains(':') { 6 } else { 4 };
        let value = json!({ "id": id, "network_id": "net", "ip_version": version, "cidr": cidr, "gateway_ip": gateway,
            "dns_nameservers": ["10.96.0.10"], "host_routes": routes });
        Arc::new(serde_json::from_value(value).unwrap())
    }

    #[test]
    fn ipv4_comes_first_and_each_family_has_one_default_route() {
        let four = subnet("four", "10.244.0.0/16", "10.244.0.1", &json!([]));
        let six = subnet("six", "fd00:244::/64", "fd00:244::", &json!([]));
        let all = addressing(&[(six, "fd00:244::5".parse().unwrap()), (four, "10.244.0.5".parse().unwrap())], 1442);
        let prefixes: Vec<_> = all.addresses.iter().map(|a| (a.subnet_id.as_str(), a.prefix_length)).collect();
        assert_eq!(prefixes, [("four", 16), ("six", 64)]);
        let routes: Vec<_> = all.routes.iter().map(|r| format!("{} via {}", r.destination, r.gateway)).collect();
        assert_eq!(routes, ["0.0.0.0/0 via 10.244.0.1", "::/0 via fd00:244::"]);
        assert_eq!(all.mtu, 1442);
    }

    #[test]
    fn a_default_route_that_the_subnet_hands_out_wins() {
        let routes = json!([{ "destination": "0.0.0.0/0", "nexthop": "10.0.0.9" }]);
        let all = addressing(&[(subnet("a", "10.0.0.0/24", "10.0.0.1", &routes), "10.0.0.5".parse().unwrap())], 1500);
        assert_eq!(all.routes.len(), 1);
        assert_eq!(all.routes[0].gateway.to_string(), "10.0.0.9");
    }

    #[test]
    fn a_wrong_name_is_told_with_its_setting() {
        let text = |found: Vec<u8>| only_one("pods.subnets", "subnet", "web", found, None).unwrap_err().to_string();
        assert_eq!(text(vec![]), "pods.subnets: there is no subnet `web` that this project may see");
        assert_eq!(
            text(vec![1, 2]),
            "pods.subnets: `web` is the name of 2 subnets: write the id of the one that is meant"
        );
        assert_eq!(only_one("pods.subnets", "subnet", "web", vec![7], None).unwrap(), 7);
    }
}
