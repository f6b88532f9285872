//! Policies, labels and pods that change: the whole table follows each time.

use super::{
    case::{Failures, clear, egress, having, ingress, pod, space},
    life,
};
use anyhow::{Context, Result};
use kuryr_e2e::{
    Cluster,
    policies::{Mesh, groups::Groups, objects},
};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn traffic_follows_what_changes() -> Result<()> {
    let cluster = Cluster::attach().await?;
    let before = Groups::take(&cluster).await?;
    let mut mesh = Mesh::start(&cluster).await?;
    mesh.agrees().await.context("without policies")?;
    let mut failures = Failures::default();
    failures.note("a policy changes in place", policies_change(&mesh).await);
    follow(&mesh, &mut failures).await?;
    failures.note("a pod gets and loses labels", pods_change(&mesh).await);
    follow(&mesh, &mut failures).await?;
    failures.note("a namespace gets and loses labels", namespaces_change(&mesh).await);
    follow(&mesh, &mut failures).await?;
    failures.note("many policies at once", many(&mesh).await);
    follow(&mesh, &mut failures).await?;
    failures.note("a pod that is selected is replaced", life::selected(&mut mesh).await);
    follow(&mesh, &mut failures).await?;
    failures.note("a pod that is a peer is replaced", life::peer(&mut mesh).await);
    follow(&mesh, &mut failures).await?;
    mesh.remove().await?;
    failures.note("nothing is left", before.are_back(&cluster).await);
    failures.verdict()
}

/// Takes all policies away: everything is open then.
async fn follow(mesh: &Mesh, failures: &mut Failures) -> Result<()> {
    clear(mesh).await?;
    failures.note("without policies again", mesh.agrees().await.map(drop));
    Ok(())
}

/// Waits until the table is as expected, and tells how long that took.
async fn agrees(mesh: &Mesh, what: &str) -> Result<()> {
    let agreed = mesh.agrees().await.with_context(|| what.to_owned())?;
    println!("{} of {} open within {:.2} s: {what}", agreed.open, agreed.of, agreed.after.as_secs_f32());
    Ok(())
}

async fn policies_change(mesh: &Mesh) -> Result<()> {
    let namespace = &mesh.space("x")?.name;
    let at_80_by = |peer: Value| ingress(&json!({ "from": [peer], "ports": [{ "port": 80 }] }));
    let steps = [
        ("everything in", ingress(&json!({}))),
        ("from everybody to nobody", json!({ "podSelector": {}, "policyTypes": ["Ingress"] })),
        ("from one namespace", ingress(&json!({ "from": [space("y")] }))),
        ("from another one instead", ingress(&json!({ "from": [space("z")] }))),
        ("at one port", at_80_by(space("z"))),
        ("from elsewhere, at the same port", at_80_by(json!({ "podSelector": having("pod", "b") }))),
        ("for one pod only", json!({ "podSelector": having("pod", "a"), "ingress": [{ "from": [pod("b")] }] })),
        ("for another one instead", json!({ "podSelector": having("pod", "c"), "ingress": [{ "from": [pod("b")] }] })),
        ("of the other direction", egress(&json!({ "to": [space("y")], "ports": [{ "port": "web" }] }))),
        (
            "of both",
            json!({
                "podSelector": {}, "policyTypes": ["Ingress", "Egress"],
                "ingress": [{ "from": [space("y")] }], "egress": [{ "to": [space("y"), pod("a")] }],
            }),
        ),
        ("from something to nothing", json!({ "podSelector": {}, "policyTypes": ["Ingress", "Egress"] })),
        ("from nothing to everything", json!({ "podSelector": {}, "ingress": [{}], "egress": [{}] })),
    ];
    for (nth, (what, spec)) in steps.iter().enumerate() {
        if nth == 0 {
            objects::create(&mesh.cluster, namespace, "policy", spec).await?;
        } else {
            objects::replace(&mesh.cluster, namespace, "policy", spec).await?;
        }
        agrees(mesh, what).await?;
    }
    Ok(())
}

/// `x`'s pods of one tier are let in from whoever is a `client` of `y` or `z`.
async fn pods_change(mesh: &Mesh) -> Result<()> {
    let [x, y, z] = ["x", "y", "z"].map(|short| mesh.space(short).map(|space| space.name.clone()));
    let (x, y, z) = (x?, y?, z?);
    let clients = json!({
        "namespaceSelector": { "matchExpressions": [{ "key": "ns", "operator": "In", "values": ["y", "z"] }] },
        "podSelector": having("role", "client"),
    });
    let spec = json!({ "podSelector": having("tier", "front"), "ingress": [{ "from": [clients] }] });
    objects::create(&mesh.cluster, &x, "policy", &spec).await?;
    agrees(mesh, "nobody is a client").await?;
    let steps = [
        ("one client", &y, "a", "role", Some("client")),
        ("two clients", &z, "b", "role", Some("client")),
        ("one has another role", &y, "a", "role", Some("server")),
        ("one has none", &z, "b", "role", None),
        ("a client again", &z, "c", "role", Some("client")),
        ("another pod is selected", &x, "c", "tier", Some("front")),
        ("one isn't any more", &x, "a", "tier", None),
        ("one changes its tier", &x, "c", "tier", Some("back")),
        ("as it was: selected", &x, "a", "tier", Some("front")),
        ("as it was: no tier", &x, "c", "tier", None),
        ("as it was: no role", &y, "a", "role", None),
        ("as it was: no clients", &z, "c", "role", None),
    ];
    for (what, namespace, pod, key, value) in steps {
        objects::label_pod(&mesh.cluster, namespace, pod, key, value).await?;
        agrees(mesh, what).await?;
    }
    Ok(())
}

async fn namespaces_change(mesh: &Mesh) -> Result<()> {
    let trusted = json!({ "namespaceSelector": having("trusted", "yes") });
    let untrusted =
        json!({ "namespaceSelector": { "matchExpressions": [{ "key": "trusted", "operator": "DoesNotExist" }] } });
    let front_of_trusted =
        json!({ "namespaceSelector": having("trusted", "yes"), "podSelector": having("tier", "front") });
    let cluster = &mesh.cluster;
    objects::create(cluster, &mesh.space("x")?.name, "trusted", &ingress(&json!({ "from": [trusted] }))).await?;
    objects::create(cluster, &mesh.space("y")?.name, "untrusted", &egress(&json!({ "to": [untrusted] }))).await?;
    objects::create(cluster, &mesh.space("z")?.name, "front", &ingress(&json!({ "from": [front_of_trusted] }))).await?;
    agrees(mesh, "nobody is trusted").await?;
    for (what, space, value) in [
        ("one namespace is trusted", "z", Some("yes")),
        ("two are", "y", Some("yes")),
        ("one is trusted no more", "z", Some("no")),
        ("one isn't said to be", "y", None),
        ("nobody is again", "z", None),
    ] {
        objects::label_namespace(cluster, &mesh.space(space)?.name, "trusted", value).await?;
        agrees(mesh, what).await?;
    }
    Ok(())
}

/// Policies that come, change and go faster than they can be followed: what counts is how it ends.
async fn many(mesh: &Mesh) -> Result<()> {
    let namespace = &mesh.space("x")?.name;
    let at = |port: u16| ingress(&json!({ "from": [space("y")], "ports": [{ "port": port }] }));
    for nth in 0..20 {
        objects::create(&mesh.cluster, namespace, &format!("policy-{nth}"), &at(80 + nth)).await?;
    }
    for nth in 2..20 {
        let name = format!("policy-{nth}");
        if nth % 2 == 0 {
            objects::delete(&mesh.cluster, namespace, &name).await?;
        } else {
            objects::replace(&mesh.cluster, namespace, &name, &egress(&json!({ "to": [space("z")] }))).await?;
        }
    }
    objects::delete(&mesh.cluster, namespace, "policy-1").await?;
    agrees(mesh, "twenty policies came, half of them went, the others changed").await
}
