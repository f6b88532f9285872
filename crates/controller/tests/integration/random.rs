//! Everything at once, in an order that a seed decides: pods come, end and go, a node goes and comes, Neutron fails, controllers
//! die, and at times there are two. The promises are held to at every moment, and in the end everything converges.
//!
//! `KURYR_TEST_SEEDS=200` runs so many seeds, `KURYR_TEST_SEED=17` one: what a failure prints.

use super::harness::{Running, SWEEP_AT_ONCE, World, eventually_so, in_worlds};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use kuryr_api::conditions;
use kuryr_controller::settings::{Pools, Sweep};
use kuryr_openstack_fake::{Effect, Fault};
use serde_json::json;
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

/// How many worlds there are at a time: they mostly wait.
const AT_ONCE: usize = 12;

/// Seeds of a run where nobody says otherwise.
const SEEDS: u64 = 32;

const STEPS: usize = 40;

/// How long the controllers wait for an answer of Neutron.
const PATIENCE: Duration = Duration::from_secs(3);

#[test]
fn random_lives_converge() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seeds = match number("KURYR_TEST_SEED") {
        Some(seed) => vec![seed],
        None => (0..number("KURYR_TEST_SEEDS").unwrap_or(SEEDS)).collect(),
    };
    in_worlds(AT_ONCE, seeds, |world, seed| live(world, fastrand::Rng::with_seed(seed)));
}

async fn live(mut world: World, mut dice: fastrand::Rng) {
    let maximum = dice.u32(0..4);
    world.settings.pools = Pools {
        minimum: dice.u32(0..=maximum),
        maximum,
        plugged: 0,
        cool_down_seconds: dice.u64(0..2),
        closed: dice.bool(),
        ..Pools::default()
    };
    // Requests may hang: a life is short.
    world.openstack.write_timeout = PATIENCE;
    world.openstack.read_timeout = PATIENCE;
    world.settings.sweep = Sweep { period_seconds: 0, ..Sweep::default() };
    world.enliven();
    let (other, began) = (format!("{}-other", world.name), Instant::now());
    let mut life = Random { world, other, controllers: Vec::new(), made: 0, story: Story { began, steps: Vec::new() } };
    life.world.create_node(&life.other).await;
    life.controllers.push(life.world.start());
    for _ in 0..STEPS {
        life.step(&mut dice).await;
        tokio::time::sleep(Duration::from_millis(dice.u64(0..150))).await;
    }
    life.end().await;
}

struct Random {
    world: World,
    /// A node that goes and comes.
    other: String,
    controllers: Vec<Running>,
    /// Pods that were made.
    made: usize,
    story: Story,
}

/// What was done and when: a failure prints it.
struct Story {
    began: Instant,
    steps: Vec<String>,
}

impl Story {
    fn add(&mut self, step: impl Into<String>) {
        self.steps.push(format!("{:.1} s {}", self.began.elapsed().as_secs_f32(), step.into()));
    }
}

impl Drop for Story {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the story: {}", self.steps.join("; "));
        }
    }
}

impl Random {
    async fn step(&mut self, dice: &mut fastrand::Rng) {
        match dice.usize(0..20) {
            0..=6 => self.create(dice).await,
            7..=10 => {
                if let Some(pod) = self.any_pod(dice).await {
                    self.story.add(format!("{} is deleted", pod.name_any()));
                    self.world.delete_pod(&pod.name_any()).await;
                }
            }
            11 | 12 => {
                if let Some(pod) = self.any_pod(dice).await {
                    let phase = if dice.bool() { "Succeeded" } else { "Failed" };
                    self.story.add(format!("{} is {phase}", pod.name_any()));
                    let ended = Patch::Merge(json!({ "status": { "phase": phase } }));
                    self.world.pods().patch_status(&pod.name_any(), &PatchParams::default(), &ended).await.unwrap();
                }
            }
            13 => self.lose_or_make_node().await,
            14 | 15 => {
                let (effect, times, writes) = (effect(dice), dice.usize(1..4), dice.u8(0..4) > 0);
                self.story.add(format!("{times} {}: {effect:?}", if writes { "writes" } else { "reads" }));
                self.world.fake.inject(&Fault::new(effect).when(move |call| call.is_write() == writes).times(times));
            }
            16 => {
                self.story.add("Neutron heals");
                self.world.fake.heal();
            }
            17 | 18 => {
                self.story.add(format!("one of {} controllers dies", self.controllers.len()));
                let at = dice.usize(0..self.controllers.len());
                self.controllers.swap_remove(at).kill().await;
                match self.controllers.last() {
                    Some(left) => self.world.fake.serve(&left.life),
                    None => self.controllers.push(self.world.start()),
                }
            }
            _ => {
                if self.controllers.len() < 2 {
                    self.story.add("a second controller");
                    self.controllers.push(self.world.start());
                }
            }
        }
    }

    async fn create(&mut self, dice: &mut fastrand::Rng) {
        let node =
            if dice.u8(0..3) == 0 && self.world.has_node(&self.other).await { &self.other } else { &self.world.name };
        // A third of them have the name of an earlier pod, as a StatefulSet's have.
        let name = format!("pod-{}", if dice.u8(0..3) == 0 { dice.usize(0..=self.made) } else { self.made });
        if self.world.pods().get_opt(&name).await.unwrap().is_none() {
            self.story.add(format!("{name} on {node}"));
            self.world.create_pod_on(node, &name, dice.u8(0..8) == 0).await;
            self.made += 1;
        }
    }

    async fn any_pod(&self, dice: &mut fastrand::Rng) -> Option<Pod> {
        let pods = self.world.pods().list(&ListParams::default()).await.unwrap().items;
        dice.choice(pods)
    }

    async fn lose_or_make_node(&mut self) {
        self.story.add("the other node goes or comes");
        if self.world.has_node(&self.other).await {
            self.world.lose_node(&self.other).await;
            // As the pod garbage collector does.
            for pod in self.world.pods().list(&ListParams::default()).await.unwrap() {
                if pod.spec.as_ref().and_then(|spec| spec.node_name.as_ref()) == Some(&self.other) {
                    self.world.delete_pod(&pod.name_any()).await;
                }
            }
        } else {
            self.world.create_node(&self.other).await;
            self.world.nodes.find(&self.other);
        }
    }

    /// No more trouble: everything becomes as it is to be, and stays so.
    async fn end(mut self) {
        self.story.add("no more trouble");
        let world = &self.world;
        world.fake.heal();
        while self.controllers.len() > 1 {
            self.controllers.remove(0).kill().await;
        }
        world.fake.serve(&self.controllers[0].life);
        eventually_so("every pod has its one claim, and an address", || async {
            let pods = world.pods().list(&ListParams::default()).await.unwrap().items;
            let wanted: BTreeSet<_> = pods.into_iter().filter(wants_port).filter_map(|pod| pod.uid()).collect();
            let claims = world.ports().list(&ListParams::default()).await.unwrap().items;
            let is_allocated = |conditions: &[_]| conditions::is_true(conditions, conditions::ALLOCATED);
            let allocated = claims.iter().all(|port| port.status.as_ref().is_some_and(|s| is_allocated(&s.conditions)));
            let served: BTreeSet<_> = claims.iter().map(|port| port.spec.pod_uid.clone()).collect();
            let is_so = wanted == served && allocated && claims.len() == served.len();
            if is_so { Ok(()) } else { Err(format!("{wanted:?} want ports{}", world.told().await)) }
        })
        .await;
        world.rests(&self.controllers[0].life).await;
        // Of two controllers at work one may have died when it had made a second port and not yet taken it back, or with a request
        // on its way that a busy cloud carries out long after: what nobody knows of goes with the next sweep (P6).
        eventually_so("each claim has one port, and Neutron has nothing else", || async {
            world.sweep(SWEEP_AT_ONCE).await;
            let claims = world.ports().list_metadata(&ListParams::default()).await.unwrap().items.len();
            let objects = world.own_pool_ports().await;
            let claimed = objects.iter().filter(|object| object.spec.claim_ref.is_some()).count();
            let is_so = world.is_accounted_for(&objects) && claimed == claims;
            if is_so { Ok(()) } else { Err(world.told().await) }
        })
        .await;
        let controller = self.controllers.remove(0);
        world.rests(&controller.life).await;
        controller.kill().await;
        world.bears_a_second_look().await;
        world.assert_nothing_was_wrong();
    }
}

fn wants_port(pod: &Pod) -> bool {
    let ended = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    let host = pod.spec.as_ref().and_then(|spec| spec.host_network).unwrap_or(false);
    !host && !matches!(ended, Some("Succeeded" | "Failed"))
}

/// What goes wrong with a request.
fn effect(dice: &mut fastrand::Rng) -> Effect {
    let second = Some(Duration::from_secs(1));
    match dice.u8(0..10) {
        0 => Effect::Status(503, None),
        1 => Effect::Status(429, second),
        2 => Effect::Status(409, None),
        3 => Effect::StatusAfterCommit(504),
        4 => Effect::LostAfterCommit,
        5 => Effect::LostBeforeCommit,
        6 => Effect::Hang,
        7 => Effect::HangAfterCommit,
        8 => Effect::Status(401, None),
        _ => Effect::Slow(Duration::from_millis(300)),
    }
}
