//! Who may do what: a node's daemon writes only its own node's ports (promise P10), and of those only what it has to say.
//! Each test tries to get through.

mod access;
mod attempts;
mod credentials;
mod readable;
mod scene;

use anyhow::{Context, Result, ensure};
use attempts::{FOREIGN_FINALIZER, Target, allowed, is_refusal, of_object, refused};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, PostParams},
};
use kuryr_api::{KuryrPool, KuryrPoolPort, KuryrPort};
use kuryr_core::names::INTERFACE_FINALIZER;
use kuryr_e2e::{
    Cluster,
    wait::{eventually, holds},
    workload::POD_PATIENCE,
};
use scene::{Scene, daemon_pod, gone, without_daemon_pods};
use serde_json::json;

/// The group of the daemons.
const DAEMONS: &str = "kuryr:daemons";

/// What the daemon of node1 must be able to do, and what must be refused to it.
async fn daemon_of_node1(client: &Client, scene: &Scene) -> Result<()> {
    of_its_own(client, &scene.own.claim).await?;
    of_its_own(client, &scene.own.port).await?;
    of_others(client, &scene.foreign.claim).await?;
    of_others(client, &scene.foreign.port).await?;
    finalizers(client, scene).await?;
    creation_and_deletion(client, scene).await
}

async fn of_its_own<K: Target>(client: &Client, object: &K) -> Result<()> {
    for tried in object.own() {
        let after = allowed(client, object, &tried).await?;
        ensure!(after.conditions() != object.conditions(), "{tried:?} changes nothing");
    }
    for tried in object.forbidden() {
        refused(client, object, &tried).await?;
    }
    Ok(())
}

async fn of_others<K: Target>(client: &Client, object: &K) -> Result<()> {
    for tried in object.own().into_iter().chain(object.forbidden()) {
        refused(client, object, &tried).await?;
    }
    Ok(())
}

/// The node's word that the interface is gone: only when it is asked for, and nobody else's word.
async fn finalizers(client: &Client, scene: &Scene) -> Result<()> {
    let only = |finalizers: &[&str]| of_object("these finalizers", json!({ "metadata": { "finalizers": finalizers } }));
    allowed(client, &scene.deleting, &only(&[FOREIGN_FINALIZER])).await?;
    refused(client, &scene.deleting, &only(&[INTERFACE_FINALIZER])).await?;
    refused(client, &scene.deleting, &only(&[])).await?;
    refused(client, &scene.own.claim, &only(&[])).await
}

async fn creation_and_deletion(client: &Client, scene: &Scene) -> Result<()> {
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let delete = DeleteParams { dry_run: true, ..DeleteParams::default() };
    let mut claim = KuryrPort::new("made-by-a-daemon", scene.own.claim.spec.clone());
    claim.metadata.namespace = Some(scene.space.name.clone());
    let port = KuryrPoolPort::new("made-by-a-daemon", scene.own.port.spec.clone());
    let (claims, ports) = (scene.own.claim.api(client), scene.own.port.api(client));
    is_refusal(claims.create(&dry, &claim).await.map(drop)).context("creating a KuryrPort")?;
    is_refusal(ports.create(&dry, &port).await.map(drop)).context("creating a KuryrPoolPort")?;
    let name = scene.own.claim.name_any();
    is_refusal(claims.delete(&name, &delete).await.map(drop)).context("deleting a KuryrPort")?;
    is_refusal(ports.delete(&scene.own.port.name_any(), &delete).await.map(drop))
        .context("deleting a KuryrPoolPort")?;
    let all = ListParams::default();
    is_refusal(claims.delete_collection(&delete, &all).await.map(drop)).context("deleting all KuryrPorts")?;
    is_refusal(ports.delete_collection(&delete, &all).await.map(drop)).context("deleting all KuryrPoolPorts")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_writes_only_what_it_has_to_say_of_its_own_ports() -> Result<()> {
    let cluster = Cluster::attach().await?;
    let client = cluster.with_credentials_of("kuryr-daemon-node1").await?;
    Scene::play(&cluster, async |scene| daemon_of_node1(&client, scene).await).await
}

/// The same with a service account: the API server puts the pod's node into its token.
#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_in_a_pod_has_the_same_rights() -> Result<()> {
    let cluster = Cluster::attach().await?;
    let nodes = ["node1", "node2"];
    without_daemon_pods(&cluster, &nodes).await?;
    let outcome = async {
        let here = cluster.as_daemon_account(Some(&daemon_pod(&cluster, "node1").await?)).await?;
        let elsewhere = cluster.as_daemon_account(Some(&daemon_pod(&cluster, "node2").await?)).await?;
        let nowhere = cluster.as_daemon_account(None).await?;
        Scene::play(&cluster, async |scene| {
            daemon_of_node1(&here, scene).await?;
            for client in [&elsewhere, &nowhere] {
                of_others(client, &scene.own.claim).await?;
                of_others(client, &scene.own.port).await?;
            }
            Ok(())
        })
        .await
    }
    .await;
    without_daemon_pods(&cluster, &nodes).await?;
    outcome
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_only_looks_like_a_daemons_writes_nothing() -> Result<()> {
    let cluster = Cluster::attach().await?;
    Scene::play(&cluster, async |scene| {
        let here = cluster.as_user("kuryr-daemon:node1", &[DAEMONS]).await?;
        of_its_own(&here, &scene.own.claim).await.context("the daemon's own name")?;
        let names = [
            "kuryr-daemon:",
            "kuryr-daemon",
            "kuryr-daemon:node1:x",
            "kuryr-daemon:node1.example",
            "kuryr-daemon:node",
            "kuryr-daemon:node11",
            "kuryr-daemon:Node1",
            "kuryr-daemon: node1",
            "kuryr-daemon:*",
            "x:kuryr-daemon:node1",
            "node1",
            "system:serviceaccount:default:kuryr-daemon",
            "system:serviceaccount:kuryr-daemon:node1",
        ];
        for name in names {
            let client = cluster.as_user(name, &[DAEMONS]).await?;
            of_others(&client, &scene.own.claim).await.with_context(|| name.to_owned())?;
            of_others(&client, &scene.own.port).await.with_context(|| name.to_owned())?;
        }
        let groupless = cluster.as_user("kuryr-daemon:node1", &["kuryr:daemon", "system:nodes"]).await?;
        of_others(&groupless, &scene.own.claim).await.context("the name without the group")
    })
    .await
}

/// A name with dots is a node's name like any other.
#[tokio::test(flavor = "multi_thread")]
async fn a_nodes_name_may_have_dots() -> Result<()> {
    let cluster = Cluster::attach().await?;
    let space = cluster.namespace("dots").await?;
    let claims = cluster.api::<KuryrPort>(&space.name);
    let mut claim: KuryrPort = serde_json::from_value(json!({
        "apiVersion": "kuryr.openstack.org/v1alpha1", "kind": "KuryrPort",
        "metadata": { "name": "dots", "namespace": space.name, "finalizers": [FOREIGN_FINALIZER] },
        "spec": {
            "podName": "dots", "podUid": "dots", "nodeName": "worker.rack1.example", "interfaces": [{ "name": "eth0" }],
        },
    }))?;
    // Its pod and node don't exist: the controller gives it up, and only our finalizer keeps it.
    claims.create(&PostParams::default(), &claim).await?;
    let outcome = async {
        claim = claims.get("dots").await?;
        let its = cluster.as_user("kuryr-daemon:worker.rack1.example", &[DAEMONS]).await?;
        for tried in claim.own() {
            allowed(&its, &claim, &tried).await?;
        }
        for name in ["kuryr-daemon:worker", "kuryr-daemon:worker.rack1", "kuryr-daemon:rack1.example"] {
            of_others(&cluster.as_user(name, &[DAEMONS]).await?, &claim).await.with_context(|| name.to_owned())?;
        }
        Ok(())
    }
    .await;
    let patch = kube::api::Patch::Merge(json!({ "metadata": { "finalizers": null } }));
    gone(claims.patch("dots", &kube::api::PatchParams::default(), &patch).await.map(drop))?;
    space.remove().await?;
    outcome
}

/// The policy stands by itself: where somebody gives the daemons too much, it still refuses.
#[tokio::test(flavor = "multi_thread")]
async fn the_policy_holds_where_a_role_is_too_wide() -> Result<()> {
    let cluster = Cluster::attach().await?;
    let client = cluster.with_credentials_of("kuryr-daemon-node1").await?;
    remove_wide_role(&cluster).await?;
    let outcome = async {
        make_wide_role(&cluster, "kuryr-daemon:node1").await?;
        Scene::play(&cluster, async |scene| {
            daemon_of_node1(&client, scene).await?;
            let pools = Api::<KuryrPool>::all(client.clone());
            let pool = serde_json::from_value(json!({
                "apiVersion": "kuryr.openstack.org/v1alpha1", "kind": "KuryrPool", "metadata": { "name": "attempt" },
                "spec": { "nodeName": "node1", "networkId": "net", "subnetIds": ["four"] },
            }))?;
            let dry = PostParams { dry_run: true, ..PostParams::default() };
            is_refusal(pools.create(&dry, &pool).await.map(drop)).context("creating a KuryrPool")
        })
        .await
    }
    .await;
    remove_wide_role(&cluster).await?;
    outcome
}

const WIDE: &str = "kuryr-e2e-too-wide";

/// A role that may do everything with Kuryr's kinds, for one user.
async fn make_wide_role(cluster: &Cluster, user: &str) -> Result<()> {
    let role: ClusterRole = serde_json::from_value(json!({
        "metadata": { "name": WIDE },
        "rules": [{ "apiGroups": ["kuryr.openstack.org"], "resources": ["*", "*/*"], "verbs": ["*"] }],
    }))?;
    let binding: ClusterRoleBinding = serde_json::from_value(json!({
        "metadata": { "name": WIDE },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": WIDE },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user }],
    }))?;
    Api::all(cluster.client.clone()).create(&PostParams::default(), &role).await.context("making a role")?;
    Api::all(cluster.client.clone()).create(&PostParams::default(), &binding).await.context("binding a role")?;
    let client = cluster.as_user(user, &[]).await?;
    eventually("the role to be in force", POD_PATIENCE, async || {
        let may = access::may(&client, &access::Asked::new("kuryr.openstack.org", "kuryrports", "delete")).await?;
        holds(may, || "it isn't".to_owned())
    })
    .await
}

async fn remove_wide_role(cluster: &Cluster) -> Result<()> {
    let now = DeleteParams::default();
    let client = || cluster.client.clone();
    gone(Api::<ClusterRoleBinding>::all(client()).delete(WIDE, &now).await.map(drop))?;
    gone(Api::<ClusterRole>::all(client()).delete(WIDE, &now).await.map(drop))
}
