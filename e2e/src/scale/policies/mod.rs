//! What a pod or a policy costs among many: the time from the write to Kubernetes until a cloud in memory has it, and the requests that
//! it takes. No packets.

mod crowd;
mod event;
mod record;

use super::{
    controller::Controller,
    kubelets::Nodes,
    site::{Enforced, Site},
};
use crate::policies::progress;
use anyhow::{Result, bail};
use crowd::{ACTORS, Crowd};
use event::Event;
use kuryr_openstack_fake::Latency;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

pub use record::{Record, Step, Times, judge, missed_by, print};

/// How long the controller may take about thousands of pods.
const PATIENCE: Duration = Duration::from_secs(1800);

/// How long one event may take.
const EVENT: Duration = Duration::from_secs(60);

/// What is to be measured.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How many policies that aren't concerned, in rising steps.
    pub policies: Vec<usize>,
    /// How many pods that aren't concerned, in rising steps.
    pub pods: Vec<usize>,
    /// How many nodes.
    pub nodes: usize,
    /// How often each event is measured.
    pub rounds: u32,
    /// How slow the cloud is.
    pub latency: Latency,
    /// The program `kuryr`.
    pub kuryr: PathBuf,
}

/// What there is while it is measured.
struct Stage {
    site: Site,
    controller: Controller,
    crowd: Crowd,
}

/// Measures all events among all numbers of policies and pods. Needs a thread in the API server's network namespace.
///
/// # Errors
/// When a part doesn't start or ends, or an event doesn't get to the cloud.
pub async fn measure(plan: &Plan, folder: &Path) -> Result<Vec<Record>> {
    let site = Site::prepare(plan.nodes, plan.latency, Enforced::Yes, folder).await?;
    let nodes = Nodes::start(plan.nodes, &site.config, folder).await?;
    let (working, client) = (nodes.clone(), site.client.clone());
    let kubelets = tokio::spawn(async move {
        if let Err(error) = working.work(client).await {
            eprintln!("the kubelets have stopped: {error:#}");
        }
    });
    let crowd = Crowd { client: site.client.clone(), nodes: plan.nodes };
    let mut stage = Stage { controller: Controller::start(&plan.kuryr, folder)?, site, crowd };
    stage.crowd.begin().await?;
    let (mut records, mut there, mut policies) = (Vec::new(), 0, 0);
    for &pods in &sorted(&plan.pods) {
        stage.crowd.others(0..policies, false).await?;
        policies = 0;
        println!("{pods} pods ...");
        stage.crowd.more_pods(there..pods).await?;
        there = there.max(pods);
        nodes.until_ready(there + ACTORS.len()).await;
        for &more in &sorted(&plan.policies) {
            stage.crowd.others(policies..more, true).await?;
            policies = policies.max(more);
            stage.crowd.in_force(PATIENCE).await?;
            stage.rests().await?;
            println!("{policies} policies, {pods} pods are there");
            records.push(stage.measure(plan, (policies, pods)).await?);
        }
    }
    nodes.all_run()?;
    stage.controller.stop().await?;
    kubelets.abort();
    judge(&mut records);
    Ok(records)
}

fn sorted(numbers: &[usize]) -> Vec<usize> {
    let mut sorted = numbers.to_vec();
    sorted.sort_unstable();
    sorted
}

impl Stage {
    /// All events, so many times, in turn.
    async fn measure(&mut self, plan: &Plan, (policies, pods): (usize, usize)) -> Result<Record> {
        let mut times: BTreeMap<Event, Vec<Times>> = BTreeMap::new();
        // What happens only once isn't measured: a first round fills caches and pools.
        for round in 0..=plan.rounds {
            for event in Event::ALL {
                let once = self.once(event).await?;
                if round > 0 {
                    times.entry(event).or_default().push(once);
                }
            }
        }
        let events = times.iter().map(|(event, times)| (event.name(), record::step(times))).collect();
        let controller = self.controller.usage();
        let case = "policies-scale";
        Ok(Record { case, policies, pods, nodes: plan.nodes, events, controller, goals: Vec::new() })
    }

    /// One event, until nothing follows of it any more.
    async fn once(&mut self, event: Event) -> Result<Times> {
        self.site.cloud.clear_journal();
        let begin = Instant::now();
        event.happen(&self.crowd).await?;
        while self.site.cloud.count(|request| event.is_in(request)) == 0 {
            if begin.elapsed() > EVENT {
                bail!("{}: Neutron hasn't got it within {} s", event.name(), EVENT.as_secs());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let took = begin.elapsed();
        self.rests().await?;
        Ok(Times::of(took, &self.site.cloud.journal()))
    }

    /// Waits until the controller has nothing to do, and sends nothing.
    async fn rests(&mut self) -> Result<()> {
        loop {
            let sent = self.site.cloud.count(|_| true);
            self.controller.converged(PATIENCE).await?;
            progress::nothing_left(&Controller::metrics_url(), PATIENCE).await?;
            if self.site.cloud.count(|_| true) == sent {
                return Ok(());
            }
        }
    }
}
