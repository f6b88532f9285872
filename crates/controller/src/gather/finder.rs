//! Finds ports, many by one list request.

use super::Ports;
use kuryr_openstack::{
    Error, Kind, Method, Neutron,
    neutron::{Port, PortId, PortQuery},
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::oneshot, time::sleep};

/// Values in one request: with the token they fit the request head that uWSGI reads (4096 bytes).
const MOST: usize = 40;

/// Requests on their way at a time. What comes meanwhile goes into the next one.
const PARALLEL: usize = 2;

/// Where one caller waits.
type Reply = oneshot::Sender<Result<Vec<Port>, Error>>;

/// By what ports are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Device,
    Id,
}

/// Finds ports. Cheap to clone.
pub struct Finder<P = Neutron> {
    by_device: Arc<Lookups<P>>,
    by_id: Arc<Lookups<P>>,
}

impl<P> Clone for Finder<P> {
    fn clone(&self) -> Self {
        Self { by_device: self.by_device.clone(), by_id: self.by_id.clone() }
    }
}

impl<P: Ports> Finder<P> {
    /// Gathers for `window` at a time.
    pub fn new(ports: P, window: Duration) -> Self {
        let lookups = |ports, by| Arc::new(Lookups { ports, by, window, state: Mutex::default() });
        Self { by_device: lookups(ports.clone(), By::Device), by_id: lookups(ports, By::Id) }
    }

    /// The ports with this `device_id`, which Neutron's database has an index for, and the one with this id, if there is one:
    /// somebody may have changed its `device_id`. Whose they are is for the caller to see.
    ///
    /// # Errors
    /// As [`Neutron::list_ports`].
    pub async fn find(&self, device_id: &str, id: Option<&PortId>) -> Result<Vec<Port>, Error> {
        let mut ports = self.by_device.clone().look(device_id).await?;
        if let Some(id) = id.filter(|id| ports.iter().all(|port| port.id != **id)) {
            ports.extend(self.by_id.clone().look(id.as_str()).await?);
        }
        Ok(ports)
    }
}

/// Lookups by one field.
struct Lookups<P> {
    ports: P,
    by: By,
    window: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: Vec<(String, Reply)>,
    /// Requests that are on their way, or gather.
    running: usize,
}

impl<P: Ports> Lookups<P> {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn look(self: Arc<Self>, value: &str) -> Result<Vec<Port>, Error> {
        let (reply, answer) = oneshot::channel();
        let start = {
            let mut state = self.state();
            state.waiting.push((value.to_owned(), reply));
            let start = state.running < PARALLEL;
            state.running += usize::from(start);
            start
        };
        if start {
            // In a task of its own: no caller's end ends the request of the others.
            tokio::spawn(self.run());
        }
        answer.await.unwrap_or_else(|_| Err(ended()))
    }

    /// Makes requests until nobody waits.
    async fn run(self: Arc<Self>) {
        sleep(self.window).await;
        loop {
            let callers = {
                let mut state = self.state();
                state.waiting.retain(|(_, reply)| !reply.is_closed());
                if state.waiting.is_empty() {
                    state.running -= 1;
                    return;
                }
                let most = state.waiting.len().min(MOST);
                state.waiting.drain(..most).collect::<Vec<_>>()
            };
            let found = self.ports.list(self.query(&callers)).await;
            self.deliver(callers, found);
        }
    }

    fn query(&self, callers: &[(String, Reply)]) -> PortQuery {
        let values = callers.iter().map(|(value, _)| value.clone());
        match self.by {
            By::Device => PortQuery { device_ids: values.collect(), ..PortQuery::default() },
            By::Id => PortQuery { ids: values.map(PortId::from).collect(), ..PortQuery::default() },
        }
    }

    fn deliver(&self, callers: Vec<(String, Reply)>, found: Result<Vec<Port>, Error>) {
        let found = found.map(|ports| {
            let mut by_value: HashMap<String, Vec<Port>> = HashMap::new();
            for port in ports {
                let value = match self.by {
                    By::Device => port.device_id.clone(),
                    By::Id => port.id.to_string(),
                };
                by_value.entry(value).or_default().push(port);
            }
            by_value
        });
        for (value, reply) in callers {
            let own = match &found {
                Ok(ports) => Ok(ports.get(&value).cloned().unwrap_or_default()),
                Err(error) => Err(error.clone()),
            };
            // A caller that is gone needs no answer.
            let _ = reply.send(own);
        }
    }
}

/// The task that had the lookup has ended without an answer.
fn ended() -> Error {
    Error::new(Kind::Busy, Method::GET, "/v2.0/ports", "the controller is stopping")
}
