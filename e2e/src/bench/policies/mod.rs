//! NetworkPolicies: from their creation until they are enforced, and from a pod's new label until packets follow, beside the same by plain
//! requests to Neutron.

mod floor;
mod judge;
mod kuryr;
mod probe;
mod record;
mod scene;

use super::{requests, usage};
use crate::{
    Cluster,
    policies::groups::Groups,
    private_controller::{Options, PrivateController},
    workload::Namespace,
};
use anyhow::{Context, Result, anyhow};
use clap::ValueEnum;
use floor::Floor;
use judge::Until;
use kube::{Api, ResourceExt, api::ListParams};
use kuryr::Kuryr;
use record::{Samples, Times};
use scene::{Change, Scene, Way};
use std::{collections::BTreeMap, fmt, time::Duration, time::Instant};

pub use record::{Record, Step, print};

/// How policies come to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Case {
    /// No policies and no Kuryr: groups and their addresses by plain requests
    Floor,
    /// Kuryr, with a NetworkPolicy and a pod's label
    Kuryr,
}

impl Case {
    /// Its name in tables, records and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Kuryr => "kuryr",
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
    /// How many other policies there are, in rising steps.
    pub policies: Vec<usize>,
    /// How often.
    pub rounds: u32,
}

/// What came of it.
pub struct Outcome {
    /// A record for each case and number of policies, with the goals that it is held to.
    pub records: Vec<Record>,
    /// What could not be measured, and why.
    pub failures: Vec<String>,
}

/// The samples of each case and number of policies.
type All = BTreeMap<(Case, usize), Samples>;

/// Groups are looked at as often as by default. The sweep would find the floor's groups at a port, and put it right.
const OPTIONS: Options<'_> = Options { listen: "127.0.0.1:19807", audit_seconds: 300, sweeps: false };

/// How long the machine may take to come to rest before the next change. That the controller is done is known before.
const QUIET: Duration = Duration::from_secs(3);

/// How often a pod is relabelled in and out in each turn.
const RELABELLED: usize = 3;

/// Measures all cases; they take turns, so that whatever else the machine does hits them alike. A case that fails doesn't keep the
/// others from being measured. The lab is left as it is found, also when an interrupt (SIGINT) ends it early.
///
/// # Errors
/// When it was interrupted, the lab can't be brought back to what it was, or something is left in the cloud.
pub async fn measure(cluster: &Cluster, plan: &Plan) -> Result<Outcome> {
    clear(cluster).await.context("clearing away what an earlier run has left")?;
    let before = Groups::take(cluster).await?;
    let folder = cluster.lab.tmp().join("bench-policies");
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
    let mut records: Vec<_> = samples.iter().map(|((case, policies), of)| of.record(*case, *policies)).collect();
    record::judge(&mut records);
    Ok(Outcome { records, failures })
}

async fn rounds(cluster: &Cluster, plan: &Plan, samples: &mut All, failures: &mut Vec<String>) -> Result<()> {
    let metrics = format!("http://{}/metrics", OPTIONS.listen);
    let mut scene = Scene::begin(cluster, metrics).await.context("starting the pods")?;
    for &case in &plan.cases {
        // What happens only once isn't measured.
        turn(&scene, case, 1).await.with_context(|| format!("a first turn: {case}"))?;
    }
    let mut steps = plan.policies.clone();
    steps.sort_unstable();
    for policies in steps {
        println!("{policies} other policies ...");
        scene.grow(policies).await.with_context(|| format!("making {policies} other policies"))?;
        for round in 1..=plan.rounds {
            for &case in &plan.cases {
                println!("round {round} of {}: {case} beside {policies} policies", plan.rounds);
                match turn(&scene, case, RELABELLED).await {
                    Ok(times) => samples.entry((case, policies)).or_default().add(times),
                    Err(error) => {
                        println!("    failed: {error:#}");
                        failures.push(format!("{case} beside {policies} policies: {error:#}"));
                    }
                }
            }
        }
    }
    Ok(())
}

/// One case, once. Whatever comes of it, nothing of it is left.
async fn turn(scene: &Scene<'_>, case: Case, relabelled: usize) -> Result<Vec<(Change, Times)>> {
    match case {
        Case::Floor => whole(scene, &mut Floor::new(scene).await?, relabelled).await,
        Case::Kuryr => whole(scene, &mut Kuryr::new(scene), relabelled).await,
    }
}

async fn whole(scene: &Scene<'_>, way: &mut impl Way, relabelled: usize) -> Result<Vec<(Change, Times)>> {
    scene.is_open().await?;
    let measured = measured(scene, way, relabelled).await;
    let cleared = way.clear().await.context("clearing away");
    let times = measured?;
    cleared?;
    let shown: Vec<_> =
        times.iter().map(|(change, times)| format!("{change:?} {:.3}", times.took.as_secs_f64())).collect();
    println!("    {} s", shown.join(", "));
    Ok(times)
}

async fn measured(scene: &Scene<'_>, way: &mut impl Way, relabelled: usize) -> Result<Vec<(Change, Times)>> {
    let mut times = Vec::new();
    usage::quiet_within(QUIET).await?;
    for change in changes(relabelled) {
        let measured = step(scene, way, change).await.with_context(|| format!("{change:?}"))?;
        times.push((change, measured));
    }
    Ok(times)
}

/// The changes of a turn, in their order.
fn changes(relabelled: usize) -> Vec<Change> {
    let relabelled = std::iter::repeat_n([Change::Admit, Change::Expel], relabelled).flatten();
    [Change::Close].into_iter().chain(relabelled).chain([Change::Open]).collect()
}

/// Whether the pod that is let in at times gets through after a change.
const fn until(change: Change) -> Until {
    match change {
        Change::Close | Change::Expel => Until::Closed,
        Change::Admit | Change::Open => Until::Open,
    }
}

/// Makes a change, and waits until packets follow and whoever makes it has come to rest.
async fn step(scene: &Scene<'_>, way: &mut impl Way, change: Change) -> Result<Times> {
    let before = way.requests().await?;
    let steady = scene.from_friend.steady();
    let watch = scene.from_other.watch(until(change));
    let begin = Instant::now();
    way.make(change).await?;
    let took = watch.seen().await?.saturating_duration_since(begin);
    let friend = steady.end().await?;
    way.settled().await?;
    scene.from_friend.is_open().await.context("the server is closed to the pod that may always reach it")?;
    usage::quiet_within(QUIET).await?;
    let requests = requests::between(&before, &way.requests().await?);
    let closed = friend.gaps().iter().map(|gap| gap.length).max().unwrap_or_default();
    Ok(Times { took, requests, closed })
}

/// Removes whatever the benchmark makes, of earlier runs too. Needs a controller that runs.
async fn clear(cluster: &Cluster) -> Result<()> {
    floor::remove_all(cluster).await?;
    let spaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(cluster.client.clone());
    let all = spaces.list_metadata(&ListParams::default()).await.context("listing namespaces")?;
    let ours = |name: &String| name.strip_prefix(scene::NAMESPACE).is_some_and(|rest| rest.starts_with('-'));
    for name in all.items.iter().map(ResourceExt::name_any).filter(ours) {
        Namespace::new(cluster.clone(), name).remove().await?;
    }
    Ok(())
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

    #[test]
    fn a_turn_ends_as_it_began() {
        let all = changes(2);
        assert_eq!(all.len(), 6);
        assert_eq!((all[0], all[5]), (Change::Close, Change::Open));
        assert_eq!(until(all[0]), until(all[2]), "closed after the creation, and after the label is gone");
        assert_eq!(until(all[1]), until(all[5]));
    }
}
