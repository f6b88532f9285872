//! Services: from their creation until their VIP answers, and from a change of their endpoints until traffic follows, beside the same
//! by plain requests to Octavia.

mod floor;
mod judge;
mod kuryr;
mod probe;
mod record;
mod scene;

use super::{requests, usage};
use crate::{
    Cluster,
    private_controller::{Options, PrivateController},
    services::Holdings,
};
use anyhow::{Context, Result, anyhow};
use clap::ValueEnum;
use floor::Floor;
use judge::Until;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams},
};
use kuryr::{Kuryr, Source};
use record::{AllSamples, Times};
use scene::{Scene, Way};
use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, Instant},
};

pub use record::{Record, Step, print};

/// How Services come to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Case {
    /// No Kuryr and no Services: POST a whole load balancer, PUT the members of its pool, by plain requests
    Floor,
    /// Kuryr, with Services whose EndpointSlices are made by hand
    Kuryr,
    /// Kuryr, with Services that select pods: Kubernetes makes the EndpointSlices
    KuryrSelector,
}

impl Case {
    /// Its name in tables, records and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Kuryr => "kuryr",
            Self::KuryrSelector => "kuryr-selector",
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What is to be measured.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The cases, in this order.
    pub cases: Vec<Case>,
    /// How many Services at once.
    pub sizes: Vec<usize>,
    /// How often.
    pub rounds: u32,
}

/// What came of it.
pub struct Outcome {
    /// A record for each case and size, with the goals that it is held to.
    pub records: Vec<Record>,
    /// What could not be measured, and why.
    pub failures: Vec<String>,
}

/// The samples of each case and size.
type All = BTreeMap<(Case, usize), AllSamples>;

/// The lab's controller looks over all load balancers every ten seconds, which no other one does: here it does so as by default.
const OPTIONS: Options<'_> = Options { listen: "127.0.0.1:19806", audit_seconds: 300, sweeps: true };

/// How long the machine may take to come to rest before the next step. That Octavia is done is known before.
const QUIET: Duration = Duration::from_secs(5);

/// Measures all cases; they take turns, so that whatever else the machine does hits them alike. A case that fails doesn't keep the
/// others from being measured. The lab is left as it is found, also when an interrupt (SIGINT) ends it early.
///
/// # Errors
/// When it was interrupted, the lab can't be brought back to what it was, or something is left in the cloud.
pub async fn measure(cluster: &Cluster, plan: &Plan) -> Result<Outcome> {
    clear(cluster).await.context("clearing away what an earlier run has left")?;
    let before = Holdings::take(cluster).await?;
    let folder = cluster.lab.tmp().join("bench-services");
    std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let controller = PrivateController::with_options(cluster, &folder, OPTIONS).await?;
    let (mut samples, mut failures) = (All::new(), Vec::new());
    let measured = tokio::select! {
        done = rounds(cluster, plan, &mut samples, &mut failures) => done,
        _ = tokio::signal::ctrl_c() => Err(anyhow!("interrupted")),
    };
    // The lab's own clears away what is left, whatever became of this one.
    let ended = controller.end().await.context("bringing the lab's controller back");
    let cleared = clear(cluster).await.context("clearing away what was measured");
    let back = before.are_back(cluster).await;
    measured?;
    ended?;
    cleared?;
    back?;
    let mut records: Vec<_> =
        samples.into_iter().map(|((case, services), sample)| sample.record(case, services)).collect();
    record::judge(&mut records);
    Ok(Outcome { records, failures })
}

async fn rounds(cluster: &Cluster, plan: &Plan, samples: &mut All, failures: &mut Vec<String>) -> Result<()> {
    let scene = Scene::begin(cluster).await.context("starting the pods")?;
    for &case in &plan.cases {
        // What happens only once isn't measured.
        turn(&scene, case, 1).await.with_context(|| format!("a first load balancer: {case}"))?;
    }
    for round in 1..=plan.rounds {
        for &services in &plan.sizes {
            for &case in &plan.cases {
                println!("round {round} of {}: {case} x{services}", plan.rounds);
                match turn(&scene, case, services).await {
                    Ok(times) => add(samples.entry((case, services)).or_default(), times),
                    Err(error) => {
                        println!("    failed: {error:#}");
                        failures.push(format!("{case} x{services}: {error:#}"));
                    }
                }
            }
        }
    }
    Ok(())
}

/// What was measured in one turn: creation, an endpoint added, an endpoint removed, deletion.
struct Turn {
    created: Times,
    added: Times,
    removed: Times,
    gone: Duration,
}

fn add(samples: &mut AllSamples, turn: Turn) {
    samples.created.add(turn.created);
    samples.added.add(turn.added);
    samples.removed.add(turn.removed);
    samples.gone.push(turn.gone);
}

/// One case, once. Whatever comes of it, nothing of it is left.
async fn turn(scene: &Scene<'_>, case: Case, services: usize) -> Result<Turn> {
    let kuryr = |source| {
        let metrics = format!("http://{}/metrics", OPTIONS.listen);
        Kuryr::new(scene.cluster, &scene.space, source, metrics)
    };
    match case {
        Case::Floor => whole(scene, &mut Floor::new(scene.cluster).await?, services).await,
        Case::Kuryr => whole(scene, &mut kuryr(Source::Slices), services).await,
        Case::KuryrSelector => whole(scene, &mut kuryr(Source::Selector), services).await,
    }
}

async fn whole(scene: &Scene<'_>, way: &mut impl Way, services: usize) -> Result<Turn> {
    let measured = measured(scene, way, services).await;
    let begin = Instant::now();
    let deleted = way.delete().await.context("deleting");
    let gone = begin.elapsed();
    let [created, added, removed] = measured?;
    deleted?;
    let shown = |times: &Times| times.each.iter().max().map_or(0.0, Duration::as_secs_f64);
    println!(
        "    all answer in {:.2} s, added in {:.2} s, removed in {:.2} s, gone in {:.2} s",
        shown(&created),
        shown(&added),
        shown(&removed),
        gone.as_secs_f64()
    );
    Ok(Turn { created, added, removed, gone })
}

async fn measured(scene: &Scene<'_>, way: &mut impl Way, services: usize) -> Result<[Times; 3]> {
    let client = scene.client(services).await?;
    usage::quiet_within(QUIET).await?;
    let before = way.requests().await?;
    let each = way.create(&client, services, scene.first_two()).await.context("creating")?;
    scene::settled(scene.cluster, way, scene.first_two()).await?;
    usage::quiet_within(QUIET).await?;
    let requests = requests::between(&before, &way.requests().await?);
    let created = Times { each, requests, lost: 0 };
    let [gone, _, more] = scene.all() else { return Err(anyhow!("there are other endpoints than three")) };
    let added = changed(scene, way, &client, scene.all(), Until::By(more.name.clone())).await?;
    let removed = changed(scene, way, &client, scene.last_two(), Until::NoMoreBy(gone.name.clone())).await?;
    Ok([created, added, removed])
}

/// Changes the endpoints. The requests are those until Octavia and Kuryr have come to rest.
async fn changed(
    scene: &Scene<'_>,
    way: &mut impl Way,
    client: &probe::Client,
    to: &[scene::Endpoint],
    until: Until,
) -> Result<Times> {
    let before = way.requests().await?;
    let followed = scene::follow(way, client, to, &until).await?;
    scene::settled(scene.cluster, way, to).await?;
    usage::quiet_within(QUIET).await?;
    let requests = requests::between(&before, &way.requests().await?);
    Ok(Times { each: followed.each, requests, lost: followed.lost })
}

/// Deletes whatever the benchmark makes, of earlier runs too, and waits until it is gone. Needs a controller that runs.
async fn clear(cluster: &Cluster) -> Result<()> {
    let spaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(cluster.client.clone());
    let all = spaces.list(&ListParams::default()).await.context("listing namespaces")?;
    let ours = |name: &String| name.strip_prefix(scene::NAMESPACE).is_some_and(|rest| rest.starts_with('-'));
    let ours: Vec<_> = all.iter().map(ResourceExt::name_any).filter(ours).collect();
    for name in &ours {
        spaces.delete(name, &DeleteParams::default()).await.with_context(|| format!("deleting {name}"))?;
    }
    crate::wait::eventually("the benchmark's namespaces to go", scene::PATIENCE, async || {
        for name in &ours {
            let left = spaces.get_opt(name).await?;
            crate::wait::holds(left.is_none(), || format!("{name} is left"))?;
        }
        Ok(())
    })
    .await?;
    floor::remove_all(cluster).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_and_the_records_have_the_same_names() {
        for case in Case::value_variants() {
            assert_eq!(case.to_possible_value().unwrap().get_name(), case.name());
        }
    }
}
