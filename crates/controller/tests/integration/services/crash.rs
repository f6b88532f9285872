//! The controller is stopped at every write of a Service's way, another one goes on, and P3, P5 and P6 are held to. Why the borders of requests
//! are enough is told where pods' way is tested so. What is only read changes nothing: the border before the next write is the same.

use super::super::harness::{Keeper, Moment, Point, World, eventually, eventually_so, in_worlds};
use super::fixture::{
    at_rest, create, delete, endpoints, floating_ips, ingress, is_served, nothing_left, patch, status, vip_ports,
};
use serde_json::json;
use std::collections::BTreeSet;

/// How many worlds there are at a time: they mostly wait.
const AT_ONCE: usize = 12;

/// What every Service's way has: the test can't shrink to nothing without a word.
const MUST: [&str; 14] = [
    "POST kuryrloadbalancers",
    "POST octavia/loadbalancers",
    "POST neutron/floatingips",
    "PATCH kuryrloadbalancers/status",
    "PATCH services/status",
    "PUT octavia/members",
    "PATCH kuryrloadbalancers",
    "POST octavia/pools",
    "POST octavia/listeners",
    "DELETE octavia/listeners",
    "DELETE octavia/pools",
    "DELETE neutron/floatingips",
    "DELETE kuryrloadbalancers",
    "DELETE octavia/loadbalancers",
];

/// A step of the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// A Service of type LoadBalancer with two endpoints.
    Create,
    /// One endpoint is another.
    Endpoints,
    /// Its port is another.
    Port,
    /// It isn't reached from outside any more.
    Kind,
    /// It goes.
    Delete,
}

const WAY: [Step; 5] = [Step::Create, Step::Endpoints, Step::Port, Step::Kind, Step::Delete];

async fn act(world: &World, step: Step) {
    match step {
        Step::Create => {
            endpoints(world, "web", &["10.244.0.11", "10.244.0.12"]).await;
            create(world, "web", json!({ "type": "LoadBalancer" })).await;
        }
        Step::Endpoints => endpoints(world, "web", &["10.244.0.12", "10.244.0.13"]).await,
        Step::Port => {
            let ports = json!([{ "name": "http", "port": 81, "protocol": "TCP" }]);
            patch(world, "web", json!({ "spec": { "ports": ports } })).await;
        }
        Step::Kind => patch(world, "web", json!({ "spec": { "type": "ClusterIP" } })).await,
        Step::Delete => delete(world, "web").await,
    }
}

/// Waits until the world is as it is to be after the step.
async fn reach(world: &World, step: Step) {
    let members: &[_] = match step {
        Step::Create => &["10.244.0.11:8080", "10.244.0.12:8080"],
        Step::Delete => return nothing_left(world).await,
        _ => &["10.244.0.12:8080", "10.244.0.13:8080"],
    };
    let port = if matches!(step, Step::Create | Step::Endpoints) { 80 } else { 81 };
    eventually_so(&format!("all is as it is to be after {step:?}"), || async {
        let one = is_served(world, "web", members).await?;
        let ports: Vec<_> = one.listeners.iter().map(|listener| listener.protocol_port).collect();
        let (floating, ingress) = (floating_ips(world), ingress(world, "web").await);
        let said = status(world, "web").await.and_then(|status| status.floating_ip).is_some();
        let is_out =
            floating.len() == usize::from(step != Step::Kind) && floating == ingress && said != floating.is_empty();
        let alone = world.fake.octavia().all().len() == 1 && vip_ports(world).len() == 1;
        if ports == [port] && is_out && alone { Ok(()) } else { Err(format!("{ports:?} {floating:?} {ingress:?}")) }
    })
    .await;
}

/// The whole way. When the controller has died before the Service is deleted, a second look is taken while something is there.
async fn go(world: &World, keeper: &mut Keeper) {
    for step in WAY {
        if step == Step::Delete && keeper.died {
            keeper.end().await;
            settle(world).await;
            quiet(world).bears_a_second_look().await;
            keeper.replace().await;
        }
        keeper
            .during(async {
                act(world, step).await;
                reach(world, step).await;
            })
            .await;
    }
}

/// Has what arrived late repaired: the controller before may have been ended in the middle of it.
async fn settle(world: &World) {
    if world.settings.services.audit_seconds == 1 {
        eventually("what was late has arrived", || async { world.fake.late_requests_are_done().then_some(()) }).await;
        let controller = quiet(world).start();
        world.rests(&controller.life).await;
        controller.kill().await;
    }
}

/// The same world, where nobody looks by himself.
fn quiet(world: &World) -> World {
    let mut quiet = world.clone();
    quiet.settings.services.audit_seconds = 300;
    quiet
}

#[test]
fn a_crash_anywhere_on_a_services_way_is_healed() {
    let requests = in_worlds(1, vec![()], |world, ()| async move {
        let world = at_rest(world.with_services().await);
        let mut keeper = Keeper::new(&world, None);
        go(&world, &mut keeper).await;
        let requests = keeper.life().requests();
        keeper.end().await;
        requests
    });
    let points = Point::around_writes(&requests.concat());
    println!("a Service's way has {} crash points", points.len());
    let visited = in_worlds(AT_ONCE, points.clone(), |world, point| async move {
        let mut world = at_rest(world.with_services().await);
        if point.moment == Moment::Late {
            // What an old controller does late is found by the audit.
            world.settings.services.audit_seconds = 1;
        }
        let mut keeper = Keeper::new(&world, Some(point.clone()));
        go(&world, &mut keeper).await;
        keeper.end().await;
        quiet(&world).bears_a_second_look().await;
        nothing_left(&world).await;
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
