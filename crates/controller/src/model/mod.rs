//! The protocol of claim and release (promise P2), explored exhaustively.
//!
//! What a controller decides here is decided by the plans of the real reconcilers, on real objects made from the model's state;
//! the model only says what the world does with their steps: a write is taken only for the version that it was decided on, as the
//! API server does, while requests to Neutron have their effect whatever they were decided on.
//!
//! Stale caches, lost answers, crashes and a second leader need no parts of their own. Every step may be decided on any version
//! that an object ever had, object by object: a cache that is behind, a leader that was paused, a write whose answer was lost and
//! a controller that was started anew all are such decisions. A reconcile that crashes half-way is one whose rest isn't taken.

mod judge;
mod objects;
mod plans;
mod steps;

use objects::Protocol;
use stateright::{Checker, Model, Property};
use std::{collections::BTreeSet, hash::Hash};

/// One version of a KuryrPort.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Claim {
    settled: Option<usize>,
    deleting: bool,
}

/// One version of a KuryrPoolPort.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Port {
    claim: Option<usize>,
    created: bool,
    /// It was in Neutron, and somebody has noticed that it isn't any more.
    missing: bool,
    deleting: bool,
    /// Released a moment ago.
    hot: bool,
    /// Which object of this name it is: its uid.
    life: u8,
}

/// An object: its current version, `None` where it doesn't exist, and all versions that it had.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Object<T: Ord> {
    now: Option<T>,
    past: BTreeSet<T>,
}

impl<T: Ord + Clone> Object<T> {
    fn write(&mut self, version: Option<T>) {
        if let Some(now) = std::mem::replace(&mut self.now, version) {
            self.past.insert(now);
        }
    }

    /// What a cache may have of it, and whether that is its current version.
    fn views(&self) -> Vec<(Option<T>, bool)> {
        let past = self.past.iter().map(|version| (Some(version.clone()), false));
        // Not yet seen, or seen as gone.
        let absent = (None, self.now.is_none());
        past.chain([absent]).chain(self.now.iter().map(|version| (Some(version.clone()), true))).collect()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    /// The pod exists and hasn't ended.
    alive: Vec<bool>,
    claims: Vec<Object<Claim>>,
    ports: Vec<Object<Port>>,
    /// How many objects of this name there were.
    lives: Vec<u8>,
    /// The life of the object whose port Neutron has.
    neutron: Vec<Option<u8>>,
    /// Somebody has deleted a port in Neutron by hand.
    vanished: bool,
    /// The port that the pod's interface has.
    plugged: Vec<Option<usize>>,
    /// The node has seen that the claim is being deleted: its own cache never goes back.
    confirmed: Vec<bool>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Action {
    PodDies(usize),
    /// The pod's reconcile: its KuryrPort is made.
    MakeClaim(usize),
    /// The garbage collector.
    Collect(usize),
    /// A port's cool-down is over.
    Cool(usize),
    /// The port reconciler on these versions: of the claim, and of each port.
    ReconcileClaim(usize, Box<(View<Claim>, Vec<View<Port>>)>),
    /// A claim settles on a port, as the same reconcile or a later one does.
    Settle(usize, usize),
    /// The pool_port reconciler on these versions: of the port and of its claimant.
    ReconcilePort(usize, Box<(View<Port>, View<Claim>)>),
    /// The pool gives a free port up.
    GiveUp(usize),
    /// Somebody deletes a port in Neutron by hand, once.
    Vanish(usize),
    /// The sweep, or a change of its groups, finds that a port isn't in Neutron.
    Notice(usize),
    /// The node connects the pod's interface, by a version of the claim that it has seen.
    Plug(usize, usize),
    Unplug(usize),
    /// The node takes its finalizer off.
    Confirm(usize),
}

type View<T> = (Option<T>, bool);

impl Model for Protocol {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let (pods, ports) = (self.pods.len(), self.free.len() + self.pods.len());
        let free = |number| (number < self.free.len()).then(|| Port { created: true, ..Port::default() });
        vec![World {
            alive: vec![true; pods],
            claims: vec![Object { now: None, past: BTreeSet::new() }; pods],
            ports: (0..ports).map(|number| Object { now: free(number), past: BTreeSet::new() }).collect(),
            lives: vec![0; ports],
            neutron: (0..ports).map(|number| (number < self.free.len()).then_some(0)).collect(),
            vanished: false,
            plugged: vec![None; pods],
            confirmed: vec![false; pods],
        }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        for pod in 0..self.pods.len() {
            actions.extend([Action::MakeClaim(pod), Action::Collect(pod), Action::Unplug(pod), Action::Confirm(pod)]);
            if world.claims[pod].now.is_some() {
                actions.push(Action::PodDies(pod));
            }
            // A version that another pod claims tells this one's reconcile as much as none.
            let concerns =
                |view: &View<Port>| view.0.as_ref().is_none_or(|port| port.claim.is_none_or(|claim| claim == pod));
            let views = world.ports.iter().map(|port| {
                let concerning: Vec<_> = port.views().into_iter().filter(concerns).collect();
                concerning
            });
            let views = combinations(&views.collect::<Vec<_>>());
            for claim in world.claims[pod].views().into_iter().filter(|view| view.0.is_some()) {
                let with =
                    |ports: &Vec<View<Port>>| Action::ReconcileClaim(pod, Box::new((claim.clone(), ports.clone())));
                actions.extend(views.iter().map(with));
            }
            for port in 0..world.ports.len() {
                actions.extend([Action::Settle(pod, port), Action::Plug(pod, port)]);
            }
        }
        for port in 0..world.ports.len() {
            actions.extend([Action::Cool(port), Action::GiveUp(port)]);
            if self.vanishes {
                actions.extend([Action::Vanish(port), Action::Notice(port)]);
            }
            for view in world.ports[port].views().into_iter().filter(|view| view.0.is_some()) {
                let holder = view.0.as_ref().and_then(|port| port.claim);
                let claimants = holder.map_or(vec![(None, true)], |pod| world.claims[pod].views());
                actions.extend(
                    claimants.into_iter().map(|claim| Action::ReconcilePort(port, Box::new((view.clone(), claim)))),
                );
            }
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        self.apply(&mut next, &action);
        (next != *world).then_some(next)
    }

    /// A third port of the same name shows nothing that a second one doesn't.
    fn within_boundary(&self, world: &World) -> bool {
        world.lives.iter().all(|lives| *lives <= 2)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("a port is one pod's until its node has confirmed", |model, world| {
                model.is_exclusive(world)
            }),
            Property::always("from everywhere it converges", |model, world| model.converges(world)),
            Property::sometimes("a port is used again", |_, world: &World| {
                world.ports.iter().any(|port| {
                    let holders: BTreeSet<_> =
                        port.past.iter().chain(&port.now).filter_map(|port| port.claim).collect();
                    holders.len() > 1
                })
            }),
            Property::sometimes("a port is given up with its claim", |_, world: &World| {
                let given_up =
                    |pod: usize| world.alive[pod] && world.claims[pod].now.as_ref().is_some_and(|claim| claim.deleting);
                (0..world.alive.len()).any(given_up)
            }),
            Property::sometimes("a claim holds two ports", |_, world: &World| {
                let held = |pod| {
                    world
                        .ports
                        .iter()
                        .filter(|port| port.now.as_ref().is_some_and(|port| port.claim == Some(pod)))
                        .count()
                };
                (0..world.alive.len()).any(|pod| held(pod) > 1)
            }),
        ]
    }
}

/// Every choice of one of each.
fn combinations<T: Clone>(choices: &[Vec<T>]) -> Vec<Vec<T>> {
    choices.iter().fold(vec![vec![]], |done, choice| {
        done.iter().flat_map(|so_far| choice.iter().map(|one| [so_far.clone(), vec![one.clone()]].concat())).collect()
    })
}

fn explore(model: Protocol, sometimes: &[&'static str]) {
    let checker = model.checker().threads(2).spawn_bfs().join();
    println!("{} states, {} of them different", checker.state_count(), checker.unique_state_count());
    for property in ["a port is one pod's until its node has confirmed", "from everywhere it converges"] {
        checker.assert_no_discovery(property);
    }
    for property in sometimes {
        checker.assert_any_discovery(property);
    }
}

#[test]
fn two_pods_a_free_port_and_a_miss() {
    explore(Protocol::new(&[0, 0], &[0], &[0]), &["a port is used again", "a claim holds two ports"]);
}

#[test]
fn two_pods_and_two_free_ports() {
    explore(Protocol::new(&[0, 0], &[0, 0], &[]), &["a port is used again", "a claim holds two ports"]);
}

#[test]
fn a_port_is_deleted_by_hand() {
    for (pods, free, misses) in [(&[0][..], &[0][..], &[0][..]), (&[0], &[0, 0], &[]), (&[0, 0], &[0], &[])] {
        explore(
            Protocol { vanishes: true, ..Protocol::new(pods, free, misses) },
            &["a port is given up with its claim"],
        );
    }
}

#[test]
fn three_pods_on_two_nodes_and_a_free_port() {
    explore(Protocol::new(&[0, 0, 1], &[0], &[]), &["a port is used again"]);
}

#[test]
fn three_pods_on_two_nodes_with_a_free_port_each() {
    explore(Protocol::new(&[0, 0, 1], &[0, 1], &[]), &["a port is used again"]);
}
