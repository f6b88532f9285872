//! Keystone, Neutron and Octavia in memory over HTTP, for tests that need thousands of ports, or a cloud that fails on
//! command.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use kuryr_openstack_fake::{Config, Effect, FakeCloud, Fault, Method};
//!
//! let cloud = FakeCloud::start(Config::default()).await?;
//! std::fs::write("/tmp/clouds.yaml", cloud.clouds_yaml())?; // clouds `kuryr`, `kuryr-appcred`, `admin`, `other`
//! // The answer to the next creation of ports gets lost; those after it come through.
//! let lost = Fault::new(Effect::LostAfterCommit).on(Method::POST, "ports").once();
//! cloud.inject(&lost);
//! // ... let the controller work ...
//! assert_eq!(lost.hits(), 1);
//! assert_eq!(cloud.count(|entry| entry.is_write() && entry.resource == "ports"), 2);
//! for port in cloud.ports() {
//!     cloud.plugged(&port.id)?; // as OVN does when a node has plugged it: ACTIVE
//! }
//! # Ok(())
//! # }
//! ```
//!
//! * **What is there.** [`Config::default`] has what the lab has: the project `kuryr` with the network `pods`, the subnets
//!   `pods-v4` and `pods-v6`, the groups `kuryr-pods` (open) and `kuryr-closed` (no rule). Ports can be bound to any host;
//!   [`Config::hosts`] and [`FakeCloud::add_host`] make others fail (`binding_failed`).
//!   [`Config::lab`] has the lab's networks for Services and floating IPs besides, and the router between all of them.
//! * **Load balancers** of the providers `ovn` and `amphora` ([`Config::octavia`], [`OctaviaConfig`]): pending until their
//!   steps are done ([`Settle`]), compared with [`FakeCloud::octavia`]`().all()`, and spoilt by the same handle: in ERROR, stuck,
//!   changed by hand, failing at the next change ([`LoadBalancers`]).
//! * **Faults**, [`FakeCloud::inject`]: per method, collection or any predicate; from the n-th request, so many times.
//!   [`FakeCloud::refuse`] closes a service's port, so that connections are refused.
//! * **Journal**, [`FakeCloud::journal`], [`FakeCloud::count`], [`FakeCloud::peak_in_flight`]: what was asked, when, and
//!   whether it was carried out.
//! * **Hook**, [`FakeCloud::on_request`]: a test's own code before and after the commit of every request, as to stop a
//!   controller at the k-th event. A request goes on when its client is gone, as at a real service.
//! * **Latency**: none, or that of the lab's services under load ([`Latency::Lab`]), or a multiple.
//!
//! The contract tests of `crates/openstack` run against this cloud and the lab's real one: where they differ, this one is
//! wrong. What it has is what `crates/openstack` has calls for. It never checks that an answer is right for a *real* cloud's
//! policies beyond the three kinds of accounts: an administrator (`admin`), Kuryr (`kuryr`, with the role `service`), and a
//! project without special rights (`other`).

mod call;
mod cloud;
mod config;
mod fault;
mod hook;
mod journal;
mod keystone;
mod latency;
mod neutron;
mod octavia;
mod pipeline;
mod seed;
mod server;
mod service;
#[cfg(test)]
mod testing;
mod uuid;

pub use call::Call;
pub use cloud::{FakeCloud, LoadBalancers, NoSuchPort, StartError};
pub use config::{Config, OctaviaConfig, SeedNetwork, SeedRouter, SeedSubnet};
pub use fault::{Effect, Fault};
pub use hook::{Event, Hook, Moment, Next};
pub use hyper::Method;
pub use journal::Entry;
pub use latency::Latency;
pub use neutron::{AddressGroupView, PortView, RuleView, SecurityGroupView};
pub use octavia::{
    HealthMonitorView, ListenerView, LoadBalancerView, MemberView, Operating, PoolView, Provider, ProvisioningStatus,
    Settle, VipView,
};
pub use service::Service;
