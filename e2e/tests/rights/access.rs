//! What the roles allow, as the API server itself says.

use crate::attempts::is_refusal;
use anyhow::{Context, Result, ensure};
use k8s_openapi::api::{
    authorization::v1::{
        ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec, SelfSubjectRulesReview,
        SelfSubjectRulesReviewSpec,
    },
    core::v1::{Node, Pod, Secret},
};
use kube::{
    Api, Client,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use kuryr_api::KuryrPool;
use kuryr_e2e::Cluster;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// A question about somebody's rights in every namespace.
pub struct Asked {
    group: &'static str,
    resource: &'static str,
    subresource: Option<&'static str>,
    verb: &'static str,
}

impl Asked {
    /// `resource` may be `RESOURCE/SUBRESOURCE`.
    pub fn new(group: &'static str, resource: &'static str, verb: &'static str) -> Self {
        let (resource, subresource) = resource.split_once('/').map_or((resource, None), |(r, s)| (r, Some(s)));
        Self { group, resource, subresource, verb }
    }
}

/// Whether the client may do this.
///
/// # Errors
/// When the API server can't be asked.
pub async fn may(client: &Client, asked: &Asked) -> Result<bool> {
    let owned = |text: &str| Some(text.to_owned());
    let attributes = ResourceAttributes {
        group: owned(asked.group),
        resource: owned(asked.resource),
        subresource: asked.subresource.and_then(owned),
        verb: owned(asked.verb),
        ..ResourceAttributes::default()
    };
    let spec = SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() };
    let review = SelfSubjectAccessReview { spec, ..Default::default() };
    let answer = Api::all(client.clone()).create(&PostParams::default(), &review).await.context("asking for rights")?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

/// All that the client may do in a namespace: `GROUP/RESOURCE` to verbs, narrowed to names as `GROUP/RESOURCE=NAME`.
async fn rights(client: &Client, namespace: &str) -> Result<BTreeMap<String, BTreeSet<String>>> {
    let spec = SelfSubjectRulesReviewSpec { namespace: Some(namespace.to_owned()) };
    let review = SelfSubjectRulesReview { spec, ..Default::default() };
    let answer = Api::all(client.clone()).create(&PostParams::default(), &review).await.context("asking for rights")?;
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for rule in answer.status.context("no answer")?.resource_rules {
        let names = rule.resource_names.unwrap_or_default();
        for group in rule.api_groups.unwrap_or_default() {
            for resource in rule.resources.iter().flatten() {
                let resource = format!("{group}/{resource}");
                let narrowed: Vec<_> = names.iter().map(|name| format!("{resource}={name}")).collect();
                for key in if narrowed.is_empty() { vec![resource] } else { narrowed } {
                    all.entry(key).or_default().extend(rule.verbs.clone());
                }
            }
        }
    }
    // What everybody who is known may do: ask about itself.
    all.retain(|resource, _| {
        !resource.starts_with("authorization.k8s.io/") && !resource.starts_with("authentication.k8s.io/")
    });
    Ok(all)
}

fn listed(rights: &[(&str, &str)]) -> BTreeMap<String, BTreeSet<String>> {
    let verbs = |text: &str| text.split(' ').map(str::to_owned).collect();
    rights.iter().map(|&(resource, all)| (resource.to_owned(), verbs(all))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_roles_are_as_narrow_as_they_can_be() -> Result<()> {
    let cluster = Cluster::attach().await?;
    let daemon = listed(&[
        ("/pods", "get list watch"),
        ("/nodes", "get"),
        ("kuryr.openstack.org/kuryrports", "get list watch patch"),
        ("kuryr.openstack.org/kuryrports/status", "patch"),
        ("kuryr.openstack.org/kuryrpoolports", "get list watch"),
        ("kuryr.openstack.org/kuryrpoolports/status", "patch"),
        ("kuryr.openstack.org/kuryrpools", "get list watch"),
    ]);
    for node in cluster.nodes() {
        let client = cluster.with_credentials_of(&format!("kuryr-daemon-{node}")).await?;
        for namespace in ["default", "kube-system"] {
            let has = rights(&client, namespace).await?;
            ensure!(has == daemon, "the daemon's rights in {namespace}: {has:#?}");
        }
    }
    let of_kuryr = "create delete get list patch update watch";
    let controller = listed(&[
        ("/pods", "get list watch"),
        ("/nodes", "get list watch"),
        ("/services", "get list watch"),
        ("/services/status", "patch"),
        ("/namespaces", "get list watch"),
        ("networking.k8s.io/networkpolicies", "get list watch"),
        ("policy.networking.k8s.io/clusternetworkpolicies", "get list watch"),
        ("policy.networking.k8s.io/clusternetworkpolicies/status", "patch update"),
        ("discovery.k8s.io/endpointslices", "get list watch"),
        ("events.k8s.io/events", "create patch"),
        ("kuryr.openstack.org/kuryrports", of_kuryr),
        ("kuryr.openstack.org/kuryrports/status", "patch update"),
        ("kuryr.openstack.org/kuryrpoolports", of_kuryr),
        ("kuryr.openstack.org/kuryrpoolports/status", "patch update"),
        ("kuryr.openstack.org/kuryrpools", of_kuryr),
        ("kuryr.openstack.org/kuryrpools/status", "patch update"),
        ("kuryr.openstack.org/kuryrloadbalancers", of_kuryr),
        ("kuryr.openstack.org/kuryrloadbalancers/status", "patch update"),
        ("kuryr.openstack.org/kuryrnetworkpolicies", of_kuryr),
        ("kuryr.openstack.org/kuryrnetworkpolicies/status", "patch update"),
    ]);
    let client = cluster.with_credentials_of("kuryr-controller").await?;
    let has = rights(&client, "default").await?;
    ensure!(has == controller, "the controller's rights: {has:#?}");
    let mut with_lease = controller;
    with_lease.extend(listed(&[
        ("coordination.k8s.io/leases", "create"),
        ("coordination.k8s.io/leases=kuryr-controller", "get patch update"),
    ]));
    let has = rights(&client, "kube-system").await?;
    ensure!(has == with_lease, "the controller's rights in kube-system: {has:#?}");
    Ok(())
}

/// The review is one thing; here are the requests themselves.
#[tokio::test(flavor = "multi_thread")]
async fn secrets_pods_nodes_and_leases_are_out_of_reach() -> Result<()> {
    let cluster = Cluster::attach().await?;
    for part in ["kuryr-daemon-node1", "kuryr-controller"] {
        let client = cluster.with_credentials_of(part).await?;
        attempts_on_others(&client).await.with_context(|| part.to_owned())?;
        for (group, resource, verb) in [
            ("", "secrets", "watch"),
            ("", "secrets", "get"),
            ("", "configmaps", "get"),
            ("", "pods", "create"),
            ("", "pods", "delete"),
            ("", "pods/status", "patch"),
            ("", "pods/exec", "create"),
            ("", "pods/binding", "create"),
            ("", "pods/eviction", "create"),
            ("", "nodes/status", "patch"),
            ("", "nodes/proxy", "get"),
            ("", "serviceaccounts/token", "create"),
            ("coordination.k8s.io", "leases", "delete"),
            ("apiextensions.k8s.io", "customresourcedefinitions", "patch"),
            ("rbac.authorization.k8s.io", "clusterrolebindings", "create"),
            ("admissionregistration.k8s.io", "validatingadmissionpolicies", "patch"),
            ("kuryr.openstack.org", "kuryrports/scale", "patch"),
            ("kuryr.openstack.org", "kuryrports/finalizers", "update"),
        ] {
            let asked = Asked::new(group, resource, verb);
            ensure!(!may(&client, &asked).await?, "{part} may {verb} {resource}");
        }
    }
    daemons_read_pools(&cluster).await
}

async fn attempts_on_others(client: &Client) -> Result<()> {
    let dry = PatchParams { dry_run: true, ..PatchParams::default() };
    let label = Patch::Merge(json!({ "metadata": { "labels": { "a": "b" } } }));
    let all = ListParams::default();
    is_refusal(Api::<Secret>::all(client.clone()).list(&all).await.map(drop)).context("listing secrets")?;
    let pods = Api::<Pod>::all(client.clone()).list(&all).await?.items;
    if let Some((namespace, name)) =
        pods.first().and_then(|p| Some((p.metadata.namespace.clone()?, p.metadata.name.clone()?)))
    {
        let pods = Api::<Pod>::namespaced(client.clone(), &namespace);
        is_refusal(pods.patch(&name, &dry, &label).await.map(drop)).context("changing a pod")?;
    }
    let nodes = Api::<Node>::all(client.clone());
    is_refusal(nodes.patch("node1", &dry, &label).await.map(drop)).context("changing a node")?;
    let untaint = Patch::Merge(json!({ "spec": { "taints": null } }));
    is_refusal(nodes.patch("node1", &dry, &untaint).await.map(drop)).context("changing a node's spec")
}

/// Pools say how many ports a node keeps plugged: its daemon reads them, and sets nothing.
async fn daemons_read_pools(cluster: &Cluster) -> Result<()> {
    let client = cluster.with_credentials_of("kuryr-daemon-node1").await?;
    Api::<KuryrPool>::all(client.clone()).list(&ListParams::default()).await.context("listing KuryrPools")?;
    for (resource, verb) in [
        ("kuryrpools", "create"),
        ("kuryrpools", "patch"),
        ("kuryrpools", "update"),
        ("kuryrpools", "delete"),
        ("kuryrpools", "deletecollection"),
        ("kuryrpools/status", "patch"),
    ] {
        ensure!(
            !may(&client, &Asked::new("kuryr.openstack.org", resource, verb)).await?,
            "a daemon may {verb} {resource}"
        );
    }
    Ok(())
}
