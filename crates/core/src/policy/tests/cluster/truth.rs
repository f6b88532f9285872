//! What security groups and address groups made of the decisions let through is what the oracle allows.

use super::{oracle, random};
use crate::{
    policy::{
        clause::{Compiled, PortName, Ports},
        cluster::{
            ClusterPolicy, Decision, Grant, Ranges, Someone, Tiers, Whom, decide,
            decision::everywhere,
            grants,
            grants::{admits, members},
            pieces::{Pieces, contains},
            ranked::Ranked,
            read,
        },
        facts::{Backend, Pod},
        groups::Direction,
        oracle::{Cluster, End},
        prefix::PrefixSet,
        tests::random::{PORTS, cluster, outside, v4},
    },
    service::spec::Protocol,
};
use proptest::{prelude::*, sample::select};
use std::{collections::BTreeSet, net::IpAddr};

const BOTH: [(Direction, &str); 2] = [(Direction::Ingress, "Ingress"), (Direction::Egress, "Egress")];

fn set(nets: &[&str]) -> PrefixSet {
    nets.iter().map(|net| net.parse::<ipnet::IpNet>().unwrap()).collect()
}

/// Some with pods outside of the pods' networks.
fn ranges() -> impl Strategy<Value = PrefixSet> {
    select(vec![set(&["10.0.0.0/25", "fd00::/64"]), set(&["10.0.0.0/30", "fd00::/64"]), PrefixSet::default()])
}

struct Seen<'a> {
    cluster: &'a Cluster,
    ranked: Vec<Ranked>,
    policies: Vec<Compiled>,
    ranges: Ranges,
}

impl<'a> Seen<'a> {
    fn pods(&self) -> Vec<Someone<'a>> {
        let all = self.cluster.pods.iter().filter(|pod| pod.counts());
        all.flat_map(|pod| pod.addresses.iter().map(|&address| self.someone(pod, address))).collect()
    }

    fn someone(&self, pod: &'a Pod, address: IpAddr) -> Someone<'a> {
        let namespace = self.cluster.namespaces.iter().find(|namespace| namespace.name == pod.namespace);
        Someone { address, pod: Some((pod, namespace.map(|namespace| &namespace.labels))) }
    }

    fn decisions(&self, pod: &Pod, direction: Direction) -> Pieces<Decision> {
        let of = |pod: &Pod, name: &PortName| -> BTreeSet<u16> {
            let ports = pod.ports.iter().filter(|it| it.name == name.name && it.protocol == name.protocol);
            ports.map(|it| it.number).collect()
        };
        let namespace = self.cluster.namespaces.iter().find(|namespace| namespace.name == pod.namespace).unwrap();
        let meant = |it: &&Ranked| {
            it.subject.as_ref().is_some_and(|pods| {
                pods.in_namespace(&pod.namespace, Some(&namespace.labels)) && pods.pods.matches(&pod.labels)
            })
        };
        let selected = |it: &&Compiled| it.namespace == pod.namespace && it.selector.matches(&pod.labels);
        let tiers = Tiers {
            cluster: self.ranked.iter().filter(meant).collect(),
            policies: self.policies.iter().filter(selected).collect(),
        };
        decide(&tiers, direction, |name| match direction {
            Direction::Ingress => of(pod, name),
            Direction::Egress => {
                self.cluster.pods.iter().filter(|it| it.counts()).flat_map(|it| of(it, name)).collect()
            }
        })
    }

    /// What Neutron does with these rules.
    fn lets_through(&self, grants: &BTreeSet<Grant>, end: End) -> bool {
        let at = Some((end.protocol, end.port));
        grants.iter().filter(|grant| contains(grant.ports, at)).any(|grant| match &grant.whom {
            Whom::Anyone => true,
            Whom::Prefixes(prefixes) => prefixes.contains(end.address),
            Whom::Decided(decision) => members(decision, self.pods()).contains(&end.address),
            Whom::Pods(pods) => self.pods().into_iter().filter(|it| it.address == end.address).any(|it| {
                let (pod, labels) = it.pod.unwrap();
                pods.in_namespace(&pod.namespace, labels) && pods.pods.matches(&pod.labels)
            }),
        })
    }
}

fn seen<'a>(cluster: &'a Cluster, policies: &[ClusterPolicy], pods: &PrefixSet) -> Seen<'a> {
    let ranked = policies.iter().map(|policy| read(policy).0).collect();
    let compiled = cluster.policies.iter().map(|policy| crate::policy::read(policy).0).collect();
    let all = cluster.pods.iter().filter(|pod| pod.counts()).flat_map(|pod| pod.addresses.iter().copied());
    let strays = all.filter(|address| !pods.contains(*address)).collect();
    let ranges = Ranges { pods: pods.clone(), strays, services: set(&["10.96.0.0/16", "fd96::/64"]) };
    Seen { cluster, ranked, policies: compiled, ranges }
}

fn addresses(cluster: &Cluster) -> BTreeSet<IpAddr> {
    cluster.pods.iter().flat_map(|pod| pod.addresses.iter().copied()).chain(outside()).chain([v4(3)]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Exact for pods and for addresses outside of the pods' networks; inside, what is no pod's may be closed and never is too open.
    #[test]
    fn what_is_let_through_is_what_is_allowed(
        cluster in cluster(), policies in random::policies(), pods in ranges(),
    ) {
        let seen = seen(&cluster, &policies, &pods);
        for pod in cluster.pods.iter().filter(|pod| pod.counts()) {
            for (direction, name) in BOTH {
                let grants = grants(direction, &seen.decisions(pod, direction), &seen.ranges);
                for address in addresses(&cluster) {
                    let nobody = pods.contains(address) && seen.pods().iter().all(|it| it.address != address);
                    for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp] {
                        for port in PORTS.into_iter().chain([1, 70, 82, 65535]) {
                            let end = End { address, protocol, port };
                            let wanted = oracle::allowed(&cluster, &policies, pod, name, end);
                            let done = seen.lets_through(&grants, end);
                            prop_assert!(done == wanted || (nobody && wanted), "{} {name} {end:?} {wanted}", pod.uid);
                        }
                    }
                }
            }
        }
    }

    /// A backend is allowed exactly if the group would let it through without a Service.
    #[test]
    fn backends_are_decided_as_the_group_does(
        cluster in cluster(), policies in random::policies(), pods in ranges(),
    ) {
        let seen = seen(&cluster, &policies, &pods);
        for pod in cluster.pods.iter().filter(|pod| pod.counts()) {
            let decisions = seen.decisions(pod, Direction::Egress);
            let grants = grants(Direction::Egress, &decisions, &seen.ranges);
            for address in addresses(&cluster).into_iter().chain([[10, 96, 0, 1].into()]) {
                let owners: Vec<Someone<'_>> = seen.pods().into_iter().filter(|it| it.address == address).collect();
                for port in PORTS {
                    let backend = Backend { address, port };
                    let admitted = admits(&decisions, Protocol::Tcp, backend, &owners, &seen.ranges);
                    prop_assert_eq!(admitted, seen.lets_through(&grants, End { address, protocol: Protocol::Tcp, port }));
                }
            }
        }
    }

    /// Names and marks are made of the texts.
    #[test]
    fn equal_decisions_have_equal_texts(cluster in cluster(), policies in random::policies()) {
        let seen = seen(&cluster, &policies, &everywhere());
        let pods = cluster.pods.iter().filter(|pod| pod.counts());
        let all: Vec<Decision> = pods
            .flat_map(|pod| BOTH.map(|(direction, _)| seen.decisions(pod, direction)))
            .flat_map(Pieces::into_values)
            .collect();
        let texts: BTreeSet<String> = all.iter().map(ToString::to_string).collect();
        prop_assert_eq!(all.into_iter().collect::<BTreeSet<_>>().len(), texts.len());
    }

    /// Pieces don't overlap, and together they are all ports; neighbours differ.
    #[test]
    fn pieces_are_all_ports_once(cluster in cluster(), policies in random::policies()) {
        let seen = seen(&cluster, &policies, &everywhere());
        for pod in cluster.pods.iter().filter(|pod| pod.counts()) {
            let decisions = seen.decisions(pod, Direction::Egress);
            for port in [1, 52, 53, 54, 59, 60, 79, 80, 81, 82, 90, 91, 65535] {
                let with = decisions.keys().filter(|it| contains(**it, Some((Protocol::Tcp, port)))).count();
                prop_assert_eq!(with, 1);
            }
            prop_assert_eq!(decisions.keys().filter(|it| contains(**it, None)).count(), 1);
            for ((a, of_a), (b, of_b)) in decisions.iter().zip(decisions.iter().skip(1)) {
                if let (Ports::Range { protocol: p, last, .. }, Ports::Range { protocol: q, first, .. }) = (a, b) {
                    prop_assert!(p != q || (last + 1 == *first && of_a != of_b));
                }
            }
        }
    }
}
