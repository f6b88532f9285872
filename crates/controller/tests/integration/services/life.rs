//! The life of a Service.

use super::super::harness::{eventually_so, in_world};
use super::fixture::{
    create, create_with, delete, endpoints, event, floating_ips, ingress, load_balancers, nothing_left, object, patch,
    says, served, services, slice, slices, status,
};
use kube::api::{DeleteParams, Patch, PatchParams};
use kuryr_api::conditions;
use serde_json::json;
use std::time::{Duration, Instant};

#[test]
fn a_service_is_served_follows_its_endpoints_and_goes() {
    in_world(|world| async move {
        let world = world.with_services().await;
        let controller = world.start();
        let service = create(&world, "web", json!({})).await;
        endpoints(&world, "web", &["10.244.0.11", "10.244.0.12"]).await;
        let one = served(&world, "web", &["10.244.0.11:8080", "10.244.0.12:8080"]).await;
        assert_eq!(Some(&one.vip_address), service.spec.unwrap().cluster_ip.as_ref());
        assert_eq!(one.provider, "ovn");
        endpoints(&world, "web", &["10.244.0.12", "10.244.0.13"]).await;
        let after = served(&world, "web", &["10.244.0.12:8080", "10.244.0.13:8080"]).await;
        assert_eq!(after.id, one.id, "changed in place");
        let ports = json!({ "spec": { "ports": [
            { "name": "http", "port": 81, "protocol": "TCP" }, { "name": "dns", "port": 53, "protocol": "UDP" },
        ] } });
        patch(&world, "web", ports).await;
        eventually_so("the other ports are there", || async {
            let one = load_balancers(&world).pop().ok_or("none")?;
            let ports: Vec<_> =
                one.listeners.iter().map(|listener| (listener.protocol.clone(), listener.protocol_port)).collect();
            let wanted = [("UDP".to_owned(), 53), ("TCP".to_owned(), 81)];
            if ports == wanted && one.id == after.id { Ok(()) } else { Err(format!("{ports:?}")) }
        })
        .await;
        delete(&world, "web").await;
        nothing_left(&world).await;
        controller.stop().await;
    });
}

#[test]
fn a_service_of_type_load_balancer_has_a_floating_ip_while_it_is_one() {
    in_world(|world| async move {
        let world = world.with_services().await;
        let controller = world.start();
        create(&world, "web", json!({ "type": "LoadBalancer" })).await;
        endpoints(&world, "web", &["10.244.0.11"]).await;
        served(&world, "web", &["10.244.0.11:8080"]).await;
        let ingress = || async {
            let status = services(&world).get("web").await.unwrap().status?.load_balancer?;
            status.ingress?.pop()?.ip
        };
        let address =
            eventually_so("the Service says its address", || async { ingress().await.ok_or_else(String::new) }).await;
        let object = object(&world, "web").await.unwrap();
        let floating_ip = object.status.unwrap().floating_ip.unwrap();
        assert_eq!(floating_ip.address.to_string(), address);
        let kind = json!({ "spec": { "type": "ClusterIP" } });
        patch(&world, "web", kind).await;
        eventually_so("the Service says none", || async { ingress().await.map_or(Ok(()), Err) }).await;
        eventually_so("there is no floating IP", || async {
            let status = super::fixture::object(&world, "web").await.ok_or("none")?.status.unwrap_or_default();
            status.floating_ip.map_or(Ok(()), |has| Err(format!("{has:?}")))
        })
        .await;
        delete(&world, "web").await;
        nothing_left(&world).await;
        controller.stop().await;
    });
}

#[test]
fn what_has_no_cluster_ip_gets_nothing() {
    in_world(|world| async move {
        let world = world.with_services().await;
        let controller = world.start();
        create(&world, "headless", json!({ "clusterIP": "None" })).await;
        endpoints(&world, "headless", &["10.244.0.11"]).await;
        create(&world, "name", json!({ "type": "ExternalName", "externalName": "example.org" })).await;
        // What is served later was looked at later.
        create(&world, "web", json!({})).await;
        endpoints(&world, "web", &["10.244.0.12"]).await;
        served(&world, "web", &["10.244.0.12:8080"]).await;
        assert_eq!(world.fake.octavia().all().len(), 1);
        assert!(object(&world, "headless").await.is_none() && object(&world, "name").await.is_none());
        // One that becomes a name has none any more.
        let named = json!({ "spec": { "type": "ExternalName", "externalName": "example.org", "clusterIP": null, "clusterIPs": null } });
        patch(&world, "web", named).await;
        nothing_left(&world).await;
        controller.stop().await;
    });
}

#[test]
fn what_ovn_cannot_restrict_is_not_reached_from_outside() {
    in_world(|world| async move {
        let world = world.with_services().await;
        let controller = world.start();
        let ranges = json!({ "type": "LoadBalancer", "loadBalancerSourceRanges": ["192.0.2.0/24"] });
        create(&world, "web", ranges).await;
        endpoints(&world, "web", &["10.244.0.11"]).await;
        says(&world, "web", conditions::ACCEPTED, "False", "NotExposed").await;
        served(&world, "web", &["10.244.0.11:8080"]).await;
        assert_eq!((floating_ips(&world), ingress(&world, "web").await), (vec![], vec![]));
        event(&world, "web", "NotExposed", "").await;
        // Without the wish it is, and with it again it no longer is.
        patch(&world, "web", json!({ "spec": { "loadBalancerSourceRanges": null } })).await;
        eventually_so("it is reached", || async {
            let (has, says) = (floating_ips(&world), ingress(&world, "web").await);
            if has.len() == 1 && has == says { Ok(()) } else { Err(format!("{has:?} {says:?}")) }
        })
        .await;
        patch(&world, "web", json!({ "spec": { "loadBalancerSourceRanges": ["192.0.2.0/24"] } })).await;
        eventually_so("it isn't reached", || async {
            let (has, says) = (floating_ips(&world), ingress(&world, "web").await);
            if has.is_empty() && says.is_empty() { Ok(()) } else { Err(format!("{has:?} {says:?}")) }
        })
        .await;
        delete(&world, "web").await;
        nothing_left(&world).await;
        controller.stop().await;
    });
}

#[test]
fn what_cannot_be_had_and_what_is_wrong_is_told() {
    in_world(|world| async move {
        let world = world.with_services().await;
        let controller = world.start();
        let annotations = json!({
            "loadbalancer.openstack.org/connection-limit": "many",
            "loadbalancer.openstack.org/x-forwarded-for": "true",
        });
        create_with(&world, "web", annotations, json!({})).await;
        endpoints(&world, "web", &["10.244.0.11"]).await;
        served(&world, "web", &["10.244.0.11:8080"]).await;
        event(&world, "web", "Invalid", "connection-limit").await;
        says(&world, "web", conditions::ACCEPTED, "False", "OptionIgnored").await;
        delete(&world, "web").await;
        nothing_left(&world).await;
        controller.stop().await;
    });
}

#[test]
fn one_that_is_made_again_under_its_name_and_address_is_served() {
    in_world(|world| async move {
        let world = world.with_services().await;
        let controller = world.start();
        let first = create(&world, "web", json!({})).await;
        endpoints(&world, "web", &["10.244.0.11"]).await;
        let before = served(&world, "web", &["10.244.0.11:8080"]).await;
        delete(&world, "web").await;
        let address = first.spec.unwrap().cluster_ip.unwrap();
        create(&world, "web", json!({ "clusterIP": address })).await;
        let after = served(&world, "web", &["10.244.0.11:8080"]).await;
        assert_eq!((&before.vip_address, &after.vip_address), (&address, &address));
        assert_ne!(before.id, after.id);
        delete(&world, "web").await;
        nothing_left(&world).await;
        controller.stop().await;
    });
}

/// Kubernetes puts 100 into each slice, people up to 1,000; and the same endpoint may be in two while it moves from one to the other.
#[test]
fn more_than_a_thousand_endpoints_of_several_slices_are_members() {
    const SLICES: usize = 3;
    const EACH: usize = 400;
    in_world(|world| async move {
        let world = world.with_services().await;
        let controller = world.start();
        create(&world, "web", json!({})).await;
        let address = |nth: usize| format!("10.244.{}.{}", 16 + nth / 200, 1 + nth % 200);
        for part in 0..SLICES {
            // Each but the first begins with the last of the one before.
            let addresses: Vec<_> = ((part * EACH).saturating_sub(1)..(part + 1) * EACH).map(address).collect();
            let addresses: Vec<_> = addresses.iter().map(String::as_str).collect();
            slice(&world, &format!("web-{part}"), "web", &addresses).await;
        }
        let has_all = async |wanted: std::ops::Range<usize>| {
            let mut all: Vec<_> = wanted.map(|nth| format!("{}:8080", address(nth))).collect();
            all.sort();
            let all: Vec<_> = all.iter().map(String::as_str).collect();
            served(&world, "web", &all).await
        };
        let one = has_all(0..SLICES * EACH).await;
        assert_eq!(status(&world, "web").await.unwrap().members, Some(1200));
        slices(&world).delete("web-2", &DeleteParams::default()).await.unwrap();
        assert_eq!(has_all(0..2 * EACH).await.id, one.id);
        // It is another Service's now.
        let moved = json!({ "metadata": { "labels": { "kubernetes.io/service-name": "other" } } });
        slices(&world).patch("web-1", &PatchParams::default(), &Patch::Merge(moved)).await.unwrap();
        assert_eq!(has_all(0..EACH).await.id, one.id);
        delete(&world, "web").await;
        nothing_left(&world).await;
        controller.stop().await;
    });
}

/// Kubernetes makes the first EndpointSlice of a Service with a selector a moment after it. Nobody does here.
#[test]
fn the_first_endpoints_are_waited_for_and_not_for_long() {
    in_world(|world| async move {
        let world = world.with_services().await;
        let controller = world.start();
        let began = Instant::now();
        create(&world, "web", json!({ "selector": { "app": "web" } })).await;
        eventually_so("it has an object", || async { object(&world, "web").await.map(drop).ok_or_else(String::new) })
            .await;
        endpoints(&world, "web", &["10.244.0.11"]).await;
        let in_time = began.elapsed() < Duration::from_millis(700);
        served(&world, "web", &["10.244.0.11:8080"]).await;
        let puts =
            world.fake.journal().iter().filter(|call| call.method == "PUT" && call.resource == "members").count();
        assert!(puts == 0 || !in_time, "they came with the load balancer");
        create(&world, "empty", json!({ "selector": { "app": "nobody" } })).await;
        served(&world, "empty", &[]).await;
        delete(&world, "web").await;
        delete(&world, "empty").await;
        nothing_left(&world).await;
        controller.stop().await;
    });
}
