//! Which protocols go together.

use super::Failure;

/// Whether a pool can serve a listener.
pub(super) fn check_pair(listener: &str, pool: &str) -> Result<(), Failure> {
    let fitting: &[&str] = match listener {
        "TCP" => &["HTTP", "HTTPS", "PROXY", "PROXYV2", "TCP"],
        "HTTP" | "TERMINATED_HTTPS" => &["HTTP", "PROXY", "PROXYV2"],
        "HTTPS" => &["HTTPS", "PROXY", "PROXYV2", "TCP"],
        "UDP" => &["UDP"],
        "SCTP" => &["SCTP"],
        _ => &[],
    };
    if fitting.contains(&pool) {
        return Ok(());
    }
    let message = format!("The pool protocol '{pool}' is invalid while the listener protocol is '{listener}'.");
    Err(Failure::validation(&message))
}

/// What a protocol is made of: two listeners of the same can't share a port.
pub(super) fn transport(protocol: &str) -> &str {
    match protocol {
        "UDP" | "SCTP" => protocol,
        _ => "TCP",
    }
}

/// Protocols whose pools and monitors differ from the others'.
pub(super) fn is_datagram(protocol: &str) -> bool {
    matches!(protocol, "UDP" | "SCTP")
}
