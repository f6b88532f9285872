//! A Service's type in every direction, and load balancers that are somebody else's.

use super::super::harness::{World, eventually_so, in_world};
use super::fixture::{
    create, delete, endpoints, floating_ips, ingress, load_balancers, nothing_left, object, patch, says, served,
};
use kuryr_api::conditions;
use serde_json::{Value, json};

const MEMBERS: [&str; 1] = ["10.244.0.11:8080"];

/// Waits until as many floating IPs are there, and until the Service is published at as many addresses.
async fn published(world: &World, name: &str, count: usize) {
    eventually_so(&format!("{name} has {count} addresses outside"), || async {
        let (has, told) = (floating_ips(world), ingress(world, name).await);
        if has.len() == count && told.len() == count { Ok(()) } else { Err(format!("{has:?} {told:?}")) }
    })
    .await;
}

#[test]
fn a_service_may_be_of_each_type_after_each_other() {
    in_world(|world| async move {
        let world = world.with_services().await;
        let controller = world.start();
        create(&world, "web", json!({})).await;
        endpoints(&world, "web", &["10.244.0.11"]).await;
        // Each follows each other one.
        let types = [
            "NodePort",
            "LoadBalancer",
            "NodePort",
            "ClusterIP",
            "LoadBalancer",
            "ExternalName",
            "LoadBalancer",
            "ClusterIP",
            "ExternalName",
            "NodePort",
            "ExternalName",
            "ClusterIP",
        ];
        for type_ in types {
            let is_name = type_ == "ExternalName";
            let name = if is_name { json!("example.org") } else { Value::Null };
            let mut spec = json!({ "type": type_, "externalName": name });
            if is_name {
                (spec["clusterIP"], spec["clusterIPs"]) = (Value::Null, Value::Null);
            }
            patch(&world, "web", json!({ "spec": spec })).await;
            if is_name {
                eventually_so("a name has no load balancer", || async {
                    let (object, all) = (object(&world, "web").await, load_balancers(&world));
                    if object.is_none() && all.is_empty() { Ok(()) } else { Err(format!("{object:?} {all:?}")) }
                })
                .await;
            } else {
                served(&world, "web", &MEMBERS).await;
            }
            published(&world, "web", usize::from(type_ == "LoadBalancer")).await;
        }
        delete(&world, "web").await;
        nothing_left(&world).await;
        controller.stop().await;
    });
}

#[test]
fn what_a_load_balancer_of_somebody_else_says_stays() {
    in_world(|world| async move {
        let world = world.with_services().await;
        let controller = world.start();
        create(&world, "theirs", json!({ "type": "LoadBalancer", "loadBalancerClass": "example.org/metal" })).await;
        endpoints(&world, "theirs", &["10.244.0.11"]).await;
        let one = served(&world, "theirs", &MEMBERS).await;
        let status = json!({ "status": { "loadBalancer": { "ingress": [{ "ip": "203.0.113.77" }] } } });
        super::fixture::services(&world)
            .patch_status("theirs", &kube::api::PatchParams::default(), &kube::api::Patch::Merge(status))
            .await
            .unwrap();
        // A change that Kuryr follows has been followed, and nothing of the status is gone.
        endpoints(&world, "theirs", &["10.244.0.12"]).await;
        assert_eq!(served(&world, "theirs", &["10.244.0.12:8080"]).await.id, one.id);
        assert_eq!(ingress(&world, "theirs").await, ["203.0.113.77"]);
        assert_eq!(floating_ips(&world), Vec::<String>::new());
        delete(&world, "theirs").await;
        nothing_left(&world).await;
        controller.stop().await;
    });
}

#[test]
fn a_traffic_policy_that_cant_be_had_is_told_and_the_service_is_served() {
    in_world(|world| async move {
        let world = world.with_services().await;
        let controller = world.start();
        create(&world, "web", json!({ "internalTrafficPolicy": "Local" })).await;
        endpoints(&world, "web", &["10.244.0.11"]).await;
        served(&world, "web", &MEMBERS).await;
        let said = says(&world, "web", conditions::ACCEPTED, "False", "OptionIgnored").await;
        assert!(said.message.contains("internal traffic policy Local"), "{}", said.message);
        patch(&world, "web", json!({ "spec": { "internalTrafficPolicy": "Cluster" } })).await;
        says(&world, "web", conditions::ACCEPTED, "True", "AsDesired").await;
        let outside = json!({ "spec": { "type": "LoadBalancer", "externalTrafficPolicy": "Local" } });
        patch(&world, "web", outside).await;
        published(&world, "web", 1).await;
        says(&world, "web", conditions::ACCEPTED, "True", "AsDesired").await;
        delete(&world, "web").await;
        nothing_left(&world).await;
        controller.stop().await;
    });
}
