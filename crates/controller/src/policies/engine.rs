//! Brings Neutron to what the policies ask for: what is touched is compared, planned and carried out, part by part and side by side.

use super::{
    Policies,
    state::{State, Strangers},
};
use crate::context::Context;
use futures::future::join_all;
use kube::ResourceExt;
use kuryr_core::policy::{Component, GroupKey, Key, Observed, Step, plan, stages};
use kuryr_openstack::Error;
use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// For how long the dataplane may let pass what Neutron has said is closed: 0.3 s were measured (docs/neutron-groups.md). A plan closes
/// before it opens only where both together would be too open.
const DATAPLANE: Duration = Duration::from_millis(350);

/// A request whose answer was lost is carried out by then, if it ever is.
const LATE: Duration = Duration::from_secs(60);

/// What is to be done about one part.
enum Job {
    /// These are looked up in Neutron: it isn't known what became of a request.
    LookUp(BTreeSet<Key>),
    /// These requests are made.
    Make(Vec<Step>),
}

/// What a look at all that is pending came to.
#[derive(Default)]
struct Round {
    jobs: Vec<(Component, Job)>,
    /// What nobody wants and nobody has.
    strangers: Strangers,
    /// When the next one is due though nothing happens.
    again: Option<Duration>,
}

/// Works until the end.
pub async fn run(context: Arc<Context>, policies: Arc<Policies>, stop: CancellationToken) {
    let tasks = TaskTracker::new();
    while !stop.is_cancelled() {
        let round = round(&context, &policies);
        for (part, job) in round.jobs {
            let (policies, stop) = (policies.clone(), stop.clone());
            tasks.spawn(async move { stop.run_until_cancelled(policies.work(part, job)).await });
        }
        if !round.strangers.is_empty() {
            let (policies, stop) = (policies.clone(), stop.clone());
            tasks.spawn(async move { stop.run_until_cancelled(policies.remove_strangers(round.strangers)).await });
        }
        let wait = round.again.unwrap_or(Duration::from_secs(3600));
        tokio::select! {
            () = stop.cancelled() => {}
            () = policies.news.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
    tasks.close();
    tasks.wait().await;
}

/// Looks at all that is pending: what is done is settled, the rest is planned. Ports that are to change are looked at.
fn round(context: &Context, policies: &Policies) -> Round {
    let (mut round, mut settled) = (Round::default(), BTreeSet::new());
    policies.with(|state| {
        policies.look_at_ports(context, state);
        round.wait(state.recheck());
        let mut used = None;
        for part in state.parts() {
            if part.touched.iter().any(|key| state.failures.blocks(key)) {
                round.wait(part.touched.iter().filter_map(|key| state.failures.remaining(key)).min());
                continue;
            }
            let doubtful: BTreeSet<Key> = part.touched.intersection(&state.doubtful).cloned().collect();
            let job = if doubtful.is_empty() {
                mark_used(context, &mut used, state, &part);
                if state.moving.values().any(|touched| part.meets(touched)) {
                    // A port has to lose or get a group first. It is under way.
                    continue;
                }
                Job::Make(plan(&state.desired(&part), &state.observed))
            } else {
                Job::LookUp(doubtful)
            };
            match job {
                Job::Make(steps) if steps.is_empty() => {
                    round.wait(part.keys.iter().filter_map(|key| state.failures.remaining(key)).min());
                    settle(state, part, &mut settled);
                }
                job => {
                    state.busy.extend(part.touched.iter().cloned());
                    round.jobs.push((part, job));
                }
            }
        }
        if !settled.is_empty() {
            // Ports may have waited for them.
            state.groups_changed(&settled);
            policies.look_at_ports(context, state);
            policies.tell(state);
        }
        round.strangers = free_strangers(context, &mut used, state);
        if settled.iter().any(is_of_free_ports) {
            context.pools.all().iter().for_each(|pool| context.queues.pools.add(None, &pool.name_any()));
        }
        policies.metrics.set_work(state.pending.len(), state.failures.len(), state.unsettled.len());
    });
    round
}

impl Round {
    /// The next round begins after this time at the latest.
    fn wait(&mut self, wait: Option<Duration>) {
        self.again = self.again.into_iter().chain(wait).min();
    }
}

/// Notes which of the groups that are to go ports have still.
fn mark_used(context: &Context, used: &mut Option<HashSet<String>>, state: &mut State, part: &Component) {
    for key in &part.keys {
        let Key::Group(key) = key else { continue };
        if state.world.rules(key).is_some() {
            continue;
        }
        let Some(group) = state.observed.groups.get_mut(key) else { continue };
        group.in_use = used.get_or_insert_with(|| used_groups(context)).contains(&group.id);
    }
}

/// Those of the groups that nobody wants that no port has. Address groups are the last to go: rules may name them.
fn free_strangers(context: &Context, used: &mut Option<HashSet<String>>, state: &mut State) -> Strangers {
    if state.strangers.is_empty() {
        return Strangers::default();
    }
    let used = used.get_or_insert_with(|| used_groups(context));
    let all = std::mem::take(&mut state.strangers.groups);
    let (kept, groups): (BTreeSet<_>, BTreeSet<_>) = all.into_iter().partition(|id| used.contains(id.as_str()));
    let address_groups =
        if kept.is_empty() { std::mem::take(&mut state.strangers.address_groups) } else { BTreeSet::new() };
    state.strangers.groups = kept;
    Strangers { groups, address_groups }
}

/// Whether ports that nobody has are to have this group: they may have waited for it.
const fn is_of_free_ports(key: &Key) -> bool {
    matches!(key, Key::Group(GroupKey::OpenIngress | GroupKey::OpenEgress | GroupKey::Node(_)))
}

/// The ids of all groups that ports have or are about to get.
pub fn used_groups(context: &Context) -> HashSet<String> {
    let ports = context.pool_ports.all();
    let ids = ports.iter().flat_map(|port| {
        let has = port.status.iter().flat_map(|status| &status.security_group_ids);
        port.spec.security_group_ids.iter().chain(has)
    });
    ids.cloned().collect()
}

/// Nothing can be done about the part now. What isn't as it is to be waits: until no port has it, until what it needs is there, or until its
/// time comes.
fn settle(state: &mut State, part: Component, settled: &mut BTreeSet<Key>) {
    for key in part.keys.into_iter().filter(|key| state.is_done(key)).collect::<Vec<_>>() {
        state.failures.forget(&key);
        state.pending.remove(&key);
        settled.insert(key);
    }
}

/// A part that is being worked on: nobody else touches it until this ends, however it does.
struct Busy(Arc<Policies>, Component);

impl Drop for Busy {
    fn drop(&mut self) {
        let Self(policies, part) = self;
        policies.with(|state| {
            state.busy.retain(|key| !part.touched.contains(key));
            state.groups_changed(&part.touched);
        });
        policies.news.notify_one();
    }
}

impl Policies {
    /// Does what is to be done about a part. What fails is tried again by a later round.
    async fn work(self: Arc<Self>, part: Component, job: Job) {
        let _busy = Busy(self.clone(), part);
        match job {
            Job::LookUp(keys) => self.look_up(&keys).await,
            Job::Make(steps) => self.make(steps).await,
        }
    }

    /// Makes the requests, stage by stage. After a stage in which one failed the rest isn't valid any more.
    async fn make(&self, steps: Vec<Step>) {
        let stages = stages(steps);
        let opens = |stage: &Vec<Vec<Step>>| stage.iter().flatten().any(Step::opens);
        let last_opening = stages.iter().rposition(opens).unwrap_or(0);
        for (number, stage) in stages.into_iter().enumerate() {
            let closes = !opens(&stage) && number < last_opening;
            let lanes = stage.into_iter().map(async |lane| {
                for step in lane {
                    tracing::debug!(%step, "policies");
                    if let Err(error) = self.act(&step).await {
                        self.failed(&step, &error);
                        return false;
                    }
                    self.with(|state| state.failures.forget(&step.about()));
                }
                true
            });
            if join_all(lanes).await.contains(&false) {
                return;
            }
            if closes {
                tokio::time::sleep(DATAPLANE).await;
            }
        }
    }

    fn failed(&self, step: &Step, error: &Error) {
        tracing::warn!(%step, %error, "a NetworkPolicy's change of Neutron failed, trying again");
        let key = step.about();
        self.with(|state| {
            if error.outcome_unknown() {
                state.recheck.insert(key.clone(), Instant::now() + LATE);
            }
            state.doubt(key.clone());
            if let Step::CreateRules { rules, .. } = step {
                // One that it names may be gone.
                let named = rules.iter().filter_map(|rule| rule.address_group().cloned());
                named.for_each(|key| state.doubt(Key::AddressGroup(key)));
            }
            state.failures.failed(key, error, !step.opens());
            state.touch_policies_of(&step.about());
            self.tell(state);
        });
    }

    /// Finds out what Neutron has of these.
    async fn look_up(&self, keys: &BTreeSet<Key>) {
        let known = self.with(|state| (state.address_group_ids(), state.group_ids())).unwrap_or_default();
        match super::read::some(&self.neutron, self.cluster(), keys, known).await {
            Ok(found) => {
                self.with(|state| {
                    take_over(state, keys, found.observed);
                    state.strangers.groups.extend(found.strangers.groups);
                    state.strangers.address_groups.extend(found.strangers.address_groups);
                    for key in keys {
                        state.doubtful.remove(key);
                        state.failures.looked_up(key);
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "can't look up security groups, trying again");
                self.with(|state| keys.iter().for_each(|key| state.failures.failed(key.clone(), &error, true)));
            }
        }
    }
}

/// Takes in what Neutron has of these: what wasn't found isn't there.
fn take_over(state: &mut State, keys: &BTreeSet<Key>, mut found: Observed) {
    for key in keys {
        match key {
            Key::Group(key) => match found.groups.remove(key) {
                Some(group) => state.put_group(key, group),
                None => state.drop_group(key),
            },
            Key::AddressGroup(key) => state.put_address_group(key, found.address_groups.remove(key)),
        }
    }
}
