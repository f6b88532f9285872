//! Condition types of the custom resources, and how a condition is set.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// KuryrPort: every interface has a Neutron port and its addresses. Written by the controller.
pub const ALLOCATED: &str = "Allocated";
/// KuryrPort and KuryrPoolPort: the interface is connected on its node. Written by the daemon.
pub const PLUGGED: &str = "Plugged";
/// KuryrPort: Neutron says that every port is `ACTIVE`. Written by the controller, where the binding asks for it.
pub const ACTIVE: &str = "Active";
/// KuryrPool: it has as many free ports as it is filled up to. Written by the controller.
pub const FILLED: &str = "Filled";
/// KuryrLoadBalancer: everything that the Service asks for can be had. `False` names what can't, and what is done instead.
/// KuryrNetworkPolicy: everything that the policy says can be meant, and is followed exactly. Written by the controller.
pub const ACCEPTED: &str = "Accepted";
/// KuryrLoadBalancer: Octavia has a load balancer for it, which serves its address. Written by the controller.
pub const PROVISIONED: &str = "Provisioned";
/// KuryrLoadBalancer: Octavia has all that is desired, and is done with it. KuryrNetworkPolicy: Neutron has all that the policy of
/// `observedGeneration` asks for, and all pods that it selects have it. Written by the controller.
pub const PROGRAMMED: &str = "Programmed";
/// KuryrPort: packets can flow. Written by the daemon. KuryrLoadBalancer: it serves the Service as far as that can be had, from outside
/// too. Written by the controller.
pub const READY: &str = "Ready";
/// KuryrPoolPort: the Neutron port exists as the spec says. Written by the controller.
pub const CREATED: &str = "Created";
/// KuryrPoolPort: the Neutron port has the security groups that the spec says. Written by the controller, and only where they
/// can't be set.
pub const GROUPS_SET: &str = "SecurityGroupsSet";
/// KuryrPoolPort: the Neutron port is still as Kuryr made it. Written by the controller's sweep, and only where it is not so
/// or was not so.
pub const IN_SYNC: &str = "InSync";

/// Reasons of a KuryrLoadBalancer's conditions.
pub mod load_balancer {
    use kuryr_core::service::{
        graph::Effect,
        step::{Blocked, Reason, Step},
    };

    /// All is as asked for.
    pub const AS_DESIRED: &str = "AsDesired";
    /// Something that the Service says can't be meant so.
    pub const INVALID: &str = "Invalid";
    /// Something that the Service asks for can't be had, but it works without it.
    pub const OPTION_IGNORED: &str = "OptionIgnored";
    /// A port can't be served.
    pub const PORT_NOT_SERVED: &str = "PortNotServed";
    /// The addresses of one family can't be served.
    pub const FAMILY_NOT_SERVED: &str = "FamilyNotServed";
    /// The Service isn't reached from outside, because it would be open to more than it may.
    pub const NOT_EXPOSED: &str = "NotExposed";
    /// Octavia is at work.
    pub const PENDING: &str = "Pending";
    /// Octavia is at work for longer than it may, and can't be told anything meanwhile.
    pub const OCTAVIA_STUCK: &str = "OctaviaStuck";
    /// Octavia couldn't do it (`ERROR`); it is repaired.
    pub const OCTAVIA_ERROR: &str = "OctaviaError";
    /// Octavia or Neutron refuses it.
    pub const REFUSED: &str = "Refused";
    /// A quota is used up.
    pub const QUOTA_EXCEEDED: &str = "QuotaExceeded";
    /// Octavia or Neutron can't be reached.
    pub const CLOUD_UNREACHABLE: &str = "CloudUnreachable";
    /// The load balancer no longer carries Kuryr's mark.
    pub const NOT_OURS: &str = "NotOurs";
    /// The address is in use by another load balancer or port, as by the Service of the same name that goes.
    pub const ADDRESS_IN_USE: &str = "AddressInUse";
    /// It is about to be made.
    pub const CREATING: &str = "Creating";
    /// It is about to be changed.
    pub const UPDATING: &str = "Updating";
    /// It is made anew, because what changed can't be changed, or because it failed.
    pub const REBUILDING: &str = "Rebuilding";
    /// It is deleted.
    pub const DELETING: &str = "Deleting";
    /// The floating IP isn't there yet.
    pub const NO_FLOATING_IP: &str = "NoFloatingIp";

    /// The reason of `Accepted` for something that can't be had.
    #[must_use]
    pub const fn of_effect(effect: Effect) -> &'static str {
        match effect {
            Effect::Ignored => OPTION_IGNORED,
            Effect::PortNotServed => PORT_NOT_SERVED,
            Effect::FamilyNotServed => FAMILY_NOT_SERVED,
            Effect::NotExposed => NOT_EXPOSED,
        }
    }

    /// The reason of `Programmed` while a step is the next one.
    #[must_use]
    pub const fn of_step(step: &Step) -> &'static str {
        match step {
            Step::Converged => AS_DESIRED,
            Step::Wait { .. } => PENDING,
            Step::Blocked(Blocked::NotOurs { .. }) => NOT_OURS,
            Step::Create { .. } => CREATING,
            Step::Failover { .. } => OCTAVIA_ERROR,
            Step::Delete { why: Reason::Immutable(_) | Reason::Failed, .. } => REBUILDING,
            Step::Delete { why: Reason::Unwanted, .. } => DELETING,
            Step::Delete { .. }
            | Step::UpdateLoadBalancer { .. }
            | Step::CreatePool { .. }
            | Step::UpdatePool { .. }
            | Step::DeletePool { .. }
            | Step::SetMembers { .. }
            | Step::CreateMonitor { .. }
            | Step::UpdateMonitor { .. }
            | Step::DeleteMonitor { .. }
            | Step::CreateListener { .. }
            | Step::UpdateListener { .. }
            | Step::DeleteListener { .. } => UPDATING,
        }
    }
}

/// Reasons of a KuryrNetworkPolicy's conditions.
pub mod network_policy {
    /// All is as asked for.
    pub const AS_DESIRED: &str = "AsDesired";
    /// Something that the policy says can't be meant: it isolates, and allows nothing.
    pub const INVALID: &str = "Invalid";
    /// Something that a ClusterNetworkPolicy says can't be had with security groups: an `Accept` rule with it allows nothing, another
    /// denies all.
    pub const UNSUPPORTED: &str = "Unsupported";
    /// A Service is closed because only some of its backends are allowed.
    pub const SERVICE_CLOSED: &str = "ServiceClosed";
    /// Security groups, rules, address groups or ports are being changed.
    pub const UPDATING: &str = "Updating";
    /// A quota is used up. What isn't there yet is closed.
    pub const QUOTA_EXCEEDED: &str = "QuotaExceeded";
    /// Neutron refuses it. What isn't there yet is closed.
    pub const REFUSED: &str = "Refused";
    /// Neutron can't be reached.
    pub const CLOUD_UNREACHABLE: &str = "CloudUnreachable";
}

/// What a condition is to say. Compare with [`Condition`]: without times, which [`Wanted::onto`] works out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// One of this module's condition types.
    pub type_: &'static str,
    /// Whether it holds. `None` is `Unknown`.
    pub status: Option<bool>,
    /// A stable CamelCase word for machines.
    pub reason: &'static str,
    /// A sentence for people: what is the case, and what to do where something is to be done.
    pub message: String,
}

impl Wanted {
    /// The condition to write, given the present ones and the object's generation. `lastTransitionTime` moves only when
    /// the status flips (API conventions, "Typical status properties").
    #[must_use]
    pub fn onto(&self, present: &[Condition], generation: Option<i64>, now: Timestamp) -> Condition {
        let status = match self.status {
            Some(true) => "True",
            Some(false) => "False",
            None => "Unknown",
        };
        let since = present.iter().find(|c| c.type_ == self.type_ && c.status == status);
        Condition {
            type_: self.type_.to_owned(),
            status: status.to_owned(),
            reason: self.reason.to_owned(),
            message: self.message.clone(),
            observed_generation: generation,
            last_transition_time: since.map_or(Time(now), |c| c.last_transition_time.clone()),
        }
    }

    /// Whether the present conditions say this already, whatever their times: then there is nothing to write.
    #[must_use]
    pub fn is_in(&self, present: &[Condition]) -> bool {
        let same = self.onto(present, None, Timestamp::UNIX_EPOCH);
        present.iter().any(|c| {
            c.type_ == same.type_ && c.status == same.status && c.reason == same.reason && c.message == same.message
        })
    }
}

/// Whether the condition `type_` is `True`.
#[must_use]
pub fn is_true(present: &[Condition], type_: &str) -> bool {
    present.iter().any(|c| c.type_ == type_ && c.status == "True")
}
