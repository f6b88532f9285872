//! ClusterNetworkPolicies: tiers and denials in security groups, what is refused, what fails, and controllers that come later.

use super::super::harness::{World, eventually_so, in_world};
use super::fixture::{at_rest, delete_policy, marked, only, only_the_common_groups, passes, policy, relabel, running};
use http::Method;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
};
use kuryr_api::ClusterNetworkPolicy;
use kuryr_openstack_fake::{AddressGroupView, Effect, Fault, SecurityGroupView};
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn cluster_policies(world: &World) -> Api<ClusterNetworkPolicy> {
    Api::all(world.client.clone())
}

/// All namespaces of the world: there is one.
fn everywhere(world: &World) -> Value {
    json!({ "matchLabels": { "kubernetes.io/metadata.name": world.name } })
}

/// The world's pods with the label `app`.
fn pods(world: &World, app: &str) -> Value {
    json!({ "pods": { "namespaceSelector": everywhere(world), "podSelector": { "matchLabels": { "app": app } } } })
}

/// Makes a policy of the world's, or changes it.
async fn cluster_policy(world: &World, name: &str, spec: Value) {
    let object = json!({
        "apiVersion": "policy.networking.k8s.io/v1alpha2", "kind": "ClusterNetworkPolicy",
        "metadata": { "name": format!("{}-{name}", world.name) }, "spec": spec,
    });
    let (name, params) = (object["metadata"]["name"].as_str().unwrap(), PatchParams::apply("test").force());
    cluster_policies(world).patch(name, &params, &Patch::Apply(&object)).await.unwrap();
}

async fn delete_cluster_policy(world: &World, name: &str) {
    cluster_policies(world).delete(&format!("{}-{name}", world.name), &DeleteParams::default()).await.unwrap();
}

/// Waits until a policy's condition says this of its newest words.
async fn cluster_says(world: &World, name: &str, type_: &str, is: &str, reason: &str) -> Condition {
    let name = format!("{}-{name}", world.name);
    eventually_so(&format!("{name} says {type_}={is} {reason}"), || async {
        let object = cluster_policies(world).get(&name).await.unwrap();
        let conditions = object.status.unwrap_or_default().conditions;
        let found = conditions.iter().find(|one| {
            let new = one.observed_generation == object.metadata.generation;
            one.type_ == type_ && one.status == is && one.reason == reason && new
        });
        found.cloned().ok_or_else(|| format!("{conditions:?}"))
    })
    .await
}

async fn in_force(world: &World, name: &str) {
    cluster_says(world, name, "Programmed", "True", "AsDesired").await;
}

#[test]
fn tiers_decide_before_and_after_network_policies() {
    in_world(|world| async move {
        let world = at_rest(world.with_policies());
        let controller = world.start();
        let web = running(&world, "web", "web").await;
        let db = running(&world, "db", "db").await;
        let spy = running(&world, "spy", "spy").await;
        passes(&world, &[(&web, &db, true), (&spy, &db, true)]).await;

        // The last word, where nobody else has one.
        let all = everywhere(&world);
        let baseline = json!({
            "tier": "Baseline", "priority": 10, "subject": { "namespaces": all },
            "ingress": [{ "action": "Deny", "from": [{ "namespaces": all }] }],
        });
        cluster_policy(&world, "default", baseline).await;
        in_force(&world, "default").await;
        cluster_says(&world, "default", "Accepted", "True", "AsDesired").await;
        passes(&world, &[(&web, &db, false), (&spy, &db, false), (&db, &web, false)]).await;

        // A NetworkPolicy has it for the pods that it isolates.
        only(&world, "db", "db", "web").await;
        passes(&world, &[(&web, &db, true), (&spy, &db, false), (&db, &web, false)]).await;

        // And an administrator's comes before: the order of rules and priorities counts.
        let deny = |priority: u16, app: &str| {
            json!({
                "tier": "Admin", "priority": priority, "subject": pods(&world, "db"),
                "ingress": [{ "action": "Deny", "from": [pods(&world, app)] }],
            })
        };
        cluster_policy(&world, "guard", deny(20, "web")).await;
        in_force(&world, "guard").await;
        passes(&world, &[(&web, &db, false), (&spy, &db, false)]).await;
        let accept = json!({
            "tier": "Admin", "priority": 10, "subject": pods(&world, "db"),
            "ingress": [{ "action": "Accept", "from": [pods(&world, "web"), pods(&world, "spy")] }],
        });
        cluster_policy(&world, "friends", accept).await;
        passes(&world, &[(&web, &db, true), (&spy, &db, true)]).await;
        // Labels are followed.
        relabel(&world, "spy", "stranger").await;
        passes(&world, &[(&web, &db, true), (&spy, &db, false)]).await;

        for name in ["friends", "guard", "default"] {
            delete_cluster_policy(&world, name).await;
        }
        passes(&world, &[(&web, &db, true), (&spy, &db, false), (&db, &web, true)]).await;
        delete_policy(&world, "db").await;
        passes(&world, &[(&spy, &db, true)]).await;
        only_the_common_groups(&world, 1).await;
        controller.stop().await;
    });
}

#[test]
fn what_cant_be_had_is_told_and_closed() {
    in_world(|world| async move {
        let world = at_rest(world.with_policies());
        let controller = world.start();
        let (web, db) = (running(&world, "web", "web").await, running(&world, "db", "db").await);
        let spy = running(&world, "spy", "spy").await;
        // The API server takes any word for an operator.
        let near = json!({ "matchExpressions": [{ "key": "moon", "operator": "Near", "values": ["Io"] }] });
        let rules = |last: Value| {
            json!({
                "tier": "Admin", "priority": 1, "subject": pods(&world, "db"),
                "ingress": [{ "action": "Accept", "from": [pods(&world, "web")] }, last],
            })
        };
        cluster_policy(&world, "odd", rules(json!({ "action": "Deny", "from": [{ "namespaces": near }] }))).await;
        let said = cluster_says(&world, "odd", "Accepted", "False", "Invalid").await;
        assert!(said.message.contains("spec.ingress[1]") && said.message.contains("Near"), "{}", said.message);
        in_force(&world, "odd").await;
        // The rule before it counts, and it denies all.
        passes(&world, &[(&web, &db, true), (&spy, &db, false), (&db, &web, true)]).await;
        cluster_policy(&world, "odd", rules(json!({ "action": "Accept", "from": [{ "namespaces": near }] }))).await;
        passes(&world, &[(&web, &db, true), (&spy, &db, true)]).await;
        cluster_policy(
            &world,
            "odd",
            rules(json!({ "action": "Deny", "from": [{ "namespaces": everywhere(&world) }] })),
        )
        .await;
        cluster_says(&world, "odd", "Accepted", "True", "AsDesired").await;
        passes(&world, &[(&web, &db, true), (&spy, &db, false)]).await;
        delete_cluster_policy(&world, "odd").await;
        only_the_common_groups(&world, 1).await;
        controller.stop().await;
    });
}

#[test]
fn a_controller_that_comes_later_finds_all_done_and_clears_up_what_went_meanwhile() {
    in_world(|world| async move {
        let world = at_rest(world.with_policies());
        let controller = world.start();
        let (web, db) = (running(&world, "web", "web").await, running(&world, "db", "db").await);
        let deny = json!({
            "tier": "Admin", "priority": 1, "subject": pods(&world, "db"),
            "ingress": [{ "action": "Deny", "from": [pods(&world, "web")] }],
        });
        cluster_policy(&world, "guard", deny).await;
        in_force(&world, "guard").await;
        passes(&world, &[(&web, &db, false)]).await;
        let before = marked(&world);
        controller.stop().await;
        let writes = world.fake.journal().len();
        let controller = world.start();
        let late = running(&world, "late", "web").await;
        passes(&world, &[(&late, &db, false), (&web, &db, false)]).await;
        let ids = |(groups, named): &(Vec<SecurityGroupView>, Vec<AddressGroupView>)| {
            let groups = groups.iter().map(|group| group.id.clone());
            groups.chain(named.iter().map(|group| group.id.clone())).collect::<BTreeSet<_>>()
        };
        assert_eq!(ids(&before), ids(&marked(&world)), "the same groups and address groups");
        let made = world.fake.journal();
        let is_group = |resource: &str| resource == "security-groups" || resource == "address-groups";
        let made = made[writes..].iter().filter(|call| call.method == "POST" && is_group(&call.resource));
        assert_eq!(made.count(), 0, "none was made twice");
        controller.stop().await;
        delete_cluster_policy(&world, "guard").await;
        let controller = world.start();
        passes(&world, &[(&late, &db, true), (&web, &db, true)]).await;
        only_the_common_groups(&world, 1).await;
        // Nothing of it is left in the way of NetworkPolicies.
        policy(&world, "closed", json!({ "podSelector": {} })).await;
        passes(&world, &[(&late, &db, false)]).await;
        controller.stop().await;
    });
}

#[test]
fn a_status_stands_still_and_what_fails_is_told() {
    in_world(|world| async move {
        let world = at_rest(world.with_policies());
        let controller = world.start();
        let (web, db) = (running(&world, "web", "web").await, running(&world, "db", "db").await);
        let spy = running(&world, "spy", "spy").await;
        let all = everywhere(&world);
        let deny = |app: &str| {
            json!({
                "tier": "Admin", "priority": 1, "subject": { "namespaces": all },
                "ingress": [{ "action": "Deny", "from": [pods(&world, app)] }],
            })
        };
        cluster_policy(&world, "guard", deny("spy")).await;
        in_force(&world, "guard").await;
        passes(&world, &[(&web, &db, true), (&spy, &db, false)]).await;
        let name = format!("{}-guard", world.name);
        let version = || async { cluster_policies(&world).get(&name).await.unwrap().metadata.resource_version };
        let before = version().await;
        // Pods come and go, and are members of what the policy made.
        for nth in 0..3 {
            let pod = running(&world, &format!("passer-{nth}"), "web").await;
            passes(&world, &[(&pod, &db, true)]).await;
        }
        world.rests(&controller.life).await;
        assert_eq!(version().await, before, "nothing new is to be told");

        // An address group can't be had: closed, and told.
        let broken = Fault::new(Effect::Status(503, None)).on(Method::POST, "address-groups");
        world.fake.inject(&broken);
        cluster_policy(&world, "guard", deny("web")).await;
        cluster_says(&world, "guard", "Programmed", "False", "CloudUnreachable").await;
        assert!(broken.hits() > 0);
        world.fake.heal();
        in_force(&world, "guard").await;
        passes(&world, &[(&web, &db, false), (&spy, &db, true)]).await;
        delete_cluster_policy(&world, "guard").await;
        only_the_common_groups(&world, 1).await;
        controller.stop().await;
    });
}
