//! The controller's part of the configuration.

use crate::runtime::feed::DEFAULT_WATCH_SECONDS;
use ipnet::IpNet;
use kuryr_core::{lease::Terms, pool::Levels};
use serde::{Deserialize, Serialize};
use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// Networks of the pods.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Pods {
    /// Names or ids of the subnets that every pod gets an address of, all of one network: usually one of IPv4, or one of
    /// each family.
    pub subnets: Vec<String>,
    /// Names or ids of the security groups that every pod's port has, where NetworkPolicies are switched off. None: nothing passes.
    #[serde(default)]
    pub security_groups: Vec<String>,
    /// Who says that packets of a pod's plugged interface can flow.
    #[serde(default)]
    pub readiness: Readiness,
}

/// Who says that packets of a pod's plugged interface can flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Readiness {
    /// The node's own dataplane, as OVN does.
    #[default]
    Dataplane,
    /// Neutron, by the port's status: for dataplanes that tell nothing on the node.
    NeutronStatus,
}

impl From<Readiness> for kuryr_api::Readiness {
    fn from(readiness: Readiness) -> Self {
        match readiness {
            Readiness::Dataplane => Self::Dataplane,
            Readiness::NeutronStatus => Self::NeutronStatus,
        }
    }
}

/// Each node's own port on the pod network, by which the host, kubelet probes and hostNetwork pods reach pods.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct NodePort {
    /// Whether nodes have such a port. Switching it off deletes the ports.
    pub enabled: bool,
    /// Names or ids of the port's security groups. None: nothing passes that the host doesn't begin.
    pub security_groups: Vec<String>,
}

impl Default for NodePort {
    fn default() -> Self {
        Self { enabled: true, security_groups: Vec::new() }
    }
}

/// Free ports that nodes keep ready for their next pods. A KuryrPool can have levels of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Pools {
    /// Fewest free ports of a node that runs pods.
    pub minimum: u32,
    /// Most free ports of a node. 0: no pools, a released port is deleted at once.
    pub maximum: u32,
    /// How many free ports a node keeps plugged, so that a pod's interface is only made on what is there.
    pub plugged: u32,
    /// Seconds from a port's release until another pod may get it.
    pub cool_down_seconds: u64,
    /// Length of a period of demand in seconds. A pool fills up to the most ports that were needed within one of the last five, and
    /// shrinks after five without any claim.
    pub demand_seconds: u64,
    /// Seconds until a cordoned node gives its free ports up.
    pub cordon_seconds: u64,
    /// Whether free ports are kept without security groups, so that nothing passes them. A claim then costs one change of its
    /// port, and packets pass some 300 ms after it.
    pub closed: bool,
}

impl Default for Pools {
    fn default() -> Self {
        Self {
            minimum: 3,
            maximum: 32,
            plugged: 3,
            cool_down_seconds: 10,
            demand_seconds: 60,
            cordon_seconds: 600,
            closed: false,
        }
    }
}

impl Pools {
    /// The levels of all pools that have none of their own.
    #[must_use]
    pub fn levels(&self) -> Levels {
        Levels { minimum: self.minimum, maximum: self.maximum, plugged: self.plugged }
    }

    /// Time from a port's release until another pod may get it.
    #[must_use]
    pub fn cool_down(&self) -> Duration {
        Duration::from_secs(self.cool_down_seconds)
    }

    /// Length of a period of demand.
    #[must_use]
    pub fn demand_period(&self) -> Duration {
        Duration::from_secs(self.demand_seconds.max(1))
    }

    /// Time until a cordoned node gives its free ports up.
    #[must_use]
    pub fn cordon(&self) -> Duration {
        Duration::from_secs(self.cordon_seconds)
    }
}

/// Services on Octavia.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Services {
    /// Names or ids of the subnets that cluster IPs are of. The API server's `--service-cluster-ip-range` lies within them, but for the
    /// addresses that Neutron itself gives to ports there. None: Services are switched off.
    pub subnets: Vec<String>,
    /// Octavia's provider. None: `ovn` where the cloud has it, else the cloud's default.
    pub provider: Option<String>,
    /// Names or ids of further subnets that endpoints are of, as the nodes' own. Pods' subnets needn't be named.
    pub member_subnets: Vec<String>,
    /// Name or id of the external network that floating IPs of Services of type LoadBalancer are of. None: a Service has one only if it
    /// names a network.
    pub floating_network: Option<String>,
    /// Services of type LoadBalancer without `spec.loadBalancerClass` are Kuryr's.
    pub default_class: bool,
    /// Values of `spec.loadBalancerClass` that are Kuryr's, beside `kuryr.openstack.org/octavia`.
    pub classes: Vec<String>,
    /// Whether Octavia looks itself whether endpoints work, beside Kubernetes' own probes.
    pub health_monitor: bool,
    /// Seconds between two looks at what Octavia has: what somebody changed by hand is repaired then.
    pub audit_seconds: u64,
    /// Seconds that Octavia may be at work on one load balancer. One that takes longer is told, and repaired where it can be.
    pub pending_seconds: u64,
}

impl Default for Services {
    fn default() -> Self {
        Self {
            subnets: Vec::new(),
            provider: None,
            member_subnets: Vec::new(),
            floating_network: None,
            default_class: true,
            classes: Vec::new(),
            health_monitor: false,
            audit_seconds: 300,
            pending_seconds: 600,
        }
    }
}

impl Services {
    /// For how long Octavia may be at work on one load balancer.
    #[must_use]
    pub fn pending(&self) -> Duration {
        Duration::from_secs(self.pending_seconds.max(1))
    }
}

/// NetworkPolicies as Neutron security groups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct NetworkPolicies {
    /// Whether NetworkPolicies are enforced. Then they decide alone which security groups pods' ports have: `pods.securityGroups` names none.
    pub enabled: bool,
    /// Where cluster IPs are from, and nothing else: the API server's `--service-cluster-ip-range`. Empty: the subnets of `services.subnets`.
    pub service_ranges: Vec<IpNet>,
    /// Whether a pod may always send to its own node, as the Kubernetes documentation says.
    pub to_node: bool,
    /// Seconds between two looks at what Neutron has: what somebody changed by hand is repaired then.
    pub audit_seconds: u64,
}

impl Default for NetworkPolicies {
    fn default() -> Self {
        Self { enabled: true, service_ranges: Vec::new(), to_node: true, audit_seconds: 300 }
    }
}

/// How the controller runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Controller {
    /// Address of the admin server: `/live`, `/ready`, `/metrics`, `/debug/state`.
    pub listen: SocketAddr,
    /// How many objects of each kind are worked on at a time.
    pub concurrency: Concurrency,
    /// Milliseconds for which requests to create or find ports are gathered into one. 0: each is sent at once, unless others
    /// are on their way.
    pub gather_milliseconds: u64,
    /// Seconds between two looks at the configured subnets and security groups.
    pub refresh_seconds: u64,
    /// Where `sweep.periodSeconds` was before.
    #[serde(skip_serializing)]
    pub audit_seconds: Option<u64>,
    /// Seconds that running work may take to end after a stop signal.
    pub shutdown_seconds: u64,
    /// Seconds that one watch request lasts. A connection that stays open and silent is given up 5 s later.
    pub watch_seconds: u32,
    /// Which of several controllers works.
    pub lease: Lease,
}

impl Default for Controller {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 9805)),
            concurrency: Concurrency::default(),
            gather_milliseconds: 5,
            refresh_seconds: 300,
            audit_seconds: None,
            shutdown_seconds: 25,
            watch_seconds: DEFAULT_WATCH_SECONDS,
            lease: Lease::default(),
        }
    }
}

/// Which of several controllers works: the one that holds the Lease (`coordination.k8s.io/v1`). The others wait with full
/// caches. The times are client-go's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Lease {
    /// Whether a Lease is needed. Without it there must never be two controllers at once.
    pub enabled: bool,
    /// Namespace of the Lease.
    pub namespace: String,
    /// Name of the Lease.
    pub name: String,
    /// Seconds without a renewal after which another controller takes the Lease.
    pub duration_seconds: u64,
    /// Seconds without a renewal after which the leader stops writing.
    pub renew_deadline_seconds: u64,
    /// Seconds between two attempts to renew or to take the Lease.
    pub retry_seconds: u64,
    /// File that keeps the name under which the Lease is held, so that a controller that crashed goes on at once. It must be
    /// on a local file system. `null`: none, a restart after a crash waits until the Lease runs out.
    pub identity_file: Option<PathBuf>,
}

impl Default for Lease {
    fn default() -> Self {
        Self {
            enabled: true,
            namespace: "kube-system".to_owned(),
            name: "kuryr-controller".to_owned(),
            duration_seconds: 15,
            renew_deadline_seconds: 10,
            retry_seconds: 2,
            identity_file: Some(PathBuf::from("/run/kuryr/controller.identity")),
        }
    }
}

impl Lease {
    /// How long the Lease lasts.
    #[must_use]
    pub fn terms(&self) -> Terms {
        Terms {
            duration: Duration::from_secs(self.duration_seconds),
            renew_deadline: Duration::from_secs(self.renew_deadline_seconds),
            retry_period: Duration::from_secs(self.retry_seconds),
        }
    }
}

/// How many objects of each kind are worked on at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Concurrency {
    /// Pods: one short request each.
    pub pods: u16,
    /// KuryrPorts: a few short requests each.
    pub ports: u16,
    /// KuryrPoolPorts: they mostly wait for requests to Neutron, which gather what many of them ask for.
    pub pool_ports: u16,
    /// Nodes.
    pub nodes: u16,
    /// KuryrPools.
    pub pools: u16,
    /// Services: a few short requests each.
    pub services: u16,
    /// KuryrLoadBalancers: they mostly wait for requests to Octavia.
    pub load_balancers: u16,
    /// NetworkPolicies: only their state is told.
    pub network_policies: u16,
}

impl Default for Concurrency {
    fn default() -> Self {
        Self {
            pods: 16,
            ports: 16,
            pool_ports: 512,
            nodes: 4,
            pools: 4,
            services: 8,
            load_balancers: 32,
            network_policies: 4,
        }
    }
}

/// What is done about nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Nodes {
    /// Seconds for which a node may not be ready until the addresses of its pods that are gone are released without its word
    /// that their interfaces are. 0: it is waited for until it speaks or its Node object is deleted.
    pub silent_seconds: u64,
}

impl Nodes {
    /// How long a silent node is waited for. `None`: for ever.
    #[must_use]
    pub fn patience(self) -> Option<Duration> {
        (self.silent_seconds > 0).then(|| Duration::from_secs(self.silent_seconds))
    }
}

/// The comparison of the objects with Neutron's list of ports: what is missing or changed there is told, and ports that
/// nobody needs are removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Sweep {
    /// Seconds between two comparisons. 0: never.
    pub period_seconds: u64,
    /// Seconds for which a port must have been without an object, at every comparison, before it is removed.
    pub grace_seconds: u64,
    /// Only tell what would be removed.
    pub dry_run: bool,
    /// When more than this share of the cluster's Neutron ports, in percent, has no object, or there is no object at all,
    /// nothing is removed: it is the objects that must be missing, and the pods still use the ports. 100: no limit.
    pub most_percent: u8,
}

impl Default for Sweep {
    fn default() -> Self {
        Self { period_seconds: 300, grace_seconds: 600, dry_run: false, most_percent: 50 }
    }
}

/// Everything that the controller is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The cluster's name in owner marks: distinct for every Kubernetes cluster that uses the project.
    pub cluster: String,
    /// Networks of the pods.
    pub pods: Pods,
    /// Each node's own port.
    pub node_port: NodePort,
    /// Free ports that nodes keep ready.
    pub pools: Pools,
    /// How the controller runs.
    pub controller: Controller,
    /// What is done about nodes.
    pub nodes: Nodes,
    /// The comparison with Neutron.
    pub sweep: Sweep,
    /// Services on Octavia.
    pub services: Services,
    /// NetworkPolicies as Neutron security groups.
    pub network_policies: NetworkPolicies,
}
