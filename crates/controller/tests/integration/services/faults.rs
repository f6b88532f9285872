//! Requests that fail, answers that are lost, an Octavia that can't be reached.

use super::super::harness::{World, eventually_so, in_world, in_worlds};
use super::fixture::{
    create, delete, endpoints, floating_ips, ingress, is_served, load_balancers, members, nothing_left, patch, says,
    served, vip_ports,
};
use http::Method;
use kuryr_api::conditions;
use kuryr_openstack_fake::{Effect, Fault, Service};
use serde_json::json;

/// What goes wrong with every kind of write, once each.
#[derive(Debug, Clone, Copy)]
enum Wrong {
    Refused(u16),
    Lost,
    LostBefore,
    GatewayTimeout,
    Expired,
}

const WRONGS: [Wrong; 8] = [
    Wrong::Refused(409),
    Wrong::Refused(429),
    Wrong::Refused(500),
    Wrong::Refused(503),
    Wrong::Lost,
    Wrong::LostBefore,
    Wrong::GatewayTimeout,
    Wrong::Expired,
];

const WRITES: [(Method, &str); 10] = [
    (Method::POST, "loadbalancers"),
    (Method::PUT, "members"),
    (Method::POST, "pools"),
    (Method::POST, "listeners"),
    (Method::DELETE, "listeners"),
    (Method::DELETE, "pools"),
    (Method::DELETE, "loadbalancers"),
    (Method::POST, "floatingips"),
    (Method::DELETE, "floatingips"),
    (Method::PUT, "floatingips"),
];

#[test]
fn one_failure_of_each_kind_of_write_is_got_over() {
    in_worlds(4, WRONGS.to_vec(), |world, wrong| async move {
        let world = world.with_services().await;
        let controller = world.start();
        let effect = match wrong {
            Wrong::Refused(status) => Effect::Status(status, None),
            Wrong::Lost => Effect::LostAfterCommit,
            Wrong::LostBefore => Effect::LostBeforeCommit,
            Wrong::GatewayTimeout => Effect::StatusAfterCommit(504),
            Wrong::Expired => Effect::Status(401, None),
        };
        let faults: Vec<_> =
            WRITES.iter().map(|(method, kind)| Fault::new(effect.clone()).on(method.clone(), kind).once()).collect();
        faults.iter().for_each(|fault| world.fake.inject_anywhere(fault));
        go(&world).await;
        let missed: Vec<_> =
            WRITES.iter().zip(&faults).filter(|(_, fault)| fault.hits() == 0).map(|(of, _)| of).collect();
        assert!(missed.iter().all(|(method, _)| *method == Method::PUT), "never sent: {missed:?}");
        controller.stop().await;
    });
}

/// A Service's way, in short.
async fn go(world: &World) {
    create(world, "web", json!({ "type": "LoadBalancer" })).await;
    endpoints(world, "web", &["10.244.0.11", "10.244.0.12"]).await;
    let one = served(world, "web", &["10.244.0.11:8080", "10.244.0.12:8080"]).await;
    eventually_so("it says its address", || async {
        let (has, says) = (floating_ips(world), ingress(world, "web").await);
        if has.len() == 1 && has == says { Ok(()) } else { Err(format!("{has:?} {says:?}")) }
    })
    .await;
    endpoints(world, "web", &["10.244.0.12", "10.244.0.13"]).await;
    served(world, "web", &["10.244.0.12:8080", "10.244.0.13:8080"]).await;
    patch(world, "web", json!({ "spec": { "ports": [{ "name": "http", "port": 81, "protocol": "TCP" }] } })).await;
    eventually_so("the other port is served in place", || async {
        let after = is_served(world, "web", &["10.244.0.12:8080", "10.244.0.13:8080"]).await?;
        let has = (&after.id, after.listeners[0].protocol_port);
        if has == (&one.id, 81) { Ok(()) } else { Err(format!("{has:?}")) }
    })
    .await;
    assert_eq!((load_balancers(world).len(), vip_ports(world).len()), (1, 1));
    patch(world, "web", json!({ "spec": { "type": "ClusterIP" } })).await;
    eventually_so("the floating IP is gone", || async {
        let (has, says) = (floating_ips(world), ingress(world, "web").await);
        if has.is_empty() && says.is_empty() { Ok(()) } else { Err(format!("{has:?} {says:?}")) }
    })
    .await;
    delete(world, "web").await;
    nothing_left(world).await;
}

#[test]
fn what_immutable_refuses_is_sent_again() {
    in_world(|world| async move {
        let world = world.with_services().await;
        let controller = world.start();
        create(&world, "web", json!({})).await;
        endpoints(&world, "web", &["10.244.0.11"]).await;
        let one = served(&world, "web", &["10.244.0.11:8080"]).await;
        // Somebody else has it change while Kuryr thinks that it is at rest.
        assert!(world.fake.octavia().stick(&one.id));
        endpoints(&world, "web", &["10.244.0.12"]).await;
        eventually_so("Octavia has refused", || async {
            let refused = world.fake.journal().iter().filter(|one| one.status == Some(409)).count();
            if refused > 0 { Ok(()) } else { Err(String::new()) }
        })
        .await;
        assert!(world.fake.octavia().unstick(&one.id));
        served(&world, "web", &["10.244.0.12:8080"]).await;
        delete(&world, "web").await;
        nothing_left(&world).await;
        controller.stop().await;
    });
}

#[test]
fn a_quota_that_is_used_up_is_told_and_the_service_is_served_when_it_is_raised() {
    in_worlds(4, vec!["loadbalancer", "listener", "pool", "member"], |world, kind| async move {
        let world = world.with_services().await;
        let controller = world.start();
        endpoints(&world, "web", &["10.244.0.11"]).await;
        world.fake.set_quota_of(kind, 0);
        create(&world, "web", json!({})).await;
        let says = says(&world, "web", conditions::READY, "False", "QuotaExceeded").await;
        assert!(says.message.contains("quota"), "{}", says.message);
        assert_eq!(load_balancers(&world).len(), 0);
        world.fake.set_quota_of(kind, -1);
        served(&world, "web", &["10.244.0.11:8080"]).await;
        assert_eq!(vip_ports(&world).len(), 1, "{:?}", vip_ports(&world));
        delete(&world, "web").await;
        nothing_left(&world).await;
        controller.stop().await;
    });
}

#[test]
fn a_quota_of_floating_ips_that_is_used_up_is_told_and_one_is_had_when_it_is_raised() {
    in_world(|world| async move {
        let world = world.with_services().await;
        let controller = world.start();
        endpoints(&world, "web", &["10.244.0.11"]).await;
        world.fake.set_quota_of("floatingip", 0);
        create(&world, "web", json!({ "type": "LoadBalancer" })).await;
        says(&world, "web", conditions::READY, "False", "QuotaExceeded").await;
        assert_eq!(load_balancers(&world).len(), 1, "served within the cluster");
        says(&world, "web", conditions::PROVISIONED, "True", "AsDesired").await;
        // Endpoints don't wait for it.
        endpoints(&world, "web", &["10.244.0.12"]).await;
        eventually_so("the endpoints are followed", || async {
            let has = members(&load_balancers(&world)[0]);
            if has == ["10.244.0.12:8080"] { Ok(()) } else { Err(format!("{has:?}")) }
        })
        .await;
        assert_eq!(floating_ips(&world), [""; 0], "it isn't there still");
        world.fake.set_quota_of("floatingip", -1);
        served(&world, "web", &["10.244.0.12:8080"]).await;
        eventually_so("the Service says its floating IP", || async {
            let (said, has) = (ingress(&world, "web").await, floating_ips(&world));
            if said == has && !has.is_empty() { Ok(()) } else { Err(format!("{said:?} {has:?}")) }
        })
        .await;
        delete(&world, "web").await;
        nothing_left(&world).await;
        controller.stop().await;
    });
}

#[test]
fn pods_get_ports_while_octavia_is_away_and_services_are_served_when_it_comes() {
    in_world(|world| async move {
        let world = world.with_services().await;
        world.fake.shut(Service::LoadBalancer).await;
        let controller = world.start();
        create(&world, "web", json!({ "type": "LoadBalancer" })).await;
        endpoints(&world, "web", &["10.244.0.11"]).await;
        world.allocated(&world.create_pod("pod", false).await).await;
        world.fake.open(Service::LoadBalancer);
        served(&world, "web", &["10.244.0.11:8080"]).await;
        // Now it goes in the middle of its life.
        world.fake.shut(Service::LoadBalancer).await;
        endpoints(&world, "web", &["10.244.0.12"]).await;
        create(&world, "other", json!({})).await;
        says(&world, "other", conditions::READY, "False", "CloudUnreachable").await;
        world.allocated(&world.create_pod("pod2", false).await).await;
        delete(&world, "other").await;
        world.fake.open(Service::LoadBalancer);
        served(&world, "web", &["10.244.0.12:8080"]).await;
        delete(&world, "web").await;
        nothing_left(&world).await;
        controller.stop().await;
    });
}

#[test]
fn tokens_that_end_in_between_do_no_harm() {
    in_world(|world| async move {
        let world = world.with_services().await;
        let controller = world.start();
        create(&world, "web", json!({ "type": "LoadBalancer" })).await;
        endpoints(&world, "web", &["10.244.0.11"]).await;
        served(&world, "web", &["10.244.0.11:8080"]).await;
        world.fake.expire_tokens();
        endpoints(&world, "web", &["10.244.0.12"]).await;
        served(&world, "web", &["10.244.0.12:8080"]).await;
        world.fake.expire_tokens();
        delete(&world, "web").await;
        nothing_left(&world).await;
        controller.stop().await;
    });
}

/// A subnet of the configuration is gone: nobody new is served, but what is deleted goes.
#[test]
fn a_service_goes_where_the_configuration_is_wrong() {
    in_world(|world| async move {
        let mut world = world.with_services().await;
        let controller = world.start();
        create(&world, "web", json!({ "type": "LoadBalancer" })).await;
        endpoints(&world, "web", &["10.244.0.11"]).await;
        served(&world, "web", &["10.244.0.11:8080"]).await;
        controller.stop().await;
        world.settings.services.subnets = vec!["nobody-has-it".to_owned()];
        let controller = world.start();
        delete(&world, "web").await;
        nothing_left(&world).await;
        controller.stop().await;
    });
}
