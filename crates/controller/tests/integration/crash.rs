//! The controller is stopped at every point of a pod's way, another one goes on, and the promises P1-P3, P5 and P6 are held to.
//!
//! **Why the borders of requests are enough.** A crash keeps what is outside of the process and loses what is inside. Outside,
//! something changes only when a request is carried out. So all await points between two requests leave the same world to the
//! successor, and a crash at any of them is a crash at the border before the next request. What remains is whether a request was
//! carried out: before it is sent, and after it was carried out with its answer unseen, are the two sides of each border. A third
//! case is a request that has left and is carried out only when the successor has looked: that can be of Neutron only, because a
//! write to the API server says for which state of the object it is.
//!
//! The points come from the way itself: one run without a crash records every request, then each of them gets runs of its own. A
//! request is called by its kind and its number among those of its kind, because the order of requests of different objects isn't
//! always the same.

use super::harness::{Keeper, Kept, Moment, Point, Step, WAY, World, in_worlds};
use std::collections::BTreeSet;

/// How many worlds there are at a time: they mostly wait.
const AT_ONCE: usize = 12;

/// What every pod's way has, whatever else is added to it: the test can't shrink to nothing without a word.
const MUST: [&str; 10] = [
    "POST kuryrports",
    "POST kuryrpoolports",
    "POST neutron/ports",
    "PATCH kuryrpoolports/status",
    "PATCH kuryrports/status",
    "DELETE kuryrports",
    "PATCH kuryrpoolports",
    "DELETE kuryrpoolports",
    "DELETE neutron/ports",
    "PATCH kuryrports",
];

/// What pools add to it.
const MUST_WITH_POOLS: [&str; 3] = ["POST kuryrpools", "PATCH kuryrpools/status", "DELETE kuryrpools"];

#[test]
fn a_crash_anywhere_on_a_pods_way_without_pools_is_healed() {
    crash_everywhere(Kept::Nothing, &MUST);
}

#[test]
fn a_crash_anywhere_on_a_pods_way_with_pools_is_healed() {
    crash_everywhere(Kept::Open, &[&MUST[..], &MUST_WITH_POOLS].concat());
}

#[test]
fn a_crash_anywhere_on_a_pods_way_with_closed_pools_is_healed() {
    crash_everywhere(Kept::Closed, &[&MUST[..], &MUST_WITH_POOLS, &["PUT neutron/ports"]].concat());
}

fn crash_everywhere(kept: Kept, must: &[&str]) {
    let requests = in_worlds(1, vec![()], |world, ()| async move {
        let world = world.on_the_way(kept);
        let mut keeper = Keeper::new(&world, None);
        go(&world, &mut keeper).await;
        let requests = keeper.life().requests();
        keeper.end().await;
        requests
    });
    let points = points(&requests.concat());
    println!("a pod's way has {} crash points", points.len());
    let visited = in_worlds(AT_ONCE, points.clone(), |world, point| async move {
        let world = world.on_the_way(kept);
        let mut keeper = Keeper::new(&world, Some(point.clone()));
        go(&world, &mut keeper).await;
        keeper.end().await;
        world.bears_a_second_look().await;
        world.assert_nothing_was_wrong();
        keeper.died.then_some(point)
    });
    let visited: BTreeSet<_> = visited.into_iter().flatten().collect();
    let missed: Vec<_> = points.iter().filter(|point| !visited.contains(point)).map(ToString::to_string).collect();
    println!("{} of {} crash points visited; not come by again: {missed:?}", visited.len(), points.len());
    for request in must {
        for moment in [Moment::Before, Moment::After] {
            let point = Point { request: (*request).to_owned(), nth: 0, moment };
            assert!(visited.contains(&point), "{point} was not visited");
        }
    }
    // Which of two concurrent requests is spared by the other differs from run to run.
    assert!(visited.len() * 10 >= points.len() * 8, "too many points were not come by again: {missed:?}");
}

/// The points of these requests. What is only read changes nothing: one border of it is enough.
fn points(requests: &[(String, usize)]) -> Vec<Point> {
    let mut points = Vec::new();
    for (request, nth) in requests {
        let moments: &[Moment] = match request.split_once(' ') {
            Some(("GET", _)) => &[Moment::After],
            Some((_, target)) if target.starts_with("neutron/") => &[Moment::Before, Moment::After, Moment::Late],
            _ => &[Moment::Before, Moment::After],
        };
        points.extend(moments.iter().map(|moment| Point { request: request.clone(), nth: *nth, moment: *moment }));
    }
    points
}

/// The whole way. When the controller has died before the node is lost, a second look is taken there, while something is there.
async fn go(world: &World, keeper: &mut Keeper) {
    for step in WAY {
        if step == Step::LoseNode && keeper.died {
            world.rests(&keeper.life()).await;
            keeper.end().await;
            world.bears_a_second_look().await;
            keeper.replace().await;
        }
        keeper
            .during(async {
                world.act(step).await;
                world.reach(step).await;
            })
            .await;
    }
    if !keeper.died {
        let life = keeper.life();
        keeper.during(world.rests(&life)).await;
    }
    world.rests(&keeper.life()).await;
}
