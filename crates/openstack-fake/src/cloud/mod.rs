//! The handle on a fake cloud.

mod groups;
mod load_balancers;
mod ports;

use crate::{
    Config, Entry, Event, Fault, Latency, Next, Service,
    fault::Faults,
    hook::Hooks,
    journal::Journal,
    keystone::{Catalogue, Keystone},
    latency::Server,
    neutron::Neutron,
    octavia::Octavia,
    pipeline::{Cloud, lock},
    seed,
    server::{self, Place, Running},
};
use futures::future::BoxFuture;
use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use load_balancers::LoadBalancers;

/// A running fake cloud. It stops when this is dropped.
pub struct FakeCloud {
    cloud: Arc<Cloud>,
    region: String,
    places: Vec<Place>,
    /// Stops the service at the same place of `places`; `None` while it refuses connections.
    running: Mutex<Vec<Option<Running>>>,
}

/// Why a cloud can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port can't be listened on.
    #[error("can't listen on {address} for {service:?}: choose another port, or 0 for any that is free")]
    Listen {
        /// The service.
        service: Service,
        /// Its address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Something of the configuration can't be made.
    #[error("can't make the {what} of the configuration: {why}")]
    Seed {
        /// Which object.
        what: String,
        /// What Neutron says.
        why: String,
    },
}

/// There is no such port.
#[derive(Debug, thiserror::Error)]
#[error("the fake Neutron has no port {0}")]
pub struct NoSuchPort(String);

impl FakeCloud {
    /// Starts a cloud in the current runtime.
    ///
    /// # Errors
    /// When its ports can't be listened on, or the configured networks can't be made.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let places = Service::ALL
            .into_iter()
            .zip(0..)
            .map(|(service, offset)| {
                let port = if config.port == 0 { 0 } else { config.port + offset };
                let address = SocketAddr::new(config.listen, port);
                Place::reserve(service, address).map_err(|source| StartError::Listen { service, address, source })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let urls = Service::ALL.map(|service| {
            let address = places.iter().find(|place| place.service == service).map(|place| place.address);
            service.url(&format!("http://{}", address.unwrap_or(([0, 0, 0, 0], 0).into())))
        });
        let catalogue = Catalogue {
            regions: config.regions.clone(),
            urls: services(&config).map(|service| (service, urls[service as usize].clone())).collect(),
        };
        let keystone = Keystone::new(catalogue, config.token_life);
        let mut neutron = Neutron::new(&config);
        if let Some(project) = keystone.project_of("kuryr") {
            seed::seed(&mut neutron, &config, &project)?;
        }
        let cloud = Arc::new(Cloud {
            keystone: Mutex::new(keystone),
            neutron: Mutex::new(neutron),
            octavia: Mutex::new(Octavia::new(config.octavia.clone().unwrap_or_default())),
            journal: Journal::new(config.journal_bodies),
            faults: Faults::default(),
            hooks: Hooks::default(),
            servers: Service::ALL.map(|_| Server::new(config.latency)),
            urls,
        });
        let region = config.regions.first().cloned().unwrap_or_default();
        let running = Mutex::new(places.iter().map(|_| None).collect());
        let started = Self { cloud, region, places, running };
        for service in services(&config) {
            started.accept(service)?;
        }
        Ok(started)
    }

    /// Load balancers as a test sees and spoils them.
    #[must_use]
    pub fn octavia(&self) -> LoadBalancers<'_> {
        LoadBalancers::new(&self.cloud)
    }

    /// Keystone's URL.
    #[must_use]
    pub fn auth_url(&self) -> &str {
        self.url(Service::Identity)
    }

    /// A service's URL with its version, as in the catalogue.
    #[must_use]
    pub fn url(&self, service: Service) -> &str {
        &self.cloud.urls[service as usize]
    }

    /// A `clouds.yaml` with the clouds `kuryr` (password, role `service`), `kuryr-appcred` (the same by application
    /// credential), `admin` and `other` (a project without special rights).
    #[must_use]
    pub fn clouds_yaml(&self) -> String {
        let (url, region) = (self.auth_url(), &self.region);
        let password = Keystone::PASSWORD;
        let by_password = ["kuryr", "admin", "other"].map(|name| {
            format!(
                "  {name}:\n    auth:\n      auth_url: {url}\n      username: {name}\n      password: {password}\n      \
                 project_name: {name}\n      user_domain_id: default\n      project_domain_id: default\n    \
                 region_name: {region}\n"
            )
        });
        let (id, secret) = (Keystone::CREDENTIAL, Keystone::PASSWORD);
        format!(
            "clouds:\n{}  kuryr-appcred:\n    auth_type: v3applicationcredential\n    auth:\n      auth_url: {url}\n      \
             application_credential_id: {id}\n      application_credential_secret: {secret}\n    region_name: {region}\n",
            by_password.concat()
        )
    }

    /// Closes the service's port and all its connections. When this returns, connections are refused; requests that had
    /// arrived are carried out all the same. A client that still holds an open connection finds that one reset first.
    pub async fn refuse(&self, service: Service) {
        let running = lock(&self.running)[service as usize].take();
        if let Some(running) = running {
            running.stop.cancel();
            running.tasks.wait().await;
        }
    }

    /// Accepts connections (again).
    ///
    /// # Errors
    /// When the port can't be listened on.
    pub fn accept(&self, service: Service) -> Result<(), StartError> {
        let Some(place) = self.places.iter().find(|place| place.service == service) else { return Ok(()) };
        let mut running = lock(&self.running);
        let running = &mut running[service as usize];
        if running.is_none() {
            let address = place.address;
            let listener = place.listen().map_err(|source| StartError::Listen { service, address, source })?;
            let new = Running { stop: CancellationToken::new(), tasks: TaskTracker::new() };
            new.tasks.spawn(server::serve(Arc::clone(&self.cloud), service, listener, new.clone()));
            new.tasks.close();
            *running = Some(new);
        }
        Ok(())
    }

    /// Lets something go wrong from now on. The test keeps its own clone to ask for [`Fault::hits`].
    pub fn inject(&self, fault: &Fault) {
        self.cloud.faults.add(fault.clone());
    }

    /// Nothing goes wrong any more.
    pub fn clear_faults(&self) {
        self.cloud.faults.clear();
    }

    /// Changes how long requests take that arrive from now on.
    pub fn set_latency(&self, latency: Latency) {
        self.cloud.servers.iter().for_each(|server| server.set(latency));
    }

    /// Calls `hook` before and after the commit of every request from now on; the request waits for it. Replaces the hook
    /// that was there.
    pub fn on_request(&self, hook: impl Fn(Event) -> BoxFuture<'static, Next> + Send + Sync + 'static) {
        self.cloud.hooks.set(Some(Arc::new(hook)));
    }

    /// Takes the hook away.
    pub fn clear_hook(&self) {
        self.cloud.hooks.set(None);
    }

    /// Everything that was asked since the start or the last [`Self::clear_journal`].
    #[must_use]
    pub fn journal(&self) -> Vec<Entry> {
        self.cloud.journal.entries()
    }

    /// How many entries of the journal are such.
    #[must_use]
    pub fn count(&self, which: impl Fn(&Entry) -> bool) -> usize {
        self.cloud.journal.count(which)
    }

    /// How many requests would have changed something. Logins don't count.
    #[must_use]
    pub fn writes(&self) -> usize {
        self.count(Entry::is_write)
    }

    /// Most requests that were in flight at a time.
    #[must_use]
    pub fn peak_in_flight(&self) -> usize {
        self.cloud.journal.peak()
    }

    /// Forgets the journal; requests are numbered on.
    pub fn clear_journal(&self) {
        self.cloud.journal.clear();
    }

    /// Ends all tokens.
    pub fn expire_tokens(&self) {
        lock(&self.cloud.keystone).revoke_all();
    }

    /// How long tokens live that are issued from now on.
    pub fn set_token_life(&self, life: Duration) {
        lock(&self.cloud.keystone).set_token_life(life);
    }
}

#[cfg(test)]
impl FakeCloud {
    /// What is behind the handle, for tests that ask without HTTP.
    pub(crate) fn inner(&self) -> Arc<Cloud> {
        Arc::clone(&self.cloud)
    }
}

/// The services that a cloud has.
fn services(config: &Config) -> impl Iterator<Item = Service> {
    let has_octavia = config.octavia.is_some();
    Service::ALL.into_iter().filter(move |service| has_octavia || *service != Service::LoadBalancer)
}

impl Drop for FakeCloud {
    fn drop(&mut self) {
        lock(&self.running).iter().flatten().for_each(|running| running.stop.cancel());
    }
}
