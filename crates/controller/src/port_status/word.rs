//! What Neutron's word means for a claim. Pure.

use crate::reasons;
use kuryr_api::{
    KuryrPort, Readiness,
    conditions::{self, Wanted},
};
use kuryr_openstack::neutron::PortStatus;
use std::collections::HashMap;

/// Ids of the claim's ports that Neutron's word is awaited for.
pub fn ports(port: &KuryrPort) -> impl Iterator<Item = &str> {
    let interfaces = port.status.as_ref().map_or(&[][..], |status| &status.interfaces);
    interfaces
        .iter()
        .filter(|interface| interface.binding.readiness == Readiness::NeutronStatus)
        .map(|interface| interface.port_id.as_str())
}

/// Whether the claim waits: it has its ports, and Neutron hasn't called all of them `ACTIVE`. That its node has said that they
/// are plugged isn't waited for: the node says so only when packets flow.
pub fn waits(port: &KuryrPort) -> bool {
    let is_true = |type_| port.status.as_ref().is_some_and(|status| conditions::is_true(&status.conditions, type_));
    port.metadata.deletion_timestamp.is_none()
        && ports(port).next().is_some()
        && is_true(conditions::ALLOCATED)
        && !is_true(conditions::ACTIVE)
}

/// The condition `Active`, after Neutron has `said` this of the ports. `None`: there is nothing to say yet.
pub fn word(port: &KuryrPort, said: &HashMap<String, PortStatus>) -> Option<Wanted> {
    let wanted = |status, reason, message: String| {
        Some(Wanted { type_: conditions::ACTIVE, status: Some(status), reason, message })
    };
    if let Some(id) = ports(port).find(|id| !said.contains_key(*id)) {
        let message =
            format!("the Neutron port {id} doesn't exist: somebody deleted it; delete the pod to get another one");
        return wanted(false, reasons::PORT_MISSING, message);
    }
    if let Some(id) = ports(port).find(|id| said.get(*id) == Some(&PortStatus::Error)) {
        let message = format!(
            "Neutron calls the port {id} ERROR: its log and the agent of the pod's node say why; it is still waited for"
        );
        return wanted(false, reasons::PORT_ERROR, message);
    }
    if ports(port).all(|id| said.get(id) == Some(&PortStatus::Active)) {
        return wanted(true, reasons::ACTIVE, "Neutron calls every port ACTIVE".to_owned());
    }
    let told = port.status.iter().flat_map(|status| &status.conditions).any(|c| c.type_ == conditions::ACTIVE);
    if told {
        wanted(false, reasons::NOT_ACTIVE, "Neutron doesn't call every port ACTIVE yet".to_owned())
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn port(readiness: &str, conditions: &[(&str, &str)]) -> KuryrPort {
        let interface = |id: &str| {
            json!({
                "name": id, "poolPort": id, "portId": id, "macAddress": "fa:16:3e:00:00:01", "addresses": [], "mtu": 1442,
                "binding": { "kind": "OVS", "readiness": readiness },
            })
        };
        let conditions: Vec<_> = conditions
            .iter()
            .map(|(type_, status)| json!({ "type": type_, "status": status, "reason": "R", "message": "", "lastTransitionTime": "2026-11-23T00:00:00Z" }))
            .collect();
        serde_json::from_value(json!({
            "apiVersion": "kuryr.openstack.org/v1alpha1", "kind": "KuryrPort", "metadata": { "name": "web-1", "namespace": "shop" },
            "spec": { "podName": "web", "podUid": "u", "nodeName": "n", "interfaces": [{ "name": "a" }, { "name": "b" }] },
            "status": { "interfaces": [interface("a"), interface("b")], "conditions": conditions },
        }))
        .unwrap()
    }

    #[test]
    fn only_a_claim_that_needs_the_word_and_has_its_ports_waits() {
        for (readiness, conditions, is_so) in [
            ("NeutronStatus", vec![("Allocated", "True")], true),
            ("NeutronStatus", vec![("Allocated", "True"), ("Active", "False")], true),
            ("NeutronStatus", vec![("Allocated", "True"), ("Active", "True")], false),
            ("NeutronStatus", vec![("Allocated", "False")], false),
            ("Dataplane", vec![("Allocated", "True")], false),
        ] {
            assert_eq!(waits(&port(readiness, &conditions)), is_so, "{readiness} {conditions:?}");
        }
    }

    #[test]
    fn every_port_counts_and_the_worst_is_told() {
        use PortStatus::{Active, Build, Down, Error};
        let waiting = port("NeutronStatus", &[("Allocated", "True")]);
        for (a, b, says) in [
            (Some(Active), Some(Active), Some(reasons::ACTIVE)),
            (Some(Active), Some(Down), None),
            (Some(Build), Some(Active), None),
            (Some(Error), Some(Active), Some(reasons::PORT_ERROR)),
            (Some(Error), None, Some(reasons::PORT_MISSING)),
        ] {
            let said = [("a", a), ("b", b)].into_iter().filter_map(|(id, status)| Some((id.to_owned(), status?)));
            assert_eq!(word(&waiting, &said.collect()).map(|wanted| wanted.reason), says);
        }
        let told = port("NeutronStatus", &[("Allocated", "True"), ("Active", "False")]);
        let said = HashMap::from([("a".to_owned(), Active), ("b".to_owned(), Down)]);
        assert_eq!(
            word(&told, &said).map(|wanted| wanted.reason),
            Some(reasons::NOT_ACTIVE),
            "an error that has passed"
        );
    }
}
