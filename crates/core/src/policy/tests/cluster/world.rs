//! The world with ClusterNetworkPolicies: what its groups let through is what the oracle allows.

use super::{
    oracle::{allowed, is_subject},
    random::{networks, with_policies},
};
use crate::{
    policy::{
        World,
        facts::{Pod, Settings},
        groups::Direction,
        oracle::{Cluster, End, is_own_node},
        tests::{
            random::{PORTS, outside},
            simulation::{at, lets, real, settings, vips, world},
        },
    },
    service::spec::Protocol,
};
use ipnet::IpNet;
use proptest::prelude::*;
use std::{collections::BTreeSet, net::IpAddr};

/// What is to be held against the oracle.
struct Seen<'a> {
    cluster: &'a Cluster,
    world: &'a World,
    networks: &'a BTreeSet<IpNet>,
}

impl Seen<'_> {
    fn is_subject(&self, pod: &Pod) -> bool {
        self.cluster.cluster_policies.iter().any(|policy| is_subject(self.cluster, policy, pod))
    }

    fn may(&self, pod: &Pod, direction: &str, end: End) -> bool {
        allowed(self.cluster, &self.cluster.cluster_policies, pod, direction, end)
    }

    /// Addresses that no pod has, in the pods' networks: they may be closed to subjects.
    fn is_nobody(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|net| net.contains(&address)) && at(self.cluster, address).is_none()
    }

    fn addresses(&self) -> BTreeSet<IpAddr> {
        let pods = self.cluster.pods.iter().flat_map(|pod| &pod.addresses);
        let nodes = self.cluster.nodes.iter().flat_map(|node| &node.addresses);
        pods.chain(nodes).copied().chain(outside()).collect()
    }

    /// Without a Service in between.
    fn direct(&self, pod: &Pod) -> Result<(), TestCaseError> {
        for address in self.addresses().into_iter().filter(|address| !pod.addresses.contains(address)) {
            for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp] {
                for port in PORTS.into_iter().chain([1, 70, 65535]) {
                    let end = End { address, protocol, port };
                    for (direction, name) in [(Direction::Ingress, "Ingress"), (Direction::Egress, "Egress")] {
                        let wanted = is_own_node(self.cluster, pod, address) || self.may(pod, name, end);
                        let done = lets(self.world, pod, direction, end);
                        let closed = self.is_subject(pod) && self.is_nobody(address) && !done;
                        prop_assert!(done == wanted || closed, "{} {name} {end:?} {wanted}", pod.uid);
                    }
                }
            }
        }
        Ok(())
    }

    fn over_services(&self, pod: &Pod) -> Result<(), TestCaseError> {
        for (vip, backends) in vips(self.cluster) {
            let may = |end: &End| pod.addresses.contains(&end.address) || self.may(pod, "Egress", *end);
            let open = lets(self.world, pod, Direction::Egress, vip);
            if backends.is_empty() {
                // Only who may send anything to anybody may send there.
                continue;
            }
            let wanted = backends.iter().all(may);
            let nobody = backends.iter().any(|end| self.is_nobody(end.address));
            let closed = self.is_subject(pod) && nobody && !open;
            prop_assert!(open == wanted || closed, "{} to {vip:?} with {backends:?} {wanted}", pod.uid);
            let hairpin = backends.iter().find(|end| pod.addresses.contains(&end.address) && pod.node.is_some());
            if let Some(end) = hairpin {
                let own = End { address: vip.address, ..*end };
                prop_assert!(lets(self.world, pod, Direction::Ingress, own), "{} over {vip:?}", pod.uid);
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(250))]

    #[test]
    fn what_groups_let_through_is_what_all_policies_allow(
        cluster in with_policies(), pod_networks in networks(), address_groups in any::<bool>(),
    ) {
        let settings = Settings { pod_networks: pod_networks.clone(), ..settings(address_groups) };
        let world = world(&cluster, settings);
        let seen = Seen { cluster: &cluster, world: &world, networks: &pod_networks };
        for pod in real(&cluster) {
            seen.direct(pod)?;
            seen.over_services(pod)?;
        }
        prop_assert!(address_groups || world.address_groups().next().is_none());
    }

    #[test]
    fn who_is_no_subject_has_what_there_was_without(cluster in with_policies(), address_groups in any::<bool>()) {
        let with = world(&cluster, settings(address_groups));
        let without = world(&Cluster { cluster_policies: Vec::new(), ..cluster.clone() }, settings(address_groups));
        let seen = Seen { cluster: &cluster, world: &with, networks: &BTreeSet::new() };
        for pod in real(&cluster).into_iter().filter(|pod| !seen.is_subject(pod)) {
            let groups = with.groups_of_pod(&pod.uid).unwrap();
            prop_assert_eq!(Some(groups), without.groups_of_pod(&pod.uid));
            for key in groups {
                prop_assert_eq!(with.rules(key), without.rules(key));
            }
        }
    }
}
