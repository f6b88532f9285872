//! A typed client for Keystone, Neutron and Octavia.
//!
//! * [`CloudConfig`] reads `clouds.yaml` as every OpenStack client does.
//! * [`Cloud`] logs in and holds the one token that all requests share. It is cheap to clone.
//! * [`Neutron`] and [`Octavia`] have one method per call; each builds an [`Endpoint`], a value that says everything about the request,
//!   and hands it to the one place that executes requests: token, adaptive limit of requests in flight, timeout, retry,
//!   metrics and a tracing span with the request id.
//! * [`Error`] says what kind of failure it is, whether the request [may have been carried
//!   out](Error::outcome_unknown), and its [class](Error::class) for the requeue.
//!
//! The process must have installed a rustls crypto provider before it calls [`Cloud::connect`].
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use kuryr_openstack::{Cloud, CloudConfig, Metrics, Settings, neutron::{NewPort, PortQuery}};
//!
//! let mut registry = prometheus_client::registry::Registry::default();
//! let cloud = Cloud::connect(CloudConfig::load(None)?, Settings::default(), Metrics::register(&mut registry)).await?;
//! let neutron = cloud.neutron();
//! let ours = neutron.list_ports(&PortQuery { descriptions: vec!["kuryr:demo:1".into()], ..PortQuery::default() }).await?;
//! if ours.is_empty() {
//!     let port = NewPort { description: Some("kuryr:demo:1".into()), ..NewPort::on("a-network-id".into()) };
//!     neutron.create_port(&port).await?;
//! }
//! # Ok(())
//! # }
//! ```

mod answer;
mod auth;
mod cloud;
pub mod config;
pub mod endpoint;
pub mod error;
mod execute;
mod limit;
mod metrics;
pub mod neutron;
pub mod octavia;
mod page;
mod resource;
mod retry;
mod settings;
mod value;

pub use cloud::Cloud;
pub use config::{CloudConfig, ConfigError};
pub use endpoint::Endpoint;
pub use error::{Error, Found, Kind};
pub use limit::Priority;
pub use metrics::Metrics;
pub use neutron::Neutron;
pub use octavia::Octavia;
pub use reqwest::Method;
pub use settings::{Fence, Settings};
