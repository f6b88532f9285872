//! What the fake cloud is like.

use crate::{Latency, Provider, Settle};
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
    /// Most objects in a page (`pagination_max_limit`). `None`: as many as asked for.
    pub most_per_page: Option<usize>,
    /// Whether the journal keeps the bodies of requests. Without them a run of hours stays small.
    pub journal_bodies: bool,
    /// Networks of the project `kuryr`.
    pub networks: Vec<SeedNetwork>,
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
    /// Names and prefixes of its subnets.
    pub subnets: Vec<(String, ipnet::IpNet)>,
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
            most_per_page: None,
            journal_bodies: true,
            networks: vec![SeedNetwork::pods()],
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
            subnets: vec![("pods-v4".to_owned(), v4.into()), ("pods-v6".to_owned(), v6.into())],
        }
    }
}
