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
/// KuryrPort: packets can flow. Written by the daemon.
pub const READY: &str = "Ready";
/// KuryrPoolPort: the Neutron port exists as the spec says. Written by the controller.
pub const CREATED: &str = "Created";
/// KuryrPoolPort: the Neutron port has the security groups that the spec says. Written by the controller, and only where they
/// can't be set.
pub const GROUPS_SET: &str = "SecurityGroupsSet";
/// KuryrPoolPort: the Neutron port is still as Kuryr made it. Written by the controller's sweep, and only where it is not so
/// or was not so.
pub const IN_SYNC: &str = "InSync";

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
