//! Nine pods: `a`, `b` and `c` in each of the namespaces `x`, `y` and `z`, on all nodes.

use super::{
    objects,
    table::{Expected, Name, PORTS, Protocol},
    text::World,
};
use crate::{
    Cluster, PodTemplate,
    inside::Inside,
    traffic::From,
    workload::{self, POD_PATIENCE},
};
use anyhow::{Context, Result};
use futures::future::try_join_all;
use k8s_openapi::api::{
    core::v1::{Namespace, Pod},
    networking::v1::NetworkPolicy,
};
use kube::{Api, ResourceExt, api::ListParams};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

/// The namespaces' short names, and what is put in front of them.
pub const SPACES: [&str; 3] = ["x", "y", "z"];
const STEM: &str = "mesh";

/// The pods of each namespace.
pub const PODS: [&str; 3] = ["a", "b", "c"];

/// The labels of a namespace of the mesh: its short name, and `env` of two of them.
pub fn space_labels(space: &str) -> impl Iterator<Item = (&'static str, String)> {
    let env = match space {
        "x" => Some("test"),
        "y" => Some("prod"),
        _ => None,
    };
    [Some(("ns", space.to_owned())), env.map(|env| ("env", env.to_owned()))].into_iter().flatten()
}

/// A pod of the mesh. All serve the same ports. Two of them have a `tier`, and a port `web`, whose number differs.
#[must_use]
pub fn template(pod: &str) -> PodTemplate {
    // Each agnhost serves one port, over both protocols.
    let script = "/agnhost netexec --http-port=80 --udp-port=80 & exec /agnhost netexec --http-port=81 --udp-port=81";
    let mut template = PodTemplate::idle(pod).command(&["sh", "-c", script]).label("pod", pod);
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        for number in PORTS {
            let name = format!("serve-{number}-{}", protocol.as_str().to_lowercase());
            template = template.port(&name, protocol.as_str(), number);
        }
    }
    match pod {
        "a" => template.label("tier", "front").port("web", "TCP", 80),
        "b" => template.label("tier", "back").port("web", "TCP", 81),
        _ => template,
    }
}

/// The short name of a pod.
#[must_use]
pub fn name(space: &str, pod: &str) -> Name {
    format!("{space}/{pod}").into()
}

/// The running mesh.
pub struct Mesh {
    /// The lab.
    pub cluster: Cluster,
    spaces: BTreeMap<&'static str, workload::Namespace>,
    pub(super) inside: BTreeMap<Name, Arc<Inside>>,
    /// What was measured last.
    pub(super) agreed: Mutex<Arc<Expected>>,
}

impl Mesh {
    /// Makes the namespaces and starts the pods.
    ///
    /// # Errors
    /// When one of them doesn't come up.
    pub async fn start(cluster: &Cluster) -> Result<Self> {
        let spaces = try_join_all(SPACES.map(async |short| {
            let space = cluster.namespace(&format!("{STEM}-{short}")).await?;
            for (key, value) in space_labels(short) {
                objects::label_namespace(cluster, &space.name, key, Some(&value)).await?;
            }
            anyhow::Ok((short, space))
        }));
        let spaces = spaces.await?.into_iter().collect();
        let mut mesh = Self { cluster: cluster.clone(), spaces, inside: BTreeMap::new(), agreed: Mutex::default() };
        let all = || SPACES.into_iter().flat_map(|space| PODS.into_iter().map(move |pod| (space, pod)));
        try_join_all(all().map(|(space, pod)| mesh.create(space, pod))).await?;
        let inside = try_join_all(all().map(|(space, pod)| mesh.enter(space, pod))).await?;
        mesh.inside = all().map(|(space, pod)| name(space, pod)).zip(inside).collect();
        Ok(mesh)
    }

    /// A namespace, by its short name.
    ///
    /// # Errors
    /// When there is no such namespace.
    pub fn space(&self, short: &str) -> Result<&workload::Namespace> {
        self.spaces.get(short).with_context(|| format!("the mesh has no namespace {short}"))
    }

    /// The inside of a pod.
    ///
    /// # Errors
    /// When there is no such pod.
    pub fn inside(&self, space: &str, pod: &str) -> Result<Arc<Inside>> {
        self.inside.get(&name(space, pod)).cloned().with_context(|| format!("the mesh has no pod {space}/{pod}"))
    }

    /// Asks for a pod. All nodes have pods of all namespaces.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn create(&self, space: &str, pod: &str) -> Result<Pod> {
        let nodes = self.cluster.nodes();
        let place = |names: [&str; 3], wanted| names.iter().position(|one| *one == wanted).unwrap_or_default();
        let node = &nodes[(place(SPACES, space) + place(PODS, pod)) % nodes.len()];
        self.space(space)?.create(&template(pod).on(node)).await
    }

    /// Waits for a pod and enters it.
    async fn enter(&self, space: &str, pod: &str) -> Result<Arc<Inside>> {
        let namespace = self.space(space)?;
        namespace.ready(pod).await?;
        Inside::of(&self.cluster, &From::pod(&namespace.name, pod)).await.map(Arc::new)
    }

    /// Takes a pod away; waits until it has gone.
    ///
    /// # Errors
    /// When it doesn't go.
    pub async fn take_away(&mut self, space: &str, pod: &str) -> Result<()> {
        self.inside.remove(&name(space, pod));
        let namespace = self.space(space)?.clone();
        namespace.delete(pod, None).await?;
        crate::wait::eventually("a pod of the mesh to go", POD_PATIENCE, async || {
            let there = namespace.pods().get_opt(pod).await?;
            crate::wait::holds(there.is_none(), || format!("{space}/{pod} is still there"))
        })
        .await
    }

    /// Starts a pod that was taken away.
    ///
    /// # Errors
    /// When it doesn't come up.
    pub async fn bring_back(&mut self, space: &str, pod: &str) -> Result<()> {
        self.create(space, pod).await?;
        let inside = self.enter(space, pod).await?;
        self.inside.insert(name(space, pod), inside);
        Ok(())
    }

    /// What the API server has of the mesh: of its pods those that [are entered](Self::inside).
    ///
    /// # Errors
    /// When it doesn't answer.
    pub async fn world(&self) -> Result<World> {
        let all: Api<Namespace> = Api::all(self.cluster.client.clone());
        let mut world = World::default();
        for (short, space) in &self.spaces {
            world.spaces.insert((*short).to_owned(), all.get(&space.name).await?);
            let pods = space.pods().list(&ListParams::default()).await?;
            let named = pods.into_iter().map(|pod| (name(short, &pod.name_any()), pod));
            world.pods.extend(named.filter(|(name, _)| self.inside.contains_key(name)));
            let policies: Api<NetworkPolicy> = self.cluster.api(&space.name);
            world.policies.extend(policies.list(&ListParams::default()).await?);
        }
        Ok(world)
    }

    /// Removes the namespaces with all that is in them.
    ///
    /// # Errors
    /// When one of them is stuck.
    pub async fn remove(self) -> Result<()> {
        drop(self.inside);
        try_join_all(self.spaces.into_values().map(workload::Namespace::remove)).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_have_an_own_name_for_each_port_and_two_a_common_one() {
        let named = |pod: &str| template(pod).manifest("x").matches("\"containerPort\"").count();
        assert_eq!(["a", "b", "c"].map(named), [5, 5, 4]);
    }
}
