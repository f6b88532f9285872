//! Which ports a claim holds and which are free, kept from the watched objects: no decision reads through all ports.
//!
//! What is here is as old as the cache. It only proposes: a claim is made by a write that the API server takes for the state
//! that it was decided on, and for no other (promise P2).

use crate::settings::Pools;
use jiff::Timestamp;
use kube::ResourceExt;
use kuryr_api::{ClaimKind, ClaimRef, KuryrPoolPort, conditions};
use kuryr_core::{
    fair, names,
    pool::{Demand, DemandNow},
};
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// A waiting claim: namespace and name of the KuryrPort.
pub type Waiting = (String, String);

/// What is known of all ports.
pub struct Inventory {
    started: Instant,
    /// See [`Pools`].
    cool_down: Duration,
    demand_period: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Pool and holder of each port, by its name.
    ports: HashMap<String, (String, Holder)>,
    /// Names of the ports that a claim holds: one, except for moments.
    claims: HashMap<Claim, Vec<String>>,
    pools: HashMap<String, Pool>,
    /// The pool that a claim waits for.
    waiting: HashMap<Waiting, String>,
    /// Free ports that a running reconcile is about to claim.
    reserved: HashSet<String>,
}

/// Uid of the claimant and name of its interface.
type Claim = (String, String);

/// Who has a port.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Holder {
    /// `owed`: a pod had it, and it isn't counted as come back yet: it can't be claimed before it has the groups of free ports.
    Nobody {
        owed: bool,
    },
    Pod(Claim),
    Node,
}

#[derive(Default)]
struct Pool {
    free: BTreeSet<String>,
    claimed: usize,
    waiting: Waiters,
    demand: Demand,
    told: Option<Instant>,
}

/// The claims that wait for a port of one pool. Namespaces take turns.
#[derive(Default)]
struct Waiters {
    claims: HashSet<Waiting>,
    turns: fair::Queue<(), String, Waiting>,
    /// What has a turn. Some of it doesn't wait any more.
    queued: HashSet<Waiting>,
}

impl Waiters {
    fn add(&mut self, claim: Waiting) {
        if self.queued.insert(claim.clone()) {
            self.turns.push((), claim.0.clone(), claim.clone());
        }
        self.claims.insert(claim);
    }

    fn remove(&mut self, claim: &Waiting) {
        self.claims.remove(claim);
        if self.claims.is_empty() {
            // Nobody has a turn any more.
            (self.turns, self.queued) = Default::default();
        }
    }

    /// Up to so many, those whose turn it is. Whoever goes on waiting comes last the next time.
    fn next(&mut self, most: usize) -> Vec<Waiting> {
        let mut next = Vec::new();
        while next.len() < most.min(self.claims.len()) {
            let Some(claim) = self.turns.pop() else { break };
            if self.claims.contains(&claim) {
                next.push(claim);
            } else {
                self.queued.remove(&claim);
            }
        }
        for claim in &next {
            self.turns.push((), claim.0.clone(), claim.clone());
        }
        next
    }
}

/// A free port that one reconcile is about to claim: no other one proposes it until this is dropped.
pub struct Reserved<'a> {
    inventory: &'a Inventory,
    name: String,
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        self.inventory.state().reserved.remove(&self.name);
    }
}

impl Inventory {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(pools: &Pools) -> Self {
        let (cool_down, demand_period) = (pools.cool_down(), pools.demand_period());
        Self { started: Instant::now(), cool_down, demand_period, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The watch, or the answer to a write, has brought the port.
    pub fn put(&self, port: &KuryrPoolPort) {
        let (name, pool) = (port.name_any(), pool_of(port));
        let mut state = self.state();
        let known = state.ports.get(&name).map(|(_, holder)| holder);
        let used = matches!(known, Some(Holder::Pod(_) | Holder::Nobody { owed: true }));
        let holder = match &port.spec.claim_ref {
            None => Holder::Nobody { owed: used && !has_its_groups(port) },
            Some(claim) if claim.kind == ClaimKind::Node => Holder::Node,
            Some(claim) => Holder::Pod(claim_key(claim)),
        };
        if known == Some(&holder) {
            return;
        }
        state.forget(&name);
        let now = self.started.elapsed();
        let entry = state.pools.entry(pool.clone()).or_default();
        match &holder {
            Holder::Nobody { owed } => {
                if used && !owed {
                    entry.demand.returned(now, self.cool_down, self.demand_period);
                }
                entry.free.insert(name.clone());
            }
            Holder::Pod(claim) => {
                entry.claimed += 1;
                state.claims.entry(claim.clone()).or_default().push(name.clone());
            }
            Holder::Node => {}
        }
        state.ports.insert(name, (pool, holder));
    }

    /// The port is gone.
    pub fn remove(&self, port: &KuryrPoolPort) {
        self.state().forget(&port.name_any());
    }

    /// Names of the ports that the claim holds for its interface.
    pub fn held(&self, claim: &ClaimRef) -> Vec<String> {
        self.state().claims.get(&claim_key(claim)).cloned().unwrap_or_default()
    }

    /// Names of the ports that any interface of the claimant with this uid holds, of these interfaces.
    pub fn held_by<'a>(&self, uid: &str, interfaces: impl Iterator<Item = &'a str>) -> Vec<String> {
        let state = self.state();
        let of = |interface: &str| state.claims.get(&(uid.to_owned(), interface.to_owned())).cloned();
        interfaces.filter_map(of).flatten().collect()
    }

    /// Names of the pool's free ports, whatever their state.
    pub fn free(&self, pool: &str) -> Vec<String> {
        self.state().pools.get(pool).map_or_else(Vec::new, |pool| pool.free.iter().cloned().collect())
    }

    /// Names of all ports of the pool.
    pub fn members(&self, pool: &str) -> Vec<String> {
        let state = self.state();
        state.ports.iter().filter(|(_, (of, _))| of == pool).map(|(name, _)| name.clone()).collect()
    }

    /// Number of the pool's ports that pods have or are about to get.
    pub fn claimed(&self, pool: &str) -> usize {
        self.state().pools.get(pool).map_or(0, |pool| pool.claimed)
    }

    /// Whether a port of this name is known.
    pub fn knows(&self, name: &str) -> bool {
        self.state().ports.contains_key(name)
    }

    /// Sets a free port apart for one reconcile. `None`: another one is about to claim it.
    pub fn reserve(&self, name: &str) -> Option<Reserved<'_>> {
        let new = self.state().reserved.insert(name.to_owned());
        new.then(|| Reserved { inventory: self, name: name.to_owned() })
    }

    /// A claim wants a port of the pool: it counts as demand once.
    pub fn demanded(&self, pool: &str) {
        let mut state = self.state();
        let now = self.started.elapsed();
        state.pools.entry(pool.to_owned()).or_default().demand.claimed(now, self.demand_period);
    }

    /// The pool's demand. `written` is the peak in the pool's status, which a predecessor may know better.
    pub fn demand(&self, pool: &str, written: u32) -> DemandNow {
        let mut state = self.state();
        let now = self.started.elapsed();
        let demand = &mut state.pools.entry(pool.to_owned()).or_default().demand;
        demand.recall(written, now, self.demand_period);
        demand.now(now, self.demand_period)
    }

    /// The claim has to wait until a port of the pool is made or free. `exists` is asked once that is noted: the end of a claim
    /// that went while this was decided was told before, and nobody tells it again. `false`: it doesn't exist.
    pub fn waits(&self, pool: &str, claim: &Waiting, exists: impl FnOnce() -> bool) -> bool {
        self.state().waits(pool, claim);
        let waits = exists();
        if !waits {
            self.served(claim);
        }
        waits
    }

    /// The claim has its port, or is gone. Name of the pool that it had waited for: how many wait decides what is made there.
    pub fn served(&self, claim: &Waiting) -> Option<String> {
        self.state().served(claim)
    }

    /// How many claims wait for a port of the pool.
    pub fn waiting(&self, pool: &str) -> usize {
        self.state().pools.get(pool).map_or(0, |pool| pool.waiting.claims.len())
    }

    /// Up to so many of the claims that wait for a port of the pool, those whose turn it is to be offered one.
    pub fn next_waiting(&self, pool: &str, most: usize) -> Vec<Waiting> {
        self.state().pools.get_mut(pool).map_or_else(Vec::new, |pool| pool.waiting.next(most))
    }

    /// Whether the pool's levels may be published now: at most once in `pause`, or the rest of it.
    pub fn may_tell(&self, pool: &str, pause: Duration) -> Result<(), Duration> {
        let mut state = self.state();
        let entry = state.pools.entry(pool.to_owned()).or_default();
        let left = entry.told.map_or(Duration::ZERO, |at| pause.saturating_sub(at.elapsed()));
        if !left.is_zero() {
            return Err(left);
        }
        entry.told = Some(Instant::now());
        Ok(())
    }

    /// Forgets a pool that has no ports and for which nobody waits.
    pub fn forget_pool(&self, name: &str) {
        let mut state = self.state();
        let unused = |pool: &Pool| pool.free.is_empty() && pool.claimed == 0 && pool.waiting.claims.is_empty();
        if state.pools.get(name).is_some_and(unused) {
            state.pools.remove(name);
        }
    }
}

impl State {
    /// Forgets who had the port.
    fn forget(&mut self, name: &str) {
        let Some((pool, holder)) = self.ports.remove(name) else { return };
        let pool = self.pools.entry(pool).or_default();
        match holder {
            Holder::Nobody { .. } => drop(pool.free.remove(name)),
            Holder::Pod(claim) => {
                pool.claimed = pool.claimed.saturating_sub(1);
                if let Some(held) = self.claims.get_mut(&claim) {
                    held.retain(|held| held != name);
                    if held.is_empty() {
                        self.claims.remove(&claim);
                    }
                }
            }
            Holder::Node => {}
        }
    }

    fn waits(&mut self, pool: &str, claim: &Waiting) {
        if self.waiting.get(claim).is_some_and(|known| known == pool) {
            return;
        }
        self.served(claim);
        self.pools.entry(pool.to_owned()).or_default().waiting.add(claim.clone());
        self.waiting.insert(claim.clone(), pool.to_owned());
    }

    fn served(&mut self, claim: &Waiting) -> Option<String> {
        let pool = self.waiting.remove(claim)?;
        self.pools.get_mut(&pool)?.waiting.remove(claim);
        Some(pool)
    }
}

fn claim_key(claim: &ClaimRef) -> Claim {
    (claim.uid.clone(), claim.interface.clone())
}

/// Name of the pool that the port belongs to.
pub fn pool_of(port: &KuryrPoolPort) -> String {
    names::pool(&port.spec.node_name, &port.spec.network_id, &port.spec.subnet_ids)
}

/// Whether the port has the groups in Neutron that its spec says.
pub fn has_its_groups(port: &KuryrPoolPort) -> bool {
    port.status.as_ref().is_some_and(|status| status.security_group_ids == port.spec.security_group_ids)
}

/// For how long the port has been cooling down: since it was released, and since Neutron took the last change of its groups,
/// which may have come much later. None: it has never been anything else than it is.
pub fn cooling_for(port: &KuryrPoolPort, now: Timestamp) -> Option<Duration> {
    let regrouped = port.status.as_ref().and_then(|status| status.regrouped_at.as_ref());
    let since = port.spec.released_at.as_ref().into_iter().chain(regrouped).map(|at| at.0).max()?;
    // Times in objects are whole seconds: it may have been any moment of that one.
    let ago = Duration::try_from(now.duration_since(since)).unwrap_or(Duration::ZERO);
    Some(ago.saturating_sub(Duration::from_secs(1)))
}

/// Whether the condition of this type is true.
pub fn says(port: &KuryrPoolPort, condition: &str) -> bool {
    port.status.as_ref().is_some_and(|status| conditions::is_true(&status.conditions, condition))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kuryr_api::KuryrPoolPortSpec;

    fn port(name: &str, claim: Option<(ClaimKind, &str)>) -> KuryrPoolPort {
        let claim_ref = claim.map(|(kind, uid)| ClaimRef {
            kind,
            namespace: None,
            name: uid.to_owned(),
            uid: uid.to_owned(),
            interface: "eth0".into(),
        });
        let spec = KuryrPoolPortSpec {
            node_name: "n".into(),
            network_id: "net".into(),
            subnet_ids: vec!["four".into()],
            security_group_ids: vec![],
            claim_ref,
            released_at: None,
        };
        KuryrPoolPort::new(name, spec)
    }

    const POD: Option<(ClaimKind, &str)> = Some((ClaimKind::KuryrPort, "u"));

    #[test]
    fn a_port_is_free_or_held_by_one() {
        let inventory = Inventory::new(&Pools::default());
        let pool = pool_of(&port("a", None));
        inventory.put(&port("a", None));
        inventory.put(&port("b", POD));
        inventory.put(&port("c", Some((ClaimKind::Node, "node"))));
        assert_eq!((inventory.free(&pool), inventory.claimed(&pool)), (vec!["a".to_owned()], 1));
        inventory.put(&port("a", POD));
        assert_eq!(inventory.held_by("u", ["eth0"].into_iter()), ["b", "a"]);
        assert_eq!((inventory.free(&pool).len(), inventory.claimed(&pool)), (0, 2));
        inventory.put(&port("b", None));
        inventory.put(&port("b", None));
        inventory.remove(&port("a", POD));
        assert_eq!((inventory.free(&pool), inventory.claimed(&pool)), (vec!["b".to_owned()], 0));
        assert!(inventory.held_by("u", ["eth0"].into_iter()).is_empty());
        inventory.put(&port("c", None));
        assert_eq!(inventory.free(&pool), ["b", "c"], "a node gave its port back");
    }

    /// A port with these groups in its spec, and in Neutron.
    fn grouped(claim: Option<(ClaimKind, &str)>, wanted: &[&str], has: &[&str]) -> KuryrPoolPort {
        let groups = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect();
        let mut port = port("a", claim);
        port.spec.security_group_ids = groups(wanted);
        let security_group_ids = groups(has);
        port.status = Some(kuryr_api::KuryrPoolPortStatus { security_group_ids, ..Default::default() });
        port
    }

    #[tokio::test(start_paused = true)]
    async fn a_port_that_comes_back_counts_from_when_it_has_its_groups() {
        let inventory = Inventory::new(&Pools { cool_down_seconds: 10, demand_seconds: 600, ..Pools::default() });
        let (open, closed) = (&["open"][..], &[][..]);
        let claimed = grouped(POD, open, open);
        let pool = pool_of(&claimed);
        let claim_in = async |seconds| {
            tokio::time::advance(Duration::from_secs(seconds)).await;
            inventory.demanded(&pool);
            inventory.demand(&pool, 0).peak
        };
        inventory.put(&grouped(None, closed, closed));
        inventory.put(&claimed);
        assert_eq!(claim_in(0).await, 1);
        inventory.put(&grouped(None, closed, open));
        assert_eq!(claim_in(11).await, 2, "Neutron hasn't closed it: nobody can have it");
        inventory.put(&grouped(None, closed, closed));
        assert_eq!(claim_in(9).await, 3, "it cools down");
        assert_eq!(claim_in(2).await, 3, "it can be claimed: it makes up for the first");
        inventory.put(&grouped(None, closed, closed));
        assert_eq!(claim_in(11).await, 4, "it came back once");
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_a_pod_had_comes_back() {
        let inventory = Inventory::new(&Pools { cool_down_seconds: 0, demand_seconds: 600, ..Pools::default() });
        let pool = pool_of(&port("a", None));
        inventory.demanded(&pool);
        inventory.put(&port("a", Some((ClaimKind::Node, "node"))));
        inventory.put(&grouped(None, &[], &[]));
        inventory.put(&port("b", None));
        inventory.put(&KuryrPoolPort { metadata: port("b", None).metadata, ..grouped(None, &[], &[]) });
        inventory.demanded(&pool);
        assert_eq!(inventory.demand(&pool, 0).peak, 2, "a node's port and a new one are no pod's");
    }

    #[test]
    fn a_free_port_is_proposed_to_one_at_a_time() {
        let inventory = Inventory::new(&Pools::default());
        let first = inventory.reserve("a");
        assert!(first.is_some() && inventory.reserve("a").is_none() && inventory.reserve("b").is_some());
        drop(first);
        assert!(inventory.reserve("a").is_some());
    }

    #[test]
    fn a_claim_waits_for_one_pool() {
        let inventory = Inventory::new(&Pools::default());
        let claim = || ("shop".to_owned(), "web".to_owned());
        inventory.waits("p", &claim(), || true);
        inventory.waits("q", &claim(), || true);
        assert_eq!((inventory.waiting("p"), inventory.next_waiting("q", 2)), (0, vec![claim()]));
        assert_eq!((inventory.served(&claim()).as_deref(), inventory.served(&claim())), (Some("q"), None));
    }

    #[test]
    fn a_claim_that_went_meanwhile_does_not_wait() {
        let inventory = Inventory::new(&Pools::default());
        let claim = ("shop".to_owned(), "web".to_owned());
        assert!(!inventory.waits("p", &claim, || {
            assert_eq!(inventory.waiting("p"), 1, "asked after it was noted: whoever ends it later finds it");
            false
        }));
        assert_eq!((inventory.waiting("p"), inventory.served(&claim)), (0, None));
    }

    #[test]
    fn a_pool_for_which_somebody_waits_is_not_forgotten() {
        let inventory = Inventory::new(&Pools::default());
        let claim = ("shop".to_owned(), "web".to_owned());
        inventory.waits("p", &claim, || true);
        inventory.forget_pool("p");
        assert_eq!(inventory.waiting("p"), 1);
        inventory.served(&claim);
        inventory.forget_pool("p");
        assert!(!inventory.state().pools.contains_key("p"));
    }

    #[test]
    fn namespaces_take_turns_in_waiting() {
        let inventory = Inventory::new(&Pools::default());
        let claim = |namespace: &str, name: &str| (namespace.to_owned(), name.to_owned());
        for name in ["1", "2", "3", "4"] {
            inventory.waits("p", &claim("aaa", name), || true);
        }
        inventory.waits("p", &claim("zzz", "1"), || true);
        let next = |most| inventory.next_waiting("p", most);
        assert_eq!(next(1), [claim("aaa", "1")]);
        assert_eq!(next(1), [claim("zzz", "1")], "however many wait elsewhere");
        assert_eq!(
            next(3),
            [claim("aaa", "2"), claim("zzz", "1"), claim("aaa", "3")][..3],
            "whoever was asked comes last"
        );
        inventory.served(&claim("zzz", "1"));
        inventory.served(&claim("aaa", "4"));
        assert_eq!(next(9).len(), 3);
        inventory.waits("p", &claim("aaa", "4"), || true);
        assert_eq!(next(9).len(), 4, "each is asked once");
    }
}
