//! Nine pods: `a`, `b` and `c` in each of the namespaces `x`, `y` and `z`, on all nodes.
//!
//! Who reaches whom is measured from inside of all of them at the same time, so that a whole table takes little more than the
//! patience with one way that is closed.

use super::{
    objects, probe,
    table::{Cell, Difference, Expected, Measured, Name, Protocol, Way, count_open, describe, differences, is_as},
    text::{World, address},
};
use crate::{
    Cluster, PodTemplate,
    inside::Inside,
    traffic::From,
    workload::{self, POD_PATIENCE},
};
use anyhow::{Context, Result, bail};
use futures::{
    StreamExt,
    future::{join_all, try_join_all},
    stream::FuturesUnordered,
};
use k8s_openapi::api::{
    core::v1::{Namespace, Pod},
    networking::v1::NetworkPolicy,
};
use kube::{Api, ResourceExt, api::ListParams};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// The namespaces' short names, and what is put in front of them.
pub const SPACES: [&str; 3] = ["x", "y", "z"];
const STEM: &str = "mesh";

/// The pods of each namespace.
pub const PODS: [&str; 3] = ["a", "b", "c"];

/// How long policies may take until packets tell, on a busy machine.
pub const ENFORCED: Duration = Duration::from_secs(20);

/// From one look at a way that isn't as it must be to the next.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long an answer is waited for on a first look at one way.
const GLANCE: Duration = Duration::from_millis(150);

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
    let mut template = PodTemplate::idle(pod).command(&["sh", "-c", script]).label("pod", pod).grace(0);
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        for number in super::table::PORTS {
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
    inside: BTreeMap<Name, Arc<Inside>>,
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
        let mut mesh = Self { cluster: cluster.clone(), spaces, inside: BTreeMap::new() };
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
        namespace.delete(pod, Some(0)).await?;
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

    /// Waits until exactly those ways are open that the text of the API opens, with the policies and labels that there are.
    ///
    /// # Errors
    /// When it doesn't come to that; the error tells the ways that differ.
    pub async fn agrees(&self) -> Result<Agreement> {
        let world = self.world().await?;
        let expected = Arc::new(world.table());
        let begin = Instant::now();
        loop {
            // The last time all of it is measured, to be told.
            let hasty = begin.elapsed() < ENFORCED;
            let looked = Instant::now();
            let differences = self.measure(&world, &expected, hasty).await?;
            if differences.is_empty() {
                let (open, of) = (count_open(&expected), expected.len());
                return Ok(Agreement { open, of, after: looked - begin, measured_in: looked.elapsed() });
            }
            if !hasty {
                bail!("after {} s {}", ENFORCED.as_secs(), describe(&differences, expected.len()));
            }
            self.await_one(&world, &differences[0], begin + ENFORCED).await?;
        }
    }

    /// Looks at one way until it is as it must be, or it is too late: whole tables in a row would keep a small machine from doing
    /// what is waited for.
    async fn await_one(&self, world: &World, difference: &Difference, until: Instant) -> Result<()> {
        let (Cell { from, way, .. }, to) = (&difference.cell, target(world, &difference.cell)?);
        let inside = self.inside.get(from).with_context(|| format!("{from} isn't entered"))?;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let outcome = inside.spawn(probe::once(way.protocol, to, GLANCE)).await.context("trying one way")?;
            if is_as(outcome, difference.open) || Instant::now() > until {
                return Ok(());
            }
        }
    }

    /// Measures the table. Whoever is `hasty` learns of one way that is open and must not be as soon as it is seen, and of no others.
    ///
    /// # Errors
    /// When a pod has no address.
    pub async fn measure(&self, world: &World, expected: &Expected, hasty: bool) -> Result<Vec<Difference>> {
        let (tell, mut told) = unbounded_channel();
        let mut trying = Vec::new();
        for (from, inside) in &self.inside {
            let mut targets = Vec::new();
            for to in world.pods.keys() {
                for way in Way::all() {
                    let cell = Cell { from: from.clone(), to: to.clone(), way };
                    let at = target(world, &cell)?;
                    targets.push((cell, at));
                }
            }
            trying.push(inside.spawn(try_all(targets, tell.clone())));
        }
        drop(tell);
        let mut measured = Measured::new();
        while let Some((cell, outcome)) = told.recv().await {
            let open = expected.get(&cell).copied().unwrap_or_default();
            // Silence is certain in the end only.
            if hasty && !open && !is_as(outcome, open) {
                return Ok(vec![Difference { cell, outcome: Some(outcome), open }]);
            }
            measured.insert(cell, outcome);
        }
        for ended in join_all(trying).await {
            ended.context("trying all ways from a pod")?;
        }
        Ok(differences(expected, &measured))
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

/// Where a way leads.
fn target(world: &World, cell: &Cell) -> Result<SocketAddr> {
    let pod = world.pods.get(&cell.to).with_context(|| format!("there is no pod {}", cell.to))?;
    let ip = address(pod, cell.way.family).with_context(|| format!("{} has no address for {}", cell.to, cell.way))?;
    Ok(SocketAddr::new(ip, cell.way.port))
}

/// Tries all targets at the same time.
async fn try_all(targets: Vec<(Cell, SocketAddr)>, tell: UnboundedSender<(Cell, probe::Outcome)>) {
    let try_one = async |(cell, to): (Cell, SocketAddr)| {
        let outcome = probe::reach(cell.way.protocol, to).await;
        // Who asked may have seen enough.
        drop(tell.send((cell, outcome)));
    };
    let mut tries: FuturesUnordered<_> = targets.into_iter().map(try_one).collect();
    while tries.next().await.is_some() {}
}

/// A table that was as expected.
#[derive(Debug, Clone, Copy)]
pub struct Agreement {
    /// How many ways are open.
    pub open: usize,
    /// How many ways there are.
    pub of: usize,
    /// After how long the measurement that agreed was begun.
    pub after: Duration,
    /// How long it took.
    pub measured_in: Duration,
}
