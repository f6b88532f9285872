//! Chaos: every component is killed and started again, in random order, while pods come and go. Then everything must agree, and
//! every living pod must reach every other.

mod hands;
mod kills;
mod order;
mod places;
mod reach;
mod record;

pub use record::{Record, print};

use super::{
    lives::{Lives, Patience},
    report::{quantile, round},
};
use crate::{
    Cluster,
    inventory::{self, Inventory},
    timeline::Timeline,
    workload::Namespace,
};
use anyhow::{Context, Result, anyhow};
use fastrand::Rng;
use hands::Hands;
use kills::{EXCLUDED, Kills};
use kube::ResourceExt;
use kuryr_api::KuryrPort;
use order::Order;
use places::Places;
use std::{
    future::Future,
    time::{Duration, Instant},
};

/// What the names of its namespaces begin with.
const NAMESPACE: &str = "chaos";

/// How long pods may take, and everything in the end. What a killed Neutron had changed or deleted in its database and not in
/// OVN, only its maintenance worker brings there: it looks every 5 minutes for what is older than one. A minute more is for all others.
const PATIENCE: Duration = Duration::from_secs(420);

/// How often something that is awaited is told of.
const TELL_EVERY: Duration = Duration::from_secs(30);

/// What is to be done.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// For how long; longer if not every component has been killed by then.
    pub time: Duration,
    /// How many pods there are at any time, on their way or living.
    pub pods: usize,
    /// What decides the order of the kills.
    pub seed: u64,
}

/// Kills and starts everything while pods come and go, then looks whether all is as it should be. Whatever ends it (an
/// interrupt, too), all components run again afterwards.
///
/// # Errors
/// When it can't be carried through: a component doesn't start any more, or it was interrupted. What isn't as it should be is
/// in the record.
pub async fn run(cluster: &Cluster, plan: Plan) -> Result<Record> {
    inventory::settled(cluster).await.context("before the chaos")?;
    let hands = Hands::of(&cluster.lab);
    let space = cluster.namespace(NAMESPACE).await?;
    let name = space.name.clone();
    let chaos = Chaos { cluster, plan, hands: &hands, begin: Instant::now() };
    let outcome = tokio::select! {
        outcome = chaos.go(space) => outcome,
        interrupted = interrupt() => interrupted.and_then(|()| Err(anyhow!("interrupted"))),
    };
    match outcome {
        Err(error) => Err(restored(cluster, &hands, name).await.err().map_or_else(
            || anyhow!("{error:#}"),
            |worse| anyhow!("{error:#}; and the lab couldn't be brought back: {worse:#}"),
        )),
        whole => whole,
    }
}

/// Returns when somebody asks the program to end.
async fn interrupt() -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed.context("listening for SIGINT"),
        _ = terminate.recv() => Ok(()),
    }
}

/// Starts everything and takes the pods away.
async fn restored(cluster: &Cluster, hands: &Hands, space: String) -> Result<()> {
    println!("  bringing every component back");
    hands.start_all().await?;
    Namespace::new(cluster.clone(), space).remove().await
}

/// One run.
struct Chaos<'a> {
    cluster: &'a Cluster,
    plan: Plan,
    hands: &'a Hands,
    begin: Instant,
}

impl Chaos<'_> {
    async fn go(&self, space: Namespace) -> Result<Record> {
        let timeline = Timeline::start(self.cluster, &space.name);
        let patience = Patience { request: PATIENCE, pod: PATIENCE };
        let lives = Lives::new(self.cluster, &space, &timeline, patience);
        let mut record = Record::of(self.plan);
        let (kills, living) = self.storm(&lives).await?;
        record.seconds = self.elapsed();
        record.tell_kills(kills);
        record.living_pods = living.len();

        self.calm(&space, &living, &mut record).await;
        record.failed_sandboxes = lives.failed_sandboxes().await?;
        let ends = futures::future::join_all(living.iter().map(|name| lives.end(name))).await;
        ends.iter().filter_map(|end| end.as_ref().err()).for_each(|error| lives.fail(error));

        let times = timeline.times_to_ready();
        (record.pods, record.failed_pods) = (lives.gone(), lives.failed());
        [record.p50_s, record.p99_s, record.longest_s] = [0.5, 0.99, 1.0].map(|q| quantile(&times, q));
        self.nothing_left(space, &mut record).await;
        Ok(record)
    }

    /// The kills, with pods that come and go meanwhile. When all components run again, the pods that live then stay: their names.
    async fn storm(&self, lives: &Lives<'_>) -> Result<(Kills, Vec<String>)> {
        let parts = kills::parts(&self.cluster.lab)?;
        println!("seed {}: {} components, {} pods", self.plan.seed, parts.len(), self.plan.pods);
        EXCLUDED.iter().for_each(|(part, why)| println!("  {part} isn't killed: {why}"));
        let places = Places::new(lives);
        let tell = |text: &str| self.tell(&format!("{text} ({})", lives.shown()));
        let killing = async {
            let order = Order::new(parts, self.plan.seed);
            let kills = kills::run(self.hands, order, self.begin + self.plan.time, tell).await?;
            self.hands.start_all().await.context("starting everything in the end")?;
            self.tell("everything is up; no pod goes any more");
            places.no_more();
            Ok(kills)
        };
        let pods = async { Ok(places.keep(self.plan.pods).await) };
        tokio::try_join!(killing, pods)
    }

    /// Everything agrees, and the living pods reach each other.
    async fn calm(&self, space: &Namespace, living: &[String], record: &mut Record) {
        let begin = Instant::now();
        let agreed = self.awaiting("Kubernetes, Neutron and the nodes to agree", self.settled()).await;
        record.settled_s = round(begin.elapsed().as_secs_f64());
        record.disagreement = agreed.err().map(|error| format!("{error:#}"));
        self.tell(record.disagreement.as_deref().unwrap_or("Kubernetes, Neutron and the nodes agree"));
        let reach = reach::among(self.cluster, space, living, PATIENCE);
        record.reach = self.awaiting("every pod to reach every other", reach).await;
        self.tell(&record.reach.to_string());
    }

    /// The pods have gone; so must have everything that they had.
    async fn nothing_left(&self, space: Namespace, record: &mut Record) {
        let (begin, name) = (Instant::now(), space.name.clone());
        let left = async {
            space.remove().await?;
            self.settled().await
        };
        let left = self.awaiting("everything to be given back", left).await;
        record.emptied_s = round(begin.elapsed().as_secs_f64());
        record.leak = left.err().map(|error| format!("{error:#}"));
        let ours = |claims: &[KuryrPort]| claims.iter().filter(|c| c.namespace().as_ref() == Some(&name)).count();
        match Inventory::take(self.cluster).await {
            Ok(inventory) => record.kuryr_ports_left = ours(&inventory.claims),
            Err(error) => record.leak = Some(format!("nobody can tell: {error:#}")),
        }
    }

    async fn settled(&self) -> Result<Inventory> {
        inventory::settled_within(self.cluster, PATIENCE).await
    }

    /// Does something that may take long, and tells so now and then.
    async fn awaiting<T>(&self, what: &str, work: impl Future<Output = T>) -> T {
        let tell = async {
            loop {
                tokio::time::sleep(TELL_EVERY).await;
                self.tell(&format!("still waiting for {what}"));
            }
        };
        tokio::select! { done = work => done, never = tell => never }
    }

    fn tell(&self, text: &str) {
        println!("  {:>5.0} s: {text}", self.elapsed());
    }

    fn elapsed(&self) -> f64 {
        round(self.begin.elapsed().as_secs_f64())
    }
}

/// A moment of at most so many seconds.
fn moment(rng: &mut Rng, seconds: std::ops::RangeInclusive<f64>) -> Duration {
    let (least, most) = (seconds.start(), seconds.end());
    Duration::from_secs_f64(least + (most - least) * rng.f64())
}
