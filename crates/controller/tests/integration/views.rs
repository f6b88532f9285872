//! Controllers whose view of the cluster isn't the present: what the Sieve paper (OSDI 2022) calls stale states and
//! unobserved states. Its third pattern, a crash in an intermediate state, is in `crash`.
//!
//! While the view stands still, writes and questions about one object go to the API server as it is. When it moves again,
//! everything has to converge, and then to stay ("eventually stable", Anvil, OSDI 2024).

use super::harness::{Keeper, Kept, Step, Thaw, WAY, World, in_worlds};
use kube::api::ListParams;
use std::time::Duration;

/// How many worlds there are at a time: they mostly wait.
const AT_ONCE: usize = 12;

const KINDS: [&str; 5] = ["pods", "nodes", "kuryrports", "kuryrpoolports", "kuryrpools"];

/// How long a controller may work on what it sees.
const PERTURBED: Duration = Duration::from_millis(1500);

/// What is perturbed, and when.
#[derive(Debug, Clone)]
struct Perturbation {
    kept: Kept,
    kinds: Vec<&'static str>,
    /// The view is that before this step.
    seen: Step,
    /// It is shown from this step on.
    shown: Step,
    thaw: Thaw,
}

#[test]
fn a_controller_that_reconnects_to_the_past_does_no_harm() {
    in_worlds(AT_ONCE, cases(Thaw::Late), |world, case| async move {
        let world = world.on_the_way(case.kept);
        let mut keeper = Keeper::new(&world, None);
        let mut version = String::new();
        for step in WAY {
            if step == case.seen {
                version = now(&world).await;
            }
            if step == case.shown {
                world.views.freeze(&case.kinds, &version, case.thaw);
                keeper.replace().await;
                world.act(step).await;
                tokio::time::sleep(PERTURBED).await;
                world.views.thaw();
            } else {
                world.act(step).await;
            }
            world.reach(step).await;
        }
        settle(&world, &mut keeper).await;
    });
}

#[test]
fn what_a_watch_leaves_out_is_made_up_for() {
    in_worlds(AT_ONCE, cases(Thaw::Never), |world, case| async move {
        let world = world.on_the_way(case.kept);
        let mut keeper = Keeper::new(&world, None);
        for step in WAY {
            if step == case.seen {
                world.views.freeze(&case.kinds, &now(&world).await, case.thaw);
            }
            world.act(step).await;
            if step == case.shown {
                tokio::time::sleep(PERTURBED).await;
                world.views.thaw();
            }
            // In between, several steps happen in one gap.
            if step < case.seen || step >= case.shown {
                world.reach(step).await;
            }
        }
        settle(&world, &mut keeper).await;
    });
}

/// Every kind, and every part of the way, with pools and without.
fn cases(thaw: Thaw) -> Vec<Perturbation> {
    let mut cases = Vec::new();
    for kept in [Kept::Nothing, Kept::Open] {
        for kinds in kinds() {
            for (at, shown) in WAY.into_iter().enumerate() {
                let seen = WAY[..=at].iter();
                cases.extend(seen.map(|seen| Perturbation { kept, kinds: kinds.clone(), seen: *seen, shown, thaw }));
            }
        }
    }
    cases
}

/// Each kind alone, and all at once.
fn kinds() -> Vec<Vec<&'static str>> {
    let mut kinds: Vec<_> = KINDS.into_iter().map(|kind| vec![kind]).collect();
    kinds.push(KINDS.to_vec());
    kinds
}

/// The version of the present.
async fn now(world: &World) -> String {
    world.ports().list_metadata(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap()
}

/// Everything stays as it is, also at a second look, and nothing was ever wrong.
async fn settle(world: &World, keeper: &mut Keeper) {
    world.rests(&keeper.life()).await;
    keeper.end().await;
    world.bears_a_second_look().await;
    world.assert_nothing_was_wrong();
}
