//! What the claim got: the data of its ports and the condition `Allocated`.

use super::{
    act::api,
    fit,
    observe::{Interface, Observed},
};
use crate::{context::Context, error::Error, inventory::has_its_groups, policies::Groups, reasons, runtime::apply};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::ResourceExt;
use kuryr_api::{
    Binding, BindingKind, InterfaceStatus, KuryrPoolPort, KuryrPort, KuryrPortStatus, Readiness,
    conditions::{self, Wanted},
};

/// Writes our part of the status where it differs, and tells a new failure on the pod. With it the claim settles on its ports.
pub async fn publish(context: &Context, seen: &Observed) -> Result<(), Error> {
    let port = &*seen.port;
    if seen.deleting() || !seen.pod_lives {
        return Ok(());
    }
    let readiness = context.settings.pods.readiness.into();
    // A claim settles on what is listed, so it lists no port that it may still give up for another one.
    let settles =
        |of: &&Interface| of.settled || (of.pool_port.as_deref().is_some_and(is_usable) && awaited(of).is_none());
    let settled = seen.interfaces.iter().filter(settles);
    let mut interfaces: Vec<_> = settled.filter_map(|of| interface(of, readiness)).collect();
    let allocated = allocated(&seen.interfaces);
    if allocated.reason == reasons::PORT_MISSING {
        // The node still has to know what its interface was made of.
        interfaces = port.status.as_ref().map_or_else(Vec::new, |status| status.interfaces.clone());
    }
    if is_published(port, &interfaces, &allocated) {
        return Ok(());
    }
    let present = port.status.as_ref().map_or(&[][..], |status| &status.conditions);
    let status = KuryrPortStatus {
        observed_generation: port.metadata.generation,
        conditions: vec![allocated.onto(present, port.metadata.generation, Timestamp::now())],
        interfaces,
    };
    let written = apply::status(&api(context, port), port, &status).await?;
    context.ports.wrote(written);
    if allocated.status == Some(true) {
        let waited = context.seen.take(&port.spec.pod_uid);
        if let Some(waited) = waited {
            context.metrics.allocated(waited);
        }
        let milliseconds = waited.map(|waited| u64::try_from(waited.as_millis()).unwrap_or(u64::MAX));
        tracing::info!(port = apply::described(port), milliseconds, "addresses allocated");
    } else if reasons::for_users(allocated.reason) {
        context.events.warn(&pod_of(port), "AllocatePort", allocated.reason, &allocated.message).await;
    }
    Ok(())
}

/// Whether the status says all of this already. That nothing has happened yet needn't be said; and when something was said,
/// it is our cache of the ports that is behind, which mustn't take back the addresses of a pod that runs.
fn is_published(port: &KuryrPort, interfaces: &[InterfaceStatus], allocated: &Wanted) -> bool {
    if allocated.reason == reasons::PENDING {
        return true;
    }
    port.status.as_ref().is_some_and(|status| status.interfaces == interfaces && allocated.is_in(&status.conditions))
}

/// The data of an interface whose port exists.
fn interface(interface: &Interface, readiness: Readiness) -> Option<InterfaceStatus> {
    let pool_port = interface.pool_port.as_ref()?;
    let status = pool_port.status.as_ref()?;
    Some(InterfaceStatus {
        name: interface.claim.interface.clone(),
        pool_port: pool_port.name_any(),
        port_id: status.port_id.clone()?,
        mac_address: status.mac_address?,
        addresses: status.addresses.clone(),
        routes: status.routes.clone(),
        name_servers: status.name_servers.clone(),
        mtu: status.mtu?,
        binding: Binding { kind: BindingKind::Ovs, readiness },
    })
}

/// The condition `Allocated`: true when every interface has its port, else what the first one lacks.
fn allocated(interfaces: &[Interface]) -> Wanted {
    let wanted = |status, reason, message: &str| Wanted {
        type_: conditions::ALLOCATED,
        status: Some(status),
        reason,
        message: message.to_owned(),
    };
    if let Some(lost) = interfaces.iter().find(|interface| interface.lost) {
        let message =
            format!("the KuryrPoolPort of {} was taken away: delete the pod to get another one", lost.claim.interface);
        return wanted(false, reasons::PORT_MISSING, &message);
    }
    let lacking = interfaces.iter().find(|interface| !interface.pool_port.as_deref().is_some_and(is_usable));
    // Who has been told of its port keeps it; only who starts waits for what others' policies say.
    if let Some(awaited) = interfaces.iter().filter(|interface| !interface.settled).find_map(awaited) {
        return match awaited {
            Some(why) => wanted(false, reasons::AWAITING_POLICIES, &why),
            None => wanted(false, reasons::PENDING, "NetworkPolicies' security groups are being made"),
        };
    }
    let Some(lacking) = lacking else {
        return wanted(true, reasons::ALLOCATED, "every interface has its Neutron port");
    };
    let says = |type_: &str| {
        let port = lacking.pool_port.as_ref()?;
        let said = port.status.as_ref()?.conditions.iter().find(|says| says.type_ == type_)?;
        Some((said, said.observed_generation == port.metadata.generation))
    };
    let made = says(conditions::CREATED).is_some_and(|(made, _)| made.status == "True");
    let failure = match made {
        // What failed for whoever had the port before says nothing about this claim's groups.
        true => says(conditions::GROUPS_SET).filter(|(_, is_of_now)| *is_of_now),
        false => says(conditions::CREATED),
    };
    match failure.map(|(failure, _)| failure) {
        Some(failure) => wanted(false, reasons::known(&failure.reason), &failure.message),
        None if made => wanted(false, reasons::PENDING, "the Neutron port is being given the pod's security groups"),
        None => wanted(false, reasons::PENDING, "the Neutron port is being created"),
    }
}

/// What NetworkPolicies have a port wait for. A text where that may take long.
fn awaited(interface: &Interface) -> Option<Option<String>> {
    match &interface.groups {
        Groups::Awaited(why) => Some(why.clone()),
        Groups::Given(_) if interface.haunted => Some(None),
        Groups::Given(groups) => {
            let differs = |port: &KuryrPoolPort| port.spec.security_group_ids != *groups;
            interface.pool_port.as_deref().is_some_and(differs).then_some(None)
        }
    }
}

/// The port exists in Neutron and has its groups.
pub fn is_usable(port: &KuryrPoolPort) -> bool {
    fit::is_created(port) && has_its_groups(port)
}

/// The pod that an Event is about.
pub fn pod_of(port: &KuryrPort) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        namespace: port.namespace(),
        name: Some(port.spec.pod_name.clone()),
        uid: Some(port.spec.pod_uid.clone()),
        ..ObjectReference::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kuryr_api::{ClaimKind, ClaimRef};
    use serde_json::json;
    use std::sync::Arc;

    fn interface_with(status: &serde_json::Value) -> Interface {
        let object = json!({
            "apiVersion": "kuryr.openstack.org/v1alpha1", "kind": "KuryrPoolPort", "metadata": { "name": "node1-1" },
            "spec": { "nodeName": "node1", "networkId": "net", "subnetIds": ["four"] }, "status": status,
        });
        let claim = ClaimRef {
            kind: ClaimKind::KuryrPort,
            namespace: Some("shop".into()),
            name: "web".into(),
            uid: "u".into(),
            interface: "eth0".into(),
        };
        let pool_port = Some(Arc::new(serde_json::from_value(object).unwrap()));
        let groups = pool_port.as_ref().map(|port: &Arc<KuryrPoolPort>| port.spec.security_group_ids.clone());
        let groups = Groups::Given(groups.unwrap_or_default());
        Interface { claim, name: "node1-1".into(), pool_port, settled: false, lost: false, groups, haunted: false }
    }

    fn condition(status: &str, reason: &str, message: &str) -> serde_json::Value {
        json!({ "type": "Created", "status": status, "reason": reason, "message": message, "lastTransitionTime": "2026-11-23T00:00:00Z" })
    }

    #[test]
    fn a_created_port_is_copied_and_makes_the_claim_allocated() {
        let with_port = interface_with(&json!({
            "portId": "p", "macAddress": "fa:16:3e:00:00:01", "mtu": 1442,
            "addresses": [{ "ip": "10.244.0.5", "prefixLength": 16, "gateway": "10.244.0.1", "subnetId": "four" }],
            "conditions": [condition("True", "Created", "")],
        }));
        let copied = interface(&with_port, Readiness::Dataplane).unwrap();
        assert_eq!((copied.name.as_str(), copied.port_id.as_str(), copied.mtu), ("eth0", "p", 1442));
        assert_eq!(copied.addresses[0].ip.to_string(), "10.244.0.5");
        assert_eq!(allocated(std::slice::from_ref(&with_port)).status, Some(true));
        let pending = interface_with(&json!({}));
        assert_eq!(allocated(&[with_port, pending]).reason, reasons::PENDING, "every interface counts");
    }

    #[test]
    fn a_cache_that_is_behind_takes_no_address_back() {
        let with_port = interface_with(&json!({
            "portId": "p", "macAddress": "fa:16:3e:00:00:01", "mtu": 1442, "conditions": [condition("True", "Created", "")],
        }));
        let allocation = allocated(std::slice::from_ref(&with_port));
        let interfaces = vec![interface(&with_port, Readiness::Dataplane).unwrap()];
        let spec = kuryr_api::KuryrPortSpec {
            pod_name: "web".into(),
            pod_uid: "u".into(),
            node_name: "node1".into(),
            interfaces: vec![],
        };
        let mut port = KuryrPort::new("web-1", spec);
        assert!(!is_published(&port, &interfaces, &allocation), "the allocation itself is published");
        let conditions = vec![allocation.onto(&[], None, Timestamp::UNIX_EPOCH)];
        port.status = Some(KuryrPortStatus { interfaces: interfaces.clone(), conditions, ..Default::default() });
        assert!(is_published(&port, &interfaces, &allocation));
        let unknown = Interface { pool_port: None, ..with_port };
        assert!(is_published(&port, &[], &allocated(&[unknown])), "not in the cache isn't gone");
        let failed = interface_with(&json!({ "conditions": [condition("False", "QuotaExceeded", "no room")] }));
        assert!(!is_published(&port, &[], &allocated(&[failed])), "a failure is told");
    }

    #[test]
    fn a_port_is_not_handed_out_before_it_has_its_groups() {
        let status = |groups| json!({ "portId": "p", "securityGroupIds": groups, "conditions": [condition("True", "Created", "")] });
        let mut opening = interface_with(&status(json!([])));
        Arc::make_mut(opening.pool_port.as_mut().unwrap()).spec.security_group_ids = vec!["open".into()];
        opening.groups = Groups::Given(vec!["open".into()]);
        assert_eq!(allocated(std::slice::from_ref(&opening)).reason, reasons::PENDING);
        let failed = json!({ "type": "SecurityGroupsSet", "status": "False", "reason": "NeutronRefused", "message": "no such group", "lastTransitionTime": "2026-11-23T00:00:00Z" });
        let status = Arc::make_mut(opening.pool_port.as_mut().unwrap()).status.as_mut().unwrap();
        status.conditions.push(serde_json::from_value(failed).unwrap());
        let says = allocated(std::slice::from_ref(&opening));
        assert_eq!((says.reason, says.message.as_str()), (reasons::REFUSED, "no such group"), "why it waits is told");
        Arc::make_mut(opening.pool_port.as_mut().unwrap()).metadata.generation = Some(2);
        assert_eq!(allocated(&[opening]).reason, reasons::PENDING, "that was about the groups of an earlier claim");
    }

    #[test]
    fn a_port_that_was_taken_away_is_told() {
        let lost = Interface { pool_port: None, lost: true, ..interface_with(&json!({})) };
        assert_eq!(allocated(&[lost]).reason, reasons::PORT_MISSING);
    }

    #[test]
    fn a_failure_is_passed_on_in_its_words() {
        let failed = interface_with(&json!({ "conditions": [condition("False", "QuotaExceeded", "no room")] }));
        let says = allocated(&[failed]);
        assert_eq!(
            (says.status, says.reason, says.message.as_str()),
            (Some(false), reasons::QUOTA_EXCEEDED, "no room")
        );
        assert!(reasons::for_users(says.reason));
    }
}
