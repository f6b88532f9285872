//! What Neutron couldn't or wouldn't do about groups, and when it is tried again.

use kuryr_api::conditions::network_policy::{CLOUD_UNREACHABLE, QUOTA_EXCEEDED, REFUSED};
use kuryr_core::{backoff::Backoff, error::Class, policy::Key};
use kuryr_openstack::Error;
use std::{collections::BTreeMap, time::Duration};
use tokio::time::Instant;

/// After so many failures in a row that may pass, it isn't waited for any longer: ports are closed for what the group would allow.
const PATIENCE: u32 = 4;

/// What failed last about a group.
#[derive(Debug, Clone)]
pub struct Failure {
    count: u32,
    class: Class,
    until: Instant,
    blocks: bool,
    /// What was said.
    pub message: String,
}

impl Failure {
    /// The reason for conditions.
    pub const fn reason(&self) -> &'static str {
        match self.class {
            Class::Quota => QUOTA_EXCEEDED,
            Class::Rejected => REFUSED,
            Class::Conflict | Class::Transient => CLOUD_UNREACHABLE,
        }
    }

    /// Whether it stands in the way of what is new. A conflict passes in a moment, and so may the rest at first.
    pub const fn lasts(&self) -> bool {
        matches!(self.class, Class::Quota | Class::Rejected) || self.count >= PATIENCE
    }
}

/// The failures of all groups.
#[derive(Debug, Default)]
pub struct Failures(BTreeMap<Key, Failure>);

impl Failures {
    /// Counts a failure. `blocks`: nothing about the group is tried before its time. Else only what would allow more isn't.
    pub fn failed(&mut self, key: Key, error: &Error, blocks: bool) {
        let class = error.class();
        let count = self.0.get(&key).filter(|before| before.class == class).map_or(0, |before| before.count) + 1;
        let wait = Backoff::of(class).delay(count, fastrand::f64()).max(error.retry_after().unwrap_or_default());
        let message = format!("{} {} answered: {}", error.method(), error.path(), error.message());
        self.0.insert(key, Failure { count, class, until: Instant::now() + wait, blocks, message });
    }

    /// It has gone well, or isn't wanted any more.
    pub fn forget(&mut self, key: &Key) {
        self.0.remove(key);
    }

    /// Something else is wanted of it: it needn't wait.
    pub fn renew(&mut self, key: &Key) {
        if let Some(failure) = self.0.get_mut(key) {
            failure.until = Instant::now();
        }
    }

    /// What failed last about a group.
    pub fn get(&self, key: &Key) -> Option<&Failure> {
        self.0.get(key)
    }

    /// Time until it may be tried again. `None`: now.
    pub fn remaining(&self, key: &Key) -> Option<Duration> {
        let left = self.0.get(key)?.until.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    /// Whether nothing may be tried before that.
    pub fn blocks(&self, key: &Key) -> bool {
        self.0.get(key).is_some_and(|failure| failure.blocks) && self.remaining(key).is_some()
    }

    /// Neutron has been asked what there is: a failure to ask is over.
    pub fn looked_up(&mut self, key: &Key) {
        if self.0.get(key).is_some_and(|failure| failure.blocks) {
            self.0.remove(key);
        }
    }

    /// Whether nobody waits for it any longer.
    pub fn is_hopeless(&self, key: &Key) -> bool {
        self.0.get(key).is_some_and(Failure::lasts)
    }

    /// How many groups have failed.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}
