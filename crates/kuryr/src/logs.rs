//! The log: lines on standard error.

use crate::args::LogFormat;
use std::io::{IsTerminal, stderr};
use tracing_subscriber::EnvFilter;

/// What is logged unless `RUST_LOG` says otherwise. kube logs every failure that it also returns: we tell it ourselves, with
/// the object that it is about.
const DEFAULT: &str = "info,kube_client=off,kube_runtime=off";

/// Sets the log up. `RUST_LOG` chooses what is logged.
pub fn init(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr).with_ansi(stderr().is_terminal());
    match format {
        LogFormat::Text => lines.with_target(false).init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
}
