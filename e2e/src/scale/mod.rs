//! Kuryr with thousands of pods: a real API server and etcd, a cloud in memory, the real controller, and on hundreds of nodes the
//! real daemon, which hollow kubelets call. Of the nodes only the switches are in memory. All share the machine: that is part of every
//! figure.

pub mod controller;
pub mod daemons;
pub mod kubelets;
pub mod load;
pub mod policies;
pub mod site;

use anyhow::Result;
use kuryr_lab::bare::BareApiServer;
use tokio::runtime::{Builder, Runtime};

/// Starts an API server that lives as long as this process, and a runtime whose threads can reach it. This thread can, too.
///
/// # Errors
/// When it doesn't start, or without the rights of root.
pub fn beside_an_api_server() -> Result<Runtime> {
    // The first one installs it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let server = BareApiServer::start()?;
    server.enter()?;
    let server: &'static BareApiServer = Box::leak(Box::new(server));
    let entered = move || server.enter().unwrap_or_else(|error| eprintln!("{error:#}"));
    Ok(Builder::new_multi_thread().enable_all().on_thread_start(entered).build()?)
}
