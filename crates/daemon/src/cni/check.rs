//! CHECK: whether a sandbox's interfaces are still as ADD made them.

use super::{answer, datapath_error};
use crate::node::Node;
use kuryr_api::KuryrPort;
use kuryr_cni::{AddResult, Call, CniError, Code, NetworkConfig, PodArgs};
use kuryr_core::names;
use kuryr_datapath::Attachment;

pub(super) async fn check(node: &Node, call: &Call, config: &NetworkConfig) -> Result<(), CniError> {
    let pod = PodArgs::parse(&call.args)?;
    let previous = config.prev_result.as_ref().ok_or_else(|| {
        CniError::new(Code::InvalidConfig, "CHECK without `prevResult`")
            .details("the runtime has to hand over what ADD answered (CNI specification, CHECK)")
    })?;
    let previous = AddResult::read(previous)?;
    let port = port_of(node, &pod)?;
    let wanted = answer::attachments(&port, call)?;
    let mut differences = addresses_that_changed(&wanted, &previous);
    for attachment in &wanted {
        let found = node.switch.driver.check(attachment).await;
        let found = found.map_err(|error| datapath_error(format!("can't look at {}", attachment.ifname), &error))?;
        differences.extend(found.iter().map(ToString::to_string));
    }
    if differences.is_empty() {
        return Ok(());
    }
    Err(CniError::new(
        Code::NotAsExpected,
        format!("the network of pod {}/{} isn't as it was made", pod.namespace, pod.name),
    )
    .details(differences.join("; ")))
}

fn port_of(node: &Node, pod: &PodArgs) -> Result<KuryrPort, CniError> {
    let unsynced = node.caches.unsynced();
    if !unsynced.is_empty() {
        return Err(CniError::new(Code::TryAgainLater, "the Kuryr daemon has not read the API yet"));
    }
    let unknown = || {
        CniError::new(Code::UnknownContainer, format!("pod {}/{} has no KuryrPort", pod.namespace, pod.name))
            .details("the pod is gone, or Kuryr's controller has not served it")
    };
    let uid = node.caches.pod(pod).uid.ok_or_else(unknown)?;
    let found = node.caches.port(&pod.namespace, &names::kuryr_port(&pod.name, &uid)).ok_or_else(unknown)?;
    found.0.clone().map_err(|error| {
        CniError::new(Code::Internal, format!("the KuryrPort of pod {}/{} can't be read", pod.namespace, pod.name))
            .details(error.to_string())
    })
}

/// An address is never changed in a running pod: if the KuryrPort has another one than ADD answered, something is wrong.
fn addresses_that_changed(wanted: &[Attachment], previous: &AddResult) -> Vec<String> {
    let wanted: Vec<_> = wanted.iter().flat_map(|a| &a.addresses).map(ToString::to_string).collect();
    previous
        .ips
        .iter()
        .filter(|ip| !wanted.contains(&ip.address))
        .map(|ip| format!("address {}: expected, but the KuryrPort doesn't have it", ip.address))
        .collect()
}
