//! What others break is repaired, by the audit, in place where that can be: the address stays.

use super::super::harness::{World, eventually_so, in_world, in_worlds};
use super::fixture::{
    create, delete, endpoints, load_balancers, members, nothing_left, object, objects, only_parts_left, patch, says,
    served, states,
};
use kube::api::{DeleteParams, Patch, PatchParams};
use kuryr_api::conditions;
use kuryr_openstack_fake::LoadBalancerView;
use serde_json::json;

/// What others do to a load balancer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Harm {
    DeleteLoadBalancer,
    DeleteListener,
    DeletePool,
    DeleteMember,
    DeleteAllMembers,
    MoveMember,
    WeighMember,
    RenameListener,
    DisableListener,
    DisableAll,
    ForeignPool,
    FailAll,
    FailListener,
    FailPool,
    FailMember,
    FailEverything,
}

const HARMS: [Harm; 15] = [
    Harm::DeleteLoadBalancer,
    Harm::DeleteListener,
    Harm::DeletePool,
    Harm::DeleteMember,
    Harm::DeleteAllMembers,
    Harm::WeighMember,
    Harm::MoveMember,
    Harm::RenameListener,
    Harm::DisableListener,
    Harm::DisableAll,
    Harm::ForeignPool,
    Harm::FailAll,
    Harm::FailListener,
    Harm::FailPool,
    Harm::FailMember,
];

fn harm(world: &World, harm: Harm, one: &LoadBalancerView) {
    let octavia = world.fake.octavia();
    let (listener, pool) = (&one.listeners[0].id, &one.pools[0].id);
    let member = &one.pools[0].members[0].id;
    let done = match harm {
        Harm::DeleteLoadBalancer => octavia.delete_behind(&one.id),
        Harm::DeleteListener => octavia.delete_behind(listener),
        Harm::DeletePool => {
            octavia.alter_behind(listener, "default_pool_id", json!(null)) && octavia.delete_behind(pool)
        }
        Harm::DeleteMember => octavia.delete_behind(member),
        Harm::DeleteAllMembers => one.pools[0].members.iter().all(|member| octavia.delete_behind(&member.id)),
        Harm::MoveMember => octavia.alter_behind(member, "protocol_port", 9999),
        Harm::WeighMember => octavia.alter_behind(member, "weight", 7),
        Harm::RenameListener => octavia.alter_behind(listener, "name", "mine"),
        Harm::DisableListener => octavia.alter_behind(listener, "admin_state_up", false),
        Harm::DisableAll => octavia.alter_behind(&one.id, "admin_state_up", false),
        Harm::ForeignPool => octavia.alter_behind(pool, "lb_algorithm", "ROUND_ROBIN"),
        Harm::FailAll => octavia.fail(&one.id),
        Harm::FailListener => octavia.fail(listener),
        Harm::FailPool => octavia.fail(pool),
        Harm::FailMember => octavia.fail(member),
        Harm::FailEverything => [&one.id, listener, pool, member].into_iter().all(|id| octavia.fail(id)),
    };
    assert!(done, "{harm:?}");
}

/// What a user would see of it, without identifiers.
fn seen(one: &LoadBalancerView) -> String {
    let listeners: Vec<_> = one
        .listeners
        .iter()
        .map(|l| (&l.name, l.admin_state_up, &l.protocol, l.protocol_port, l.default_pool_id.is_some()))
        .collect();
    let pools: Vec<_> = one
        .pools
        .iter()
        .map(|pool| {
            let members: Vec<_> = pool.members.iter().map(|one| (one.weight, one.admin_state_up)).collect();
            (&pool.name, pool.admin_state_up, &pool.lb_algorithm, members)
        })
        .collect();
    format!("{} {} {:?} {:?} {:?}", one.vip_address, one.admin_state_up, listeners, pools, members(one))
}

#[test]
fn what_others_break_is_repaired_and_the_address_stays() {
    let harms = [&HARMS[..], &[Harm::FailEverything]].concat();
    in_worlds(4, harms, |world, what| async move {
        let mut world = world.with_services().await;
        world.settings.services.audit_seconds = 1;
        let controller = world.start();
        let ports = json!([
            { "name": "http", "port": 80, "protocol": "TCP" }, { "name": "other", "port": 82, "protocol": "TCP" },
        ]);
        create(&world, "web", json!({ "type": "LoadBalancer", "ports": ports })).await;
        endpoints(&world, "web", &["10.244.0.11", "10.244.0.12"]).await;
        let wanted = ["10.244.0.11:8080", "10.244.0.12:8080"];
        let one = served(&world, "web", &wanted).await;
        let before = seen(&one);
        harm(&world, what, &one);
        eventually_so(&format!("{what:?} is repaired"), || async {
            let now = load_balancers(&world).pop().ok_or("none")?;
            let well = states(&now).iter().all(|state| state == "Active") && seen(&now) == before;
            if well { Ok(()) } else { Err(format!("{} {:?}", seen(&now), states(&now))) }
        })
        .await;
        let after = served(&world, "web", &wanted).await;
        let rebuilt = [Harm::DeleteLoadBalancer, Harm::FailAll, Harm::FailEverything].contains(&what);
        assert!(rebuilt || after.id == one.id, "{what:?}: in place where that can be");
        assert_eq!(after.vip_address, one.vip_address);
        delete(&world, "web").await;
        nothing_left(&world).await;
        controller.stop().await;
    });
}

#[test]
fn a_change_that_waits_for_a_stuck_load_balancer_is_made_when_it_is_free() {
    super::super::harness::in_world(|world| async move {
        let mut world = world.with_services().await;
        (world.settings.services.audit_seconds, world.settings.services.pending_seconds) = (1, 6);
        let controller = world.start();
        create(&world, "web", json!({})).await;
        endpoints(&world, "web", &["10.244.0.11"]).await;
        let one = served(&world, "web", &["10.244.0.11:8080"]).await;
        assert!(world.fake.octavia().stick(&one.id));
        endpoints(&world, "web", &["10.244.0.12"]).await;
        says(&world, "web", conditions::PROGRAMMED, "False", "OctaviaStuck").await;
        assert_eq!(members(&load_balancers(&world)[0]), ["10.244.0.11:8080"]);
        // It can't even be deleted, and doesn't hinder others.
        create(&world, "other", json!({})).await;
        endpoints(&world, "other", &["10.244.0.21"]).await;
        served(&world, "other", &["10.244.0.21:8080"]).await;
        assert!(world.fake.octavia().unstick(&one.id));
        let after = served(&world, "web", &["10.244.0.12:8080"]).await;
        assert_eq!(after.id, one.id);
        assert!(world.fake.octavia().stick(&one.id));
        delete(&world, "web").await;
        delete(&world, "other").await;
        eventually_so("only the stuck one is left", || async {
            let all = load_balancers(&world);
            if all.len() == 1 && all[0].id == one.id { Ok(()) } else { Err(format!("{}", all.len())) }
        })
        .await;
        assert!(world.fake.octavia().unstick(&one.id));
        nothing_left(&world).await;
        controller.stop().await;
    });
}

#[test]
fn what_fails_at_every_change_for_a_while_is_repaired_in_the_end() {
    in_worlds(4, vec![1, 2, 4, 6], |world, failures| async move {
        let mut world = world.with_services().await;
        // What OVN's provider is told to delete twice comes back in ERROR when it is gone: only the audit sees it.
        world.settings.services.audit_seconds = 1;
        let controller = world.start();
        world.fake.octavia().fail_next(failures);
        create(&world, "web", json!({ "type": "LoadBalancer" })).await;
        endpoints(&world, "web", &["10.244.0.11", "10.244.0.12"]).await;
        let one = served(&world, "web", &["10.244.0.11:8080", "10.244.0.12:8080"]).await;
        world.fake.octavia().fail_next(failures);
        endpoints(&world, "web", &["10.244.0.12", "10.244.0.13"]).await;
        let after = served(&world, "web", &["10.244.0.12:8080", "10.244.0.13:8080"]).await;
        assert_eq!(after.vip_address, one.vip_address);
        delete(&world, "web").await;
        // A listener and a pool of the first one that failed, however often it fails.
        only_parts_left(&world, 2).await;
        controller.stop().await;
    });
}

/// OVN's provider never says that the listener is done after a change of its pool's monitor.
#[test]
fn a_changed_monitor_holds_nothing_up() {
    in_world(|world| async move {
        let mut world = world.with_services().await;
        world.settings.services.health_monitor = true;
        let controller = world.start();
        create(&world, "web", json!({})).await;
        endpoints(&world, "web", &["10.244.0.11"]).await;
        served(&world, "web", &["10.244.0.11:8080"]).await;
        let slower =
            json!({ "metadata": { "annotations": { "loadbalancer.openstack.org/health-monitor-delay": "17" } } });
        patch(&world, "web", slower).await;
        eventually_so("the monitor looks less often", || async {
            let one = load_balancers(&world).remove(0);
            let delay = one.pools[0].health_monitor.as_ref().map(|monitor| monitor.delay);
            if delay == Some(17) { Ok(()) } else { Err(format!("{delay:?}")) }
        })
        .await;
        endpoints(&world, "web", &["10.244.0.12"]).await;
        served(&world, "web", &["10.244.0.12:8080"]).await;
        delete(&world, "web").await;
        nothing_left(&world).await;
        controller.stop().await;
    });
}

/// Somebody has taken the finalizer off by hand while no controller ran.
#[test]
fn what_has_lost_its_object_goes_and_the_rest_stays() {
    in_world(|world| async move {
        let mut world = world.with_services().await;
        world.settings.services.audit_seconds = 1;
        let controller = world.start();
        for name in ["lost", "kept"] {
            create(&world, name, json!({})).await;
            endpoints(&world, name, &["10.244.0.11"]).await;
        }
        let lost = served(&world, "lost", &["10.244.0.11:8080"]).await;
        let kept = served(&world, "kept", &["10.244.0.11:8080"]).await;
        controller.stop().await;
        let name = object(&world, "lost").await.unwrap().metadata.name.unwrap();
        let bare = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
        objects(&world).patch(&name, &PatchParams::default(), &bare).await.unwrap();
        delete(&world, "lost").await;
        objects(&world).delete(&name, &DeleteParams::default()).await.unwrap();
        let controller = world.start();
        eventually_so("only what is wanted is there", || async {
            let all: Vec<_> = load_balancers(&world).into_iter().map(|one| one.id).collect();
            if all == [kept.id.clone()] { Ok(()) } else { Err(format!("{all:?} beside {}", lost.id)) }
        })
        .await;
        delete(&world, "kept").await;
        nothing_left(&world).await;
        controller.stop().await;
    });
}
