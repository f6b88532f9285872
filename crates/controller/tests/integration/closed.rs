//! Free ports that are kept closed: opened for their pod before it hears of them, and what happens where they can't be.

use super::{
    harness::{Running, World, eventually, in_world},
    pools::{end, filled, free, pool_port, pools},
};
use http::Method;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kuryr_api::{KuryrPoolPort, KuryrPort, conditions};
use kuryr_controller::settings::Pools;
use kuryr_openstack_fake::{Effect, Fault};

const PORTS: &str = "ports";

/// Keeps free ports closed, and has one of them beside a first pod.
async fn closed(world: &mut World) -> (Running, KuryrPort, KuryrPoolPort) {
    world.settings.pools = Pools { closed: true, ..pools(1, 8) };
    // What is told here is told by those who need the port.
    world.settings.sweep.period_seconds = 0;
    let controller = world.start();
    let first = world.allocated(&world.create_pod("first", false).await).await;
    filled(world, 1).await;
    let spare = free(world).await.remove(0);
    assert!(spare.status.as_ref().unwrap().security_group_ids.is_empty());
    (controller, first, spare)
}

/// The claim of a pod, when it looks so.
async fn claim(world: &World, pod: &Pod, what: &str, is_so: impl Fn(&KuryrPort) -> bool) -> KuryrPort {
    let uid = pod.uid().unwrap();
    eventually(what, || async { world.ports_of(&uid).await.pop().filter(&is_so) }).await
}

#[test]
fn closed_free_ports_are_opened_for_their_pod_before_it_hears_of_them() {
    in_world(|mut world| async move {
        let (controller, first, spare) = closed(&mut world).await;
        let before = world.fake.count(&Method::PUT, PORTS);
        let second = world.allocated(&world.create_pod("second", false).await).await;
        assert_eq!(pool_port(&second), spare.name_any());
        let id = &second.status.as_ref().unwrap().interfaces[0].port_id;
        let open = world.neutron_ports().into_iter().find(|port| port.id == *id).unwrap();
        assert_eq!(open.security_groups.len(), 1);
        assert_eq!(world.fake.count(&Method::PUT, PORTS), before + 1, "one change of its port");
        end(&world, "first", &first).await;
        eventually("the returned port is closed", || async {
            let port = world.pool_ports().get(&pool_port(&first)).await.unwrap();
            port.status?.security_group_ids.is_empty().then_some(())
        })
        .await;
        controller.stop().await;
    });
}

/// A second pod whose port Neutron doesn't open, and its claim that says so.
async fn refused(world: &World) -> (Pod, KuryrPort) {
    world.fake.inject(&Fault::new(Effect::Status(503, None)).on(Method::PUT, PORTS));
    let pod = world.create_pod("second", false).await;
    let told = claim(world, &pod, "the claim says why it waits", |claim| {
        let conditions = claim.status.iter().flat_map(|status| &status.conditions);
        conditions
            .into_iter()
            .any(|c| (&*c.type_, &*c.status, &*c.reason) == (conditions::ALLOCATED, "False", "OpenStackUnavailable"))
    })
    .await;
    assert_eq!(told.status.as_ref().unwrap().interfaces, [], "a port that it may give up isn't its own");
    (pod, told)
}

/// The claim of a port that isn't there, which is given up, and the one that the pod gets in its place.
async fn given_up(world: &World, pod: &Pod) -> (KuryrPort, KuryrPort) {
    let deleting = |claim: &KuryrPort| claim.metadata.deletion_timestamp.is_some();
    let given_up = claim(world, pod, "the claim of a port that isn't there is given up", deleting).await;
    world.confirm(&given_up).await;
    (given_up, world.allocated(pod).await)
}

#[test]
fn a_port_that_goes_after_it_could_not_be_opened_is_replaced() {
    in_world(|mut world| async move {
        let (controller, _, spare) = closed(&mut world).await;
        let (pod, told) = refused(&world).await;
        let gone = spare.status.unwrap().port_id.unwrap();
        world.fake.delete_port(&gone);
        world.fake.heal();
        let (given_up, again) = given_up(&world, &pod).await;
        assert_eq!(given_up.uid(), told.uid());
        assert_ne!(again.status.as_ref().unwrap().interfaces[0].port_id, gone);
        controller.stop().await;
    });
}

#[test]
fn what_failed_for_one_pod_is_not_told_to_the_next() {
    in_world(|mut world| async move {
        let (controller, _, spare) = closed(&mut world).await;
        let (_, told) = refused(&world).await;
        end(&world, "second", &told).await;
        eventually("the free port says no more that its groups can't be set", || async {
            let port = world.pool_ports().get(&spare.name_any()).await.unwrap();
            let says = port.status?.conditions;
            (port.spec.claim_ref.is_none() && says.iter().all(|says| says.type_ != conditions::GROUPS_SET))
                .then_some(())
        })
        .await;
        controller.stop().await;
    });
}

#[test]
fn why_a_port_can_t_be_opened_is_told() {
    in_world(|mut world| async move {
        let (controller, _, spare) = closed(&mut world).await;
        let (pod, _) = refused(&world).await;
        let says = world.pool_ports().get(&spare.name_any()).await.unwrap().status.unwrap().conditions;
        assert!(conditions::is_true(&says, conditions::CREATED), "the port exists all the same");
        world.fake.heal();
        assert_eq!(pool_port(&world.allocated(&pod).await), spare.name_any());
        let says = world.pool_ports().get(&spare.name_any()).await.unwrap().status.unwrap().conditions;
        assert!(says.iter().all(|says| says.type_ != conditions::GROUPS_SET), "what is over is said no more");
        controller.stop().await;
    });
}

#[test]
fn a_port_that_went_in_neutron_before_its_pod_had_it_is_replaced() {
    in_world(|mut world| async move {
        let (controller, _, spare) = closed(&mut world).await;
        let gone = spare.status.unwrap().port_id.unwrap();
        world.fake.delete_port(&gone);
        let pod = world.create_pod("second", false).await;
        let (given_up, again) = given_up(&world, &pod).await;
        assert_ne!(again.uid(), given_up.uid());
        assert_ne!(again.status.as_ref().unwrap().interfaces[0].port_id, gone);
        eventually("the object of the port that is gone goes, too", || async {
            world.is_accounted_for(&world.own_pool_ports().await).then_some(())
        })
        .await;
        controller.stop().await;
    });
}
