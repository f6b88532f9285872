//! Lost answers, crashes, a full cloud, a malformed object.

use super::{
    fixture::{eventually, in_world},
    proxy::Fault,
};
use axum::http::{Method, StatusCode};
use k8s_openapi::api::events::v1::Event;
use kube::{
    Api, ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use kuryr_api::conditions;
use serde_json::json;
use std::{collections::BTreeSet, sync::Arc};
use tokio::sync::Notify;

const PORTS: &str = "/v2.0/ports";

#[test]
fn a_port_whose_answer_was_lost_is_found_again() {
    in_world(|world| async move {
        let controller = world.start();
        world.proxy.next(Method::POST, Fault::LoseAnswer);
        let pod = world.create_pod("web", false).await;
        world.allocated(&pod).await;
        assert_eq!(world.proxy.count(&Method::POST, PORTS), 1, "found, not created again");
        assert_eq!(world.neutron_ports().await.len(), 1);
        controller.stop().await;
    });
}

#[test]
fn a_killed_controller_leaves_exactly_one_port_per_pod() {
    in_world(|world| async move {
        let released = Arc::new(Notify::new());
        world.proxy.next(Method::POST, Fault::Hold(released.clone()));
        let controller = world.start();
        let pod = world.create_pod("web", false).await;
        eventually("the request is on its way", || async {
            (world.proxy.count(&Method::POST, PORTS) == 1).then_some(())
        })
        .await;
        controller.kill().await;
        // The successor looks, finds nothing, and creates; only then the first request reaches Neutron.
        let controller = world.start();
        world.allocated(&pod).await;
        released.notify_one();
        eventually("the late request has made a second port", || async {
            (world.neutron_ports().await.len() == 2).then_some(())
        })
        .await;
        eventually("the second port is deleted", || async { (world.neutron_ports().await.len() == 1).then_some(()) })
            .await;
        let port = world.allocated(&pod).await;
        let id = port.status.unwrap().interfaces[0].port_id.clone();
        assert_eq!(world.neutron_ports().await[0].id.as_str(), id, "the published one stays");
        controller.stop().await;
    });
}

#[test]
fn two_controllers_at_once_leave_one_port_per_pod_and_publish_it_once() {
    in_world(|world| async move {
        let (one, other) = (world.start(), world.start());
        let mut published = BTreeSet::new();
        for name in ["web-0", "web-1", "web-2", "web-3"] {
            let pod = world.create_pod(name, false).await;
            let port = world.allocated(&pod).await;
            published.insert(port.status.unwrap().interfaces[0].port_id.clone());
        }
        eventually("exactly the published ports are in Neutron", || async {
            let present: BTreeSet<_> = world.neutron_ports().await.iter().map(|port| port.id.to_string()).collect();
            (present == published).then_some(())
        })
        .await;
        one.stop().await;
        other.stop().await;
    });
}

#[test]
fn a_pod_that_goes_while_its_request_is_lost_leaves_nothing() {
    in_world(|world| async move {
        let released = Arc::new(Notify::new());
        world.proxy.next(Method::POST, Fault::Hold(released.clone()));
        let controller = world.start();
        let pod = world.create_pod("web", false).await;
        eventually("the request is on its way", || async {
            (world.proxy.count(&Method::POST, PORTS) == 1).then_some(())
        })
        .await;
        controller.kill().await;
        let port = world.ports_of(&pod.uid().unwrap()).await.pop().unwrap();
        world.delete_pod("web").await;
        let controller = world.start();
        world.confirm(&port).await;
        released.notify_one();
        eventually("the late request has made a port", || async {
            (world.neutron_ports().await.len() == 1).then_some(())
        })
        .await;
        world.nothing_left().await;
        controller.stop().await;
    });
}

#[test]
fn a_full_quota_is_told_on_the_pod_and_ends_by_itself() {
    in_world(|world| async move {
        let body = json!({ "NeutronError": { "type": "OverQuota", "message": "Quota exceeded for resources: ['port'].", "detail": "" } });
        world.proxy.next(Method::POST, Fault::Answer(StatusCode::CONFLICT, body.to_string()));
        let controller = world.start();
        let pod = world.create_pod("web", false).await;
        eventually("the KuryrPort says why it waits", || async {
            let status = world.ports_of(&pod.uid().unwrap()).await.pop()?.status?;
            let allocated = status.conditions.into_iter().find(|c| c.type_ == conditions::ALLOCATED)?;
            (allocated.reason == "QuotaExceeded").then_some(())
        })
        .await;
        let events: Api<Event> = Api::namespaced(world.client.clone(), &world.name);
        eventually("an Event on the pod says it", || async {
            let events = events.list(&ListParams::default()).await.unwrap().items;
            let on_pod = |event: &&Event| event.regarding.as_ref().and_then(|r| r.uid.clone()) == pod.uid();
            let told = events.iter().filter(on_pod).filter(|e| e.reason.as_deref() == Some("QuotaExceeded")).count();
            (told == 1).then_some(())
        })
        .await;
        assert_eq!(world.proxy.count(&Method::POST, PORTS), 1, "a full cloud isn't asked again and again");
        world.allocated(&pod).await;
        controller.stop().await;
    });
}

#[test]
fn a_neutron_that_is_down_delays_only() {
    in_world(|world| async move {
        for _ in 0..12 {
            world.proxy.next(Method::POST, Fault::Answer(StatusCode::SERVICE_UNAVAILABLE, String::new()));
        }
        let controller = world.start();
        let pod = world.create_pod("web", false).await;
        eventually("the KuryrPort says why it waits", || async {
            let status = world.ports_of(&pod.uid().unwrap()).await.pop()?.status?;
            let allocated = status.conditions.into_iter().find(|c| c.type_ == conditions::ALLOCATED)?;
            (allocated.reason == "OpenStackUnavailable").then_some(())
        })
        .await;
        world.proxy.heal();
        world.allocated(&pod).await;
        assert_eq!(world.neutron_ports().await.len(), 1);
        controller.stop().await;
    });
}

#[test]
fn one_malformed_object_stops_nothing_else() {
    in_world(|world| async move {
        let controller = world.start();
        let pod = world.create_pod("web", false).await;
        let port = world.allocated(&pod).await;
        // The schema can't tell an address from other text.
        let broken = Patch::Merge(json!({ "status": { "interfaces": [{
            "name": "eth0", "poolPort": "x", "portId": "x", "macAddress": "fa:16:3e:00:00:01", "mtu": 1400, "binding": { "kind": "OVS" },
            "addresses": [{ "ip": "nonsense", "prefixLength": 24, "subnetId": "x" }] }] } }));
        let answer = world.ports().patch_status(&port.name_any(), &PatchParams::default(), &broken).await;
        assert!(matches!(answer, Err(kube::Error::SerdeError(_))), "written, but not to be read: {answer:?}");
        world.ports().get(&port.name_any()).await.expect_err("the object can't be read any more");
        let other = world.create_pod("other", false).await;
        world.allocated(&other).await;
        // Its end is noticed all the same.
        world.delete_pod("web").await;
        world.confirm(&port).await;
        eventually("its port is gone", || async { (world.neutron_ports().await.len() == 1).then_some(()) }).await;
        controller.stop().await;
    });
}
