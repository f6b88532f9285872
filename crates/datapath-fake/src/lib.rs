//! A switch in memory. Like the OVSDB it outlives the daemon.

use futures::{FutureExt, future::BoxFuture};
use kuryr_datapath::{
    Attached, Attachment, Difference, Driver, Error, Held, HoldSpec, HostPort, Plugged, PodRef, Result, Stale,
    StaleReason,
    ovs::{NodePortSpec, NodePortStatus},
};
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::watch;

/// What is in the switch, and how it behaves.
#[derive(Default)]
struct World {
    attached: Vec<Attached>,
    held: Vec<HoldSpec>,
    /// What is known of every port that was plugged, by its id: what it is held as when it is given back.
    known: HashMap<String, HoldSpec>,
    stale: Vec<Stale>,
    /// Devices that can't be removed, and how often that was tried.
    stuck: HashMap<String, usize>,
    host_port: Option<NodePortSpec>,
    host_port_announced: Option<NodePortSpec>,
    plugs: usize,
    /// Sandboxes whose addresses were announced.
    announced: Vec<String>,
    /// Sandboxes whose plug, or whose giving back, doesn't end.
    slow: HashSet<String>,
    /// How many ports are on their way from a pod to being held.
    giving_back: usize,
    /// Whether ports become ready by themselves.
    not_ready: bool,
    down: bool,
}

/// The switch.
pub struct FakeSwitch {
    world: Mutex<World>,
    changed: watch::Sender<bool>,
}

impl FakeSwitch {
    /// Nothing is attached. It lives on while daemons come and go.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self { world: Mutex::default(), changed: watch::Sender::new(true) })
    }

    /// Tells of every change, as the OVSDB does.
    pub fn live(&self) -> watch::Receiver<bool> {
        self.changed.subscribe()
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        let mut world = self.world();
        let result = change(&mut world);
        let live = !world.down;
        drop(world);
        self.changed.send_replace(live);
        result
    }

    /// The sandboxes with an interface.
    #[must_use]
    pub fn sandboxes(&self) -> Vec<String> {
        self.world().attached.iter().map(|attached| attached.container_id.clone()).collect()
    }

    /// The ports that are held.
    #[must_use]
    pub fn held_ports(&self) -> Vec<String> {
        let mut ports: Vec<_> = self.world().held.iter().map(|held| held.port_id.clone()).collect();
        ports.sort();
        ports
    }

    /// How many interfaces were plugged so far.
    #[must_use]
    pub fn plugs(&self) -> usize {
        self.world().plugs
    }

    /// The sandboxes whose addresses were announced.
    #[must_use]
    pub fn announced(&self) -> Vec<String> {
        self.world().announced.clone()
    }

    /// The host's own port as it was announced last.
    #[must_use]
    pub fn announced_host_port(&self) -> Option<NodePortSpec> {
        self.world().host_port_announced.clone()
    }

    /// The host's own port.
    #[must_use]
    pub fn host_port(&self) -> Option<NodePortSpec> {
        self.world().host_port.clone()
    }

    /// Plugging for this sandbox, and giving its port back, takes until [`FakeSwitch::hurry`].
    pub fn delay(&self, container: &str) {
        self.change(|world| world.slow.insert(container.to_owned()));
    }

    /// How many ports are on their way from a pod to being held.
    #[must_use]
    pub fn giving_back(&self) -> usize {
        self.world().giving_back
    }

    /// Whatever was delayed goes on.
    pub fn hurry(&self) {
        self.change(|world| world.slow.clear());
    }

    /// Whether the dataplane installs flows.
    pub fn set_ready(&self, ready: bool) {
        self.change(|world| {
            world.not_ready = !ready;
            world.attached.iter_mut().for_each(|attached| attached.ready = ready);
        });
    }

    /// Whether it can't be reached.
    pub fn set_down(&self, down: bool) {
        self.change(|world| world.down = down);
    }

    /// Somebody removes the interface behind the daemon's back.
    pub fn lose(&self, container: &str) {
        self.change(|world| world.attached.retain(|attached| attached.container_id != container));
    }

    /// The sandbox's namespace goes without a DEL.
    pub fn break_sandbox(&self, container: &str) {
        self.change(|World { attached, stale, .. }| {
            let broken = attached.iter().filter(|attached| attached.container_id == container);
            let broken = broken.map(|attached| Stale {
                host_interface: attached.host_interface.clone(),
                attached: Some(attached.clone()),
                reason: StaleReason::NoNamespace,
            });
            stale.extend(broken);
        });
    }

    /// A crash has left a device that nobody has a record of.
    pub fn leave(&self, device: &str) {
        let left = Stale { host_interface: device.to_owned(), attached: None, reason: StaleReason::NoPort };
        self.change(|world| world.stale.push(left));
    }

    /// As [`FakeSwitch::leave`], but the device can't be removed.
    pub fn leave_stuck(&self, device: &str) {
        self.change(|world| world.stuck.insert(device.to_owned(), 0));
        self.leave(device);
    }

    /// How often the removal of each device that can't be removed was tried.
    #[must_use]
    pub fn stuck(&self) -> Vec<usize> {
        self.world().stuck.values().copied().collect()
    }

    /// The devices that are left.
    #[must_use]
    pub fn left(&self) -> usize {
        self.world().stale.len()
    }

    fn look<T>(&self, look: impl FnOnce(&World) -> T) -> Result<T> {
        let world = self.world();
        if world.down { Err(Error::NoBridge { bridge: "br-int".into() }) } else { Ok(look(&world)) }
    }

    async fn wait(&self, mut holds: impl FnMut(&World) -> bool) {
        let mut changed = self.changed.subscribe();
        while !holds(&self.world()) {
            // The sender is our own.
            let _ = changed.changed().await;
        }
    }
}

fn attached(attachment: &Attachment, ready: bool) -> Attached {
    Attached {
        pod: PodRef { ..attachment.pod.clone() },
        container_id: attachment.container_id.clone(),
        netns: attachment.netns.clone(),
        ifname: attachment.ifname.clone(),
        host_interface: attachment.host_interface(),
        port_id: attachment.port_id.clone(),
        ready,
        error: None,
    }
}

impl Driver for FakeSwitch {
    fn plug<'a>(&'a self, attachment: &'a Attachment) -> BoxFuture<'a, Result<Plugged>> {
        async move {
            self.look(|_| ())?;
            self.wait(|world| !world.slow.contains(&attachment.container_id)).await;
            Ok(self.change(|world| {
                let name = attachment.host_interface();
                world.attached.retain(|a| a.host_interface != name && a.port_id != attachment.port_id);
                world.attached.push(attached(attachment, !world.not_ready));
                world.plugs += 1;
                let spec = HoldSpec { port_id: attachment.port_id.clone(), mac: attachment.mac, mtu: attachment.mtu };
                world.known.insert(spec.port_id.clone(), spec);
                let was_held = world.held.iter().any(|held| held.port_id == attachment.port_id);
                world.held.retain(|held| held.port_id != attachment.port_id);
                Plugged { host_interface: name, was_held }
            }))
        }
        .boxed()
    }

    fn unplug<'a>(&'a self, container_id: &'a str, ifname: &'a str) -> BoxFuture<'a, Result<()>> {
        async move {
            self.look(|_| ())?;
            let name = kuryr_core::names::host_interface(container_id, ifname);
            self.change(|world| {
                world.attached.retain(|attached| attached.host_interface != name);
                world.stale.retain(|stale| stale.host_interface != name);
            });
            Ok(())
        }
        .boxed()
    }

    fn give_back<'a>(&'a self, container_id: &'a str, ifname: &'a str) -> BoxFuture<'a, Result<()>> {
        async move {
            let name = kuryr_core::names::host_interface(container_id, ifname);
            self.change(|world| world.giving_back += 1);
            self.wait(|world| !world.slow.contains(container_id)).await;
            self.change(|world| {
                world.giving_back -= 1;
                let port = world.attached.iter().find(|attached| attached.host_interface == name);
                world.held.extend(port.and_then(|attached| world.known.get(&attached.port_id)).cloned());
            });
            self.unplug(container_id, ifname).await
        }
        .boxed()
    }

    fn hold<'a>(&'a self, port: &'a HoldSpec) -> BoxFuture<'a, Result<()>> {
        async move {
            self.look(|_| ())?;
            self.change(|world| {
                world.held.retain(|held| held.port_id != port.port_id);
                world.held.push(port.clone());
            });
            Ok(())
        }
        .boxed()
    }

    fn let_go<'a>(&'a self, port_id: &'a str) -> BoxFuture<'a, Result<()>> {
        async move {
            self.look(|_| ())?;
            self.change(|world| world.held.retain(|held| held.port_id != port_id));
            Ok(())
        }
        .boxed()
    }

    fn held(&self) -> BoxFuture<'_, Result<Vec<Held>>> {
        let held = |spec: &HoldSpec| Held {
            spec: spec.clone(),
            host_interface: format!("kpod{}", spec.port_id),
            ready: true,
            error: None,
        };
        async move { self.look(|world| world.held.iter().map(held).collect()) }.boxed()
    }

    fn check<'a>(&'a self, attachment: &'a Attachment) -> BoxFuture<'a, Result<Vec<Difference>>> {
        async move {
            let there = self.look(|world| world.attached.iter().any(|a| a.container_id == attachment.container_id))?;
            let missing = Difference { what: "eth0".into(), expected: "a device".into(), found: "nothing".into() };
            Ok(if there { Vec::new() } else { vec![missing] })
        }
        .boxed()
    }

    fn attachments(&self) -> BoxFuture<'_, Result<Vec<Attached>>> {
        async move { self.look(|world| world.attached.clone()) }.boxed()
    }

    fn wait_ready<'a>(&'a self, container_id: &'a str, _: &'a str) -> BoxFuture<'a, Result<()>> {
        async move {
            self.wait(|world| world.attached.iter().any(|a| a.container_id == container_id && a.ready)).await;
            Ok(())
        }
        .boxed()
    }

    fn announce<'a>(&'a self, attachment: &'a Attachment) -> BoxFuture<'a, Result<()>> {
        async move {
            let id = &attachment.container_id;
            let passes = self
                .look(|world| !world.not_ready && world.attached.iter().any(|attached| attached.container_id == *id))?;
            if !passes {
                return Err(Error::Gone { interface: attachment.ifname.clone() });
            }
            self.change(|world| world.announced.push(id.clone()));
            Ok(())
        }
        .boxed()
    }

    fn stale(&self) -> BoxFuture<'_, Result<Vec<Stale>>> {
        async move { self.look(|world| world.stale.clone()) }.boxed()
    }

    fn remove_stale<'a>(&'a self, stale: &'a Stale) -> BoxFuture<'a, Result<()>> {
        async move {
            self.change(|world| {
                if let Some(tried) = world.stuck.get_mut(&stale.host_interface) {
                    *tried += 1;
                    return Err(Error::NoBridge { bridge: "br-int".into() });
                }
                world.attached.retain(|attached| attached.host_interface != stale.host_interface);
                world.stale.retain(|other| other.host_interface != stale.host_interface);
                Ok(())
            })
        }
        .boxed()
    }
}

impl HostPort for FakeSwitch {
    fn ensure<'a>(&'a self, spec: &'a NodePortSpec) -> BoxFuture<'a, Result<NodePortStatus>> {
        async move {
            self.look(|_| ())?;
            self.change(|world| world.host_port = Some(spec.clone()));
            Ok(NodePortStatus { ifindex: Some(7), ready: true, error: None })
        }
        .boxed()
    }

    fn announce<'a>(&'a self, spec: &'a NodePortSpec) -> BoxFuture<'a, Result<()>> {
        async move {
            self.look(|_| ())?;
            self.change(|world| world.host_port_announced = Some(spec.clone()));
            Ok(())
        }
        .boxed()
    }

    fn remove(&self) -> BoxFuture<'_, Result<()>> {
        async move {
            self.look(|_| ())?;
            self.change(|world| world.host_port = None);
            Ok(())
        }
        .boxed()
    }

    fn status(&self) -> BoxFuture<'_, Result<Option<NodePortStatus>>> {
        let status = NodePortStatus { ifindex: Some(7), ready: true, error: None };
        async move { self.look(|world| world.host_port.as_ref().map(|_| status)) }.boxed()
    }
}
