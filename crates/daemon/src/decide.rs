//! The daemon's decisions, without any IO.
//!
//! The promise that is kept here: an address is never given on before the node has confirmed that its interface is gone
//! (P2). The confirmation is the removal of the KuryrPort's finalizer, and it is made of three looks, *in this order*:
//!
//! 1. the KuryrPort is being deleted (in the cache),
//! 2. no ADD of its pod is in flight,
//! 3. the node's own records (OVSDB) show no interface of its pod.
//!
//! An ADD does the opposite order: it enters the table of calls in flight, then reads the KuryrPort, then plugs, and leaves
//! the table when its interface is on record or removed again. So for every ADD: either it read the KuryrPort after
//! look 1, and was refused because a deletion can't be taken back; or it was in the table before look 1, and at look 2 it
//! still is, or its interface is on record at look 3. A restart empties the table, but with it goes every ADD that was
//! in it; what such an ADD had plugged is on record. The tests below try all interleavings at random.

use std::time::Duration;

/// What the cache of pods says about the pod that an ADD is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PodSight {
    /// There is no pod of this name.
    Absent,
    /// There is a pod of this name, but another one.
    Other,
    /// The pod is there.
    Present {
        /// It is being deleted: its sandbox won't be started again.
        terminating: bool,
    },
}

/// What the cache of KuryrPorts says about the pod's KuryrPort.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimSight {
    /// There is none (yet).
    Absent,
    /// Its content is not what it must be.
    Malformed,
    /// It is being deleted.
    Deleting,
    /// It has no addresses yet.
    Pending,
    /// All its interfaces have their ports.
    Allocated,
}

/// What the API server itself says about the pod, as far as it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Not asked, or not lately, or it didn't answer.
    No,
    /// The pod is there; the cache is behind.
    Present,
    /// The pod is gone.
    Gone,
}

/// All that decides the next step of an ADD that has not plugged yet, or that waits for its interface to become ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddFacts {
    /// Every cache holds a complete list.
    pub synced: bool,
    /// The pod.
    pub pod: PodSight,
    /// The pod has been in the cache during this ADD.
    pub pod_seen: bool,
    /// The KuryrPort.
    pub claim: ClaimSight,
    /// The API server's own word.
    pub asked: Asked,
    /// Enough time has gone by to ask it (again).
    pub may_ask: bool,
}

/// The next step of an ADD.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddStep {
    /// Wait for a change.
    Wait,
    /// Ask the API server whether the pod still exists.
    Ask,
    /// Go on: plug, or go on waiting for the interface to become ready.
    Proceed,
    /// Give up: the pod is gone or going.
    Refuse(Refusal),
}

/// Why an ADD is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The pod is gone.
    PodGone,
    /// The pod is being deleted.
    PodTerminating,
    /// The pod's KuryrPort is being deleted: its address may be given on.
    ClaimDeleting,
}

impl AddFacts {
    /// The next step. A KuryrPort that is being deleted ends every ADD, whatever else is the case.
    ///
    /// A pod that isn't in the cache may be gone, or so new that the cache doesn't have it yet. It is taken for gone when
    /// it was seen before, or when the API server itself says so.
    #[must_use]
    pub fn step(&self) -> AddStep {
        if !self.synced {
            return AddStep::Wait;
        }
        match (self.claim, self.pod) {
            (ClaimSight::Deleting, _) => AddStep::Refuse(Refusal::ClaimDeleting),
            (_, PodSight::Present { terminating: true }) => AddStep::Refuse(Refusal::PodTerminating),
            (ClaimSight::Allocated, _) => AddStep::Proceed,
            (_, PodSight::Present { terminating: false }) => AddStep::Wait,
            (_, PodSight::Absent | PodSight::Other) if self.pod_seen || self.asked == Asked::Gone => {
                AddStep::Refuse(Refusal::PodGone)
            }
            (_, PodSight::Absent | PodSight::Other) if self.may_ask => AddStep::Ask,
            (_, PodSight::Absent | PodSight::Other) => AddStep::Wait,
        }
    }
}

/// All that decides whether the node confirms that a KuryrPort's interfaces are gone. To be looked at in the order of the
/// fields, see the module's description.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConfirmFacts {
    /// The KuryrPort is being deleted and has the node's finalizer.
    pub awaited: bool,
    /// An ADD of its pod is in flight.
    pub adding: bool,
    /// An interface of its pod is on record.
    pub attached: bool,
}

impl ConfirmFacts {
    /// Whether the finalizer is to be removed.
    #[must_use]
    pub const fn confirm(&self) -> bool {
        self.awaited && !self.adding && !self.attached
    }
}

/// All that decides what becomes of an interface whose sandbox lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrphanFacts {
    /// Every cache holds a complete list.
    pub synced: bool,
    /// A call for the sandbox is in flight.
    pub busy: bool,
    /// The pod of this uid is in the cache; or a static pod of this name, whose uid in the API changes whenever somebody
    /// deletes its mirror while its sandbox lives on.
    pub pod_known: bool,
    /// For how long it hasn't been in the cache, as far as this daemon has seen.
    pub unknown_for: Duration,
    /// From when on the interface goes.
    pub grace: Duration,
}

impl OrphanFacts {
    /// Whether the interface is to be removed, provided that the API server itself confirms that the pod is gone.
    ///
    /// A living sandbox belongs to the kubelet, and DEL is its task, also for a pod that was deleted without grace. But a
    /// sandbox whose DEL never comes must not hold an address for ever.
    #[must_use]
    pub fn remove(&self) -> bool {
        self.synced && !self.busy && !self.pod_known && self.unknown_for >= self.grace
    }
}

/// What the node knows about the interfaces of a KuryrPort that isn't being deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlugFacts {
    /// How many interfaces the KuryrPort asks for.
    pub wanted: usize,
    /// How many of them are on record.
    pub attached: usize,
    /// How many of those pass packets.
    pub ready: usize,
    /// An ADD or DEL of the pod is in flight.
    pub busy: bool,
    /// The KuryrPort says `Plugged` now.
    pub said_plugged: bool,
    /// For how long an interface that was there has been missing, as far as this daemon has seen.
    pub missing_for: Duration,
    /// From when on that is worth saying.
    pub grace: Duration,
}

/// What a KuryrPort's conditions are to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlugState {
    /// What they say now: there is nothing new.
    Unchanged,
    /// `Plugged`, not yet `Ready`.
    Plugged,
    /// `Plugged` and `Ready`.
    Ready,
    /// It said `Plugged`, but there is no interface.
    Missing,
}

impl PlugFacts {
    /// What is to be said.
    #[must_use]
    pub fn state(&self) -> PlugState {
        if self.busy || self.wanted == 0 {
            PlugState::Unchanged
        } else if self.attached >= self.wanted {
            if self.ready >= self.wanted { PlugState::Ready } else { PlugState::Plugged }
        } else if self.said_plugged && self.missing_for >= self.grace {
            PlugState::Missing
        } else {
            PlugState::Unchanged
        }
    }
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
