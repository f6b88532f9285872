//! The services of the cloud. Octavia will be the third: a variant here, a module beside [`crate::neutron`], and an arm
//! in [`crate::pipeline`].

/// A service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    /// Keystone.
    Identity,
    /// Neutron.
    Network,
}

impl Service {
    /// All services, in the order of their ports.
    pub const ALL: [Self; 2] = [Self::Identity, Self::Network];

    /// Name in the catalogue.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Identity => "keystone",
            Self::Network => "neutron",
        }
    }

    /// Type in the catalogue.
    pub(crate) const fn catalogue_type(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Network => "network",
        }
    }

    /// First part of every path: the version of the API.
    pub(crate) const fn version(self) -> &'static str {
        match self {
            Self::Identity => "v3",
            Self::Network => "v2.0",
        }
    }
}
