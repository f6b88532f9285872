//! Every name, label, finalizer and owner mark that Kuryr gives to something, in one place.

use sha2::{Digest, Sha256};
use std::fmt;

/// API group of Kuryr's custom resources; also the prefix of its finalizers, annotations and labels.
pub const GROUP: &str = "kuryr.openstack.org";

/// Finalizer on a KuryrPort. It belongs to the pod's node: the daemon removes it when the interface is gone.
pub const INTERFACE_FINALIZER: &str = "kuryr.openstack.org/interface";

/// Finalizer on a KuryrPoolPort. It stays until Neutron has deleted the port.
pub const NEUTRON_PORT_FINALIZER: &str = "kuryr.openstack.org/neutron-port";

/// Finalizer on a KuryrLoadBalancer. It stays until Octavia has deleted the load balancer, and Neutron the floating IP that isn't kept.
pub const LOAD_BALANCER_FINALIZER: &str = "kuryr.openstack.org/load-balancer";

/// `device_owner` of the Neutron ports that Kuryr creates. ML2 treats `compute:` ports as instances' ports.
pub const DEVICE_OWNER: &str = "compute:kuryr";

/// The interface of a node's own port on the pod network: its name on the host and in the port's claim.
pub const NODE_INTERFACE: &str = "kuryr0";

/// What the names of the hosts' ends of pods' interfaces begin with. No other device's name may: the node drops what comes
/// in by such a device, where Open vSwitch doesn't take it away. [`NODE_INTERFACE`] doesn't begin so.
pub const HOST_INTERFACE_PREFIX: &str = "kpod";

/// Longest name of an object in the Kubernetes API (RFC 1123 subdomain).
const MAX_OBJECT_NAME: usize = 253;

/// Longest name of a Linux network interface: IFNAMSIZ without its closing NUL.
pub const MAX_INTERFACE_NAME: usize = 15;

/// The first `chars` hexadecimal characters of a SHA-256 over `parts`, separated so that ("a","bc") != ("ab","c").
fn digest(parts: &[&str], chars: usize) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let mut text: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    text.truncate(chars);
    text
}

/// `stem` cut so that `stem-suffix` is a valid object name. The cut never leaves a `.` or `-` before the suffix.
fn with_suffix(stem: &str, suffix: &str) -> String {
    let room = MAX_OBJECT_NAME - suffix.len() - 1;
    let stem = stem.get(..room.min(stem.len())).unwrap_or(stem).trim_end_matches(['.', '-']);
    format!("{stem}-{suffix}")
}

/// Name of a pod's KuryrPort. It holds the pod's uid, so that a recreated pod of the same name (StatefulSet) neither
/// waits for nor inherits the port of its predecessor.
#[must_use]
pub fn kuryr_port(pod_name: &str, pod_uid: &str) -> String {
    with_suffix(pod_name, &digest(&[pod_uid], 10))
}

/// Name of a Service's KuryrLoadBalancer. It holds the Service's uid, so that a Service that is made again under its name has another
/// one, which waits until its predecessor has let go of the cluster IP.
#[must_use]
pub fn kuryr_load_balancer(service_name: &str, service_uid: &str) -> String {
    with_suffix(service_name, &digest(&[service_uid], 10))
}

/// Name of a NetworkPolicy's KuryrNetworkPolicy. It holds the policy's uid, as that of a Service's KuryrLoadBalancer.
#[must_use]
pub fn kuryr_network_policy(policy_name: &str, policy_uid: &str) -> String {
    with_suffix(policy_name, &digest(&[policy_uid], 10))
}

/// Name of the KuryrPoolPort that is born claimed by `claimant_uid` (of a KuryrPort or a Node) for `interface`.
/// It is a function of the claim, so that two controllers that both see the miss create one object, not two.
#[must_use]
pub fn pool_port(node: &str, claimant_uid: &str, interface: &str) -> String {
    with_suffix(node, &digest(&[claimant_uid, interface], 10))
}

/// Name of the KuryrPool of a node's free ports on these subnets of a network. It is a function of what is pooled, so that two
/// controllers make one pool.
#[must_use]
pub fn pool(node: &str, network: &str, subnets: &[String]) -> String {
    let parts: Vec<&str> = [network].into_iter().chain(subnets.iter().map(String::as_str)).collect();
    with_suffix(node, &digest(&parts, 10))
}

/// Fingerprint of a text that is long, or not everybody's business: equal for equal texts only.
#[must_use]
pub fn fingerprint(text: &str) -> String {
    digest(&[text], 32)
}

/// Name of the host's end of the interface `interface` of sandbox `container_id`: DEL finds it without any lookup.
#[must_use]
pub fn host_interface(container_id: &str, interface: &str) -> String {
    let digest = digest(&[container_id, interface], MAX_INTERFACE_NAME - HOST_INTERFACE_PREFIX.len());
    format!("{HOST_INTERFACE_PREFIX}{digest}")
}

/// Name of the host's end of a port that a node holds ready. A device of an earlier hold of the same port has another
/// `nonce`, so the switch never takes the one for the other.
#[must_use]
pub fn held_interface(port_id: &str, nonce: u64) -> String {
    let digest = digest(&["held", port_id, &nonce.to_string()], MAX_INTERFACE_NAME - HOST_INTERFACE_PREFIX.len());
    format!("{HOST_INTERFACE_PREFIX}{digest}")
}

/// The mark by which a Neutron object is known to be ours: the cluster and the uid of the custom resource behind it.
///
/// It goes into the `description` of the request that creates the object, so that a lost answer can be repaired by
/// looking for it, and so that nothing of another cluster or user is ever touched.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OwnerMark {
    /// The cluster's name or id: distinct for every Kubernetes cluster that uses the project.
    pub cluster: String,
    /// The uid of the custom resource that stands for the object.
    pub uid: String,
}

impl OwnerMark {
    /// Reads a mark back from a `description`. `None` if the text isn't one of our marks.
    #[must_use]
    pub fn parse(description: &str) -> Option<Self> {
        let (cluster, uid) = description.strip_prefix("kuryr:")?.rsplit_once(':')?;
        (!cluster.is_empty() && !uid.is_empty()).then(|| Self { cluster: cluster.to_owned(), uid: uid.to_owned() })
    }
}

impl fmt::Display for OwnerMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "kuryr:{}:{}", self.cluster, self.uid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Whether `name` is an RFC 1123 subdomain, as the Kubernetes API wants object names.
    fn is_object_name(name: &str) -> bool {
        (1..=MAX_OBJECT_NAME).contains(&name.len())
            && name.split('.').all(|label| {
                !label.is_empty()
                    && !label.starts_with('-')
                    && !label.ends_with('-')
                    && label.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
            })
    }

    proptest! {
        #[test]
        fn object_names_are_valid_however_long_the_pod_or_node_name(
            name in "[a-z0-9]([-a-z0-9]{0,60}[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]{0,60}[a-z0-9])?){0,3}", uid in "[a-f0-9-]{36}",
        ) {
            prop_assume!(name.len() <= MAX_OBJECT_NAME);
            prop_assert!(is_object_name(&kuryr_port(&name, &uid)), "{}", kuryr_port(&name, &uid));
            prop_assert!(is_object_name(&pool_port(&name, &uid, "eth0")));
            prop_assert!(is_object_name(&kuryr_load_balancer(&name, &uid)));
        }

        #[test]
        fn interface_names_fit_the_kernel(container in "[a-f0-9]{64}", interface in "[a-z0-9.]{1,15}") {
            prop_assert_eq!(host_interface(&container, &interface).len(), MAX_INTERFACE_NAME);
            prop_assert!(host_interface(&container, &interface).starts_with(HOST_INTERFACE_PREFIX));
            prop_assert_eq!(held_interface(&container, 1).len(), MAX_INTERFACE_NAME);
            prop_assert!(held_interface(&container, 1).starts_with(HOST_INTERFACE_PREFIX));
        }

        #[test]
        fn an_owner_mark_is_read_back_whatever_the_cluster_is_called(cluster in "[ -~]{1,40}", uid in "[a-f0-9-]{1,36}") {
            let mark = OwnerMark { cluster, uid };
            prop_assert_eq!(OwnerMark::parse(&mark.to_string()), Some(mark));
        }

        #[test]
        fn another_description_is_not_a_mark(text in "\\PC{0,60}") {
            prop_assume!(!text.starts_with("kuryr:"));
            prop_assert_eq!(OwnerMark::parse(&text), None);
        }
    }

    #[test]
    fn the_node_port_is_not_taken_for_a_pods_interface() {
        assert!(!NODE_INTERFACE.starts_with(HOST_INTERFACE_PREFIX));
    }

    #[test]
    fn names_tell_claims_apart() {
        assert_ne!(kuryr_port("web-0", "1"), kuryr_port("web-0", "2"));
        assert_ne!(pool_port("node1", "1", "eth0"), pool_port("node1", "1", "eth1"));
        assert_ne!(pool_port("node1", "1", "eth0"), pool_port("node1", "1e", "th0"));
        assert_ne!(held_interface("port", 1), held_interface("port", 2));
    }
}
