//! The CNI calls that are being served.

use kuryr_cni::PodArgs;
use kuryr_core::pool::Starts;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};
use tokio::{
    sync::{OwnedMutexGuard, watch},
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

/// The table of calls in flight. Cheap to clone.
///
/// An ADD enters it before it reads the KuryrPort and leaves it when its interface is on record or removed again (see
/// [`crate::decide`]). Calls for one sandbox wait for each other; calls for different ones never do.
#[derive(Clone)]
pub struct InFlight {
    table: Arc<Mutex<Table>>,
    changed: watch::Sender<()>,
    began: Instant,
}

#[derive(Default)]
struct Table {
    next: u64,
    adds: HashMap<u64, Entry>,
    /// The pods that got a port, and whose ADDs the node had worked for.
    starts: Starts,
    sandboxes: HashMap<String, Weak<tokio::sync::Mutex<()>>>,
}

impl Table {
    /// The earlier ADDs of other sandboxes of the same pod, whose uid is known.
    fn older_sandboxes(&self, id: u64) -> impl Iterator<Item = &Entry> {
        let own = self.adds.get(&id).filter(|own| own.uid.is_some());
        let older = self.adds.iter().filter(move |(other, _)| **other < id).map(|(_, other)| other);
        older.filter(move |other| own.is_some_and(|own| own.uid == other.uid && own.container_id != other.container_id))
    }
}

/// How far an ADD is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It waits for its KuryrPort, for minutes if need be. Nothing on the node is its own.
    Claim,
    /// The node works on its interface.
    Plug,
    /// Its interface is on record, and becomes ready.
    Ready,
}

struct Entry {
    stage: Stage,
    /// Since when it is so far.
    since: Instant,
    container_id: String,
    namespace: String,
    name: String,
    /// The uid in the API. None until it is known: then every pod of the name counts.
    uid: Option<String>,
    cancel: CancellationToken,
}

/// An ADD in the table. Dropping it takes the ADD out.
pub struct Adding {
    all: InFlight,
    id: u64,
    /// Cancelled when the ADD is to end without success.
    pub cancel: CancellationToken,
}

impl InFlight {
    /// An empty table. `changed` is notified when an ADD leaves.
    #[must_use]
    pub fn new(changed: watch::Sender<()>) -> Self {
        Self { table: Arc::default(), changed, began: Instant::now() }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // The table is changed by single inserts and removals only: a panic elsewhere can't leave it half-changed.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters an ADD into the table.
    #[must_use]
    pub fn begin(&self, container_id: &str, pod: &PodArgs) -> Adding {
        let cancel = CancellationToken::new();
        let mut table = self.table();
        table.next += 1;
        let id = table.next;
        let entry = Entry {
            stage: Stage::Claim,
            since: Instant::now(),
            container_id: container_id.to_owned(),
            namespace: pod.namespace.clone(),
            name: pod.name.clone(),
            uid: None,
            cancel: cancel.clone(),
        };
        table.adds.insert(id, entry);
        drop(table);
        Adding { all: self.clone(), id, cancel }
    }

    /// Waits for the calls of this sandbox that came before, and keeps later ones waiting while the guard lives.
    pub async fn lock(&self, container_id: &str) -> OwnedMutexGuard<()> {
        let lock = {
            let mut table = self.table();
            table.sandboxes.retain(|_, lock| lock.strong_count() > 0);
            let known = table.sandboxes.get(container_id).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let lock = Arc::default();
                table.sandboxes.insert(container_id.to_owned(), Arc::downgrade(&lock));
                lock
            })
        };
        lock.lock_owned().await
    }

    /// Ends the ADDs of this sandbox without success.
    pub fn cancel_sandbox(&self, container_id: &str) {
        self.table().adds.values().filter(|add| add.container_id == container_id).for_each(|add| add.cancel.cancel());
    }

    /// Whether an ADD of this pod is in flight.
    #[must_use]
    pub fn adding(&self, namespace: &str, name: &str, uid: &str) -> bool {
        self.table().adds.values().any(|add| match &add.uid {
            Some(known) => known == uid,
            None => add.namespace == namespace && add.name == name,
        })
    }

    /// Whether a call of this sandbox is in flight.
    #[must_use]
    pub fn busy(&self, container_id: &str) -> bool {
        let table = self.table();
        let locked = table.sandboxes.get(container_id).is_some_and(|lock| lock.strong_count() > 0);
        locked || table.adds.values().any(|add| add.container_id == container_id)
    }

    /// How many ADDs are in flight.
    #[must_use]
    pub fn adds(&self) -> usize {
        self.table().adds.len()
    }

    /// For how many of them the node works: what is half-made on it may be theirs.
    #[must_use]
    pub fn plugging(&self) -> usize {
        self.table().adds.values().filter(|add| add.stage == Stage::Plug).count()
    }

    /// Whether an ADD would be slowed down by other work of the node and its dataplane: it is plugging, or has been becoming
    /// ready for less than `patience`. One that takes longer waits for something that isn't there.
    #[must_use]
    pub fn hurried(&self, patience: Duration) -> bool {
        self.table().adds.values().any(|add| match add.stage {
            Stage::Claim => false,
            Stage::Plug => true,
            Stage::Ready => add.since.elapsed() < patience,
        })
    }

    /// A pod has a port: its ADD comes now, if it isn't there yet.
    pub fn pod_starts(&self) {
        self.table().starts.one_more(self.began.elapsed());
    }

    /// Whether pods that got their interface a moment ago are starting, and what isn't urgent waits.
    #[must_use]
    pub fn starting(&self) -> bool {
        !self.table().starts.calm_in(self.began.elapsed()).is_zero()
    }
}

impl Adding {
    /// The pod's uid is known now. Other ADDs of the same pod end: a pod has one sandbox, the newest.
    ///
    /// Must be called before the KuryrPort of this uid is read, because from here on only this uid counts.
    pub fn is_for(&self, uid: &str) {
        let mut table = self.all.table();
        let known = table.adds.get_mut(&self.id).and_then(|add| add.uid.replace(uid.to_owned()));
        if known.as_deref() == Some(uid) {
            return;
        }
        table.older_sandboxes(self.id).for_each(|other| other.cancel.cancel());
    }

    /// The ADD is so far now.
    pub fn reached(&self, stage: Stage) {
        if let Some(add) = self.all.table().adds.get_mut(&self.id) {
            (add.stage, add.since) = (stage, Instant::now());
        }
    }

    /// Whether ADDs that [`Adding::is_for`] has ended are still in the table, taking themselves apart.
    #[must_use]
    pub fn has_older(&self) -> bool {
        self.all.table().older_sandboxes(self.id).next().is_some()
    }
}

impl Drop for Adding {
    fn drop(&mut self) {
        let mut table = self.all.table();
        if table.adds.remove(&self.id).is_some_and(|add| add.stage != Stage::Claim) {
            table.starts.one_more(self.all.began.elapsed());
        }
        drop(table);
        self.all.changed.send_replace(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    fn pod(name: &str) -> PodArgs {
        PodArgs { namespace: "shop".into(), name: name.into(), uid: None }
    }

    fn table() -> InFlight {
        InFlight::new(watch::channel(()).0)
    }

    #[test]
    fn an_add_counts_for_its_uid_and_for_its_name_until_the_uid_is_known() {
        let all = table();
        let add = all.begin("sandbox", &pod("web-0"));
        assert!(all.adding("shop", "web-0", "any") && !all.adding("shop", "web-1", "any"));
        add.is_for("1");
        assert!(all.adding("shop", "web-0", "1") && !all.adding("shop", "web-0", "2"));
        drop(add);
        assert!(!all.adding("shop", "web-0", "1"));
        assert_eq!(all.adds(), 0);
    }

    #[test]
    fn leaving_the_table_is_a_change() {
        let (changed, mut seen) = watch::channel(());
        let add = InFlight::new(changed).begin("sandbox", &pod("web-0"));
        assert!(!seen.has_changed().unwrap());
        drop(add);
        assert!(seen.changed().now_or_never().is_some());
    }

    #[test]
    fn calls_for_one_sandbox_wait_for_each_other_and_others_dont() {
        let all = table();
        let first = all.lock("a").now_or_never().unwrap();
        assert!(all.lock("a").now_or_never().is_none());
        assert!(all.lock("b").now_or_never().is_some());
        assert!(all.busy("a") && !all.busy("b"));
        drop(first);
        assert!(all.lock("a").now_or_never().is_some());
    }

    #[test]
    fn the_newest_sandbox_of_a_pod_ends_the_adds_of_older_ones() {
        let all = table();
        let (old, other) = (all.begin("a", &pod("web-0")), all.begin("x", &pod("web-1")));
        old.is_for("1");
        other.is_for("2");
        let again = all.begin("a", &pod("web-0"));
        again.is_for("1");
        assert!(!old.cancel.is_cancelled(), "a repeated call of the same sandbox waits for its turn");
        let new = all.begin("b", &pod("web-0"));
        new.is_for("1");
        assert!(old.cancel.is_cancelled() && again.cancel.is_cancelled());
        assert!(new.has_older() && !again.has_older() && !other.has_older());
        drop((old, again));
        assert!(!new.has_older());
        assert!(!new.cancel.is_cancelled() && !other.cancel.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn only_an_add_that_the_node_works_for_keeps_others_back() {
        let (all, patience) = (table(), Duration::from_secs(10));
        let (add, waiting) = (all.begin("a", &pod("web-0")), all.begin("b", &pod("web-1")));
        assert_eq!((all.adds(), all.plugging(), all.hurried(patience)), (2, 0, false));
        add.reached(Stage::Plug);
        assert_eq!((all.plugging(), all.hurried(patience)), (1, true));
        tokio::time::sleep(patience * 2).await;
        assert!(all.hurried(patience), "it is at work, however long that takes");
        add.reached(Stage::Ready);
        assert_eq!((all.plugging(), all.hurried(patience)), (0, true));
        tokio::time::sleep(patience).await;
        assert_eq!((all.plugging(), all.hurried(patience)), (0, false), "its dataplane doesn't answer");
        add.reached(Stage::Plug);
        assert!(all.hurried(patience));
        drop(add);
        assert_eq!((all.adds(), all.plugging(), all.hurried(patience)), (1, 0, false));
        assert!(all.starting());
        tokio::time::sleep(patience).await;
        drop(waiting);
        assert!(!all.starting(), "one that waited in vain starts no pod");
    }

    #[test]
    fn del_ends_the_adds_of_its_sandbox() {
        let all = table();
        let (mine, other) = (all.begin("a", &pod("web-0")), all.begin("b", &pod("web-0")));
        all.cancel_sandbox("a");
        assert!(mine.cancel.is_cancelled() && !other.cancel.is_cancelled());
    }
}
