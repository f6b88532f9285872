//! What is in Neutron beside what the objects say.

use super::harness::{SWEEP_AT_ONCE as ALL_AT_ONCE, World, eventually, in_world};
use http::Method;
use k8s_openapi::api::{core::v1::Node, events::v1::Event};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use kuryr_api::conditions;
use kuryr_controller::{
    once::Options,
    settings::{Pools, Readiness, Sweep},
};
use kuryr_core::names;
use kuryr_openstack::{
    Cloud, Found, Metrics, Neutron,
    neutron::{NewPort, PortId, PortUpdate, SubnetQuery},
};
use kuryr_openstack_fake::{Effect, Fault};
use prometheus_client::registry::Registry;
use serde_json::json;
use std::collections::BTreeSet;

/// Somebody with Kuryr's own login.
struct Hand(Neutron);

impl Hand {
    async fn of(world: &World) -> Self {
        let metrics = Metrics::register(&mut Registry::default());
        let cloud = Cloud::connect(world.cloud.clone(), kuryr_openstack::Settings::default(), metrics).await;
        Self(cloud.unwrap().neutron())
    }

    /// Makes a port.
    async fn makes(&self, world: &World, description: &str) -> PortId {
        let pods = SubnetQuery { names: vec![world.settings.pods.subnets[0].clone()], ..SubnetQuery::default() };
        let network = self.0.list_subnets(&pods).await.unwrap().pop().unwrap().network_id;
        let new = NewPort {
            description: Some(description.to_owned()),
            device_owner: Some(names::DEVICE_OWNER.to_owned()),
            ..NewPort::on(network)
        };
        self.0.create_port(&new).await.unwrap().id
    }

    /// Whether there is such a port.
    async fn sees(&self, port: &PortId) -> bool {
        self.0.get_port(port).await.found().unwrap().is_some()
    }
}

/// Waits for an Event on an object of this name.
async fn told(world: &World, namespace: &str, name: &str, reason: &str) {
    let events: Api<Event> = Api::namespaced(world.client.clone(), namespace);
    eventually(&format!("an Event says {reason}"), || async {
        let events = events.list(&ListParams::default()).await.unwrap().items;
        let is_it = |event: &Event| {
            let about = event.regarding.as_ref().and_then(|regarding| regarding.name.as_deref());
            event.reason.as_deref() == Some(reason) && about == Some(name)
        };
        events.iter().any(is_it).then_some(())
    })
    .await;
}

#[test]
fn two_clusters_in_one_project_never_touch_each_other() {
    in_world(|mut one| async move {
        one.settings.pools = Pools { minimum: 1, maximum: 4, plugged: 0, cool_down_seconds: 0, ..Pools::default() };
        one.settings.sweep = Sweep { period_seconds: 1, grace_seconds: 0, most_percent: 100, ..Sweep::default() };
        let mut two = one.beside().await;
        (two.settings.pools, two.settings.sweep) = (one.settings.pools.clone(), one.settings.sweep);
        let controllers = [one.start(), two.start()];
        let ours = one.allocated(&one.create_pod("web", false).await).await;
        two.allocated(&two.create_pod("web", false).await).await;
        let has_all = |world: World, count: usize| async move {
            eventually("a port for the pod and a free one", || async {
                (world.neutron_ports().len() == count).then_some(())
            })
            .await;
        };
        has_all(one.clone(), 2).await;
        has_all(two.clone(), 2).await;
        let theirs: BTreeSet<_> = two.neutron_ports().into_iter().map(|port| port.id).collect();
        // One of them loses everything, and both go on sweeping.
        Api::<Node>::all(one.client.clone()).delete(&one.name, &DeleteParams::default()).await.unwrap();
        one.delete_pod("web").await;
        one.nothing_left().await;
        assert!(one.ports().get_opt(&ours.name_any()).await.unwrap().is_none());
        let until = one.fake.count(&Method::GET, "ports") + 6;
        eventually("both have swept", || async { (one.fake.count(&Method::GET, "ports") >= until).then_some(()) })
            .await;
        let now: BTreeSet<_> = two.neutron_ports().into_iter().map(|port| port.id).collect();
        assert_eq!(now, theirs);
        for controller in controllers {
            controller.stop().await;
        }
    });
}

#[test]
fn only_a_port_with_our_mark_that_nobody_needs_goes() {
    in_world(|world| async move {
        let hand = Hand::of(&world).await;
        let leaked = hand.makes(&world, &format!("kuryr:{}:no-such-uid", world.name)).await;
        let mut others = Vec::new();
        for description in
            [format!("kuryr:{}x:no-such-uid", world.name), format!("was kuryr:{}:uid", world.name), String::new()]
        {
            others.push(hand.makes(&world, &description).await);
        }
        let controller = world.start();
        let pod = world.create_pod("web", false).await;
        let used = world.allocated(&pod).await.status.unwrap().interfaces[0].port_id.clone();
        let rows = world.sweep(Options { dry_run: true, ..ALL_AT_ONCE }).await;
        assert!(rows.iter().all(|row| row.port == leaked.as_str() && row.removable), "{rows:?}");
        eventually("the leaked port is gone", || async { (!hand.sees(&leaked).await).then_some(()) }).await;
        let rows = world.sweep(ALL_AT_ONCE).await;
        assert_eq!(rows, [], "nothing more is found");
        assert!(hand.sees(&PortId::from(used)).await, "the pod's port stays");
        for other in others {
            assert!(hand.sees(&other).await, "{other} isn't ours");
        }
        controller.stop().await;
    });
}

#[test]
fn without_objects_nothing_goes_unless_told() {
    in_world(|world| async move {
        let hand = Hand::of(&world).await;
        let leaked = hand.makes(&world, &format!("kuryr:{}:no-such-uid", world.name)).await;
        let controller = world.start();
        // Each sweep begins with one list; the grace time has passed after so many of them.
        eventually("the controller has swept some times", || async {
            (world.fake.count(&Method::GET, "ports") > 8).then_some(())
        })
        .await;
        let limited = Options { most_percent: 50, ..ALL_AT_ONCE };
        assert_eq!(world.sweep(limited).await.len(), 1);
        assert!(hand.sees(&leaked).await, "the objects may be what is missing");
        world.sweep(ALL_AT_ONCE).await;
        assert!(!hand.sees(&leaked).await);
        controller.stop().await;
    });
}

#[test]
fn a_second_port_of_a_living_object_goes() {
    in_world(|world| async move {
        let controller = world.start();
        let pod = world.create_pod("web", false).await;
        let port = world.allocated(&pod).await.status.unwrap().interfaces[0].clone();
        let object = world.pool_ports().get(&port.pool_port).await.unwrap();
        let hand = Hand::of(&world).await;
        let second = hand.makes(&world, &format!("kuryr:{}:{}", world.name, object.uid().unwrap())).await;
        eventually("the second port is gone", || async { (!hand.sees(&second).await).then_some(()) }).await;
        assert!(hand.sees(&PortId::from(port.port_id)).await, "the recorded one stays");
        controller.stop().await;
    });
}

#[test]
fn a_port_that_was_changed_by_hand_is_told_until_it_is_restored() {
    in_world(|world| async move {
        let controller = world.start();
        let pod = world.create_pod("web", false).await;
        let port = world.allocated(&pod).await.status.unwrap().interfaces[0].clone();
        let hand = Hand::of(&world).await;
        let switch = async |up| {
            let update = PortUpdate { admin_state_up: Some(up), ..PortUpdate::default() };
            hand.0.update_port(&PortId::from(port.port_id.as_str()), &update).await.unwrap();
        };
        let in_sync = async |wanted: &str| {
            eventually(&format!("InSync is {wanted}"), || async {
                let status = world.pool_ports().get(&port.pool_port).await.unwrap().status?;
                let condition = status.conditions.into_iter().find(|c| c.type_ == conditions::IN_SYNC)?;
                (condition.status == wanted).then_some(())
            })
            .await;
        };
        switch(false).await;
        in_sync("False").await;
        told(&world, &world.name, "web", "ChangedInNeutron").await;
        switch(true).await;
        in_sync("True").await;
        let status = world.pool_ports().get(&port.pool_port).await.unwrap().status.unwrap();
        assert!(conditions::is_true(&status.conditions, conditions::CREATED), "the other conditions stay");
        controller.stop().await;
    });
}

#[test]
fn a_port_that_cannot_be_looked_at_keeps_no_other_from_going() {
    in_world(|world| async move {
        let controller = world.start();
        let port = world.allocated(&world.create_pod("web", false).await).await;
        let changed = PortId::from(port.status.unwrap().interfaces[0].port_id.as_str());
        let hand = Hand::of(&world).await;
        // A change is told after another look at the port, which fails.
        let path = format!("ports/{changed}");
        let (refusal, refused) = (Fault::new(Effect::Status(403, None)).method(Method::GET), path.clone());
        world.fake.inject(&refusal.when(move |call| call.path == refused));
        let update = PortUpdate { admin_state_up: Some(false), ..PortUpdate::default() };
        hand.0.update_port(&changed, &update).await.unwrap();
        eventually("a sweep can't look", || async { (world.fake.answers(&path, 403) > 0).then_some(()) }).await;
        let leaked = hand.makes(&world, &format!("kuryr:{}:no-such-uid", world.name)).await;
        eventually("the leaked port is gone", || async { (!hand.sees(&leaked).await).then_some(()) }).await;
        controller.stop().await;
    });
}

#[test]
fn a_node_that_is_silent_for_long_needs_no_confirmation_where_that_is_allowed() {
    in_world(|mut world| async move {
        world.settings.nodes.silent_seconds = 3;
        let controller = world.start();
        let pod = world.create_pod("web", false).await;
        let port = world.allocated(&pod).await;
        world.delete_pod("web").await;
        eventually("the KuryrPort is being deleted", || async {
            world.ports().get(&port.name_any()).await.unwrap().metadata.deletion_timestamp
        })
        .await;
        assert_eq!(world.neutron_ports().len(), 1, "a node that speaks is waited for");
        let now = jiff::Timestamp::now().to_string();
        let ready =
            json!({ "type": "Ready", "status": "Unknown", "reason": "Lost", "message": "", "lastTransitionTime": now });
        let status = Patch::Merge(json!({ "status": { "conditions": [ready] } }));
        let nodes: Api<Node> = Api::all(world.client.clone());
        nodes.patch_status(&world.name, &PatchParams::default(), &status).await.unwrap();
        world.nothing_left().await;
        told(&world, "default", &world.name, "ReleasedWithoutNode").await;
        controller.stop().await;
    });
}

#[test]
fn neutrons_word_is_asked_for_and_passed_on() {
    in_world(|mut world| async move {
        world.settings.pods.readiness = Readiness::NeutronStatus;
        world.settings.sweep.period_seconds = 0;
        let controller = world.start();
        let pod = world.create_pod("web", false).await;
        let port = world.allocated(&pod).await;
        let id = port.status.as_ref().unwrap().interfaces[0].port_id.clone();
        let before = world.fake.count(&Method::GET, "ports");
        eventually("Neutron has been asked some times", || async {
            (world.fake.count(&Method::GET, "ports") > before + 3).then_some(())
        })
        .await;
        let conditions_now = async || world.ports().get(&port.name_any()).await.unwrap().status.unwrap().conditions;
        assert!(!conditions_now().await.iter().any(|c| c.type_ == conditions::ACTIVE), "there is nothing to say yet");
        world.fake.activate(&id);
        eventually("the word is passed on", || async {
            conditions::is_true(&conditions_now().await, conditions::ACTIVE).then_some(())
        })
        .await;
        assert!(conditions::is_true(&conditions_now().await, conditions::ALLOCATED), "the other conditions stay");
        controller.stop().await;
    });
}
