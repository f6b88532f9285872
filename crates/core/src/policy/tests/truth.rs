//! Everything that the groups let through is allowed, and everything that is allowed is let through.

use super::{
    random::{PORTS, cluster, outside},
    simulation::{at, lets, real, settings, vips, world},
};
use crate::{
    policy::{
        World,
        groups::Direction,
        oracle::{self, Cluster, End},
    },
    service::spec::Protocol,
};
use proptest::prelude::*;
use std::net::IpAddr;

const PROTOCOLS: [Protocol; 3] = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];

/// All that can be at the other end: pods (those without ports of their own, too), nodes, and others.
fn addresses(cluster: &Cluster) -> Vec<IpAddr> {
    let pods = cluster.pods.iter().flat_map(|pod| &pod.addresses);
    let nodes = cluster.nodes.iter().flat_map(|node| &node.addresses);
    pods.chain(nodes).copied().chain(outside()).collect()
}

fn ends(address: IpAddr) -> impl Iterator<Item = End> {
    PROTOCOLS.into_iter().flat_map(move |protocol| PORTS.into_iter().map(move |port| End { address, protocol, port }))
}

/// Without a Service in between. What a pod sends to itself never meets a group.
fn direct(cluster: &Cluster, world: &World) -> Result<(), TestCaseError> {
    for pod in real(cluster) {
        for address in addresses(cluster).into_iter().filter(|address| !pod.addresses.contains(address)) {
            for end in ends(address) {
                let sent = lets(world, pod, Direction::Egress, end);
                prop_assert_eq!(sent, oracle::may_send(cluster, pod, end), "{} sends to {:?}", pod.uid, end);
                let received = lets(world, pod, Direction::Ingress, end);
                prop_assert_eq!(received, oracle::may_receive(cluster, pod, end), "{} receives {:?}", pod.uid, end);
            }
        }
    }
    Ok(())
}

/// Over a Service: the sender's rules see the Service's address and port, the receiver's the sender's address, or the Service's where sender
/// and receiver are one.
fn over_services(cluster: &Cluster, world: &World) -> Result<(), TestCaseError> {
    for (vip, backends) in vips(cluster).into_iter().filter(|(_, backends)| !backends.is_empty()) {
        for pod in real(cluster) {
            let sent = lets(world, pod, Direction::Egress, vip);
            let may = oracle::may_send_to_service(cluster, pod, &backends);
            prop_assert_eq!(sent, may, "{} sends to {:?} with {:?}", pod.uid, vip, backends);
            for backend in &backends {
                let Some(target) = at(cluster, backend.address) else { continue };
                // A pod without a node runs nowhere.
                if target.uid == pod.uid && pod.node.is_some() {
                    let hairpin = End { address: vip.address, ..*backend };
                    prop_assert!(
                        lets(world, pod, Direction::Ingress, hairpin),
                        "{} reaches itself over {:?}",
                        pod.uid,
                        vip
                    );
                }
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_groups_let_through_is_what_policies_allow(cluster in cluster(), address_groups in any::<bool>()) {
        let world = world(&cluster, settings(address_groups));
        direct(&cluster, &world)?;
        over_services(&cluster, &world)?;
        prop_assert!(address_groups || world.address_groups().next().is_none());
    }
}
