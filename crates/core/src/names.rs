//! Every name, label, finalizer and owner mark that Kuryr gives to something, in one place.

use sha2::{Digest, Sha256};
use std::fmt;

/// API group of Kuryr's custom resources; also the prefix of its finalizers, annotations and labels.
pub const GROUP: &str = "kuryr.openstack.org";

/// Finalizer on a KuryrPort. It belongs to the pod's node: the daemon removes it when the interface is gone.
pub const INTERFACE_FINALIZER: &str = "kuryr.openstack.org/interface";

/// Finalizer on a KuryrPoolPort. It stays until Neutron has deleted the port.
pub const NEUTRON_PORT_FINALIZER: &str = "kuryr.openstack.org/neutron-port";

/// `device_owner` of the Neutron ports that Kuryr creates. ML2 treats `compute:` ports as instances' ports.
pub const DEVICE_OWNER: &str = "compute:kuryr";

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

/// Name of the KuryrPoolPort that is born claimed by `claimant_uid` (of a KuryrPort or a Node) for `interface`.
/// It is a function of the claim, so that two controllers that both see the miss create one object, not two.
#[must_use]
pub fn pool_port(node: &str, claimant_uid: &str, interface: &str) -> String {
    with_suffix(node, &digest(&[claimant_uid, interface], 10))
}

/// Name of the host's end of the interface `interface` of sandbox `container_id`: DEL finds it without any lookup.
#[must_use]
pub fn host_interface(container_id: &str, interface: &str) -> String {
    format!("kur{}", digest(&[container_id, interface], MAX_INTERFACE_NAME - 3))
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
