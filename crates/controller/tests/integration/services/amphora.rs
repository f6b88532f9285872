//! Amphora, whose options OVN hasn't: they are set with the creation and changed in place; what fails is mended by a failover.

use super::super::harness::{World, eventually_so, in_world};
use super::fixture::{
    create, create_with, delete, endpoints, ingress, load_balancers, nothing_left, patch, served, states,
};
use kuryr_openstack_fake::ListenerView;
use serde_json::{Value, json};

const MEMBERS: [&str; 2] = ["10.244.0.11:8080", "10.244.0.12:8080"];

async fn with_amphora(world: World) -> World {
    let mut world = world.with_services().await;
    (world.settings.services.provider, world.settings.services.audit_seconds) = (Some("amphora".to_owned()), 1);
    world
}

/// Annotations of cloud-provider-openstack.
fn annotations(all: &[(&str, &str)]) -> Value {
    let named = all.iter().map(|(name, value)| (format!("loadbalancer.openstack.org/{name}"), json!(value)));
    Value::Object(named.collect())
}

async fn start(world: &World, name: &str, options: &[(&str, &str)], more: Value) {
    create_with(world, name, annotations(options), more).await;
    endpoints(world, name, &["10.244.0.11", "10.244.0.12"]).await;
}

/// The limits of a listener, in the order of Octavia's reference.
fn limits(listener: &ListenerView) -> [i64; 5] {
    let ListenerView { connection_limit, timeout_client_data, timeout_member_connect, .. } = listener;
    let ListenerView { timeout_member_data, timeout_tcp_inspect, .. } = listener;
    [*connection_limit, *timeout_client_data, *timeout_member_connect, *timeout_member_data, *timeout_tcp_inspect]
}

#[test]
fn limits_and_ranges_are_set_and_changed_in_place() {
    in_world(|world| async move {
        let world = with_amphora(world).await;
        let controller = world.start();
        let options = [
            ("connection-limit", "500"),
            ("timeout-client-data", "60000"),
            ("timeout-member-connect", "7000"),
            ("timeout-member-data", "61000"),
            ("timeout-tcp-inspect", "10"),
            ("lb-method", "LEAST_CONNECTIONS"),
        ];
        let ranges = json!({ "type": "LoadBalancer", "loadBalancerSourceRanges": ["203.0.113.0/24"] });
        start(&world, "web", &options, ranges).await;
        let one = served(&world, "web", &MEMBERS).await;
        let listener = &one.listeners[0];
        assert_eq!((one.provider.as_str(), one.pools[0].lb_algorithm.as_str()), ("amphora", "LEAST_CONNECTIONS"));
        assert_eq!(limits(listener), [500, 60000, 7000, 61000, 10]);
        let may = |listener: &ListenerView, range: &str| listener.allowed_cidrs.iter().any(|cidr| cidr == range);
        assert!(may(listener, "203.0.113.0/24") && may(listener, "10.244.0.0/16"), "{:?}", listener.allowed_cidrs);
        assert!(!may(listener, "0.0.0.0/0"));
        assert_eq!(
            ingress(&world, "web").await.len(),
            1,
            "it is reached from outside, as it is as closed as it must be"
        );

        let less = annotations(&[("connection-limit", "100"), ("timeout-client-data", "50000")]);
        let changed = json!({
            "metadata": { "annotations": less }, "spec": { "loadBalancerSourceRanges": ["198.51.100.0/24"] },
        });
        patch(&world, "web", changed).await;
        eventually_so("the listener is as the Service says", || async {
            let now = load_balancers(&world).remove(0).listeners.remove(0);
            let is = limits(&now)[..2] == [100, 50000] && may(&now, "198.51.100.0/24") && !may(&now, "203.0.113.0/24");
            if is && now.id == listener.id { Ok(()) } else { Err(format!("{now:?}")) }
        })
        .await;
        delete(&world, "web").await;
        nothing_left(&world).await;
        controller.stop().await;
    });
}

#[test]
fn what_listeners_and_pools_speak_is_as_the_annotations_say() {
    in_world(|world| async move {
        let world = with_amphora(world).await;
        let controller = world.start();
        let kinds = [
            ("proxied", ("proxy-protocol", "true"), "TCP", "PROXY"),
            ("forwarded", ("x-forwarded-for", "true"), "HTTP", "HTTP"),
            ("secret", ("default-tls-container-ref", "http://barbican/v1/containers/one"), "TERMINATED_HTTPS", "HTTP"),
        ];
        for (name, option, listener, pool) in kinds {
            start(&world, name, &[option], json!({})).await;
            let one = served(&world, name, &MEMBERS).await;
            let speaks = (one.listeners[0].protocol.as_str(), one.pools[0].protocol.as_str());
            assert_eq!(speaks, (listener, pool), "{name}");
            let header = one.listeners[0].insert_headers.get("X-Forwarded-For").map(String::as_str);
            assert_eq!(header, (name == "forwarded").then_some("true"), "{name}");
        }
        // The protocol of a pool can't be changed: another one takes its place, with the members, on the same load balancer.
        let before = served(&world, "proxied", &MEMBERS).await;
        patch(&world, "proxied", json!({ "metadata": { "annotations": annotations(&[("proxy-protocol", "false")]) } }))
            .await;
        eventually_so("the pool speaks TCP", || async {
            let now = load_balancers(&world).into_iter().find(|one| one.id == before.id).ok_or("another one")?;
            let protocols: Vec<_> = now.pools.iter().map(|pool| pool.protocol.as_str()).collect();
            if protocols == ["TCP"] { Ok(()) } else { Err(format!("{protocols:?}")) }
        })
        .await;
        served(&world, "proxied", &MEMBERS).await;
        for (name, ..) in kinds {
            delete(&world, name).await;
        }
        nothing_left(&world).await;
        controller.stop().await;
    });
}

#[test]
fn affinity_of_udp_has_its_time_and_can_be_taken_away() {
    in_world(|world| async move {
        let world = with_amphora(world).await;
        let controller = world.start();
        let udp = json!({
            "ports": [{ "name": "http", "port": 80, "protocol": "UDP" }], "sessionAffinity": "ClientIP",
            "sessionAffinityConfig": { "clientIP": { "timeoutSeconds": 600 } },
        });
        create(&world, "web", udp).await;
        let has = |wanted: Value| {
            let world = &world;
            async move {
                eventually_so(&format!("the persistence is {wanted}"), || async {
                    let one = load_balancers(world).pop().ok_or("none")?;
                    let pool = one.pools.first().ok_or("no pool")?;
                    let has = pool.session_persistence.clone().unwrap_or(Value::Null);
                    let same = wanted.is_null() == has.is_null()
                        && (wanted.is_null() || (has["type"] == "SOURCE_IP" && has["persistence_timeout"] == wanted));
                    if same && states(&one).iter().all(|state| state == "Active") {
                        Ok(one.id)
                    } else {
                        Err(has.to_string())
                    }
                })
                .await
            }
        };
        let one = has(json!(600)).await;
        let longer = json!({ "spec": { "sessionAffinityConfig": { "clientIP": { "timeoutSeconds": 900 } } } });
        patch(&world, "web", longer).await;
        assert_eq!(has(json!(900)).await, one);
        patch(&world, "web", json!({ "spec": { "sessionAffinity": "None", "sessionAffinityConfig": null } })).await;
        assert_eq!(has(Value::Null).await, one, "in place");
        delete(&world, "web").await;
        nothing_left(&world).await;
        controller.stop().await;
    });
}

#[test]
fn a_failed_load_balancer_keeps_its_address() {
    in_world(|world| async move {
        let world = with_amphora(world).await;
        let controller = world.start();
        start(&world, "web", &[], json!({ "type": "LoadBalancer" })).await;
        let one = served(&world, "web", &MEMBERS).await;
        assert!(world.fake.octavia().fail(&one.id));
        eventually_so("it is well", || async {
            let now = load_balancers(&world).pop().ok_or("none")?;
            if states(&now).iter().all(|state| state == "Active") { Ok(()) } else { Err(format!("{:?}", states(&now))) }
        })
        .await;
        let after = served(&world, "web", &MEMBERS).await;
        assert_eq!((after.vip_address, after.provider.as_str()), (one.vip_address, "amphora"));
        delete(&world, "web").await;
        nothing_left(&world).await;
        controller.stop().await;
    });
}
