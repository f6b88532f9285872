//! How a failure is to be treated, whatever failed.

/// The class of a failure. It alone decides when the work is tried again (docs/design, "Controller pattern").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// The input is wrong. Tried again when it changes, else rarely: what it refers to may have been put right.
    Rejected,
    /// A quota or an address range is used up. Tried again rarely, or when room appears.
    Quota,
    /// Somebody else changed the object at the same time. Read again, then try again soon.
    Conflict,
    /// A server or the network failed for now. Tried again with backoff.
    Transient,
}

impl Class {
    /// The class as it appears in metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Quota => "quota",
            Self::Conflict => "conflict",
            Self::Transient => "transient",
        }
    }
}
