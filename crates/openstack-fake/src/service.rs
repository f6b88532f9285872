//! The services of the cloud. Another one would be a variant here, a module beside [`crate::neutron`], and an arm in
//! [`crate::pipeline`].

/// A service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    /// Keystone.
    Identity,
    /// Neutron.
    Network,
    /// Octavia.
    LoadBalancer,
}

impl Service {
    /// All services, in the order of their ports.
    pub const ALL: [Self; 3] = [Self::Identity, Self::Network, Self::LoadBalancer];

    /// Name in the catalogue.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Identity => "keystone",
            Self::Network => "neutron",
            Self::LoadBalancer => "octavia",
        }
    }

    /// Type in the catalogue.
    pub(crate) const fn catalogue_type(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Network => "network",
            Self::LoadBalancer => "load-balancer",
        }
    }

    /// First part of every path: the version of the API. Octavia has two names for it.
    const fn versions(self) -> &'static [&'static str] {
        match self {
            Self::Identity => &["v3"],
            Self::Network => &["v2.0"],
            Self::LoadBalancer => &["v2.0", "v2"],
        }
    }

    /// The version of the API that the catalogue doesn't leave out.
    pub(crate) const fn version(self) -> &'static str {
        self.versions()[0]
    }

    /// The URL in the catalogue of a service that listens at `root`. As at most clouds, Octavia's has no version.
    pub(crate) fn url(self, root: &str) -> String {
        match self {
            Self::Identity | Self::Network => format!("{root}/{}", self.version()),
            Self::LoadBalancer => root.to_owned(),
        }
    }

    /// What follows the version in a path; nothing, if it doesn't begin with one.
    pub(crate) fn below_version(self, path: &str) -> Option<&str> {
        let (first, rest) = path.split_once('/').unwrap_or((path, ""));
        self.versions().contains(&first).then_some(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_begin_with_a_version() {
        for (service, path, rest) in [
            (Service::Network, "v2.0/ports/p", Some("ports/p")),
            (Service::Network, "v2.0", Some("")),
            (Service::Network, "v2.00/ports", None),
            (Service::LoadBalancer, "v2/lbaas/pools", Some("lbaas/pools")),
            (Service::LoadBalancer, "v2.0/lbaas/pools", Some("lbaas/pools")),
            (Service::LoadBalancer, "", None),
            (Service::Identity, "v3/auth/tokens", Some("auth/tokens")),
        ] {
            assert_eq!(service.below_version(path), rest, "{path}");
        }
    }
}
