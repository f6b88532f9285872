//! The controller is stopped at every write of a policy's way, another one goes on: nothing is ever too open, nothing is left, and in the end
//! all is as it would be without the crash.

use super::super::harness::{Keeper, Moment, Point, World, in_worlds};
use super::fixture::{at_rest, delete_policy, only, only_the_common_groups, passes, pod, programmed, relabel};
use k8s_openapi::api::core::v1::Pod;
use std::collections::BTreeSet;

/// How many worlds there are at a time: they mostly wait.
const AT_ONCE: usize = 8;

/// What every policy's way has: the test can't shrink to nothing without a word.
const MUST: [&str; 11] = [
    "POST neutron/security-groups",
    "DELETE neutron/security-group-rules",
    "POST neutron/security-group-rules",
    "POST neutron/address-groups",
    "PUT neutron/address-groups",
    "PUT neutron/ports",
    "DELETE neutron/security-groups",
    "DELETE neutron/address-groups",
    "POST kuryrnetworkpolicies",
    "PATCH kuryrnetworkpolicies/status",
    "PATCH kuryrpoolports",
];

/// A step of the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Three pods come.
    Begin,
    /// A policy closes one of them but for another one.
    Close,
    /// The third one is a peer, too.
    Relabel,
    /// The policy is another one.
    Change,
    /// It goes.
    Open,
}

const WAY: [Step; 5] = [Step::Begin, Step::Close, Step::Relabel, Step::Change, Step::Open];

/// The pods of the way: a peer, the one that is closed, another one.
type Pods = Vec<Pod>;

async fn act(world: &World, step: Step, pods: &mut Pods) {
    match step {
        Step::Begin => {
            for name in ["web", "db", "other"] {
                pods.push(pod(world, name, name).await);
            }
        }
        Step::Close => only(world, "db", "db", "web").await,
        Step::Relabel => relabel(world, "other", "web").await,
        Step::Change => only(world, "db", "db", "nobody").await,
        Step::Open => delete_policy(world, "db").await,
    }
}

/// Waits until the world is as it is to be after the step.
async fn reach(world: &World, step: Step, pods: &Pods) {
    let [web, db, other] = &pods[..] else { panic!("three pods") };
    if step == Step::Begin {
        for pod in pods {
            world.allocated(pod).await;
        }
    }
    let (from_web, from_other) = match step {
        Step::Begin | Step::Relabel | Step::Open => (true, true),
        Step::Close => (true, false),
        Step::Change => (false, false),
    };
    passes(world, &[(web, db, from_web), (other, db, from_other), (db, web, true)]).await;
    match step {
        Step::Close | Step::Change => drop(programmed(world, "db").await),
        Step::Open => only_the_common_groups(world, 1).await,
        Step::Begin | Step::Relabel => {}
    }
}

async fn go(world: &World, keeper: &mut Keeper) {
    let mut pods = Pods::new();
    for step in WAY {
        keeper
            .during(async {
                act(world, step, &mut pods).await;
                reach(world, step, &pods).await;
            })
            .await;
    }
}

#[test]
fn a_crash_anywhere_on_a_policys_way_is_healed() {
    let requests = in_worlds(1, vec![()], |world, ()| async move {
        let world = at_rest(world.with_policies());
        let mut keeper = Keeper::new(&world, None);
        go(&world, &mut keeper).await;
        let requests = keeper.life().requests();
        keeper.end().await;
        requests
    });
    let points = Point::around_writes(&requests.concat());
    println!("a policy's way has {} crash points", points.len());
    let visited = in_worlds(AT_ONCE, points.clone(), |world, point| async move {
        let world = at_rest(world.with_policies());
        let mut keeper = Keeper::new(&world, Some(point.clone()));
        go(&world, &mut keeper).await;
        keeper.end().await;
        world.bears_a_second_look().await;
        only_the_common_groups(&world, 1).await;
        keeper.died.then_some(point)
    });
    let visited: BTreeSet<_> = visited.into_iter().flatten().collect();
    let missed: Vec<_> = points.iter().filter(|point| !visited.contains(point)).map(ToString::to_string).collect();
    println!("{} of {} crash points visited; not come by again: {missed:?}", visited.len(), points.len());
    for request in MUST {
        for moment in [Moment::Before, Moment::After] {
            let point = Point { request: request.to_owned(), nth: 0, moment };
            assert!(visited.contains(&point), "{point} was not visited");
        }
    }
    assert!(visited.len() * 10 >= points.len() * 8, "too many points were not come by again: {missed:?}");
}
