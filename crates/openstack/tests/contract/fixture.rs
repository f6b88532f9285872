//! What every contract test needs: the cloud, a name, a network, and that nothing stays behind.

use kuryr_openstack::{Cloud, CloudConfig, Metrics, Settings};
use prometheus_client::registry::Registry;

/// The cloud under test, as `clouds.yaml` has it.
pub fn config() -> CloudConfig {
    let Ok(name) = std::env::var("KURYR_CONTRACT_CLOUD") else {
        panic!(
            "KURYR_CONTRACT_CLOUD names no cloud: run `cargo xtask test`, or see the head of crates/openstack/tests/contract.rs"
        );
    };
    CloudConfig::load(Some(&name)).unwrap()
}

/// Logs in with `config`.
pub async fn connect(config: CloudConfig) -> Result<Cloud, kuryr_openstack::Error> {
    // The first test to get here installs it; for the others it is there.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Cloud::connect(config, Settings::default(), Metrics::register(&mut Registry::default())).await
}
