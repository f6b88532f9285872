//! The handle on a cloud.

use crate::{
    CloudConfig, Endpoint, Error, Metrics, Neutron, Octavia, Settings,
    auth::Auth,
    endpoint::Service,
    error::{Details, Kind},
    limit::Limiter,
    neutron::ProjectId,
    octavia::Fault,
    page,
};
use futures::{Stream, TryStreamExt, stream};
use reqwest::Method;
use serde::de::DeserializeOwned;
use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

/// A cloud that we are logged in to. Cheap to clone; all clones share the token, the connections, the limit of requests
/// in flight and the metrics.
#[derive(Clone)]
pub struct Cloud(pub(crate) Arc<Shared>);

/// What all clones share.
pub(crate) struct Shared {
    pub config: CloudConfig,
    pub settings: Settings,
    pub metrics: Metrics,
    pub http: reqwest::Client,
    pub auth: Auth,
    /// The limit of requests in flight to each service that was used.
    limits: Mutex<HashMap<Service, Arc<Limiter>>>,
}

impl fmt::Debug for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cloud").field(&self.0.config.name).finish()
    }
}

impl Cloud {
    /// Logs in, so that wrong credentials or a wrong URL are known at once.
    ///
    /// # Errors
    /// `Setup` when the process has no rustls crypto provider or a certificate can't be read, `Unauthorized` when
    /// Keystone refuses the credentials, and whatever else can go wrong with the login.
    pub async fn connect(config: CloudConfig, settings: Settings, metrics: Metrics) -> Result<Self, Error> {
        let cloud = Self::new(config, settings, metrics)?;
        cloud.session(None).await?;
        Ok(cloud)
    }

    /// The handle before the first login: the first request logs in, and fails with the login as long as that does.
    ///
    /// # Errors
    /// `Setup` when the process has no rustls crypto provider or a certificate can't be read.
    pub fn new(config: CloudConfig, settings: Settings, metrics: Metrics) -> Result<Self, Error> {
        let http = http_client(&config, &settings)?;
        let (auth, limits) = (Auth::default(), Mutex::default());
        Ok(Self(Arc::new(Shared { config, settings, metrics, http, auth, limits })))
    }

    /// The calls of Neutron.
    #[must_use]
    pub fn neutron(&self) -> Neutron {
        Neutron::new(self.clone())
    }

    /// The calls of Octavia.
    #[must_use]
    pub fn octavia(&self) -> Octavia {
        Octavia::new(self.clone())
    }

    /// The project that the credentials are for.
    ///
    /// # Errors
    /// When the token had to be renewed and Keystone refuses, or gives a token without a project.
    pub async fn project_id(&self) -> Result<ProjectId, Error> {
        let session = self.session(None).await?;
        session.project_id.clone().ok_or_else(|| {
            let message = "the token isn't for a project: name one in clouds.yaml (`project_name` or `project_id`)";
            Details::new(Kind::Unauthorized, Method::POST, "/v3/auth/tokens", message).into()
        })
    }

    /// Executes one request.
    ///
    /// # Errors
    /// [`Error`] says what was asked, why it failed, and whether it may have been carried out all the same.
    pub async fn run<A: DeserializeOwned>(&self, endpoint: &Endpoint<A>) -> Result<A, Error> {
        let answer = self.execute(&endpoint.call).await?;
        Ok(answer.read(&endpoint.call)?.value)
    }

    /// Executes a list request, following all pages.
    pub(crate) async fn run_list<A>(&self, endpoint: &Endpoint<Vec<A>>) -> Result<Vec<A>, Error>
    where
        A: DeserializeOwned + Send + 'static,
    {
        self.pages(endpoint.clone()).try_concat().await
    }

    /// The objects of a list request, one after the other, a page at a time.
    pub(crate) fn run_stream<A>(
        &self,
        endpoint: Endpoint<Vec<A>>,
    ) -> impl Stream<Item = Result<A, Error>> + Send + use<A>
    where
        A: DeserializeOwned + Send + 'static,
    {
        self.pages(endpoint).map_ok(|page| stream::iter(page.into_iter().map(Ok))).try_flatten()
    }

    /// The pages of a list request.
    fn pages<A>(&self, endpoint: Endpoint<Vec<A>>) -> impl Stream<Item = Result<Vec<A>, Error>> + Send + use<A>
    where
        A: DeserializeOwned + Send + 'static,
    {
        let cloud = self.clone();
        let queries = page::Queries::new(endpoint.call.query.clone());
        stream::try_unfold((cloud, endpoint.call, queries), |(cloud, mut call, mut queries)| async move {
            let answer = loop {
                let Some(query) = queries.next() else { return Ok(None) };
                call.query = query;
                match cloud.execute(&call).await {
                    Err(error) if may_lack_its_marker(&error) && queries.step_back(&call) => {}
                    answer => break answer?,
                }
            };
            let mut envelope = answer.read::<Vec<A>>(&call)?;
            let several = envelope.next.is_some() || queries.repeats();
            let ids = if several { answer.ids(&call)? } else { Vec::new() };
            if queries.repeats() {
                let mut ids = ids.iter();
                envelope.value.retain(|_| ids.next().is_some_and(|id| !queries.had(id)));
            }
            queries.follow(&call, envelope.next.as_deref(), ids)?;
            Ok(Some((envelope.value, (cloud, call, queries))))
        })
    }

    /// The limit of requests in flight to a service.
    pub(crate) fn limiter(&self, service: Service) -> Arc<Limiter> {
        let mut limits = self.0.limits.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Limiter::new(service.catalogue_type, self.0.settings.max_in_flight, self.0.metrics.clone());
        Arc::clone(limits.entry(service).or_insert_with(new))
    }
}

/// Whether the object that marks a page may be gone: Neutron answers that it isn't found, Octavia that the marker isn't valid.
fn may_lack_its_marker(error: &Error) -> bool {
    error.is_not_found() || error.octavia_fault() == Some(Fault::MarkerGone)
}

/// Redirects are not followed: they would turn a POST into a GET and could carry the token elsewhere.
fn http_client(config: &CloudConfig, settings: &Settings) -> Result<reqwest::Client, Error> {
    let setup = |message: String| Details::new(Kind::Setup, Method::GET, config.auth_url.as_str(), message);
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        let message = "the process has no TLS crypto provider: install one (rustls::crypto::ring) when it starts";
        return Err(setup(message.to_owned()).into());
    }
    let builder = reqwest::Client::builder()
        .user_agent(concat!("kuryr/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .connect_timeout(settings.connect_timeout)
        .tls_danger_accept_invalid_certs(!config.verify);
    let builder = match &config.ca_bundle {
        None => builder,
        Some(pem) => {
            let certificates = reqwest::Certificate::from_pem_bundle(pem)
                .map_err(|error| setup(format!("the `cacert` file can't be read: {error}")).caused_by(error))?;
            builder.tls_certs_merge(certificates)
        }
    };
    builder.build().map_err(|error| setup(format!("the HTTP client can't be set up: {error}")).caused_by(error).into())
}
