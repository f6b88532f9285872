//! Floating IPs: whose they are, and what is left of them.

use super::super::harness::{World, eventually_so, in_world, in_worlds};
use super::fixture::{
    create, create_with, delete, endpoints, floating_ips, ingress, nothing_left, nothing_left_but, object, patch, says,
    served, status,
};
use http::Method;
use kuryr_api::{FloatingIpOrigin, conditions};
use kuryr_openstack::{
    Cloud, Metrics,
    neutron::{FloatingIp, FloatingIpId, FloatingIpQuery, NetworkQuery, Neutron, NewFloatingIp, PortId},
};
use kuryr_openstack_fake::{Effect, Fault as Injected};
use prometheus_client::registry::Registry;
use serde_json::json;

/// Neutron as a person with Kuryr's login sees it.
fn neutron(world: &World) -> Neutron {
    Cloud::new(world.cloud.clone(), world.openstack.clone(), Metrics::register(&mut Registry::default()))
        .unwrap()
        .neutron()
}

/// A floating IP that a person has made.
async fn made(world: &World, port: Option<PortId>) -> FloatingIp {
    let by_name = NetworkQuery { names: vec!["ext".to_owned()], ..NetworkQuery::default() };
    let network = neutron(world).list_networks(&by_name).await.unwrap().remove(0);
    let new = NewFloatingIp { description: Some("mine".to_owned()), port_id: port, ..NewFloatingIp::of(network.id) };
    neutron(world).create_floating_ip(&new).await.unwrap()
}

async fn found(world: &World, id: &FloatingIpId) -> FloatingIp {
    let by_id = FloatingIpQuery { ids: vec![id.clone()], ..FloatingIpQuery::default() };
    neutron(world).list_floating_ips(&by_id).await.unwrap().remove(0)
}

/// Waits until the Service says this address alone.
async fn reached_at(world: &World, name: &str, address: &[String]) {
    eventually_so(&format!("{name} says {address:?}"), || async {
        let says = ingress(world, name).await;
        if says == address { Ok(()) } else { Err(format!("{says:?}")) }
    })
    .await;
}

#[test]
fn one_that_a_service_asks_for_is_adopted_and_left() {
    in_world(|world| async move {
        let world = world.with_services().await;
        let controller = world.start();
        let mine = made(&world, None).await;
        let address = mine.floating_ip_address.unwrap().to_string();
        create(&world, "web", json!({ "type": "LoadBalancer", "loadBalancerIP": address })).await;
        endpoints(&world, "web", &["10.244.0.11"]).await;
        let one = served(&world, "web", &["10.244.0.11:8080"]).await;
        reached_at(&world, "web", std::slice::from_ref(&address)).await;
        let adopted = found(&world, &mine.id).await;
        assert_eq!(adopted.port_id.as_ref().map(|id| id.as_str()), Some(one.vip_port_id.as_str()));
        assert_eq!((floating_ips(&world).len(), &*adopted.description), (1, "mine"));
        let origin = status(&world, "web").await.unwrap().floating_ip.unwrap().origin;
        assert_eq!(origin, FloatingIpOrigin::Adopted);
        // Without the wish it has another one; with it again the first.
        patch(&world, "web", json!({ "spec": { "loadBalancerIP": null } })).await;
        eventually_so("it has one of its own", || async {
            let says = ingress(&world, "web").await;
            if says.len() == 1 && says[0] != address { Ok(()) } else { Err(format!("{says:?}")) }
        })
        .await;
        assert_eq!(found(&world, &mine.id).await.port_id, None);
        patch(&world, "web", json!({ "spec": { "loadBalancerIP": address } })).await;
        reached_at(&world, "web", std::slice::from_ref(&address)).await;
        eventually_so("its own is gone", || async {
            let all = floating_ips(&world);
            if all == [address.clone()] { Ok(()) } else { Err(format!("{all:?}")) }
        })
        .await;
        delete(&world, "web").await;
        nothing_left_but(&world, std::slice::from_ref(&address)).await;
        let left = found(&world, &mine.id).await;
        assert_eq!((left.port_id, &*left.description), (None, "mine"));
        controller.stop().await;
    });
}

#[test]
fn one_that_is_to_be_kept_stays_and_can_be_asked_for_again() {
    in_world(|world| async move {
        let world = world.with_services().await;
        let controller = world.start();
        let keep = json!({ "loadbalancer.openstack.org/keep-floatingip": "true" });
        create_with(&world, "web", keep, json!({ "type": "LoadBalancer" })).await;
        endpoints(&world, "web", &["10.244.0.11"]).await;
        served(&world, "web", &["10.244.0.11:8080"]).await;
        let kept = floating_ips(&world);
        reached_at(&world, "web", &kept).await;
        delete(&world, "web").await;
        nothing_left_but(&world, &kept).await;
        create(&world, "web", json!({ "type": "LoadBalancer", "loadBalancerIP": kept[0] })).await;
        served(&world, "web", &["10.244.0.11:8080"]).await;
        reached_at(&world, "web", &kept).await;
        delete(&world, "web").await;
        nothing_left_but(&world, &kept).await;
        controller.stop().await;
    });
}

/// The wish comes last, and is heard although Octavia was never at rest between it and the end.
#[test]
fn one_that_is_to_be_kept_stays_however_late_that_is_said() {
    in_world(|world| async move {
        let world = world.with_services().await;
        let controller = world.start();
        create(&world, "web", json!({ "type": "LoadBalancer" })).await;
        endpoints(&world, "web", &["10.244.0.11"]).await;
        let one = served(&world, "web", &["10.244.0.11:8080"]).await;
        let kept = floating_ips(&world);
        world.fake.octavia().stick(&one.id);
        endpoints(&world, "web", &["10.244.0.12"]).await;
        let keep = json!({ "metadata": { "annotations": { "loadbalancer.openstack.org/keep-floatingip": "true" } } });
        patch(&world, "web", keep).await;
        eventually_so("the object has heard of it", || async {
            let asked = object(&world, "web").await.and_then(|object| object.spec.load_balancer.external?.floating_ip);
            if asked.is_some_and(|asked| asked.keep) { Ok(()) } else { Err(String::new()) }
        })
        .await;
        delete(&world, "web").await;
        world.fake.octavia().unstick(&one.id);
        nothing_left_but(&world, &kept).await;
        controller.stop().await;
    });
}

/// Who may not be reached from outside any more is out of reach at once, whatever Octavia does.
#[test]
fn one_that_is_no_longer_wanted_goes_though_octavia_is_at_work() {
    in_world(|world| async move {
        let world = world.with_services().await;
        let controller = world.start();
        create(&world, "web", json!({ "type": "LoadBalancer" })).await;
        endpoints(&world, "web", &["10.244.0.11"]).await;
        let one = served(&world, "web", &["10.244.0.11:8080"]).await;
        reached_at(&world, "web", &floating_ips(&world)).await;
        world.fake.octavia().stick(&one.id);
        endpoints(&world, "web", &["10.244.0.12"]).await;
        let internal = "service.beta.kubernetes.io/openstack-internal-load-balancer";
        patch(&world, "web", json!({ "metadata": { "annotations": { internal: "true" } } })).await;
        eventually_so("there is no floating IP", || async {
            let all = floating_ips(&world);
            if all.is_empty() { Ok(()) } else { Err(format!("{all:?}")) }
        })
        .await;
        world.fake.octavia().unstick(&one.id);
        served(&world, "web", &["10.244.0.12:8080"]).await;
        delete(&world, "web").await;
        nothing_left(&world).await;
        controller.stop().await;
    });
}

/// IPv6 comes first: with OVN the IPv4 address has a port of its own, which a floating IP has to stand for.
#[test]
fn of_two_families_the_one_for_ipv4_is_had_whichever_comes_first() {
    in_world(|world| async move {
        let world = world.with_services().await;
        let controller = world.start();
        let spec = json!({
            "type": "LoadBalancer", "ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv6", "IPv4"],
        });
        create(&world, "web", spec).await;
        endpoints(&world, "web", &["10.244.0.11"]).await;
        let one = served(&world, "web", &["10.244.0.11:8080"]).await;
        let has = floating_ips(&world);
        assert_eq!((one.vip_address.contains(':'), has.len()), (true, 1));
        reached_at(&world, "web", &[vec![one.vip_address.clone()], has].concat()).await;
        delete(&world, "web").await;
        nothing_left(&world).await;
        controller.stop().await;
    });
}

#[test]
fn one_of_somebody_elses_is_not_taken() {
    in_world(|world| async move {
        let world = world.with_services().await;
        let controller = world.start();
        let pod = world.allocated(&world.create_pod("pod", false).await).await;
        let port = PortId::from(pod.status.unwrap().interfaces[0].port_id.as_str());
        let mine = made(&world, Some(port.clone())).await;
        let address = mine.floating_ip_address.unwrap().to_string();
        create(&world, "web", json!({ "type": "LoadBalancer", "loadBalancerIP": address })).await;
        endpoints(&world, "web", &["10.244.0.11"]).await;
        let says = says(&world, "web", conditions::READY, "False", "NoFloatingIp").await;
        assert!(says.message.contains(&address), "{}", says.message);
        assert_eq!(found(&world, &mine.id).await.port_id, Some(port));
        assert_eq!(ingress(&world, "web").await, [""; 0]);
        delete(&world, "web").await;
        nothing_left_but(&world, &[address]).await;
        controller.stop().await;
    });
}

/// The answer to its creation is lost, and nobody wants it any more: no status says that there is one. Either the controller remembers that it
/// has asked for it, or another one looks at all that there are.
#[test]
fn one_that_nobody_knows_of_is_not_left() {
    in_worlds(4, vec![(true, true), (true, false), (false, true), (false, false)], |world, (dies, goes)| async move {
        let mut world = world.with_services().await;
        world.settings.services.audit_seconds = if dies { 1 } else { 300 };
        let controller = world.start();
        let lost = Injected::new(Effect::StatusAfterCommit(504)).on(Method::POST, "floatingips").once();
        world.fake.inject_anywhere(&lost);
        // When it is made, no look at it succeeds.
        let made = lost.clone();
        let blind = Injected::new(Effect::Status(503, None)).on(Method::GET, "floatingips");
        let blind = blind.when(move |_| made.hits() > 0);
        world.fake.inject_anywhere(&blind);
        create(&world, "web", json!({ "type": "LoadBalancer" })).await;
        endpoints(&world, "web", &["10.244.0.11"]).await;
        eventually_so("it was looked for in vain", || async {
            if lost.hits() == 1 && blind.hits() > 0 { Ok(()) } else { Err(String::new()) }
        })
        .await;
        assert_eq!(floating_ips(&world).len(), 1);
        let survivor = if dies {
            controller.kill().await;
            None
        } else {
            Some(controller)
        };
        patch(&world, "web", json!({ "spec": { "type": "ClusterIP" } })).await;
        let controller = if let Some(controller) = survivor {
            eventually_so("nobody wants it", || async {
                let spec = object(&world, "web").await.ok_or("no object")?.spec.load_balancer;
                spec.external.map_or(Ok(()), |external| Err(format!("{external:?}")))
            })
            .await;
            world.fake.heal();
            controller
        } else {
            world.fake.heal();
            world.start()
        };
        if goes {
            delete(&world, "web").await;
        } else {
            served(&world, "web", &["10.244.0.11:8080"]).await;
            eventually_so("it is gone", || async {
                let all = floating_ips(&world);
                if all.is_empty() { Ok(()) } else { Err(format!("{all:?}")) }
            })
            .await;
            delete(&world, "web").await;
        }
        nothing_left(&world).await;
        controller.stop().await;
    });
}
