//! Requests that fail, answers that are lost, quotas that are used up.

use super::super::harness::{World, eventually, eventually_so, in_world, in_worlds};
use super::fixture::{
    delete_policy, marked, only, only_the_common_groups, passes, pod, policy, port_of, programmed, relabel, running,
    says,
};
use http::Method;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kuryr_api::{KuryrPoolPort, KuryrPort};
use kuryr_controller::settings::Pools;
use kuryr_openstack_fake::{Effect, Fault};
use serde_json::json;

/// What goes wrong with every kind of write, once each.
#[derive(Debug, Clone, Copy)]
enum Wrong {
    Refused(u16),
    Lost,
    LostBefore,
    GatewayTimeout,
}

const WRONGS: [Wrong; 7] = [
    Wrong::Refused(409),
    Wrong::Refused(429),
    Wrong::Refused(500),
    Wrong::Refused(503),
    Wrong::Lost,
    Wrong::LostBefore,
    Wrong::GatewayTimeout,
];

const WRITES: [(Method, &str); 7] = [
    (Method::POST, "security-groups"),
    (Method::DELETE, "security-groups"),
    (Method::POST, "security-group-rules"),
    (Method::DELETE, "security-group-rules"),
    (Method::POST, "address-groups"),
    (Method::PUT, "address-groups"),
    (Method::DELETE, "address-groups"),
];

#[test]
fn one_failure_of_each_kind_of_write_is_got_over() {
    in_worlds(4, WRONGS.to_vec(), |world, wrong| async move {
        let world = world.with_policies();
        let effect = match wrong {
            Wrong::Refused(status) => Effect::Status(status, None),
            Wrong::Lost => Effect::LostAfterCommit,
            Wrong::LostBefore => Effect::LostBeforeCommit,
            Wrong::GatewayTimeout => Effect::StatusAfterCommit(504),
        };
        let faults: Vec<_> =
            WRITES.iter().map(|(method, kind)| Fault::new(effect.clone()).on(method.clone(), kind).once()).collect();
        faults.iter().for_each(|fault| world.fake.inject(fault));
        let controller = world.start();
        go(&world).await;
        let missed: Vec<_> =
            WRITES.iter().zip(&faults).filter(|(_, fault)| fault.hits() == 0).map(|(of, _)| of).collect();
        assert!(missed.is_empty(), "never sent: {missed:?}");
        controller.stop().await;
    });
}

/// A policy's way, in short.
async fn go(world: &World) {
    let (web, db, other) =
        (running(world, "web", "web").await, running(world, "db", "db").await, running(world, "other", "other").await);
    only(world, "db", "db", "web").await;
    passes(world, &[(&web, &db, true), (&other, &db, false)]).await;
    programmed(world, "db").await;
    relabel(world, "other", "web").await;
    passes(world, &[(&other, &db, true)]).await;
    only(world, "db", "db", "nobody").await;
    passes(world, &[(&web, &db, false), (&other, &db, false)]).await;
    delete_policy(world, "db").await;
    passes(world, &[(&web, &db, true), (&other, &db, true)]).await;
    only_the_common_groups(world, 1).await;
}

#[test]
fn a_quota_that_is_used_up_closes_and_is_told_and_other_pods_don_t_wait() {
    in_worlds(2, vec!["security_group", "security_group_rule"], |world, kind| async move {
        let world = world.with_policies();
        let controller = world.start();
        let (web, db) = (running(&world, "web", "web").await, running(&world, "db", "db").await);
        let sound = marked(&world).0.len();
        world.fake.set_quota_of(kind, if kind == "security_group" { i64::try_from(sound).unwrap() } else { 5 });
        only(&world, "db", "db", "web").await;
        says(&world, "db", "Programmed", "False", "QuotaExceeded").await;
        // What can't be had is closed, for those who run and for those who come.
        passes(&world, &[(&web, &db, false), (&db, &web, true)]).await;
        let late = running(&world, "late", "db").await;
        passes(&world, &[(&web, &late, false), (&late, &web, true)]).await;
        // Others don't wait for it.
        relabel(&world, "late", "web").await;
        passes(&world, &[(&db, &late, true)]).await;
        world.fake.set_quota_of(kind, -1);
        // Whoever changes the policy needn't wait until its time has come.
        only(&world, "db", "db", "late").await;
        relabel(&world, "late", "late").await;
        passes(&world, &[(&late, &db, true), (&web, &db, false)]).await;
        programmed(&world, "db").await;
        controller.stop().await;
    });
}

#[test]
fn a_neutron_that_fails_leaves_what_is_closed_closed() {
    in_world(|world| async move {
        let world = world.with_policies();
        let controller = world.start();
        let (web, db) = (running(&world, "web", "web").await, running(&world, "db", "db").await);
        policy(&world, "db", json!({ "podSelector": { "matchLabels": { "app": "db" } } })).await;
        passes(&world, &[(&web, &db, false)]).await;
        programmed(&world, "db").await;
        let broken = Fault::new(Effect::Status(503, None)).on(Method::POST, "security-group-rules");
        world.fake.inject(&broken);
        only(&world, "db", "db", "web").await;
        let told = says(&world, "db", "Programmed", "False", "CloudUnreachable").await;
        assert_eq!(told.observed_generation, Some(1), "the first one is in force");
        passes(&world, &[(&web, &db, false)]).await;
        world.fake.heal();
        passes(&world, &[(&web, &db, true)]).await;
        programmed(&world, "db").await;
        controller.stop().await;
    });
}

#[test]
fn an_address_group_that_can_t_be_made_closes_what_needs_it_and_nothing_else() {
    in_worlds(2, vec![400, 503], |world, status| async move {
        let world = world.with_policies();
        let controller = world.start();
        let (web, db) = (running(&world, "web", "web").await, running(&world, "db", "db").await);
        world.fake.inject(&Fault::new(Effect::Status(status, None)).on(Method::POST, "address-groups"));
        only(&world, "db", "db", "web").await;
        says(&world, "db", "Programmed", "False", if status == 400 { "Refused" } else { "CloudUnreachable" }).await;
        passes(&world, &[(&web, &db, false), (&db, &web, true)]).await;
        let late = running(&world, "late", "db").await;
        passes(&world, &[(&web, &late, false), (&late, &web, true)]).await;
        let asked = world.fake.count(&Method::POST, "address-groups");
        assert!(asked < 20, "asked {asked} times: it isn't asked for again and again");
        world.fake.heal();
        // Another selector is another group, and needn't wait for this one.
        only(&world, "db", "db", "peer").await;
        relabel(&world, "web", "peer").await;
        passes(&world, &[(&web, &db, true)]).await;
        programmed(&world, "db").await;
        controller.stop().await;
    });
}

#[test]
fn what_a_policy_no_longer_allows_is_closed_though_what_it_allows_now_can_t_be_had() {
    in_world(|world| async move {
        let world = world.with_policies();
        let controller = world.start();
        let (web, db) = (running(&world, "web", "web").await, running(&world, "db", "db").await);
        let at = |port: u16| json!({ "podSelector": { "matchLabels": { "app": "db" } }, "ingress": [{ "ports": [{ "port": port }] }] });
        policy(&world, "db", at(80)).await;
        programmed(&world, "db").await;
        passes(&world, &[(&web, &db, true)]).await;
        world.fake.set_quota_of("security_group_rule", 1);
        policy(&world, "db", at(443)).await;
        passes(&world, &[(&web, &db, false)]).await;
        says(&world, "db", "Programmed", "False", "QuotaExceeded").await;
        controller.stop().await;
    });
}

/// The pool port that a KuryrPort holds.
async fn held_by(world: &World, claim: &KuryrPort) -> Option<String> {
    let holds = |port: &KuryrPoolPort| port.spec.claim_ref.as_ref().is_some_and(|of| of.uid == claim.uid().unwrap());
    world.own_pool_ports().await.iter().find(|port| holds(port)).map(ResourceExt::name_any)
}

/// The pod that gets a port after another one: as many pods start as it takes, because a pool may have other free ports too.
async fn heir(world: &World, port: &str) -> Pod {
    for nth in 0..20 {
        let pod = pod(world, &format!("other-{nth}"), "other").await;
        let held =
            eventually("it holds a port", || async { held_by(world, &world.ports_of(&pod.uid()?).await.pop()?).await });
        if held.await == port {
            return pod;
        }
    }
    panic!("nobody gets {port}");
}

#[test]
fn a_pod_doesn_t_start_with_an_address_that_is_still_meant_for_another_one() {
    in_world(|mut world| async move {
        // More than there will ever be: no free port goes because there are too many.
        world.settings.pools = Pools { minimum: 0, maximum: 64, plugged: 0, cool_down_seconds: 0, ..Pools::default() };
        let world = world.with_policies();
        let controller = world.start();
        let (web, db) = (running(&world, "web", "web").await, running(&world, "db", "db").await);
        only(&world, "db", "db", "web").await;
        passes(&world, &[(&web, &db, true)]).await;
        programmed(&world, "db").await;
        let address = port_of(&world, &web).await.unwrap().addresses;
        let broken = Fault::new(Effect::Status(503, None)).on(Method::PUT, "address-groups");
        world.fake.inject(&broken);
        let claim = world.ports_of(&web.uid().unwrap()).await.pop().unwrap();
        let port = held_by(&world, &claim).await.unwrap();
        world.delete_pod("web").await;
        world.confirm(&claim).await;
        let other = heir(&world, &port).await;
        let hits = broken.hits();
        eventually_so("the address stays in", || async {
            if broken.hits() > hits { Ok(()) } else { Err(String::new()) }
        })
        .await;
        assert_eq!(port_of(&world, &other).await, None, "the pod hasn't been told of its port");
        world.fake.heal();
        world.allocated(&other).await;
        assert_eq!(port_of(&world, &other).await.unwrap().addresses, address);
        passes(&world, &[(&other, &db, false)]).await;
        controller.stop().await;
    });
}
