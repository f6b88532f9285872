//! ClusterNetworkPolicies: who comes first, with packets.

use super::stage::{FAMILIES, Stage};
use anyhow::{Context, Result};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
};
use kuryr_api::ClusterNetworkPolicy;
use kuryr_e2e::{
    PodTemplate,
    inside::Inside,
    policies::{
        probe::{
            self,
            Outcome::{self, Open, Silent},
        },
        table::Protocol,
    },
    traffic::From,
    wait::{eventually, holds},
    workload::{HTTP_PORT, POD_PATIENCE},
};
use serde_json::{Value, json};

/// The ClusterNetworkPolicies of one namespace of a test: only its pods are subjects and peers.
struct Tiers<'a>(&'a Stage);

impl Tiers<'_> {
    fn api(&self) -> Api<ClusterNetworkPolicy> {
        Api::all(self.0.cluster.client.clone())
    }

    fn everywhere(&self) -> Value {
        json!({ "matchLabels": { "kubernetes.io/metadata.name": self.0.space.name } })
    }

    fn pods(&self, app: &str) -> Value {
        let labels = json!({ "matchLabels": { "app": app } });
        json!({ "pods": { "namespaceSelector": self.everywhere(), "podSelector": labels } })
    }

    /// Makes a policy, or changes it, and waits until it says that it is in force.
    async fn put(&self, name: &str, spec: Value) -> Result<()> {
        let name = format!("{}-{name}", self.0.space.name);
        let object = json!({
            "apiVersion": "policy.networking.k8s.io/v1alpha2", "kind": "ClusterNetworkPolicy",
            "metadata": { "name": name }, "spec": spec,
        });
        let put = self.api().patch(&name, &PatchParams::apply("test").force(), &Patch::Apply(&object)).await;
        put.with_context(|| format!("the ClusterNetworkPolicy {name}"))?;
        eventually(&format!("{name} to be in force"), POD_PATIENCE, async || {
            let object = self.api().get(&name).await?;
            let generation = object.metadata.generation;
            let says = object.status.unwrap_or_default().conditions;
            let is = |type_: &str| {
                let mut of_type = says.iter().filter(|one| one.type_ == type_ && one.observed_generation == generation);
                of_type.any(|one| one.status == "True" && one.reason == "AsDesired")
            };
            holds(is("Accepted") && is("Programmed"), || format!("it says {says:?}"))
        })
        .await
    }

    async fn delete(&self, name: &str) -> Result<()> {
        let deleted = self.api().delete(&format!("{}-{name}", self.0.space.name), &DeleteParams::default()).await;
        deleted.map(drop).with_context(|| format!("deleting the ClusterNetworkPolicy {name}"))
    }
}

async fn are(stage: &Stage, ways: &[(Outcome, &str, &str)]) -> Result<()> {
    for (outcome, from, to) in ways {
        stage.pod_is(*outcome, from, to).await.with_context(|| format!("{from} to {to}"))?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn administrators_decide_before_and_after_those_of_namespaces() -> Result<()> {
    let mut stage = Stage::begin("tiers").await?;
    let server = |name: &str, node: &str| PodTemplate::server(name).on(node).probed();
    stage
        .run([("web", server("web", "node1")), ("db", server("db", "node2")), ("spy", server("spy", "node1"))])
        .await?;
    let tiers = Tiers(&stage);
    are(&stage, &[(Open, "web", "db"), (Open, "spy", "db")]).await.context("without policies")?;

    let everywhere = tiers.everywhere();
    let default = json!({
        "tier": "Baseline", "priority": 1, "subject": { "namespaces": everywhere },
        "ingress": [{ "action": "Deny", "from": [{ "namespaces": everywhere }] }],
    });
    tiers.put("default", default).await?;
    are(&stage, &[(Silent, "web", "db"), (Silent, "spy", "db"), (Silent, "db", "web")])
        .await
        .context("the baseline")?;

    let from_web = json!({ "matchLabels": { "app": "web" } });
    let allow = json!({
        "podSelector": { "matchLabels": { "app": "db" } }, "ingress": [{ "from": [{ "podSelector": from_web }] }],
    });
    stage.policy("allow", allow).await?;
    are(&stage, &[(Open, "web", "db"), (Silent, "spy", "db"), (Silent, "db", "web")])
        .await
        .context("a NetworkPolicy")?;

    // One port is denied: the others are the NetworkPolicy's.
    let guard = json!({
        "tier": "Admin", "priority": 20, "subject": tiers.pods("db"),
        "ingress": [{
            "action": "Deny", "from": [tiers.pods("web")],
            "protocols": [{ "tcp": { "destinationPort": { "number": HTTP_PORT } } }],
        }],
    });
    tiers.put("guard", guard).await?;
    stage.protocol_is(Silent, "web", "db", Protocol::Tcp).await.context("denied by an administrator")?;
    stage.protocol_is(Open, "web", "db", Protocol::Udp).await.context("left to the NetworkPolicy")?;
    are(&stage, &[(Silent, "spy", "db")]).await?;

    // What comes before it by its priority decides.
    let friends = json!({
        "tier": "Admin", "priority": 10, "subject": tiers.pods("db"),
        "ingress": [{ "action": "Accept", "from": [tiers.pods("spy")] }, { "action": "Pass", "from": [tiers.pods("web")] }],
    });
    tiers.put("friends", friends).await?;
    are(&stage, &[(Open, "web", "db"), (Open, "spy", "db"), (Silent, "db", "web")])
        .await
        .context("a lower priority")?;

    // Egress, and labels that change.
    let out = json!({
        "tier": "Admin", "priority": 5, "subject": tiers.pods("spy"),
        "egress": [{ "action": "Deny", "to": [tiers.pods("db")] }],
    });
    tiers.put("out", out).await?;
    are(&stage, &[(Silent, "spy", "db"), (Open, "web", "db")]).await.context("denied at its source")?;
    // Who isn't a subject any more is let out, and who isn't a friend any more isn't let in.
    stage.delete("allow").await?;
    tiers.delete("default").await?;
    are(&stage, &[(Silent, "spy", "db"), (Open, "spy", "web")]).await?;
    stage.label("spy", "app", Some("agent")).await?;
    are(&stage, &[(Open, "spy", "db")]).await.context("no subject any more")?;
    stage.label("spy", "app", Some("spy")).await?;
    are(&stage, &[(Silent, "spy", "db")]).await.context("a subject again")?;

    for name in ["out", "friends", "guard"] {
        tiers.delete(name).await?;
    }
    are(&stage, &[(Open, "web", "db"), (Open, "spy", "db"), (Open, "db", "web")]).await.context("without them")?;
    stage.end().await
}

/// Only pods are denied: nodes have ports in the same network, and whoever is outside is nobody's pod.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_no_pod_is_let_in_where_pods_are_denied() -> Result<()> {
    let mut stage = Stage::begin("strangers").await?;
    let server = |name: &str, node: &str| PodTemplate::server(name).on(node).probed();
    stage.run([("db", server("db", "node2")), ("spy", server("spy", "node1"))]).await?;
    let tiers = Tiers(&stage);
    let spies = json!({
        "tier": "Admin", "priority": 1, "subject": tiers.pods("db"),
        "ingress": [{ "action": "Deny", "from": [tiers.pods("spy")] }],
    });
    tiers.put("spies", spies).await?;
    are(&stage, &[(Silent, "spy", "db"), (Open, "db", "spy")]).await?;
    // Also the node that isn't the pod's own: an ingress controller on the host's network, say.
    for node in stage.cluster.nodes() {
        let inside = Inside::of(&stage.cluster, &From::node(&node)).await?;
        for family in FAMILIES {
            let at = stage.server("db", Protocol::Tcp, family)?;
            eventually(&format!("{at} to be open to {node}"), POD_PATIENCE, async || {
                let is = inside.spawn(probe::reach(Protocol::Tcp, at)).await?;
                holds(is == Open, || format!("it is {is}"))
            })
            .await?;
        }
    }
    tiers.delete("spies").await?;
    are(&stage, &[(Open, "spy", "db")]).await?;
    stage.end().await
}
