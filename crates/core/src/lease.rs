//! Which of several controllers works: decisions about their Lease (API group `coordination.k8s.io/v1`).
//!
//! The protocol is client-go's (package `leaderelection`). The holder writes the Lease again and again; whoever sees no new
//! write for the Lease's whole duration may take it. Every write is conditional on the version that was read, so of two that
//! take it at once one succeeds. Times in the Lease are never read: each candidate measures with its own clock how long ago
//! *it* saw the Lease change, so clocks that differ do no harm.
//!
//! What client-go leaves to chance is written down here: until when the holder may act ([`Candidate::may_act`]). That is
//! counted from before the request that renewed the Lease was *sent*, and it is shorter than the Lease's duration, which
//! every other candidate counts from when it *saw* the result. The difference is the room for requests in flight and for
//! clocks that run at different speeds. One thing is beyond it: who deletes the Lease lets another take it at once.

use std::time::Duration;

/// How long a Lease lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// Without a write for this long, others take the Lease.
    pub duration: Duration,
    /// The holder stops acting when it could not renew the Lease for this long.
    pub renew_deadline: Duration,
    /// Time between two attempts to renew or to take the Lease.
    pub retry_period: Duration,
}

/// Terms that can't keep two holders apart, or that no holder can keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TermsError {
    /// A holder would act while another one does.
    #[error(
        "the duration must be longer than the renew deadline, else a holder that lost the Lease acts beside the next one"
    )]
    NoMargin,
    /// One slow request would end the leadership.
    #[error("the renew deadline must be at least twice the retry period, else one failed renewal ends the leadership")]
    NoSecondTry,
    /// The API server would be asked without a pause.
    #[error("the retry period must not be zero")]
    NoPause,
}

impl Terms {
    /// # Errors
    /// Why the terms can't be used.
    pub fn validate(&self) -> Result<(), TermsError> {
        if self.retry_period.is_zero() {
            Err(TermsError::NoPause)
        } else if self.renew_deadline < self.retry_period * 2 {
            Err(TermsError::NoSecondTry)
        } else if self.duration <= self.renew_deadline {
            Err(TermsError::NoMargin)
        } else {
            Ok(())
        }
    }
}

/// What the Lease object says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record {
    /// `spec.holderIdentity`. Empty: given back.
    pub holder: String,
    /// `spec.leaseDurationSeconds`. Zero: the Lease doesn't say.
    pub duration: Duration,
    /// `metadata.resourceVersion`: another one means that the Lease was written.
    pub version: String,
}

/// What a candidate does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// There is no Lease: create it.
    Create,
    /// Write the Lease in our name, on condition that it still has the version that was seen.
    Write {
        /// The holder changes by it.
        transition: bool,
    },
    /// It is another's: look again after this time.
    Wait(Duration),
}

/// One candidate's knowledge. All times are readings of one clock of this machine that never goes back and that goes on while
/// the machine sleeps.
#[derive(Debug, Clone)]
pub struct Candidate {
    identity: String,
    terms: Terms,
    /// The Lease (`None`: there is none) and when it was first seen so.
    seen: Option<(Option<Record>, Duration)>,
    /// Until when we may act.
    until: Option<Duration>,
}

impl Candidate {
    /// A candidate of this name. No two candidates that live at the same time may have the same one.
    #[must_use]
    pub fn new(identity: impl Into<String>, terms: Terms) -> Self {
        Self { identity: identity.into(), terms, seen: None, until: None }
    }

    /// The name.
    #[must_use]
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// The terms.
    #[must_use]
    pub fn terms(&self) -> Terms {
        self.terms
    }

    /// The Lease as it was last seen.
    #[must_use]
    pub fn seen(&self) -> Option<&Record> {
        self.seen.as_ref()?.0.as_ref()
    }

    /// An answer, which came at `now`, says that the Lease is so (`None`: there is none).
    pub fn observed(&mut self, record: Option<Record>, now: Duration) {
        if record.as_ref().is_none_or(|record| record.holder != self.identity) {
            self.until = None;
        }
        if self.seen.as_ref().is_none_or(|(known, _)| *known != record) {
            self.seen = Some((record, now));
        }
    }

    /// Our write, sent at `sent` and answered at `now`, made the Lease so.
    pub fn wrote(&mut self, record: Record, sent: Duration, now: Duration) {
        self.observed(Some(record), now);
        self.until = Some(sent + self.terms.renew_deadline);
    }

    /// We have given the Lease back, or will not act any more.
    pub fn stepped_down(&mut self) {
        self.until = None;
    }

    /// Whether we may change anything.
    #[must_use]
    pub fn may_act(&self, now: Duration) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// Until when we may change anything, if nothing else is learned.
    #[must_use]
    pub fn until(&self) -> Option<Duration> {
        self.until
    }

    /// What is to be done with the Lease as it was last seen. A Lease in our own name may be written whether we may still act
    /// or not: nobody took it in between, or the write would fail.
    #[must_use]
    pub fn next(&self, now: Duration) -> Step {
        let Some((Some(record), since)) = &self.seen else { return Step::Create };
        if record.holder == self.identity {
            return Step::Write { transition: false };
        }
        let duration = if record.duration.is_zero() { self.terms.duration } else { record.duration };
        let left = (*since + duration).saturating_sub(now);
        if record.holder.is_empty() || left.is_zero() {
            Step::Write { transition: true }
        } else {
            Step::Wait(left.min(self.terms.retry_period))
        }
    }
}

#[cfg(test)]
#[path = "lease_tests.rs"]
mod tests;
