//! One lock per interface: calls about the same interface wait for each other, also for the undo of a cancelled one.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

/// The locks that somebody holds or waits for.
#[derive(Debug, Default)]
pub(super) struct Locks(Mutex<HashMap<String, Weak<AsyncMutex<()>>>>);

impl Locks {
    /// Waits for the lock of `name`.
    pub async fn lock(&self, name: &str) -> OwnedMutexGuard<()> {
        self.of(name).lock_owned().await
    }

    /// Whether somebody works on `name` right now.
    pub fn busy(&self, name: &str) -> bool {
        self.of(name).try_lock().is_err()
    }

    fn of(&self, name: &str) -> Arc<AsyncMutex<()>> {
        // The map is whole at every moment, so a panic elsewhere while it was locked changes nothing.
        let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lock) = locks.get(name).and_then(Weak::upgrade) {
            return lock;
        }
        locks.retain(|_, lock| lock.strong_count() > 0);
        let lock = Arc::new(AsyncMutex::new(()));
        locks.insert(name.to_owned(), Arc::downgrade(&lock));
        lock
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[tokio::test]
    async fn one_holder_per_name_and_no_memory_of_old_names() {
        let locks = Locks::default();
        let first = locks.lock("a").await;
        assert!(locks.busy("a"));
        assert!(!locks.busy("b"));
        assert!(locks.lock("a").now_or_never().is_none());
        drop(first);
        assert!(locks.lock("a").now_or_never().is_some());
        for number in 0..100 {
            drop(locks.lock(&number.to_string()).await);
        }
        assert_eq!(locks.0.lock().unwrap().len(), 1);
    }
}
