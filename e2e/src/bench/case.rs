//! The cases of `bench pods`.

use clap::ValueEnum;
use kuryr_lab::original::Pool;
use std::fmt;

/// How pods get their network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Case {
    /// No Kuryr and no pods: POST a port, plug it, wait for OVN, by plain calls
    Floor,
    /// The reference plugin `bridge`: what a pod takes without Neutron
    Bridge,
    /// Kuryr without free ports: each pod waits for Neutron
    KuryrCold,
    /// Kuryr with enough free ports, kept plugged
    KuryrWarm,
    /// The original Kuryr in Python, without a pool
    OriginalNoop,
    /// The original Kuryr with its `neutron` pool, filled before
    OriginalPool,
}

/// Whose processes run while a case is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Party {
    /// Nobody's.
    Nobody,
    /// Kuryr's.
    Kuryr,
    /// The original's, with this pool.
    Original(Pool),
}

impl Case {
    /// Its name in tables, records and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Bridge => "bridge",
            Self::KuryrCold => "kuryr-cold",
            Self::KuryrWarm => "kuryr-warm",
            Self::OriginalNoop => "original-noop",
            Self::OriginalPool => "original-pool",
        }
    }

    /// Who has to run, when each node is to have `ports` free ports where there are pools.
    #[must_use]
    pub const fn party(self, ports: u32) -> Party {
        match self {
            Self::Floor | Self::Bridge => Party::Nobody,
            Self::KuryrCold | Self::KuryrWarm => Party::Kuryr,
            Self::OriginalNoop => Party::Original(Pool::Noop),
            // It is refilled only below its minimum, 5 by default: with these it never is while it is measured.
            Self::OriginalPool => Party::Original(Pool::Neutron { batch: ports + 10 }),
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_and_the_records_have_the_same_names() {
        for case in Case::value_variants() {
            assert_eq!(case.to_possible_value().unwrap().get_name(), case.name());
        }
    }
}
