//! What the fake cloud is like.

use crate::{Latency, Provider, Settle};
use ipnet::IpNet;
use serde_json::{Value, json};
use std::{collections::BTreeSet, net::IpAddr, time::Duration};

/// What the fake cloud is like when it starts. The default is what most tests want: no latency, no quotas, any host
/// binds, and the networks and groups that the lab has.
#[derive(Debug, Clone)]
pub struct Config {
    /// Address that the services listen on, each on a port of its own.
    pub listen: IpAddr,
    /// First port; the services take it and the following ones. 0: any that are free.
    pub port: u16,
    /// Regions in the catalogue; each has every service. `clouds.yaml` names the first.
    pub regions: Vec<String>,
    /// How long a token is valid.
    pub token_life: Duration,
    /// How long requests take.
    pub latency: Latency,
    /// The limit of every quota that has not been set for a project; -1: none.
    pub default_quota: i64,
    /// Hosts that ports can be bound to. `None`: any name.
    pub hosts: Option<BTreeSet<String>>,
    /// Whether `tags` are taken in the creating request (ML2's driver `tag_ports_during_bulk_creation`); otherwise they
    /// are ignored without a word.
    pub tag_ports: bool,
    /// Whether there are address groups, and rules that refer to them.
    pub address_groups: bool,
    /// The rules that every new security group gets beside those of the groups `default`, as attributes of a rule without its group: what
    /// an administrator can change in newer Neutrons (`default-security-group-rules`).
    pub new_group_rules: Vec<Value>,
    /// Most objects in a page (`pagination_max_limit`). `None`: as many as asked for.
    pub most_per_page: Option<usize>,
    /// Whether the journal keeps the bodies of requests. Without them a run of hours stays small.
    pub journal_bodies: bool,
    /// Networks of the project `kuryr`.
    pub networks: Vec<SeedNetwork>,
    /// Routers of the project `kuryr`.
    pub routers: Vec<SeedRouter>,
    /// Names of the security groups of the project `kuryr` that let everything pass.
    pub open_groups: Vec<String>,
    /// Names of the security groups of the project `kuryr` that have no rule.
    pub closed_groups: Vec<String>,
    /// How Octavia is. `None`: the cloud has none.
    pub octavia: Option<OctaviaConfig>,
}

/// What Octavia is like.
#[derive(Debug, Clone)]
pub struct OctaviaConfig {
    /// Providers of load balancers.
    pub providers: Vec<Provider>,
    /// The provider of load balancers that don't name one.
    pub default_provider: Provider,
    /// When what was asked for is done.
    pub settle: Settle,
    /// The limit of every quota that has not been set for a project; -1: none.
    pub default_quota: i64,
    /// Most objects in a page (`pagination_max_limit`).
    pub most_per_page: usize,
}

impl Default for OctaviaConfig {
    /// Both providers, OVN first; a step of a change takes 0.1 s.
    fn default() -> Self {
        Self {
            providers: vec![Provider::Ovn, Provider::Amphora],
            default_provider: Provider::Ovn,
            settle: Settle::After(Duration::from_millis(100)),
            default_quota: -1,
            most_per_page: 1000,
        }
    }
}

/// A network that is there from the beginning.
#[derive(Debug, Clone)]
pub struct SeedNetwork {
    /// Name.
    pub name: String,
    /// Whether floating IPs can be of it.
    pub external: bool,
    /// Its subnets.
    pub subnets: Vec<SeedSubnet>,
}

/// A subnet that is there from the beginning.
#[derive(Debug, Clone)]
pub struct SeedSubnet {
    /// Name.
    pub name: String,
    /// Prefix.
    pub prefix: IpNet,
    /// Gateway. `None`: Neutron's choice.
    pub gateway: Option<IpAddr>,
    /// First and last address that Neutron gives out by itself. `None`: all.
    pub pool: Option<(IpAddr, IpAddr)>,
}

/// A router that is there from the beginning.
#[derive(Debug, Clone)]
pub struct SeedRouter {
    /// Name.
    pub name: String,
    /// Name of the external network that it leads to.
    pub external: String,
    /// Names of the subnets that it joins.
    pub subnets: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: IpAddr::from([127, 0, 0, 1]),
            port: 0,
            regions: vec!["RegionOne".to_owned()],
            token_life: Duration::from_secs(24 * 3600),
            latency: Latency::None,
            default_quota: -1,
            hosts: None,
            tag_ports: false,
            address_groups: true,
            new_group_rules: ["IPv4", "IPv6"]
                .map(|family| json!({ "direction": "egress", "ethertype": family }))
                .into(),
            most_per_page: None,
            journal_bodies: true,
            networks: vec![SeedNetwork::pods()],
            routers: Vec::new(),
            open_groups: vec!["kuryr-pods".to_owned()],
            closed_groups: vec!["kuryr-closed".to_owned()],
            octavia: Some(OctaviaConfig::default()),
        }
    }
}

impl SeedNetwork {
    /// The network `pods` with the subnets `pods-v4` (10.244.0.0/16) and `pods-v6` (fd00:244::/64), as in the lab.
    #[must_use]
    pub fn pods() -> Self {
        let v4 = ipnet::Ipv4Net::new_assert([10, 244, 0, 0].into(), 16);
        let v6 = ipnet::Ipv6Net::new_assert([0xfd00, 0x244, 0, 0, 0, 0, 0, 0].into(), 64);
        Self {
            name: "pods".to_owned(),
            external: false,
            subnets: vec![SeedSubnet::new("pods-v4", v4.into()), SeedSubnet::new("pods-v6", v6.into())],
        }
    }

    /// The network `services` with the subnets `services-v4` (10.96.0.0/16) and `services-v6` (fd00:96::/112), as in the lab:
    /// Neutron chooses addresses of the upper half, the lower one is Kubernetes'.
    #[must_use]
    pub fn services() -> Self {
        let v4 = ipnet::Ipv4Net::new_assert([10, 96, 0, 0].into(), 16);
        let v6 = ipnet::Ipv6Net::new_assert([0xfd00, 0x96, 0, 0, 0, 0, 0, 0].into(), 112);
        let v4_at = |third, last| IpAddr::from([10, 96, third, last]);
        let v6_at = |last| IpAddr::from([0xfd00, 0x96, 0, 0, 0, 0, 0, last]);
        let subnets = vec![
            SeedSubnet {
                gateway: Some(v4_at(255, 254)),
                pool: Some((v4_at(128, 0), v4_at(255, 253))),
                ..SeedSubnet::new("services-v4", v4.into())
            },
            SeedSubnet {
                gateway: Some(v6_at(0xffff)),
                pool: Some((v6_at(0x8000), v6_at(0xfffe))),
                ..SeedSubnet::new("services-v6", v6.into())
            },
        ];
        Self { name: "services".to_owned(), external: false, subnets }
    }

    /// The external network `ext` with the subnet `ext-v4` (172.24.4.0/24), as in the lab.
    #[must_use]
    pub fn external() -> Self {
        let prefix = ipnet::Ipv4Net::new_assert([172, 24, 4, 0].into(), 24);
        let at = |last| IpAddr::from([172, 24, 4, last]);
        let subnet = SeedSubnet { pool: Some((at(10), at(250))), ..SeedSubnet::new("ext-v4", prefix.into()) };
        Self { name: "ext".to_owned(), external: true, subnets: vec![subnet] }
    }
}

impl SeedSubnet {
    /// A subnet whose gateway and addresses are Neutron's choice.
    #[must_use]
    pub fn new(name: &str, prefix: IpNet) -> Self {
        Self { name: name.to_owned(), prefix, gateway: None, pool: None }
    }
}

impl Config {
    /// As the default, with all that the lab has: the networks `services` and `ext` as well, and the router `kuryr` between
    /// all of them. Its ports are among those that [`FakeCloud::ports`](crate::FakeCloud::ports) shows.
    #[must_use]
    pub fn lab() -> Self {
        let subnets = ["pods-v4", "pods-v6", "services-v4", "services-v6"].map(ToOwned::to_owned);
        Self {
            networks: vec![SeedNetwork::pods(), SeedNetwork::services(), SeedNetwork::external()],
            routers: vec![SeedRouter { name: "kuryr".to_owned(), external: "ext".to_owned(), subnets: subnets.into() }],
            ..Self::default()
        }
    }
}
