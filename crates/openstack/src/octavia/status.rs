//! The two states of every object of Octavia's: what is being done to it, and whether it serves.

use crate::value::open_enum;

open_enum! {
    /// What is being done to an object. While one of a load balancer's objects is pending the load balancer is too, and each
    /// change of any of them is refused ([`Kind::Immutable`](crate::Kind::Immutable)).
    ProvisioningStatus {
        /// What was asked for is what there is. The only state in which anything may be changed. A load balancer of the OVN provider is so
        /// between the steps of a change as well: look at its pools and members too.
        Active = "ACTIVE",
        /// Being created.
        PendingCreate = "PENDING_CREATE",
        /// Being changed, itself or something below it.
        PendingUpdate = "PENDING_UPDATE",
        /// Being deleted; then it isn't found any more.
        PendingDelete = "PENDING_DELETE",
        /// The provider has failed. It may only be deleted (or, with amphorae, failed over).
        Error = "ERROR",
        /// Gone. Only shown by the status tree, for a moment.
        Deleted = "DELETED",
    }
}

impl ProvisioningStatus {
    /// Whether the provider is still at work.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        matches!(self, Self::PendingCreate | Self::PendingUpdate | Self::PendingDelete)
    }

    /// Whether the object, or one below it, may be changed.
    #[must_use]
    pub fn is_mutable(&self) -> bool {
        *self == Self::Active
    }

    /// Whether the object may be deleted.
    #[must_use]
    pub fn is_deletable(&self) -> bool {
        matches!(self, Self::Active | Self::Error)
    }
}

open_enum! {
    /// Whether an object serves, as the provider sees it.
    OperatingStatus {
        /// It does.
        Online = "ONLINE",
        /// It is disabled, or all members are.
        Offline = "OFFLINE",
        /// Some members are down.
        Degraded = "DEGRADED",
        /// All members are down.
        Error = "ERROR",
        /// A member that takes no new connections.
        Draining = "DRAINING",
        /// A member that nobody checks.
        NoMonitor = "NO_MONITOR",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_done_in_which_state() {
        for (text, pending, mutable, deletable) in [
            ("ACTIVE", false, true, true),
            ("PENDING_CREATE", true, false, false),
            ("PENDING_UPDATE", true, false, false),
            ("PENDING_DELETE", true, false, false),
            ("ERROR", false, false, true),
            ("DELETED", false, false, false),
            ("ALLOCATED", false, false, false),
        ] {
            let status = ProvisioningStatus::from(text.to_owned());
            let may = (status.is_pending(), status.is_mutable(), status.is_deletable());
            assert_eq!(may, (pending, mutable, deletable), "{text}");
        }
    }
}
