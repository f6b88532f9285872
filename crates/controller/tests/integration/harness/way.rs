//! A pod's whole way, in steps that a user or a cloud makes and states that the controller is to reach.

use super::{
    life::{Life, Point},
    world::{Running, World, eventually},
};
use k8s_openapi::api::core::v1::Node;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams},
};
use kuryr_controller::settings::{Pools, Sweep};
use kuryr_core::pool::STARTING;
use std::{future::Future, time::Duration};

/// For how long nothing may be sent or answered until a world counts as at rest: longer than any pause after which a controller
/// goes on by itself, as a pool's between two writes of its status and that in which pods that got a port start.
const REST: Duration = STARTING.saturating_add(Duration::from_secs(1));

/// A step of the way. The order is theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// A pod is created: a miss.
    Create,
    /// It is deleted; its node confirms.
    Delete,
    /// A second pod is created: it takes the first one's port where there are pools.
    Recycle,
    /// The node is deleted, and with it the pod; nobody confirms.
    LoseNode,
}

/// What nodes keep for the pods to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// No free ports.
    Nothing,
    /// Free ports as the pods' are.
    Open,
    /// Free ports that are opened for their pods.
    Closed,
}

/// The whole way.
pub const WAY: [Step; 4] = [Step::Create, Step::Delete, Step::Recycle, Step::LoseNode];

impl World {
    /// Sets what the tests of the way have in common. A port that is lost is to be found without the sweep.
    pub fn on_the_way(mut self, kept: Kept) -> Self {
        let (minimum, maximum) = if kept == Kept::Nothing { (0, 0) } else { (1, 2) };
        let closed = kept == Kept::Closed;
        self.settings.pools = Pools { minimum, maximum, closed, plugged: 0, cool_down_seconds: 0, ..Pools::default() };
        self.settings.sweep = Sweep { period_seconds: 0, ..Sweep::default() };
        self.enliven();
        self
    }

    /// Does what the step is.
    pub async fn act(&self, step: Step) {
        match step {
            Step::Create => drop(self.create_pod("first", false).await),
            Step::Delete => self.delete_pod("first").await,
            Step::Recycle => drop(self.create_pod("second", false).await),
            Step::LoseNode => {
                self.lose_node(&self.name).await;
                self.delete_pod("second").await;
            }
        }
    }

    /// Waits until the world is as it is to be after the step.
    pub async fn reach(&self, step: Step) {
        match step {
            Step::Create => self.has_one_port("first").await,
            Step::Delete => {
                eventually("the first pod's claim is gone, and its port is free or gone", || async {
                    let ports = self.own_pool_ports().await;
                    let claimed = ports.iter().any(|port| port.spec.claim_ref.is_some());
                    (self.no_ports().await && !claimed && self.is_accounted_for(&ports)).then_some(())
                })
                .await;
            }
            Step::Recycle => self.has_one_port("second").await,
            Step::LoseNode => {
                eventually("nothing is left", || async {
                    let pools = self.pools().list_metadata(&ListParams::default()).await.unwrap();
                    let pools = pools.iter().any(|pool| pool.name_any().starts_with(&self.name));
                    (self.no_ports().await && !pools).then_some(())
                })
                .await;
                self.nothing_left().await;
            }
        }
    }

    async fn no_ports(&self) -> bool {
        self.ports().list_metadata(&ListParams::default()).await.unwrap().items.is_empty()
    }

    /// The pod has its addresses, by the only claim that there is (P1), and Neutron has no port that is in no object (P3).
    async fn has_one_port(&self, pod: &str) {
        let pod = self.pods().get(pod).await.unwrap();
        self.allocated(&pod).await;
        eventually("the pod has the only claim, and every port of Neutron is an object's", || async {
            let claims = self.ports().list_metadata(&ListParams::default()).await.unwrap().items.len();
            (claims == 1 && self.is_accounted_for(&self.own_pool_ports().await)).then_some(())
        })
        .await;
    }

    /// Neutron has the ports that the objects say, no more and no fewer (P3).
    pub fn is_accounted_for(&self, objects: &[kuryr_api::KuryrPoolPort]) -> bool {
        let mut recorded: Vec<_> =
            objects.iter().map(|object| object.status.as_ref().and_then(|status| status.port_id.clone())).collect();
        let mut present: Vec<_> = self.neutron_ports().into_iter().map(|port| Some(port.id)).collect();
        recorded.sort();
        present.sort();
        recorded == present
    }

    /// A node is gone, its interfaces with it: nobody confirms anything there any more.
    pub async fn lose_node(&self, node: &str) {
        let claims = self.ports().list(&ListParams::default()).await.unwrap();
        let claims: Vec<_> =
            claims.into_iter().filter(|port| port.spec.node_name == node).filter_map(|port| port.uid()).collect();
        self.nodes.lose(node, &claims);
        claims.iter().for_each(|claim| self.fake.unplug(claim));
        let nodes = Api::<Node>::all(self.client.clone());
        nodes.delete(node, &DeleteParams::default()).await.unwrap();
    }

    /// Waits until nothing has been sent for a while.
    pub async fn rests(&self, life: &Life) {
        eventually("the controller has nothing more to do", || async { (life.idle() > REST).then_some(()) }).await;
    }

    /// A controller that knows nothing finds nothing to do (P5).
    pub async fn bears_a_second_look(&self) {
        let before = self.fake.writes();
        let controller = self.start();
        self.rests(&controller.life).await;
        let requests = controller.life.requests();
        // How many claims there were lately, a new controller doesn't know, and tells what it knows.
        let writes: Vec<_> = requests
            .iter()
            .filter(|(request, _)| !request.starts_with("GET ") && request != "PATCH kuryrpools/status")
            .collect();
        assert_eq!((writes, self.fake.writes() - before), (vec![], 0), "a second look writes (P5)");
        controller.kill().await;
    }

    /// What must never have happened hasn't (P1, P2).
    pub fn assert_nothing_was_wrong(&self) {
        let wrongs = self.wrongs();
        assert!(wrongs.is_empty(), "{}", wrongs.join("\n"));
    }
}

/// Keeps a controller running: when the one that is to die has died, another one takes its place.
pub struct Keeper {
    world: World,
    controller: Option<Running>,
    /// The first one has died.
    pub died: bool,
}

impl Keeper {
    /// Starts a controller that dies at this point.
    pub fn new(world: &World, death: Option<Point>) -> Self {
        Self { world: world.clone(), controller: Some(world.start_until(death)), died: false }
    }

    /// The life of the controller that runs.
    pub fn life(&self) -> Life {
        self.controller.as_ref().unwrap().life.clone()
    }

    /// Waits for `work`, in the course of which the controller may die.
    pub async fn during(&mut self, work: impl Future<Output = ()>) {
        let mut work = std::pin::pin!(work);
        if !self.died {
            let life = self.life();
            tokio::select! {
                () = &mut work => return,
                () = life.ended() => self.died = true,
            }
            self.replace().await;
            // What was on its way arrives when the successor has done what it could.
            let (world, successor) = (self.world.clone(), self.life());
            tokio::spawn(async move {
                eventually("the successor has done what it can", || async {
                    (successor.is_over() || successor.idle() > Duration::from_millis(500)).then_some(())
                })
                .await;
                world.fake.deliver_late_requests();
            });
        }
        work.await;
    }

    /// Kills the controller and starts another one.
    pub async fn replace(&mut self) {
        self.end().await;
        self.controller = Some(self.world.start());
    }

    /// Kills the controller.
    pub async fn end(&mut self) {
        if let Some(controller) = self.controller.take() {
            controller.kill().await;
        }
    }
}
