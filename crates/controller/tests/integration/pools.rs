//! Free ports: claimed without a request to Neutron, cooled down, refilled by demand, drained.

use super::harness::{World, eventually, in_world};
use http::Method;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use kuryr_api::{KuryrPool, KuryrPoolPort, KuryrPort, conditions};
use kuryr_controller::settings::Pools;
use kuryr_openstack_fake::{Effect, Fault};
use serde_json::json;
use std::collections::BTreeSet;

const PORTS: &str = "ports";

/// A world whose pools have these levels, and quick times.
pub(super) fn pools(minimum: u32, maximum: u32) -> Pools {
    Pools { minimum, maximum, plugged: 0, cool_down_seconds: 0, ..Pools::default() }
}

async fn pool(world: &World) -> Option<KuryrPool> {
    let pools = world.pools().list(&ListParams::default()).await.unwrap();
    pools.items.into_iter().find(|pool| pool.spec.node_name == world.name)
}

/// Waits until the world's pool has so many free ports, and nothing under way.
pub(super) async fn filled(world: &World, free: u32) -> KuryrPool {
    eventually(&format!("the pool has {free} free ports"), || async {
        let pool = pool(world).await?;
        let status = pool.status.clone()?;
        (status.free == free && status.creating == 0 && status.waiting == 0).then_some(pool)
    })
    .await
}

pub(super) async fn free(world: &World) -> Vec<KuryrPoolPort> {
    let ports = world.pool_ports().list(&ListParams::default()).await.unwrap();
    ports.items.into_iter().filter(|port| port.spec.node_name == world.name && port.spec.claim_ref.is_none()).collect()
}

pub(super) fn pool_port(port: &KuryrPort) -> String {
    port.status.as_ref().unwrap().interfaces[0].pool_port.clone()
}

pub(super) async fn end(world: &World, name: &str, port: &KuryrPort) {
    world.delete_pod(name).await;
    world.confirm(port).await;
    eventually("the KuryrPort is gone", || async {
        world.ports().get_opt(&port.name_any()).await.unwrap().is_none().then_some(())
    })
    .await;
}

async fn set_pool(world: &World, levels: serde_json::Value) {
    let name = pool(world).await.unwrap().name_any();
    let patch = Patch::Merge(json!({ "spec": levels }));
    world.pools().patch(&name, &PatchParams::default(), &patch).await.unwrap();
}

#[test]
fn a_recycled_port_costs_no_request_to_neutron() {
    in_world(|mut world| async move {
        world.settings.pools = pools(0, 2);
        world.settings.sweep.period_seconds = 0;
        let controller = world.start();
        let first = world.allocated(&world.create_pod("first", false).await).await;
        // The pool makes one for the next pod.
        filled(&world, 1).await;
        end(&world, "first", &first).await;
        filled(&world, 2).await;
        // Nothing can be made beside them.
        world.fake.set_quota(2);
        let before: BTreeSet<_> = world.neutron_ports().into_iter().map(|port| port.id).collect();
        let requests = || [Method::GET, Method::PUT, Method::DELETE].map(|method| world.fake.count(&method, PORTS));
        let (made, asked) = (pool_port(&first), requests());
        let mut taken = Vec::new();
        for name in ["second", "third"] {
            taken.push(world.allocated(&world.create_pod(name, false).await).await);
        }
        assert!(taken.iter().any(|port| pool_port(port) == made), "one of them has the first one's");
        let ids = taken.iter().map(|port| port.status.as_ref().unwrap().interfaces[0].port_id.clone());
        assert_eq!(ids.collect::<BTreeSet<_>>(), before, "both were there before");
        assert_eq!(requests(), asked, "neither changed nor looked for");
        controller.stop().await;
    });
}

#[test]
fn a_pod_whose_port_was_deleted_in_neutron_takes_no_other_and_the_pool_goes_on() {
    in_world(|mut world| async move {
        world.settings.pools = pools(2, 8);
        let controller = world.start();
        let port = world.allocated(&world.create_pod("web", false).await).await;
        filled(&world, 2).await;
        world.fake.delete_port(&port.status.as_ref().unwrap().interfaces[0].port_id);
        eventually("the KuryrPort says that its port is missing", || async {
            let status = world.ports().get(&port.name_any()).await.unwrap().status?;
            status.conditions.iter().any(|c| c.status == "False" && c.reason == "NeutronPortMissing").then_some(())
        })
        .await;
        // Another pod takes a free port, and the pool fills again: nobody waits who can't be served.
        world.allocated(&world.create_pod("other", false).await).await;
        filled(&world, 2).await;
        let writes = || controller.life.requests().iter().filter(|(request, _)| !request.starts_with("GET ")).count();
        let sweeps = || world.fake.count(&Method::GET, PORTS);
        let mut rests = false;
        for _ in 0..10 {
            let (until, before) = (sweeps() + 3, writes());
            eventually("three sweeps have passed", || async { (sweeps() >= until).then_some(()) }).await;
            rests |= before == writes();
        }
        assert!(
            rests,
            "it never comes to rest: {:?}",
            controller.life.requests().iter().rev().take(20).collect::<Vec<_>>()
        );
        controller.stop().await;
    });
}

#[test]
fn a_claim_whose_port_was_taken_away_before_its_node_had_it_begins_anew() {
    in_world(|mut world| async move {
        world.settings.pools = pools(1, 8);
        let controller = world.start();
        let pod = world.create_pod("web", false).await;
        let port = world.allocated(&pod).await;
        filled(&world, 1).await;
        let taken = pool_port(&port);
        let bare = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
        world.pool_ports().delete(&taken, &DeleteParams::default()).await.unwrap();
        world.pool_ports().patch_metadata(&taken, &PatchParams::default(), &bare).await.unwrap();
        world.confirm(&port).await;
        let again = eventually("the pod has another claim, with another port", || async {
            let again = world.ports_of(&pod.uid().unwrap()).await.pop()?;
            let is_new = again.uid() != port.uid();
            (is_new && again.status.as_ref()?.interfaces.first()?.pool_port != taken).then_some(again)
        })
        .await;
        assert_eq!(again.name_any(), port.name_any());
        controller.stop().await;
    });
}

#[test]
fn a_released_port_is_not_used_again_before_it_has_cooled_down() {
    in_world(|mut world| async move {
        world.settings.pools = Pools { cool_down_seconds: 3600, ..pools(0, 8) };
        let controller = world.start();
        let first = world.allocated(&world.create_pod("first", false).await).await;
        end(&world, "first", &first).await;
        eventually("the port cools down", || async { (pool(&world).await?.status?.cooling_down == 1).then_some(()) })
            .await;
        let second = world.allocated(&world.create_pod("second", false).await).await;
        assert_ne!(pool_port(&first), pool_port(&second));
        controller.stop().await;
    });
}

#[test]
fn a_pool_fills_with_the_first_pod_and_can_be_edited() {
    in_world(|mut world| async move {
        world.settings.pools = pools(2, 8);
        let controller = world.start();
        let other = format!("{}-other", world.name);
        world.create_node(&other).await;
        let pod = world.allocated(&world.create_pod("web", false).await).await;
        let status = filled(&world, 2).await.status.unwrap();
        let pools = world.pools().list(&ListParams::default()).await.unwrap();
        assert!(pools.iter().all(|pool| pool.spec.node_name != other), "nothing for a node without pods");
        assert_eq!((status.minimum, status.maximum, status.claimed, status.target), (2, 8, 1, 2));
        set_pool(&world, json!({ "minimum": 4 })).await;
        filled(&world, 4).await;
        set_pool(&world, json!({ "minimum": 0, "maximum": 1 })).await;
        filled(&world, 1).await;
        assert_eq!(world.neutron_ports().len(), 2);
        let wrong = Patch::Merge(json!({ "spec": { "minimum": 9 } }));
        let name = pool(&world).await.unwrap().name_any();
        let refused = world.pools().patch(&name, &PatchParams::default(), &wrong).await;
        assert!(refused.unwrap_err().to_string().contains("minimum"), "above its maximum");
        assert_eq!(
            world.pool_ports().get(&pool_port(&pod)).await.unwrap().spec.claim_ref.unwrap().name,
            pod.name_any()
        );
        controller.stop().await;
    });
}

#[test]
fn pods_that_a_pool_can_serve_start_while_neutron_is_down() {
    in_world(|mut world| async move {
        world.settings.pools = pools(3, 8);
        let controller = world.start();
        world.allocated(&world.create_pod("first", false).await).await;
        filled(&world, 3).await;
        world.fake.refuse(503);
        let mut taken = Vec::new();
        for name in ["a", "b", "c"] {
            taken.push(pool_port(&world.allocated(&world.create_pod(name, false).await).await));
        }
        taken.sort();
        taken.dedup();
        assert_eq!(taken.len(), 3, "each has a port of its own");
        let waits = world.create_pod("d", false).await;
        eventually("the pool tells who waits", || async { (pool(&world).await?.status?.waiting == 1).then_some(()) })
            .await;
        world.fake.heal();
        world.allocated(&waits).await;
        controller.stop().await;
    });
}

#[test]
fn a_waiting_pod_takes_a_port_that_comes_free_and_its_own_fills_the_pool() {
    in_world(|mut world| async move {
        world.settings.pools = pools(0, 1);
        world.fake.inject(&Fault::new(Effect::Status(503, None)).on(Method::POST, PORTS).skip(1));
        let controller = world.start();
        let first = world.allocated(&world.create_pod("first", false).await).await;
        let waits = world.create_pod("waits", false).await;
        eventually("the pod waits", || async { (pool(&world).await?.status?.waiting == 1).then_some(()) }).await;
        end(&world, "first", &first).await;
        let served = world.allocated(&waits).await;
        assert_eq!(pool_port(&served), pool_port(&first));
        world.fake.heal();
        eventually("one port is left free, which was never used", || async {
            let free = free(&world).await;
            let unused = free.first()?.spec.released_at.is_none();
            (free.len() == 1 && unused && world.neutron_ports().len() == 2).then_some(())
        })
        .await;
        controller.stop().await;
    });
}

#[test]
fn a_node_that_goes_takes_its_pool_with_it() {
    in_world(|mut world| async move {
        world.settings.pools = pools(2, 8);
        let controller = world.start();
        let port = world.allocated(&world.create_pod("web", false).await).await;
        filled(&world, 2).await;
        end(&world, "web", &port).await;
        Api::<Node>::all(world.client.clone()).delete(&world.name, &DeleteParams::default()).await.unwrap();
        world.nothing_left().await;
        eventually("the pool is gone", || async { pool(&world).await.is_none().then_some(()) }).await;
        controller.stop().await;
    });
}

#[test]
fn a_cordoned_node_gives_its_free_ports_up_in_time() {
    in_world(|mut world| async move {
        world.settings.pools = Pools { cordon_seconds: 0, ..pools(2, 8) };
        let controller = world.start();
        world.allocated(&world.create_pod("web", false).await).await;
        filled(&world, 2).await;
        world.cordon(true).await;
        filled(&world, 0).await;
        world.cordon(false).await;
        filled(&world, 2).await;
        controller.stop().await;
    });
}

#[test]
fn two_controllers_give_no_port_to_two_pods() {
    in_world(|mut world| async move {
        world.settings.pools = pools(3, 8);
        let (one, other) = (world.start(), world.start());
        let mut pods: Vec<Pod> = vec![world.create_pod("first", false).await];
        world.allocated(&pods[0]).await;
        filled(&world, 3).await;
        for number in 0..6 {
            pods.push(world.create_pod(&format!("p{number}"), false).await);
        }
        let mut taken = Vec::new();
        for pod in &pods {
            taken.push(pool_port(&world.allocated(pod).await));
        }
        taken.sort();
        taken.dedup();
        assert_eq!(taken.len(), pods.len());
        eventually("every port is somebody's or the pool's", || async {
            let ports = world.pool_ports().list(&ListParams::default()).await.unwrap().items;
            let ours: Vec<_> = ports.iter().filter(|port| port.spec.node_name == world.name).collect();
            let claimed = ours.iter().filter(|port| port.spec.claim_ref.is_some()).count();
            (claimed == pods.len() && world.neutron_ports().len() == ours.len()).then_some(())
        })
        .await;
        one.stop().await;
        other.stop().await;
    });
}

#[test]
fn free_ports_follow_a_change_of_the_configured_groups() {
    in_world(|mut world| async move {
        world.settings.pools = pools(2, 8);
        let controller = world.start();
        world.allocated(&world.create_pod("first", false).await).await;
        filled(&world, 2).await;
        controller.stop().await;
        world.settings.pods.security_groups = vec!["kuryr-closed".to_owned()];
        let posts = world.fake.count(&Method::POST, PORTS);
        let before: BTreeSet<_> = free(&world).await.iter().map(ResourceExt::name_any).collect();
        let controller = world.start();
        let regrouped = |port: &KuryrPoolPort| {
            let status = port.status.as_ref().map(|status| status.security_group_ids.clone());
            port.metadata.generation > Some(1) && status.as_ref() == Some(&port.spec.security_group_ids)
        };
        eventually("the free ports have the new groups", || async {
            free(&world).await.iter().all(regrouped).then_some(())
        })
        .await;
        filled(&world, 2).await;
        let second = world.allocated(&world.create_pod("second", false).await).await;
        assert!(before.contains(&pool_port(&second)), "a port that was there before is used");
        eventually("another one takes its place, when the pod has started", || async {
            (world.fake.count(&Method::POST, PORTS) - posts == 1).then_some(())
        })
        .await;
        filled(&world, 2).await;
        assert_eq!(world.fake.count(&Method::POST, PORTS) - posts, 1, "only that one");
        controller.stop().await;
    });
}

#[test]
fn free_ports_give_way_to_pods_where_the_quota_is_used_up_and_come_back_with_room() {
    in_world(|mut world| async move {
        world.settings.pools = pools(2, 8);
        world.settings.sweep.period_seconds = 0;
        let other = format!("{}-other", world.name);
        world.create_node(&other).await;
        let controller = world.start();
        let first = world.allocated(&world.create_pod("first", false).await).await;
        filled(&world, 2).await;
        // A pod elsewhere fits only when this node's pool has given everything up.
        world.fake.set_quota(2);
        let elsewhere = world.create_pod_on(&other, "elsewhere", false).await;
        world.allocated(&elsewhere).await;
        let gave_way = eventually("this node's pool has given its ports up", || async {
            let status = pool(&world).await?.status?;
            let filled = status.conditions.into_iter().find(|condition| condition.type_ == conditions::FILLED)?;
            (status.free == 0 && filled.status == "False").then_some(filled.reason)
        })
        .await;
        assert!(["NoRoom", "Filling", "QuotaExceeded"].contains(&gave_way.as_str()), "{gave_way}");
        assert_eq!(pool_port(&world.allocated_now(&first).await), pool_port(&first), "nothing else is affected");
        world.fake.set_quota(-1);
        filled(&world, 2).await;
        controller.stop().await;
    });
}
