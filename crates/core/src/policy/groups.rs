//! What policies become in Neutron: security groups, their rules, and address groups.

use super::{
    clause::{PortName, Ports, Resolution},
    cluster::{Decision, Meant},
    facts::{Family, Name, Uid},
    prefix::PrefixSet,
    selector::Pods,
};
use crate::{names, service::spec::Protocol};
use ipnet::IpNet;
use std::{collections::BTreeSet, fmt, net::IpAddr, sync::Arc};

/// A security group, by what it is for. A pod's port has several, and what any of them allows is allowed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GroupKey {
    /// Lets everything in: no policy isolates the pod for ingress.
    OpenIngress,
    /// Lets everything out: no policy isolates the pod for egress.
    OpenEgress,
    /// What pods of a node are always allowed: their node (kubelet's probes), and themselves over a Service.
    Node(Name),
    /// What one policy allows.
    Policy {
        /// The policy.
        uid: Uid,
        /// The numbers of the selected pod's ports that the policy names. Pods whose numbers differ have different groups.
        resolution: Resolution,
    },
    /// The Services that several policies allow only together: each backend is allowed by one of them, and not all by the same.
    Together(BTreeSet<Uid>),
    /// What pods may that are the subject of a ClusterNetworkPolicy, in both directions: it stands in for the groups of the NetworkPolicies and for
    /// the open ones.
    Decided(Arc<Meant>),
    /// The Services over which a pod may reach itself though no policy says so: it is the only backend that isn't allowed.
    Own(BTreeSet<Vip>),
}

/// A port of a load balancer: what is sent to when a Service is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vip {
    /// The protocol.
    pub protocol: Protocol,
    /// The Service's port.
    pub port: u16,
    /// The Service's cluster IP.
    pub address: IpAddr,
}

/// Which way (`direction` of a rule), seen from the pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// Towards the pod.
    Ingress,
    /// From the pod.
    Egress,
}

/// A security group rule, which allows something.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rule {
    /// Which way.
    pub direction: Direction,
    /// Of which family.
    pub family: Family,
    /// At which ports.
    pub ports: Ports,
    /// From or to whom.
    pub remote: Remote,
}

/// Who is at the other end of what a rule allows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Remote {
    /// Everybody.
    Any,
    /// Addresses (`remote_ip_prefix`).
    Prefix(IpNet),
    /// Members of an address group (`remote_address_group_id`).
    Group(AddressGroupKey),
}

/// An address group, by who is in it. It has addresses of both families: a rule uses those of its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddressGroupKey {
    /// The pods that a selector matches.
    Pods(Arc<Pods>),
    /// Of the pods that a selector matches, those whose port of this name has this number.
    Named {
        /// The pods.
        pods: Arc<Pods>,
        /// Only those of their addresses that are in here.
        within: Option<Arc<PrefixSet>>,
        /// The port's name.
        name: PortName,
        /// Its number.
        number: u16,
    },
    /// These prefixes.
    Prefixes(Arc<PrefixSet>),
    /// The addresses of Services that these policies allow at this port; of several policies: only together.
    Vips {
        /// The policies.
        policies: BTreeSet<Uid>,
        /// The protocol.
        protocol: Protocol,
        /// The Service's port.
        port: u16,
    },
    /// The pods to which a decision of ClusterNetworkPolicies says yes.
    Decision(Arc<Decision>),
    /// The addresses of Services that subjects of ClusterNetworkPolicies may use at this port.
    DecidedVips {
        /// By what these are meant.
        meant: Arc<Meant>,
        /// The protocol.
        protocol: Protocol,
        /// The Service's port.
        port: u16,
    },
}

impl GroupKey {
    /// A short text that no other key has, and that is the same in every version of Kuryr: for names and owner marks.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        names::fingerprint(&self.to_string())
    }

    /// The policy whose group it is.
    #[must_use]
    pub const fn policy(&self) -> Option<&Uid> {
        match self {
            Self::Policy { uid, .. } => Some(uid),
            _ => None,
        }
    }
}

impl AddressGroupKey {
    /// A short text that no other key has, and that is the same in every version of Kuryr: for names and owner marks.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        names::fingerprint(&self.to_string())
    }

    /// The pods by whose labels alone it has its members.
    #[must_use]
    pub const fn pods(&self) -> Option<&Arc<Pods>> {
        match self {
            Self::Pods(pods) | Self::Named { pods, .. } => Some(pods),
            Self::Prefixes(_) | Self::Vips { .. } | Self::Decision(_) | Self::DecidedVips { .. } => None,
        }
    }
}

impl fmt::Display for GroupKey {
    /// For people, and for fingerprints: the texts don't change from one version of Kuryr to the next.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OpenIngress => f.write_str("open for ingress"),
            Self::OpenEgress => f.write_str("open for egress"),
            Self::Node(node) => write!(f, "pods of node {node}"),
            Self::Policy { uid, resolution } => {
                write!(f, "policy {uid}")?;
                resolution.iter().try_for_each(|(name, numbers)| write!(f, ", {name} is {numbers:?}"))
            }
            Self::Together(policies) => write!(f, "Services of policies together {policies:?}"),
            Self::Decided(meant) => write!(f, "{meant}"),
            Self::Own(vips) => {
                f.write_str("Services of a pod itself")?;
                vips.iter().try_for_each(|vip| write!(f, " {vip}"))
            }
        }
    }
}

impl fmt::Display for AddressGroupKey {
    /// As of [`GroupKey`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pods(pods) => write!(f, "{pods}"),
            Self::Named { pods, within, name, number } => {
                write!(f, "{pods} where {name} is {number}")?;
                within.iter().try_for_each(|within| write!(f, " within {within}"))
            }
            Self::Prefixes(prefixes) => write!(f, "prefixes {prefixes}"),
            Self::Vips { policies, protocol, port } => {
                write!(f, "Services of policies {policies:?} at {port}/{protocol}")
            }
            Self::Decision(decision) => write!(f, "decision {decision}"),
            Self::DecidedVips { meant, protocol, port } => write!(f, "Services for {meant} at {port}/{protocol}"),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (direction, preposition) = match self.direction {
            Direction::Ingress => ("ingress", "from"),
            Direction::Egress => ("egress", "to"),
        };
        let family = match self.family {
            Family::V4 => "IPv4",
            Family::V6 => "IPv6",
        };
        write!(f, "{direction} {family} {} {preposition} ", self.ports)?;
        match &self.remote {
            Remote::Any => f.write_str("any"),
            Remote::Prefix(net) => write!(f, "{net}"),
            Remote::Group(key) => write!(f, "{key}"),
        }
    }
}

impl fmt::Display for Vip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}/{}", self.address, self.port, self.protocol)
    }
}

impl Rule {
    /// A rule whose remote is anybody, for each family.
    pub fn any(direction: Direction, ports: Ports, families: &BTreeSet<Family>) -> impl Iterator<Item = Self> {
        families.iter().map(move |&family| Self { direction, family, ports, remote: Remote::Any })
    }

    /// A rule for one prefix.
    #[must_use]
    pub const fn prefix(direction: Direction, ports: Ports, net: IpNet) -> Self {
        Self { direction, family: Family::of(&net), ports, remote: Remote::Prefix(net) }
    }

    /// Whether all that `other` allows is allowed by this one, as far as that doesn't depend on who is in an address group.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let same = self.direction == other.direction && self.family == other.family;
        let remote = match (&self.remote, &other.remote) {
            (Remote::Any, _) => true,
            (Remote::Prefix(ours), Remote::Prefix(theirs)) => ours.contains(theirs),
            (ours, theirs) => ours == theirs,
        };
        same && remote && self.ports.covers(&other.ports)
    }
}

/// The rules without those that one of them for everybody makes needless.
#[must_use]
pub fn needed(rules: BTreeSet<Rule>) -> BTreeSet<Rule> {
    let wide: Vec<Rule> = rules.iter().filter(|rule| rule.remote == Remote::Any).cloned().collect();
    rules.into_iter().filter(|rule| !wide.iter().any(|other| other != rule && other.covers(rule))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{
        clause::Peer,
        cluster::decision::{Step, Verdict, Who},
        selector::{Allowed, Namespaces, Selector},
    };

    #[test]
    fn the_text_of_a_decision_stays_as_it_is() {
        let who = |peer: Peer, named| BTreeSet::from([Who { peer, named }]);
        let pods = |name: &str| {
            let namespaces = Namespaces::Named(name.into());
            Peer::Pods(Arc::new(Pods { namespaces, pods: Selector::everything() }))
        };
        let name = PortName { protocol: Protocol::Tcp, name: "http".into() };
        let some: PrefixSet = ["10.0.0.0/8".parse::<IpNet>().unwrap()].into_iter().collect();
        let mut both = who(pods("a"), None);
        both.extend(who(Peer::Block(Arc::new(some)), None));
        let first = vec![
            Step { who: both, verdict: Verdict::No },
            Step { who: who(pods("b"), None), verdict: Verdict::Next },
            Step { who: who(Peer::Anyone, None), verdict: Verdict::No },
        ];
        let second = vec![Step { who: who(pods("c"), Some((name, 80))), verdict: Verdict::Yes }];
        let key = AddressGroupKey::Decision(Arc::new(Decision::of(first, second, false)));
        let expected = concat!(
            r#"decision pods (all) of namespace "a" or prefixes 10.0.0.0/8: no; pods (all) of namespace "b": next; everybody: no; "#,
            r#"then pods (all) of namespace "c" where "http"/TCP is 80: yes; else no"#,
        );
        assert_eq!(key.to_string(), expected);
    }

    /// Names are made of these texts: whoever changes them, makes all groups anew.
    #[test]
    fn texts_stay_as_they_are() {
        let set = |values: &[&str]| values.iter().map(|&value| value.to_owned()).collect::<BTreeSet<_>>();
        let app = Selector::of([("app".into(), Allowed::only(set(&["web", "db"]))), ("b".into(), Allowed::missing())]);
        let own = Arc::new(Pods { namespaces: Namespaces::Named("shop".into()), pods: app });
        let name = PortName { protocol: Protocol::Udp, name: "dns".into() };
        let within = Some(Arc::new(PrefixSet::all(Family::V4)));
        let uids = |all: &[&str]| all.iter().map(|&uid| Uid::from(uid)).collect::<BTreeSet<_>>();
        let meant =
            Meant { cluster: uids(&["a", "b"]), policies: uids(&["1"]), numbers: [(name.clone(), [53].into())].into() };
        let meant = Arc::new(meant);
        let texts = [
            AddressGroupKey::Pods(Arc::clone(&own)).to_string(),
            AddressGroupKey::Named { pods: Arc::new(Pods::everywhere()), within, name: name.clone(), number: 53 }
                .to_string(),
            AddressGroupKey::Vips { policies: uids(&["1", "2"]), protocol: Protocol::Tcp, port: 80 }.to_string(),
            GroupKey::Policy { uid: "1".into(), resolution: [(name, [53, 54].into())].into() }.to_string(),
            GroupKey::Together(uids(&["1", "2"])).to_string(),
            GroupKey::Decided(Arc::clone(&meant)).to_string(),
            AddressGroupKey::DecidedVips { meant, protocol: Protocol::Tcp, port: 80 }.to_string(),
            GroupKey::Own([Vip { protocol: Protocol::Tcp, port: 80, address: [10, 96, 0, 1].into() }].into())
                .to_string(),
        ];
        let expected = [
            r#"pods ("app" in {"db", "web"}, !"b") of namespace "shop""#,
            r#"pods (all) of namespaces (all) where "dns"/UDP is 53 within 0.0.0.0/0"#,
            r#"Services of policies {"1", "2"} at 80/TCP"#,
            r#"policy 1, "dns"/UDP is {53, 54}"#,
            r#"Services of policies together {"1", "2"}"#,
            r#"subjects of {"a", "b"} with policies {"1"}, "dns"/UDP is {53}"#,
            r#"Services for subjects of {"a", "b"} with policies {"1"}, "dns"/UDP is {53} at 80/TCP"#,
            "Services of a pod itself 10.96.0.1:80/TCP",
        ];
        assert_eq!(texts, expected);
        assert_eq!(AddressGroupKey::Pods(own).fingerprint(), "498c788fd840c1cbdced061b1500d2b0");
    }
}
