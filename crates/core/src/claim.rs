//! The life of a port that is claimed, released and destroyed.

/// What is known about the one who holds a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claimant {
    /// It exists, and only its own going away ends the claim: its node confirms that the interface is gone first.
    Holds,
    /// It exists, but gives the port up as soon as somebody deletes the port (a node's own port).
    Yields,
    /// It exists and has settled on another port, which it never leaves: this one was claimed besides, by a controller that
    /// didn't know of the other, or while the other one was slow to come. Nobody has ever used it by this claim.
    Superseded,
    /// The API server itself, not only a cache, has said that it doesn't exist.
    Gone,
}

/// What decides a port's next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortFacts {
    /// Who holds the port. None: the port is free.
    pub claimant: Option<Claimant>,
    /// The port's object is being deleted (`metadata.deletionTimestamp`).
    pub deleting: bool,
    /// A free port is to be kept for a later claim.
    pub kept_when_free: bool,
}

/// A port's next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The port is to exist as its spec says.
    Keep,
    /// Somebody deleted the port while its claimant uses it: it stays as it is until the claimant is gone.
    AwaitClaimant,
    /// Clear the claim: the port becomes free. After a claimant that may have used it, it cools down first.
    Release {
        /// A pod may have had the port's address.
        used: bool,
    },
    /// Delete the port's object. The finalizer holds it until the port is destroyed.
    Delete,
    /// Delete the port in Neutron, then take the finalizer off.
    Destroy,
}

impl PortFacts {
    /// The port's next step. A port is never destroyed, nor free, while its claimant may use it (promise P2).
    #[must_use]
    pub fn step(&self) -> Step {
        match (self.claimant, self.deleting) {
            (Some(Claimant::Gone), _) | (Some(Claimant::Yields), true) => Step::Release { used: true },
            (Some(Claimant::Superseded), _) => Step::Release { used: false },
            (Some(Claimant::Holds), true) => Step::AwaitClaimant,
            (Some(_), false) => Step::Keep,
            (None, true) => Step::Destroy,
            (None, false) if self.kept_when_free => Step::Keep,
            (None, false) => Step::Delete,
        }
    }
}

/// One port that is claimed for an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held<'a> {
    /// Its name.
    pub name: &'a str,
    /// It exists in Neutron, with the groups that the claim wants.
    pub usable: bool,
}

/// Which of the ports that are claimed for an interface the claim settles on. The one that it has settled on stays, because a
/// pod may use it; else one that can be used now, else any, of several the first by name: every controller that decides on the
/// same state comes to the same result.
#[must_use]
pub fn settled<'a>(recorded: Option<&str>, held: &[Held<'a>]) -> Option<&'a str> {
    let first = |usable| held.iter().filter(|port| port.usable == usable).map(|port| port.name).min();
    let known = held.iter().map(|port| port.name).find(|name| Some(*name) == recorded);
    known.or_else(|| first(true)).or_else(|| first(false))
}

/// Which of several Neutron ports that carry the same owner mark stays: what a lost answer and a repeated request may leave
/// behind. The recorded one stays, because a pod may use it; else the smallest id, so that every controller that decides
/// comes to the same result.
#[must_use]
pub fn survivor<'a>(recorded: Option<&str>, found: &[&'a str]) -> Option<&'a str> {
    found.iter().copied().find(|id| Some(*id) == recorded).or_else(|| found.iter().copied().min())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What happens around a port, in any order.
    #[derive(Debug, Clone, Copy)]
    enum Event {
        ClaimantGoes,
        DeletedByHand,
        Reconciled,
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![Just(Event::ClaimantGoes), Just(Event::DeletedByHand), Just(Event::Reconciled)]
    }

    /// The step's effect on the world. `true` when the port is destroyed.
    fn apply(facts: &mut PortFacts) -> bool {
        match facts.step() {
            Step::Keep | Step::AwaitClaimant => {}
            Step::Release { .. } => facts.claimant = None,
            Step::Delete => facts.deleting = true,
            Step::Destroy => return true,
        }
        false
    }

    proptest! {
        #[test]
        fn a_port_outlives_its_claimant_and_never_longer_than_needed(events in prop::collection::vec(event(), 0..20)) {
            let mut facts = PortFacts { claimant: Some(Claimant::Holds), deleting: false, kept_when_free: false };
            let mut claimant_lives = true;
            let mut destroyed = false;
            for event in events {
                match event {
                    Event::ClaimantGoes => {
                        claimant_lives = false;
                        facts.claimant = facts.claimant.map(|_| Claimant::Gone);
                    }
                    Event::DeletedByHand => facts.deleting = true,
                    Event::Reconciled => destroyed |= apply(&mut facts),
                }
                prop_assert!(!(destroyed && claimant_lives), "destroyed under its claimant");
                prop_assert!(!(facts.claimant.is_none() && claimant_lives), "free under its claimant");
            }
            // Whatever happened before: once the claimant is gone, three more steps end the port.
            facts.claimant = facts.claimant.map(|_| Claimant::Gone);
            for _ in 0..3 {
                destroyed |= apply(&mut facts);
            }
            prop_assert!(destroyed);
        }

        #[test]
        fn a_kept_port_is_converged(deleting in any::<bool>(), yields in any::<bool>()) {
            let claimant = if yields { Claimant::Yields } else { Claimant::Holds };
            let mut facts = PortFacts { claimant: Some(claimant), deleting, kept_when_free: false };
            if matches!(facts.step(), Step::Keep | Step::AwaitClaimant) {
                let before = facts;
                prop_assert!(!apply(&mut facts));
                prop_assert_eq!(before, facts);
            } else {
                prop_assert!(yields && deleting);
            }
        }

        #[test]
        fn exactly_one_of_the_found_ports_stays(found in prop::collection::btree_set("[a-f0-9]{4}", 0..6), pick in any::<prop::sample::Index>(), recorded in any::<bool>()) {
            let found: Vec<&str> = found.iter().map(String::as_str).collect();
            let known = (recorded && !found.is_empty()).then(|| found[pick.index(found.len())]);
            let kept = survivor(known, &found);
            prop_assert_eq!(kept, known.or(found.first().copied()), "sorted: the first is the smallest");
            let reversed: Vec<&str> = found.iter().rev().copied().collect();
            prop_assert_eq!(survivor(known, &reversed), kept, "whatever the order");
        }
    }

    #[test]
    fn a_claim_settles_on_one_port_and_never_leaves_it() {
        let held =
            [Held { name: "b", usable: false }, Held { name: "d", usable: true }, Held { name: "c", usable: true }];
        assert_eq!(settled(None, &held), Some("c"));
        assert_eq!(settled(Some("b"), &held), Some("b"));
        assert_eq!(settled(Some("gone"), &held), Some("c"));
        assert_eq!(settled(None, &held[..1]), Some("b"));
        assert_eq!(settled(None, &[]), None);
    }

    #[test]
    fn a_superseded_port_was_never_used() {
        for deleting in [false, true] {
            let facts = PortFacts { claimant: Some(Claimant::Superseded), deleting, kept_when_free: true };
            assert_eq!(facts.step(), Step::Release { used: false });
        }
    }

    #[test]
    fn a_free_port_stays_only_in_a_pool() {
        let free = PortFacts { claimant: None, deleting: false, kept_when_free: true };
        assert_eq!(free.step(), Step::Keep);
        assert_eq!(PortFacts { kept_when_free: false, ..free }.step(), Step::Delete);
        assert_eq!(PortFacts { deleting: true, ..free }.step(), Step::Destroy);
    }
}
