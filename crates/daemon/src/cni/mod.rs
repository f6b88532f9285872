//! The CNI commands.

mod add;
mod answer;
mod check;
mod del;
mod gc;
mod status;

use crate::node::Node;
use kuryr_cni::{Call, CniError, Code, Command, NetworkConfig, SpecVersion, wire::Reply};
use serde_json::Value;
use std::{future::Future, sync::Arc, time::Duration};
use tokio::time::Instant;

/// Serves one call. When the returned future is dropped, because the caller is gone, an ADD is cancelled; everything else
/// is done to its end.
pub async fn serve(node: Arc<Node>, call: Call) -> Reply {
    let (command, started) = (call.command, Instant::now());
    let what = format!("{} {} {}", command.as_str(), call.container_id, call.args);
    let answer = dispatch(&node, call).await;
    let took = started.elapsed();
    node.metrics.call(command, answer.as_ref().err().map_or(0, |error| error.code), took);
    match answer {
        Ok(result) => {
            tracing::info!(call = what, milliseconds = took.as_millis(), "done");
            Reply::Result(result)
        }
        Err(error) => {
            tracing::warn!(call = what, milliseconds = took.as_millis(), %error, "failed");
            Reply::Error(error)
        }
    }
}

async fn dispatch(node: &Arc<Node>, call: Call) -> Result<Value, CniError> {
    call.validate()?;
    let config = NetworkConfig::read(&call.config)?;
    let version = config.version();
    if call.command == Command::Version {
        return Ok(SpecVersion::answer(config.cni_version.as_deref()));
    }
    let version = version?;
    supports(version, call.command)?;
    let nothing = |()| Value::Null;
    match call.command {
        Command::Add => add::add(node, call, version).await,
        Command::Del => to_the_end(node, "DEL", del::del(Arc::clone(node), call)).await.map(nothing),
        Command::Check => limited(node, "CHECK", check::check(node, &call, &config)).await.map(nothing),
        Command::Gc => {
            let valid = config.valid_attachments()?.to_vec();
            to_the_end(node, "GC", gc::gc(Arc::clone(node), valid)).await.map(nothing)
        }
        Command::Status => status::status(node).map(nothing),
        Command::Version => Ok(Value::Null),
    }
}

/// CHECK came with 0.4.0, GC and STATUS with 1.1.0.
fn supports(version: SpecVersion, command: Command) -> Result<(), CniError> {
    let since = match command {
        Command::Check => SpecVersion::V0_4_0,
        Command::Gc | Command::Status => SpecVersion::V1_1_0,
        Command::Add | Command::Del | Command::Version => return Ok(()),
    };
    if version >= since {
        return Ok(());
    }
    let command = command.as_str();
    Err(CniError::new(Code::IncompatibleVersion, format!("CNI version {version} has no {command}"))
        .details(format!("set `cniVersion` of the network configuration to {since} or newer")))
}

/// Runs `work` on a task of its own, so that it is done even when the caller goes away, and answers within the limit.
async fn to_the_end<T: Send + 'static>(
    node: &Arc<Node>,
    what: &str,
    work: impl Future<Output = Result<T, CniError>> + Send + 'static,
) -> Result<T, CniError> {
    let task = node.tasks.spawn(work);
    limited(node, what, async {
        task.await.unwrap_or_else(|error| Err(CniError::new(Code::Internal, format!("{what} was aborted: {error}"))))
    })
    .await
}

/// Waits for `work` within the limit for calls other than ADD.
async fn limited<T>(node: &Node, what: &str, work: impl Future<Output = Result<T, CniError>>) -> Result<T, CniError> {
    let limit = node.settings.timeouts.call();
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(too_slow(what, limit)))
}

fn too_slow(what: &str, limit: Duration) -> CniError {
    CniError::new(Code::TryAgainLater, format!("{what} took longer than {} s", limit.as_secs()))
        .details("the node's switch answers slowly or not at all: see /ready of the Kuryr daemon")
}

/// What a failure of the datapath is for the runtime: nearly everything passes by itself, or needs an operator, and is to
/// be tried again.
fn datapath_error(what: String, error: &kuryr_datapath::Error) -> CniError {
    CniError::new(Code::TryAgainLater, what).details(crate::caches::chain(error))
}
