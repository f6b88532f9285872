//! The log: lines on standard error.

use crate::args::LogFormat;
use tracing_subscriber::EnvFilter;

/// Sets the log up. `RUST_LOG` chooses what is logged; without it everything from `info` on.
pub fn init(format: LogFormat) {
    let filter = EnvFilter::builder().with_default_directive(tracing::Level::INFO.into()).from_env_lossy();
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => lines.with_target(false).init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
}
