//! The cloud under test: a fake one of the test's own, or the real one that the environment names.

use kuryr_openstack::{
    Cloud, CloudConfig, Error, Metrics, Settings,
    config::{Credential, Files},
};
use kuryr_openstack_fake::{Config, FakeCloud};
use prometheus_client::registry::Registry;

/// Names a cloud of `clouds.yaml`.
const CLOUD: &str = "KURYR_CONTRACT_CLOUD";

/// The host that ports can be bound to in the fake cloud.
const FAKE_HOST: &str = "node1";

/// A cloud that can be logged in to.
pub struct Backend {
    /// How to log in.
    pub config: CloudConfig,
    /// It ends with the test.
    _fake: Option<FakeCloud>,
}

impl Backend {
    /// The cloud, with an administrator's password unless the environment chooses other credentials.
    pub async fn start() -> Self {
        Self::start_as("admin").await
    }

    /// The cloud with the credentials that the fake one has under this name. Those of the real one are always those of
    /// `KURYR_CONTRACT_CLOUD`.
    pub async fn start_as(name: &str) -> Self {
        match real() {
            Some(cloud) => Self { config: CloudConfig::load(Some(&cloud)).unwrap(), _fake: None },
            None => Self::fake(name).await,
        }
    }

    async fn fake(name: &str) -> Self {
        let config = Config { hosts: Some([FAKE_HOST.to_owned()].into()), ..Config::lab() };
        let fake = FakeCloud::start(config).await.unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), fake.clouds_yaml()).unwrap();
        let files = Files { clouds: file.path().to_owned(), secure: None };
        Self { config: CloudConfig::read(&files, Some(name)).unwrap(), _fake: Some(fake) }
    }

    /// Logs in as configured.
    pub async fn connect(&self) -> Cloud {
        connect(self.config.clone()).await.unwrap()
    }

    /// Whether the credentials are an administrator's: the fake cloud's `admin`, or any that log in with a password.
    pub fn is_admin(&self) -> bool {
        matches!(self.config.credential, Credential::Password { .. })
    }
}

/// The name of the real cloud, if one is tested.
fn real() -> Option<String> {
    std::env::var(CLOUD).ok()
}

/// A host that ports can be bound to.
pub fn host() -> String {
    if real().is_none() {
        return FAKE_HOST.to_owned();
    }
    std::env::var("KURYR_CONTRACT_HOST").unwrap_or_else(|_| "node1".to_owned())
}

/// Accounts that the tests run with, one after the other: the real cloud's are chosen from outside.
pub fn accounts() -> &'static [&'static str] {
    if real().is_some() { &["as configured"] } else { &["admin", "kuryr-appcred"] }
}

/// Logs in with `config`.
pub async fn connect(config: CloudConfig) -> Result<Cloud, Error> {
    // The first test to get here installs it; for the others it is there.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Cloud::connect(config, Settings::default(), Metrics::register(&mut Registry::default())).await
}
