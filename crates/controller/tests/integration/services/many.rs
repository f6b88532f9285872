//! Many Services, quick turns, and what they cost.

use super::super::harness::{World, eventually_so, in_world};
use super::fixture::{
    at_rest, create, delete, endpoints, is_served, load_balancers, nothing_left, objects, served, services,
};
use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::Service;
use kube::api::ListParams;
use kuryr_openstack_fake::{Service as Of, Settle};
use serde_json::json;
use std::collections::BTreeMap;

/// Calls of Octavia and of floating IPs since this entry of the journal, by method and kind.
fn calls(world: &World, since: usize) -> BTreeMap<String, usize> {
    let mut calls = BTreeMap::new();
    for entry in world.fake.journal().iter().skip(since) {
        if entry.service == Of::LoadBalancer || entry.resource == "floatingips" {
            *calls.entry(format!("{} {}", entry.method, entry.resource)).or_default() += 1;
        }
    }
    calls
}

async fn all_served(world: &World, names: &[String], members: &[&str]) {
    eventually_so("all are served", || async {
        let ready = objects(world).list(&ListParams::default()).await.unwrap().items;
        let is_ready = |conditions: &[_]| kuryr_api::conditions::is_true(conditions, kuryr_api::conditions::READY);
        let ready = ready.iter().filter(|one| one.status.as_ref().is_some_and(|status| is_ready(&status.conditions)));
        let ready = ready.count();
        if ready == names.len() { Ok(()) } else { Err(format!("{ready}")) }
    })
    .await;
    for name in names {
        served(world, name, members).await;
    }
}

/// Pod after pod is replaced while all of them are behind one Service, as a Deployment's update does it.
#[test]
fn a_rolling_update_of_50_pods_costs_few_calls_and_never_takes_a_member_away_that_stays() {
    const PODS: u8 = 50;
    in_world(|world| async move {
        let world = at_rest(world.with_services().await);
        world.fake.octavia().set_settle(Settle::Lab);
        let controller = world.start();
        create(&world, "web", json!({})).await;
        let address = |generation: u8, nth: u8| format!("10.244.{generation}.{}", nth + 10);
        let mut pods: Vec<String> = (0..PODS).map(|nth| address(1, nth)).collect();
        let all = |pods: &[String]| {
            let mut members: Vec<String> = pods.iter().map(|pod| format!("{pod}:8080")).collect();
            members.sort();
            members
        };
        let send = async |pods: &[String]| {
            let pods: Vec<&str> = pods.iter().map(String::as_str).collect();
            endpoints(&world, "web", &pods).await;
        };
        send(&pods).await;
        let members = all(&pods);
        served(&world, "web", &members.iter().map(String::as_str).collect::<Vec<_>>()).await;
        world.rests(&controller.life).await;
        let before = world.fake.journal().len();
        for nth in 0..PODS {
            // The new one is ready before the old one goes.
            pods.push(address(2, nth));
            send(&pods).await;
            pods.remove(0);
            send(&pods).await;
            let one = &load_balancers(&world)[0];
            let (kept, has) = (all(&pods[..usize::from(PODS - nth - 1)]), super::fixture::members(one));
            assert!(kept.iter().all(|member| has.contains(member)), "{nth}: {has:?}");
        }
        let members = all(&pods);
        served(&world, "web", &members.iter().map(String::as_str).collect::<Vec<_>>()).await;
        let cost = calls(&world, before);
        println!("a rolling update of {PODS} pods behind one Service: {cost:?}");
        assert!(cost["PUT members"] <= 2 * usize::from(PODS), "{cost:?}");
        assert!(cost.keys().all(|kind| kind.starts_with("GET ") || kind == "PUT members"), "{cost:?}");
        delete(&world, "web").await;
        nothing_left(&world).await;
        controller.stop().await;
    });
}

#[test]
fn many_services_at_once_cost_few_calls_and_a_second_look_none() {
    const MANY: usize = 200;
    in_world(|world| async move {
        let world = at_rest(world.with_services().await);
        world.fake.octavia().set_settle(Settle::Lab);
        let names: Vec<_> = (0..MANY).map(|nth| format!("s{nth}")).collect();
        let controller = world.start();
        stream::iter(&names)
            .for_each_concurrent(20, |name| {
                let world = &world;
                async move {
                    create(world, name, json!({})).await;
                    endpoints(world, name, &["10.244.0.11", "10.244.0.12"]).await;
                }
            })
            .await;
        all_served(&world, &names, &["10.244.0.11:8080", "10.244.0.12:8080"]).await;
        let made = calls(&world, 0);
        println!("{MANY} Services at once: {made:?}");
        assert_eq!(made["POST loadbalancers"], MANY);
        let writes: usize = made.iter().filter(|(kind, _)| !kind.starts_with("GET ")).map(|(_, many)| many).sum();
        assert!(writes <= 2 * MANY, "{made:?}");
        let before = world.fake.journal().len();
        world.rests(&controller.life).await;
        stream::iter(&names)
            .for_each_concurrent(20, |name| endpoints(&world, name, &["10.244.0.12", "10.244.0.13"]))
            .await;
        all_served(&world, &names, &["10.244.0.12:8080", "10.244.0.13:8080"]).await;
        let changed = calls(&world, before);
        println!("a change of the endpoints of each: {changed:?}");
        assert_eq!(changed["PUT members"], MANY);
        assert!(changed.keys().all(|kind| kind.starts_with("GET ") || kind == "PUT members"), "{changed:?}");
        assert!(changed["GET loadbalancers"] <= 4 * MANY, "{changed:?}");
        world.rests(&controller.life).await;
        controller.stop().await;

        let before = world.fake.journal().len();
        let controller = world.start();
        // On a busy machine it may rest for a while before it has looked at Octavia at all.
        eventually_so("it has looked at Octavia", || async {
            let calls = calls(&world, before);
            let all =
                ["loadbalancers", "listeners", "pools"].iter().all(|kind| calls.contains_key(&format!("GET {kind}")));
            if all { Ok(()) } else { Err(format!("{calls:?}")) }
        })
        .await;
        world.rests(&controller.life).await;
        controller.stop().await;
        let start = calls(&world, before);
        world.bears_a_second_look().await;
        println!("a start of a controller: {start:?}");
        let lists: usize =
            ["loadbalancers", "listeners", "pools"].map(|kind| start[&format!("GET {kind}")]).iter().sum();
        assert!(lists <= 10, "one list tells of all: {start:?}");

        let before = world.fake.journal().len();
        let controller = world.start();
        stream::iter(&names).for_each_concurrent(20, |name| delete(&world, name)).await;
        nothing_left(&world).await;
        let deleted = calls(&world, before);
        println!("the end of all: {deleted:?}");
        assert_eq!(deleted["DELETE loadbalancers"], MANY);
        controller.stop().await;
    });
}

#[test]
fn a_service_in_quick_turns_leaves_nothing() {
    in_world(|world| async move {
        let mut world = world.with_services().await;
        world.settings.services.audit_seconds = 1;
        world.fake.octavia().set_settle(Settle::Lab);
        let controller = world.start();
        endpoints(&world, "web", &["10.244.0.11", "10.244.0.12"]).await;
        let mut address: Option<String> = None;
        for turn in 0..50 {
            let kind = if turn % 2 == 0 { "LoadBalancer" } else { "ClusterIP" };
            let mut spec = json!({ "type": kind });
            if let (Some(address), true) = (&address, turn % 3 == 0) {
                spec["clusterIP"] = json!(address);
            }
            let service: Service = create(&world, "web", spec).await;
            address = service.spec.unwrap().cluster_ip;
            if turn % 5 == 0 {
                endpoints(&world, "web", &["10.244.0.12"]).await;
                served(&world, "web", &["10.244.0.12:8080"]).await;
            } else if turn % 5 < 3 {
                // It goes when something of it is there.
                eventually_so("it has an object", || async {
                    let all = objects(&world).list_metadata(&ListParams::default()).await.unwrap().items;
                    if all.is_empty() { Err(String::new()) } else { Ok(()) }
                })
                .await;
            }
            delete(&world, "web").await;
        }
        nothing_left(&world).await;
        create(&world, "web", json!({ "type": "LoadBalancer", "clusterIP": address.unwrap() })).await;
        served(&world, "web", &["10.244.0.12:8080"]).await;
        assert!(is_served(&world, "web", &["10.244.0.12:8080"]).await.is_ok());
        assert!(services(&world).get("web").await.is_ok());
        delete(&world, "web").await;
        nothing_left(&world).await;
        controller.stop().await;
    });
}
