//! `kuryr-cni`: the CNI plugin that the container runtime executes. It relays the call to the node's daemon.
//!
//! It holds no state and decides nothing, so that the daemon can be replaced while pods start. It is executed for every
//! call of every pod: no async runtime, no threads beyond the one that keeps the time, no TLS.

use kuryr_cni::{
    Call, CniError, Code, Command, NetworkConfig, SpecVersion,
    client::{self, ClientError},
    wire::Reply,
};
use serde_json::Value;
use std::{
    io::{Read, Write},
    process::ExitCode,
    sync::mpsc,
    thread,
    time::Duration,
};

/// The longest network configuration that is read, in bytes: GC lists every attachment of the node.
const MAX_INPUT: u64 = 16 << 20;

/// How long standard input may take: the runtime writes it at once.
const INPUT_TIMEOUT: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let command = std::env::var("CNI_COMMAND").unwrap_or_default();
    let input = within(INPUT_TIMEOUT, read_input).unwrap_or_else(|| {
        Err(CniError::new(Code::Io, "the network configuration on standard input doesn't end")
            .details(format!("waited {} s for it", INPUT_TIMEOUT.as_secs())))
    });
    let asked = input.as_ref().ok().and_then(|config| config.get("cniVersion")?.as_str().map(str::to_owned));
    if command == Command::Version.as_str() {
        return print(&SpecVersion::answer(asked.as_deref()), ExitCode::SUCCESS);
    }
    match input.and_then(relay) {
        Ok(Value::Null) => ExitCode::SUCCESS,
        Ok(result) => print(&result, ExitCode::SUCCESS),
        Err(error) => print(&error.render(asked.as_deref()), ExitCode::FAILURE),
    }
}

/// The network configuration. Nothing at all counts as an empty one: STATUS and VERSION may come without.
fn read_input() -> Result<Value, CniError> {
    let mut input = Vec::new();
    std::io::stdin().take(MAX_INPUT).read_to_end(&mut input).map_err(|error| {
        CniError::new(Code::Io, "can't read the network configuration from standard input").details(error.to_string())
    })?;
    if input.trim_ascii().is_empty() {
        return Ok(Value::Object(serde_json::Map::new()));
    }
    serde_json::from_slice(&input).map_err(|error| {
        CniError::new(Code::Decode, "the network configuration on standard input isn't JSON").details(error.to_string())
    })
}

/// Hands the call to the daemon. Gives what goes to standard output.
fn relay(config: Value) -> Result<Value, CniError> {
    let settings = NetworkConfig::read(&config)?;
    let call = Call::from_environment(|name| std::env::var(name).ok(), config)?;
    settings.version()?;
    let (command, socket, limit) = (call.command, settings.socket().to_owned(), settings.timeout());
    let path = socket.clone();
    let answer = within(limit, move || client::send(&path, &call));
    match answer {
        Some(Ok(Reply::Result(result))) => Ok(result),
        Some(Ok(Reply::Error(error))) => Err(error),
        Some(Err(error)) => Err(no_answer(command, &socket, &error)),
        None => Err(unavailable(command, format!("the Kuryr daemon hasn't answered within {} s", limit.as_secs()))
            .details(format!("it listens on {socket}, but is stuck or overloaded: see its logs and /live"))),
    }
}

/// What the runtime is told when the daemon doesn't answer.
fn no_answer(command: Command, socket: &str, error: &ClientError) -> CniError {
    match error {
        ClientError::Unreachable(_) => unavailable(command, "the Kuryr daemon of this node isn't running")
            .details(format!("{socket}: {error}; see the pod kuryr-daemon of this node and its logs")),
        ClientError::Broken(_) => unavailable(command, "the Kuryr daemon of this node went away during the call")
            .details(format!("{socket}: {error}; it was restarted, or see its logs")),
        ClientError::Garbled(_) => CniError::new(Code::Decode, "what listens on Kuryr's socket isn't the Kuryr daemon")
            .details(format!("{socket}: {error}; kuryr-cni and the daemon have to be of the same release")),
    }
}

/// Every command may be tried again, and STATUS has a code of its own for a plugin that can't serve.
fn unavailable(command: Command, msg: impl Into<String>) -> CniError {
    let code = if command == Command::Status { Code::NotAvailable } else { Code::TryAgainLater };
    CniError::new(code, msg)
}

/// Runs `work` on another thread. `None` when it hasn't ended in time: then it is left behind, and ends with the process.
/// A limit per read wouldn't do, because connecting to a full backlog blocks as well.
fn within<T: Send + 'static>(limit: Duration, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (done, result) = mpsc::channel();
    thread::spawn(move || done.send(work()));
    result.recv_timeout(limit).ok()
}

/// Writes `answer` to standard output. The exit code tells of a failure even when nobody reads.
fn print(answer: &Value, code: ExitCode) -> ExitCode {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{answer}").and_then(|()| out.flush()) {
        Ok(()) => code,
        Err(_) => ExitCode::FAILURE,
    }
}
