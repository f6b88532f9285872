//! What Octavia has, as far as its own answers have told: nobody asks for it at each change of an endpoint.

use super::{read::Listed, status::NoAddress};
use kuryr_core::{
    error::Class,
    service::{
        graph::{Graph, MemberKey},
        observed::{ObservedLoadBalancer, Provisioning},
        spec::FloatingIp,
    },
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// What is known of all load balancers, by the uid of their KuryrLoadBalancer.
#[derive(Debug, Default)]
pub struct Memory(Mutex<HashMap<String, Known>>);

/// What is known of one.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// What Octavia has. `None`: it has to be read.
    pub load_balancers: Option<Vec<ObservedLoadBalancer>>,
    /// What the lists of all have shown, where it has to be read: only the members are left to be asked for.
    pub listed: Option<Vec<Listed>>,
    /// The object has been followed since it was made: what isn't known here was never asked for.
    pub from_birth: bool,
    /// When it was made, as long as its Service was never served.
    pub born: Option<Instant>,
    /// Since when the first endpoints are waited for.
    pub awaits_endpoints: Option<Instant>,
    /// What was read, and since when each look has shown the same. `None`: what is known comes from Octavia's answers, or was as desired.
    pub read: Option<(Vec<ObservedLoadBalancer>, Instant)>,
    /// How many requests were made while something was in `ERROR`, since all was as desired.
    pub repairs: u32,
    /// Octavia has said that it is done, but not yet of which part what has become.
    pub unverified: bool,
    /// When Octavia was last asked for something.
    pub asked: Option<Instant>,
    /// What was desired when something failed last.
    pub failed: Option<Graph>,
    /// Since when Octavia is at work without a pause.
    pub working_since: Option<Instant>,
    /// The members that a pool was told to have.
    pub expected: Option<Expected>,
    /// Ids of the pools that were told to go, and until when Octavia is believed to be at work on that. It takes their members away first, and
    /// says `ACTIVE` of pool and load balancer after each of them. A second deletion leaves their listeners `PENDING_UPDATE` for ever.
    pub going_pools: Vec<(String, Instant)>,
    /// The floating IP is as desired: there is nothing to be looked at.
    pub floating_is_settled: bool,
    /// There may be a floating IP of which the status says nothing: its creation was asked for, or one was seen.
    pub floating_is_unsure: bool,
    /// How often there was reason to look for floating IPs.
    pub suspicions: u32,
    /// The load balancer that was told to go, and when. Not even a new look at it says so all the time: see [`Going::is`].
    pub going: Option<Going>,
    /// Why there is no floating IP as it is asked for, and when that is tried again.
    pub no_floating_ip: Option<NoFloatingIp>,
    /// Ports that Octavia has left when it refused a load balancer, and since when each has been seen.
    pub orphans: BTreeMap<String, Instant>,
    /// When a creation may have been begun of which nobody knows the end: its port isn't one that was left. `None`: there is none.
    pub blind_since: Option<Instant>,
}

/// The members that a pool was told to have. OVN's provider calls the load balancer `ACTIVE` after the first of them, shows those that are to
/// go as if they stayed, and loses one that is added again before its deletion had its turn: until the pool has them, nothing is sent.
#[derive(Debug, Clone)]
pub struct Expected {
    /// Id of the pool.
    pub pool: String,
    /// The members.
    pub members: BTreeSet<MemberKey>,
    /// When Octavia is no longer believed.
    pub until: Instant,
}

/// A floating IP that can't be had for now. The load balancer doesn't wait for it.
#[derive(Debug, Clone)]
pub struct NoFloatingIp {
    /// What was asked for. Something else is tried at once.
    pub wanted: Option<FloatingIp>,
    /// What failed last, and how often in a row.
    pub class: Class,
    /// How often it failed in a row.
    pub failures: u32,
    /// When it is tried again.
    pub next: Instant,
    /// What is told.
    pub says: NoAddress,
}

/// A load balancer that was told to go.
#[derive(Debug, Clone)]
pub struct Going {
    /// Its id.
    pub id: String,
    /// When it was told.
    pub since: Instant,
}

impl Going {
    /// One that is `ACTIVE` for longer after its deletion was asked for isn't being deleted.
    pub const LONGEST: Duration = Duration::from_secs(30);

    /// Whether this load balancer goes. OVN's provider calls it `ACTIVE` once more before it is gone, and a second deletion then brings it
    /// back in `ERROR` after it was gone, when nobody looks any more.
    pub fn is(&self, one: &ObservedLoadBalancer) -> bool {
        one.id == self.id && one.provisioning == Provisioning::Active && self.since.elapsed() < Self::LONGEST
    }
}

impl Expected {
    /// Whether it has to be waited for.
    pub fn is_awaited(&self, load_balancers: &[ObservedLoadBalancer]) -> bool {
        let mut pools = load_balancers.iter().flat_map(|one| &one.pools);
        let pool = pools.find(|pool| pool.id == self.pool);
        pool.is_some_and(|pool| !pool.members.keys().eq(self.members.iter())) && Instant::now() < self.until
    }
}

impl Known {
    /// Takes in what a look has shown.
    pub fn looked(&mut self, load_balancers: &[ObservedLoadBalancer]) {
        let is_same = self.read.as_ref().is_some_and(|(before, _)| before == load_balancers);
        if !is_same {
            self.read = Some((load_balancers.to_vec(), Instant::now()));
        }
    }

    /// For how long each look has shown the same. `None`: nothing has to be looked at.
    pub fn same_for(&self) -> Option<Duration> {
        self.read.as_ref().map(|(_, since)| since.elapsed())
    }

    /// Whether Octavia is at work on something, as far as it is known here.
    fn is_under_way(&self) -> bool {
        self.working_since.is_some() || self.unverified || self.expected.is_some() || !self.going_pools.is_empty()
    }

    /// For how long Octavia has been at work.
    pub fn working_for(&self) -> Duration {
        self.working_since.map_or(Duration::ZERO, |since| since.elapsed())
    }
}

impl Memory {
    /// What is known. It stays known until something else is put in its place.
    pub fn get(&self, uid: &str) -> Known {
        self.known().get(uid).cloned().unwrap_or_default()
    }

    /// What is known now. What was suspected meanwhile is suspected still.
    pub fn put(&self, uid: &str, mut known: Known) {
        let mut all = self.known();
        if all.get(uid).is_some_and(|before| before.suspicions != known.suspicions) {
            (known.floating_is_settled, known.floating_is_unsure) = (false, true);
        }
        all.insert(uid.to_owned(), known);
    }

    /// The object is new, and nothing was asked of Octavia for it before: it has nothing.
    ///
    /// The watch may have been quicker than the answer that tells of the object: what its own reconciler has done by then stays known.
    pub fn is_born(&self, uid: &str) {
        let new = || Known { load_balancers: Some(Vec::new()), from_birth: true, ..Known::default() };
        self.known().entry(uid.to_owned()).or_insert_with(new).born = Some(Instant::now());
    }

    /// Something failed while this was desired: what Octavia has is to be read again. What was counted stays.
    pub fn failed(&self, uid: &str, desired: Option<Graph>) {
        let mut all = self.known();
        let known = all.entry(uid.to_owned()).or_default();
        (known.load_balancers, known.listed) = (None, None);
        known.floating_is_settled = false;
        known.failed = desired;
    }

    /// The object's load balancers are to be read again, and this is what they looked like when this look began. Not where Octavia is at work,
    /// as what it says in between can be taken for the end, nor where it was asked for something since.
    pub fn listed(&self, uid: &str, listed: Vec<Listed>, began: Instant) {
        let mut all = self.known();
        let known = all.entry(uid.to_owned()).or_default();
        if !known.is_under_way() && known.asked.is_none_or(|asked| asked < began) {
            known.load_balancers = None;
            known.listed = Some(listed);
            known.floating_is_settled = false;
        }
    }

    /// There may be a floating IP of which the object's status says nothing. How often that was so by now.
    pub fn suspect_floating(&self, uid: &str) -> u32 {
        let mut all = self.known();
        let known = all.entry(uid.to_owned()).or_default();
        (known.floating_is_settled, known.floating_is_unsure) = (false, true);
        known.suspicions = known.suspicions.wrapping_add(1);
        known.suspicions
    }

    /// The Service is served: since when that was waited for, the first time.
    pub fn served(&self, uid: &str) -> Option<Duration> {
        self.known().get_mut(uid)?.born.take().map(|born| born.elapsed())
    }

    /// The object is gone.
    pub fn forget(&self, uid: &str) {
        self.known().remove(uid);
    }

    /// Octavia is done with the load balancer of this id.
    pub fn settled(&self, uid: &str, id: &str, status: Provisioning) {
        let mut all = self.known();
        let Some(known) = all.get_mut(uid) else { return };
        let found = known.load_balancers.iter_mut().flatten().find(|one| one.id == id);
        if let Some(one) = found {
            one.provisioning = status;
            known.unverified = true;
        }
        known.working_since = None;
    }

    /// Octavia has no load balancer of this id any more.
    pub fn gone(&self, uid: &str, id: &str) {
        let mut all = self.known();
        let Some(known) = all.get_mut(uid) else { return };
        if let Some(load_balancers) = &mut known.load_balancers {
            load_balancers.retain(|one| one.id != id);
        }
        known.working_since = None;
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_of_a_birth_that_come_late_take_nothing_back() {
        let memory = Memory::default();
        memory.put("u", Known { repairs: 3, ..Known::default() });
        memory.is_born("u");
        let known = memory.get("u");
        assert_eq!((known.repairs, known.from_birth, known.load_balancers.is_none()), (3, false, true));
        memory.is_born("v");
        assert!(memory.get("v").load_balancers.is_some_and(|all| all.is_empty()));
        memory.failed("v", None);
        assert!(memory.get("v").load_balancers.is_none() && memory.get("v").from_birth);
    }

    #[test]
    fn a_look_at_all_counts_only_where_nothing_was_asked_for_since() {
        let began = Instant::now();
        let look = |known: Option<Known>| {
            let memory = Memory::default();
            if let Some(known) = known {
                memory.put("u", known);
            }
            memory.listed("u", Vec::new(), began);
            memory.get("u")
        };
        let settled = || Known { load_balancers: Some(Vec::new()), floating_is_settled: true, ..Known::default() };
        let later = began + Duration::from_millis(1);
        assert!(look(None).listed.is_some());
        let seen = look(Some(settled()));
        assert!(seen.listed.is_some() && seen.load_balancers.is_none() && !seen.floating_is_settled);
        for known in [Known { asked: Some(later), ..settled() }, Known { working_since: Some(began), ..settled() }] {
            let seen = look(Some(known));
            assert!(seen.listed.is_none() && seen.load_balancers.is_some() && seen.floating_is_settled);
        }
        let memory = Memory::default();
        memory.listed("u", Vec::new(), began);
        memory.failed("u", None);
        assert!(memory.get("u").listed.is_none(), "an error makes everything unsure");
    }
}
