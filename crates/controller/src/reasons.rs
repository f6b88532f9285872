//! Reasons of conditions and Events: stable words for machines.

use kuryr_openstack::{Error, Kind};

/// Condition `Allocated`: every interface has a port.
pub const ALLOCATED: &str = "Allocated";
/// Condition `Created`: the Neutron port exists.
pub const CREATED: &str = "Created";
/// The Neutron port is being made.
pub const PENDING: &str = "Pending";
/// The project's quota of ports is used up.
pub const QUOTA_EXCEEDED: &str = "QuotaExceeded";
/// The subnets have no free address.
pub const ADDRESSES_EXHAUSTED: &str = "AddressesExhausted";
/// Neutron refuses the request.
pub const REFUSED: &str = "NeutronRefused";
/// Neutron or Keystone doesn't answer as it should.
pub const UNAVAILABLE: &str = "OpenStackUnavailable";
/// Neutron went away while it made the port: another one is made.
pub const HALF_MADE: &str = "NeutronPortHalfMade";
/// NetworkPolicies' security groups aren't there yet.
pub const AWAITING_POLICIES: &str = "AwaitingNetworkPolicies";
/// The Neutron port is gone although its pod still uses it.
pub const PORT_MISSING: &str = "NeutronPortMissing";
/// The Neutron port lacks something that a pod needs.
pub const UNUSABLE: &str = "NeutronPortUnusable";
/// Condition `InSync`: the Neutron port is as Kuryr made it.
pub const IN_SYNC: &str = "InSync";
/// Condition `InSync`: Neutron couldn't bind the port to its node.
pub const BINDING_FAILED: &str = "BindingFailed";
/// Condition `InSync`: somebody changed the port in Neutron.
pub const CHANGED: &str = "ChangedInNeutron";

/// Condition `Filled`: a pool has its free ports.
pub const FILLED: &str = "Filled";
/// Condition `Filled`: free ports are being made.
pub const FILLING: &str = "Filling";
/// Condition `Filled`: the pool keeps nothing.
pub const DRAINING: &str = "Draining";
/// Condition `Filled`: free ports make room for pods that wait.
pub const NO_ROOM: &str = "NoRoom";
/// Condition `Active`: Neutron calls every port of the pod `ACTIVE`.
pub const ACTIVE: &str = "Active";
/// Condition `Active`: Neutron has called a port `ERROR` and doesn't any more.
pub const NOT_ACTIVE: &str = "NotActiveYet";
/// Condition `Active`: Neutron calls a port `ERROR`.
pub const PORT_ERROR: &str = "NeutronPortError";

/// Event only, on a Node: addresses were released without its word.
pub const RELEASED: &str = "ReleasedWithoutNode";

/// Event only: the API server refuses the pod's KuryrPort (a quota of objects, a webhook, a missing right).
pub const REFUSED_BY_KUBERNETES: &str = "KuryrPortRefused";

/// All reasons of a failure. The flag: a user or an operator can act on it, so an Event tells it on the pod.
const FAILURES: [(&str, bool); 8] = [
    (QUOTA_EXCEEDED, true),
    (ADDRESSES_EXHAUSTED, true),
    (REFUSED, true),
    (UNAVAILABLE, false),
    (HALF_MADE, false),
    (AWAITING_POLICIES, true),
    (PORT_MISSING, true),
    (UNUSABLE, true),
];

/// The known reason of that name; `Pending` for what another version may have written.
#[must_use]
pub fn known(reason: &str) -> &'static str {
    FAILURES.iter().map(|(known, _)| *known).find(|known| *known == reason).unwrap_or(PENDING)
}

/// Whether an Event tells the reason on the pod.
#[must_use]
pub fn for_users(reason: &str) -> bool {
    FAILURES.contains(&(known(reason), true))
}

/// A conflict that comes so often in a row doesn't pass in a moment.
const LASTING_CONFLICTS: u32 = 5;

/// Reason and message of a failed request to OpenStack, after so many failures of its class. The message is the same at every
/// repetition, or every one of them would be a write: it holds no request id, which the log has. `None` for what passes in
/// a moment.
#[must_use]
pub fn of(error: &Error, failures: u32) -> Option<(&'static str, String)> {
    let said = error.neutron_type().unwrap_or_else(|| error.kind().as_str());
    let detail = format!("{} {} answered {said}: {}", error.method(), error.path(), error.message());
    match error.kind() {
        Kind::OverQuota => Some((
            QUOTA_EXCEEDED,
            format!(
                "the project's Neutron quota is used up: delete unused ports or have the quota raised ({})",
                error.message()
            ),
        )),
        Kind::AddressesExhausted => Some((
            ADDRESSES_EXHAUSTED,
            format!(
                "the pod subnets have no free address: delete pods or configure larger subnets ({})",
                error.message()
            ),
        )),
        Kind::BadRequest | Kind::NotFound => Some((
            REFUSED,
            format!("Neutron refuses the port: check that the configured subnets and security groups exist ({detail})"),
        )),
        Kind::Conflict if failures < LASTING_CONFLICTS => None,
        // Without its words, in which the addresses may be others each time.
        Kind::Conflict => Some((
            REFUSED,
            format!(
                "Neutron keeps refusing the port, trying again: check the configured subnets and security groups; the \
                 controller's log has Neutron's words ({} {} answered {said})",
                error.method(),
                error.path()
            ),
        )),
        kind => Some((
            UNAVAILABLE,
            format!("OpenStack doesn't do what the port needs for now, trying again ({})", kind.as_str()),
        )),
    }
}
