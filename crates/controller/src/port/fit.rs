//! Which free ports fit a claim, the best one first. Pure.

use crate::inventory::{cooling_for, has_its_groups, says};
use jiff::Timestamp;
use kube::ResourceExt;
use kuryr_api::{KuryrPoolPort, KuryrPoolPortSpec, conditions};
use kuryr_core::{names, pool::cool_in};
use std::{sync::Arc, time::Duration};

/// The free ports that the claim can take now, the best one first: one whose groups needn't be changed, one that its node
/// holds plugged, the one that has been unused for longest.
pub fn fitting(
    free: &[Arc<KuryrPoolPort>],
    wanted: &KuryrPoolPortSpec,
    cool_down: Duration,
    now: Timestamp,
) -> Vec<Arc<KuryrPoolPort>> {
    let fits = |port: &&Arc<KuryrPoolPort>| fits(port, wanted) && cool_in(cooling_for(port, now), cool_down).is_zero();
    let mut fitting: Vec<_> = free.iter().filter(fits).cloned().collect();
    fitting.sort_by_cached_key(|port| {
        let released = port.spec.released_at.as_ref().map(|at| at.0);
        (!has_groups(port, &wanted.security_group_ids), !says(port, conditions::PLUGGED), released, port.name_any())
    });
    fitting
}

/// Whether a free port that has cooled down can become what is wanted.
///
/// A port whose groups differ fits only while it is closed: the dataplane follows a change of groups some time later, and
/// until then it must not let pass what the pod's own groups don't (promise P4).
pub fn fits(port: &KuryrPoolPort, wanted: &KuryrPoolPortSpec) -> bool {
    let spec = &port.spec;
    is_claimable(port)
        && (&spec.node_name, &spec.network_id, &spec.subnet_ids)
            == (&wanted.node_name, &wanted.network_id, &wanted.subnet_ids)
        && has_its_groups(port)
        && (has_groups(port, &wanted.security_group_ids) || spec.security_group_ids.is_empty())
}

/// Whether the port is nobody's, and there to stay.
pub fn is_claimable(port: &KuryrPoolPort) -> bool {
    let held = port.finalizers().iter().any(|held| held == names::NEUTRON_PORT_FINALIZER);
    port.spec.claim_ref.is_none() && port.metadata.deletion_timestamp.is_none() && held && is_created(port)
}

/// The port exists in Neutron.
pub fn is_created(port: &KuryrPoolPort) -> bool {
    says(port, conditions::CREATED) && port.status.as_ref().is_some_and(|status| status.port_id.is_some())
}

/// Whether the port has these groups in Neutron.
pub fn has_groups(port: &KuryrPoolPort, groups: &[String]) -> bool {
    port.status.as_ref().is_some_and(|status| status.security_group_ids == groups)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: &str = "2026-11-23T12:00:00Z";

    fn condition(type_: &str) -> serde_json::Value {
        json!({ "type": type_, "status": "True", "reason": "R", "message": "", "lastTransitionTime": NOW })
    }

    fn port(name: &str, change: impl FnOnce(&mut serde_json::Value)) -> Arc<KuryrPoolPort> {
        let mut object = json!({
            "apiVersion": "kuryr.openstack.org/v1alpha1", "kind": "KuryrPoolPort",
            "metadata": { "name": name, "uid": name, "finalizers": [names::NEUTRON_PORT_FINALIZER] },
            "spec": { "nodeName": "n", "networkId": "net", "subnetIds": ["four"], "securityGroupIds": ["a"] },
            "status": { "portId": "p", "securityGroupIds": ["a"], "conditions": [condition("Created")] },
        });
        change(&mut object);
        Arc::new(serde_json::from_value(object).unwrap())
    }

    fn best(free: &[Arc<KuryrPoolPort>]) -> Vec<String> {
        let wanted = port("wanted", |_| {}).spec.clone();
        let now = NOW.parse().unwrap();
        fitting(free, &wanted, Duration::from_secs(10), now).iter().map(|port| port.name_any()).collect()
    }

    #[test]
    fn what_is_not_whole_settled_and_of_the_same_kind_doesn_t_fit() {
        assert_eq!(best(&[port("fits", |_| {})]), ["fits"]);
        for (what, other) in [
            (
                "claimed",
                port("x", |o| {
                    o["spec"]["claimRef"] = json!({ "kind": "Node", "name": "n", "uid": "u", "interface": "i" });
                }),
            ),
            ("deleting", port("x", |o| o["metadata"]["deletionTimestamp"] = json!(NOW))),
            ("not held", port("x", |o| o["metadata"]["finalizers"] = json!([]))),
            ("not created", port("x", |o| o["status"]["conditions"] = json!([]))),
            ("another node's", port("x", |o| o["spec"]["nodeName"] = json!("m"))),
            ("of another network", port("x", |o| o["spec"]["networkId"] = json!("other"))),
            ("of other subnets", port("x", |o| o["spec"]["subnetIds"] = json!(["four", "six"]))),
            ("hot", port("x", |o| o["spec"]["releasedAt"] = json!("2026-11-23T11:59:55Z"))),
            (
                "perhaps hot: whole seconds may hide most of one",
                port("x", |o| o["spec"]["releasedAt"] = json!("2026-11-23T11:59:50Z")),
            ),
            ("closed a moment ago", port("x", |o| o["status"]["regroupedAt"] = json!("2026-11-23T11:59:55Z"))),
            (
                "closed a moment ago, long after its release",
                port("x", |o| {
                    o["spec"]["releasedAt"] = json!("2026-11-23T11:00:00Z");
                    o["status"]["regroupedAt"] = json!("2026-11-23T11:59:55Z");
                }),
            ),
            ("released in the future", port("x", |o| o["spec"]["releasedAt"] = json!("2026-11-23T12:01:00Z"))),
            (
                "open for others",
                port("x", |o| {
                    o["spec"]["securityGroupIds"] = json!(["b"]);
                    o["status"]["securityGroupIds"] = json!(["b"]);
                }),
            ),
            ("not yet closed", port("x", |o| o["spec"]["securityGroupIds"] = json!([]))),
        ] {
            assert!(best(&[other]).is_empty(), "{what}");
        }
    }

    #[test]
    fn the_quickest_comes_first() {
        let plugged =
            |o: &mut serde_json::Value| o["status"]["conditions"] = json!([condition("Created"), condition("Plugged")]);
        let closed = |o: &mut serde_json::Value| {
            o["spec"]["securityGroupIds"] = json!([]);
            o["status"]["securityGroupIds"] = json!([]);
        };
        let released = |at: &'static str| move |o: &mut serde_json::Value| o["spec"]["releasedAt"] = json!(at);
        let free = [
            port("closed", closed),
            port("late", released("2026-11-23T11:59:00Z")),
            port("early", released("2026-11-23T11:00:00Z")),
            port("new", |_| {}),
            port("plugged", plugged),
        ];
        assert_eq!(best(&free), ["plugged", "new", "early", "late", "closed"]);
    }
}
