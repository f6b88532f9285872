//! Lost answers, crashes, a full cloud, a malformed object.

use super::harness::{Fault, eventually, in_world};
use http::Method;
use k8s_openapi::api::events::v1::Event;
use kube::{
    Api, ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use kuryr_api::conditions;
use serde_json::json;
use std::{collections::BTreeSet, sync::Arc};
use tokio::sync::Notify;

const PORTS: &str = "ports";

#[test]
fn a_port_whose_answer_was_lost_is_found_again() {
    in_world(|world| async move {
        let controller = world.start();
        world.fake.next(Method::POST, Fault::LoseAnswer);
        let pod = world.create_pod("web", false).await;
        world.allocated(&pod).await;
        assert_eq!(world.fake.count(&Method::POST, PORTS), 1, "found, not created again");
        assert_eq!(world.neutron_ports().len(), 1);
        controller.stop().await;
    });
}

#[test]
fn a_port_that_neutron_may_have_half_made_is_replaced() {
    in_world(|world| async move {
        let controller = world.start();
        world.fake.next(Method::POST, Fault::BreakOff);
        let pod = world.create_pod("web", false).await;
        let port = world.allocated(&pod).await;
        assert_eq!(world.fake.count(&Method::POST, PORTS), 2, "created again");
        let left: Vec<_> = world.neutron_ports().into_iter().map(|port| port.id).collect();
        assert_eq!(left, [port.status.unwrap().interfaces[0].port_id.clone()], "the first one is deleted");
        let object = world.own_pool_ports().await.remove(0);
        assert_eq!(object.status.unwrap().discarded_port_ids, Vec::<String>::new());
        controller.stop().await;
    });
}

#[test]
fn a_successor_finishes_what_was_discarded() {
    in_world(|world| async move {
        // The one who discards the port may not delete it any more.
        let controller = world.start();
        world.fake.next(Method::POST, Fault::BreakOff);
        world.fake.times(1000, Method::DELETE, Fault::Answer(503));
        let pod = world.create_pod("web", false).await;
        let discarded = eventually("a port is discarded", || async {
            let status = world.own_pool_ports().await.pop()?.status?;
            status.discarded_port_ids.into_iter().next()
        })
        .await;
        controller.kill().await;
        world.fake.heal();
        let controller = world.start();
        let port = world.allocated(&pod).await;
        let left: Vec<_> = world.neutron_ports().into_iter().map(|port| port.id).collect();
        assert_eq!(left, [port.status.unwrap().interfaces[0].port_id.clone()]);
        assert_ne!(left, [discarded], "the discarded one isn't adopted");
        controller.stop().await;
    });
}

#[test]
fn a_killed_controller_leaves_exactly_one_port_per_pod() {
    in_world(|world| async move {
        let released = Arc::new(Notify::new());
        world.fake.next(Method::POST, Fault::Hold(released.clone()));
        let controller = world.start();
        let pod = world.create_pod("web", false).await;
        eventually("the request is on its way", || async {
            (world.fake.count(&Method::POST, PORTS) == 1).then_some(())
        })
        .await;
        controller.kill().await;
        // The successor looks, finds nothing, and creates; only then the first request reaches Neutron.
        let controller = world.start();
        world.allocated(&pod).await;
        released.notify_one();
        eventually("the late request has made a second port", || async {
            (world.neutron_ports().len() == 2).then_some(())
        })
        .await;
        eventually("the second port is deleted", || async { (world.neutron_ports().len() == 1).then_some(()) }).await;
        let port = world.allocated(&pod).await;
        let id = port.status.unwrap().interfaces[0].port_id.clone();
        assert_eq!(world.neutron_ports()[0].id, id, "the published one stays");
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
            let present: BTreeSet<_> = world.neutron_ports().iter().map(|port| port.id.to_string()).collect();
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
        world.fake.next(Method::POST, Fault::Hold(released.clone()));
        let controller = world.start();
        let pod = world.create_pod("web", false).await;
        eventually("the request is on its way", || async {
            (world.fake.count(&Method::POST, PORTS) == 1).then_some(())
        })
        .await;
        controller.kill().await;
        let port = world.ports_of(&pod.uid().unwrap()).await.pop().unwrap();
        world.delete_pod("web").await;
        let controller = world.start();
        world.confirm(&port).await;
        released.notify_one();
        eventually("the late request has made a port", || async { world.fake.first_was_made().then_some(()) }).await;
        world.nothing_left().await;
        controller.stop().await;
    });
}

#[test]
fn a_full_quota_is_told_on_the_pod_and_ends_by_itself() {
    in_world(|world| async move {
        world.fake.set_quota(0);
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
        assert_eq!(world.fake.count(&Method::POST, PORTS), 1, "a full cloud isn't asked again and again");
        world.fake.set_quota(-1);
        world.allocated(&pod).await;
        controller.stop().await;
    });
}

#[test]
fn a_neutron_that_is_down_delays_only() {
    in_world(|world| async move {
        world.fake.times(12, Method::POST, Fault::Answer(503));
        let controller = world.start();
        let pod = world.create_pod("web", false).await;
        eventually("the KuryrPort says why it waits", || async {
            let status = world.ports_of(&pod.uid().unwrap()).await.pop()?.status?;
            let allocated = status.conditions.into_iter().find(|c| c.type_ == conditions::ALLOCATED)?;
            (allocated.reason == "OpenStackUnavailable").then_some(())
        })
        .await;
        world.fake.heal();
        world.allocated(&pod).await;
        assert_eq!(world.neutron_ports().len(), 1);
        controller.stop().await;
    });
}

#[test]
fn one_malformed_object_stops_nothing_else() {
    in_world(|world| async move {
        let controller = world.start();
        let pod = world.create_pod("web", false).await;
        let port = world.allocated(&pod).await;
        world.views.spoil(&port.name_any());
        let label = Patch::Merge(json!({ "metadata": { "labels": { "a": "b" } } }));
        world.ports().patch(&port.name_any(), &PatchParams::default(), &label).await.unwrap();
        let other = world.create_pod("other", false).await;
        world.allocated(&other).await;
        // Its end is noticed all the same.
        world.delete_pod("web").await;
        world.confirm(&port).await;
        eventually("its port is gone", || async { (world.neutron_ports().len() == 1).then_some(()) }).await;
        controller.stop().await;
    });
}

#[test]
fn what_was_malformed_before_a_controller_led_is_told_when_it_does() {
    in_world(|world| async move {
        let controller = world.start();
        let port = world.allocated(&world.create_pod("web", false).await).await;
        controller.stop().await;
        world.views.spoil(&port.name_any());
        let controller = world.start();
        let events = Api::<Event>::namespaced(world.client.clone(), &world.name);
        eventually("an Event says that it can't be read", || async {
            let events = events.list(&ListParams::default()).await.unwrap();
            let is_it = |event: &Event| {
                let about = event.regarding.as_ref().and_then(|object| object.name.as_deref());
                about == Some(&port.name_any()) && event.reason.as_deref() == Some("Malformed")
            };
            events.iter().any(is_it).then_some(())
        })
        .await;
        controller.stop().await;
    });
}
