//! The sweep: which Neutron ports nobody needs any more.
//!
//! It is a safety net, so it errs on the side of keeping: a port is removed only when it carries this cluster's exact mark, has
//! had no object for a while in every look ([`Ledger`]), nobody uses its address, and so few are to go that the objects
//! themselves can't be what is missing ([`Limit`]).

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

/// What is known of the object whose uid is in a port's mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Object<'a> {
    /// There is none: the API server itself has said so.
    None,
    /// There is one, and which port is its own isn't known: it has none yet, or it can't be read.
    Unrecorded,
    /// There is one, and this is the id of its port.
    Recorded(&'a str),
}

/// Why a port that carries our mark isn't as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Finding {
    /// No object stands for it.
    Orphan,
    /// Its object has another port.
    Surplus,
    /// As the others, but a living pod has its address: it stays as long as that is so.
    InUse,
}

impl Finding {
    /// Whether the port goes once it has been found so for the grace time.
    #[must_use]
    pub fn removable(self) -> bool {
        matches!(self, Self::Orphan | Self::Surplus)
    }

    /// The finding as a word for metrics and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Orphan => "orphan",
            Self::Surplus => "surplus",
            Self::InUse => "in_use",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Orphan => "no object stands for it",
            Self::Surplus => "its object has another port",
            Self::InUse => "no object has it as its port, but a pod has its address",
        })
    }
}

/// What is wrong with the port `id`, which carries our mark. `in_use`: a living pod has one of its addresses.
#[must_use]
pub fn judge(id: &str, object: Object<'_>, in_use: bool) -> Option<Finding> {
    let finding = match object {
        Object::Unrecorded => return None,
        Object::Recorded(recorded) if recorded == id => return None,
        Object::Recorded(_) => Finding::Surplus,
        Object::None => Finding::Orphan,
    };
    Some(if in_use { Finding::InUse } else { finding })
}

/// Since when each port has been found without a break. Times are those of any clock that never goes back.
#[derive(Debug, Clone, Default)]
pub struct Ledger(BTreeMap<String, (Finding, Duration)>);

impl Ledger {
    /// Notes what one look at all ports has found, and answers the ports that have been found for the same reason at every look
    /// since at least `grace` ago. With a grace of zero the first look is enough.
    pub fn look(
        &mut self,
        now: Duration,
        grace: Duration,
        found: impl IntoIterator<Item = (String, Finding)>,
    ) -> BTreeSet<String> {
        let before = std::mem::take(&mut self.0);
        for (id, finding) in found {
            let since = before.get(&id).filter(|(earlier, _)| *earlier == finding).map_or(now, |(_, since)| *since);
            self.0.insert(id, (finding, since));
        }
        let due =
            self.0.iter().filter(|(_, (finding, since))| finding.removable() && now.saturating_sub(*since) >= grace);
        due.map(|(id, _)| id.clone()).collect()
    }

    /// For how long the port has been found so. `None`: it isn't found.
    #[must_use]
    pub fn found_for(&self, id: &str, now: Duration) -> Option<Duration> {
        self.0.get(id).map(|(_, since)| now.saturating_sub(*since))
    }
}

/// So few ports may go at once whatever their share is.
pub const FEW: usize = 5;

/// How large a share of the ports may be without an object before it is the objects that must be missing, as after somebody
/// deleted the custom resource definitions or restored an old backup: then the pods still run on those ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// In percent of all ports with our mark. 100: no limit.
    pub percent: u8,
}

/// Why nothing is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Implausible {
    /// There is no object at all.
    NoObjects {
        /// Ports without an object.
        orphans: usize,
    },
    /// Too many ports have no object.
    TooMany {
        /// Ports without an object.
        orphans: usize,
        /// All ports with our mark.
        marked: usize,
        /// The limit in percent.
        percent: u8,
    },
}

impl fmt::Display for Implausible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoObjects { orphans } => {
                write!(f, "{orphans} Neutron ports carry this cluster's mark and there is no KuryrPoolPort at all")
            }
            Self::TooMany { orphans, marked, percent } => {
                write!(
                    f,
                    "{orphans} of {marked} Neutron ports of this cluster have no KuryrPoolPort, more than {percent} %"
                )
            }
        }
    }
}

impl Limit {
    /// Whether ports without an object may be removed: `orphans` of all `marked` ports are, and the API server has `objects`.
    ///
    /// # Errors
    /// When it is more likely that the objects are missing.
    pub fn check(self, orphans: usize, marked: usize, objects: usize) -> Result<(), Implausible> {
        if orphans == 0 || self.percent >= 100 {
            Ok(())
        } else if objects == 0 {
            Err(Implausible::NoObjects { orphans })
        } else if orphans > FEW && orphans.saturating_mul(100) > marked.saturating_mul(self.percent.into()) {
            Err(Implausible::TooMany { orphans, marked, percent: self.percent })
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GRACE: Duration = Duration::from_secs(10);

    /// One look: the seconds since the last one, and what it finds of a port.
    fn look() -> impl Strategy<Value = (u64, Option<Finding>)> {
        let found =
            prop::sample::select(vec![None, Some(Finding::Orphan), Some(Finding::Surplus), Some(Finding::InUse)]);
        (0u64..8, found)
    }

    proptest! {
        #[test]
        fn a_port_is_due_only_after_it_was_found_so_at_every_look_of_the_grace_time(looks in prop::collection::vec(look(), 1..30)) {
            let (mut ledger, mut now) = (Ledger::default(), Duration::ZERO);
            let mut history: Vec<(Duration, Option<Finding>)> = Vec::new();
            for (seconds, found) in looks {
                now += Duration::from_secs(seconds);
                history.push((now, found));
                let due = ledger.look(now, GRACE, found.map(|finding| ("p".to_owned(), finding)));
                // By the definition: the latest unbroken run of the same finding.
                let run = history.iter().rev().take_while(|(_, earlier)| *earlier == found);
                let since = run.last().map_or(now, |(at, _)| *at);
                let expected = found.is_some_and(Finding::removable) && now - since >= GRACE;
                prop_assert_eq!(due.contains("p"), expected, "{:?}", history);
            }
        }

        #[test]
        fn only_what_has_no_use_is_found(id in "[ab]", recorded in "[ab]", kind in 0usize..3, in_use: bool) {
            let object = [Object::None, Object::Unrecorded, Object::Recorded(&recorded)][kind];
            let found = judge(&id, object, in_use);
            let may_be_needed = matches!(object, Object::Unrecorded) || (kind == 2 && id == recorded);
            prop_assert_eq!(found.is_none(), may_be_needed);
            prop_assert!(!(in_use && found.is_some_and(Finding::removable)), "a pod's address is never taken away");
        }

        #[test]
        fn the_limit_holds_back_what_can_only_be_a_loss_of_objects(orphans in 0usize..200, kept in 0usize..200, objects in 0usize..200, percent in 0u8..=100) {
            let allowed = Limit { percent }.check(orphans, orphans + kept, objects).is_ok();
            if percent == 100 || orphans == 0 {
                prop_assert!(allowed, "nothing to hold back, or told not to");
            } else {
                prop_assert!(objects > 0 || !allowed, "without objects nothing goes");
                prop_assert!(!allowed || orphans <= FEW || orphans * 100 <= (orphans + kept) * usize::from(percent));
                prop_assert!(allowed || objects == 0 || orphans > FEW, "a few always may");
            }
        }
    }
}
