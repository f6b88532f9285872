//! Load balancers that Octavia is at work on: one list asks for all of them, and whoever is done has its turn.

use super::convert;
use crate::services::Services;
use kuryr_core::service::observed::Provisioning;
use kuryr_openstack::octavia::Query;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

/// Between two lists at least.
const SHORTEST: Duration = Duration::from_millis(100);

/// And at most: an amphora takes minutes.
const LONGEST: Duration = Duration::from_secs(2);

/// Of the time that the youngest change has taken so far, this part passes until the next look.
const SHARE: u32 = 10;

/// One that is `ACTIVE` for longer after its deletion was asked for isn't being deleted.
const GOES: Duration = Duration::from_secs(30);

/// The load balancers that are waited for, by their ids.
#[derive(Debug, Default)]
pub struct Pending {
    waiting: Mutex<HashMap<String, Waiter>>,
    more: Notify,
}

/// Who waits, and since when.
#[derive(Debug, Clone)]
struct Waiter {
    namespace: Option<String>,
    name: String,
    uid: String,
    since: Instant,
    /// It is to go. OVN's provider calls it `ACTIVE` once more before it is gone, and a second deletion then leaves it in `ERROR`.
    goes: bool,
}

impl Pending {
    /// The object waits for the load balancer to be done, or to be gone.
    pub fn add(&self, id: &str, goes: bool, namespace: Option<&str>, name: &str, uid: &str) {
        let waiter = Waiter {
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
            uid: uid.to_owned(),
            since: Instant::now(),
            goes,
        };
        self.waiting().entry(id.to_owned()).or_insert(waiter).goes |= goes;
        self.more.notify_one();
    }

    fn pause(&self) -> Option<Duration> {
        let youngest = self.waiting().values().map(|waiter| waiter.since.elapsed()).min()?;
        Some((youngest / SHARE).clamp(SHORTEST, LONGEST))
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<String, Waiter>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks for all that are waited for, until the end.
pub async fn run(services: Arc<Services>, stop: CancellationToken) {
    loop {
        let Some(pause) = services.pending.pause() else {
            if stop.run_until_cancelled(services.pending.more.notified()).await.is_none() {
                return;
            }
            continue;
        };
        let turn = async {
            tokio::time::sleep(pause).await;
            look(&services).await;
        };
        if stop.run_until_cancelled(turn).await.is_none() {
            return;
        }
    }
}

async fn look(services: &Services) {
    // Who came after the list had been begun isn't in it.
    let waiting = services.pending.waiting().clone();
    let query = Query { fields: vec!["id", "provisioning_status"], ..Query::default() };
    let listed = match services.octavia.list_load_balancers(&query).await {
        Ok(listed) => listed,
        Err(error) => {
            tracing::debug!(%error, "can't ask for the load balancers that change, trying again");
            return;
        }
    };
    let states: HashMap<&str, Provisioning> =
        listed.iter().map(|one| (one.id.as_str(), convert::provisioning(&one.provisioning_status))).collect();
    for (id, waiter) in waiting {
        match states.get(id.as_str()) {
            Some(state) if state.is_pending() => continue,
            Some(Provisioning::Active) if waiter.goes && waiter.since.elapsed() < GOES => continue,
            Some(state) => services.memory.settled(&waiter.uid, &id, *state),
            None => services.memory.gone(&waiter.uid, &id),
        }
        services.pending.waiting().remove(&id);
        services.queues.load_balancers.add(waiter.namespace.as_deref(), &waiter.name);
    }
}
