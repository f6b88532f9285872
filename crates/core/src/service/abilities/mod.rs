//! What Octavia's providers can do: one table. Read in the drivers' code (octavia 19.0.0 `api/drivers/amphora_driver`, `api/v2`,
//! ovn-octavia-provider 11.0.0 `driver.py`, `helper.py`), for older ones in their release notes.

mod feature;

pub use feature::Feature;

use super::spec::Algorithm;
use std::fmt;

/// A version of Octavia's API, as `GET /` says: v2.MINOR.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiVersion {
    /// 2.
    pub major: u16,
    /// What counts.
    pub minor: u16,
}

impl ApiVersion {
    /// v2.`minor`.
    #[must_use]
    pub const fn v2(minor: u16) -> Self {
        Self { major: 2, minor }
    }

    /// Reads `v2.27`. None if it isn't a version.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
        Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()? })
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}.{}", self.major, self.minor)
    }
}

/// Who makes Octavia's load balancers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Provider {
    /// `ovn`: flows on every node.
    Ovn,
    /// `amphora`, which is also called `octavia`: a virtual machine with HAProxy and LVS.
    Amphora,
    /// Another one. Octavia refuses what it can't do.
    Other(String),
}

impl Provider {
    /// The provider that Octavia calls so.
    #[must_use]
    pub fn of(name: &str) -> Self {
        match name {
            "ovn" => Self::Ovn,
            "amphora" | "amphorav2" | "octavia" => Self::Amphora,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ovn => "ovn",
            Self::Amphora => "amphora",
            Self::Other(name) => name,
        })
    }
}

/// What a provider of an Octavia can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Abilities {
    /// The provider.
    pub provider: Provider,
    /// The newest version of Octavia's API.
    pub api: ApiVersion,
}

/// Longest `affinity_timeout` of OVN, in seconds (ovn-nb(5)).
const OVN_LONGEST_AFFINITY: u32 = 65_535;

impl Abilities {
    /// What `provider` can do with an Octavia of this version.
    #[must_use]
    pub const fn new(provider: Provider, api: ApiVersion) -> Self {
        Self { provider, api }
    }

    /// The version of Octavia's API since which the provider can do it. None: no version.
    #[must_use]
    pub const fn since(&self, feature: Feature) -> Option<ApiVersion> {
        match self.provider {
            Provider::Ovn => feature.ovn(),
            Provider::Amphora => feature.amphora(),
            Provider::Other(_) => feature.other(),
        }
    }

    /// Whether the provider can do it.
    #[must_use]
    pub fn has(&self, feature: Feature) -> bool {
        self.since(feature).is_some_and(|since| self.api >= since)
    }

    /// The algorithm of pools that ask for none.
    #[must_use]
    pub const fn default_algorithm(&self) -> Algorithm {
        match self.provider {
            Provider::Ovn => Algorithm::SourceIpPort,
            Provider::Amphora | Provider::Other(_) => Algorithm::RoundRobin,
        }
    }

    /// For how many seconds at most the provider remembers a client.
    #[must_use]
    pub const fn longest_affinity(&self) -> u32 {
        match self.provider {
            Provider::Ovn => OVN_LONGEST_AFFINITY,
            Provider::Amphora | Provider::Other(_) => u32::MAX,
        }
    }

    /// Why something can't be had: the half of a sentence that follows "which".
    #[must_use]
    pub fn why_not(&self, feature: Feature) -> String {
        self.since(feature).map_or_else(
            || format!("Octavia's provider {} can't do", self.provider),
            |since| {
                format!(
                    "Octavia's provider {} can do since API {since} only; this Octavia has {}",
                    self.provider, self.api
                )
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{super::spec::Protocol, *};
    use std::collections::BTreeSet;

    fn all() -> Vec<Abilities> {
        let providers = [Provider::Ovn, Provider::Amphora, Provider::Other("f5".into())];
        providers
            .into_iter()
            .flat_map(|provider| (0..32).map(move |minor| Abilities::new(provider.clone(), ApiVersion::v2(minor))))
            .collect()
    }

    #[test]
    fn versions_are_read_and_compared_as_numbers() {
        assert_eq!(ApiVersion::parse("v2.27"), Some(ApiVersion::v2(27)));
        assert_eq!(ApiVersion::parse("2"), Some(ApiVersion::v2(0)));
        assert_eq!(ApiVersion::parse("latest"), None);
        assert!(ApiVersion::v2(9) < ApiVersion::v2(10));
    }

    #[test]
    fn a_newer_octavia_loses_nothing() {
        for abilities in all() {
            let newer = Abilities::new(abilities.provider.clone(), ApiVersion::v2(abilities.api.minor + 1));
            for feature in Feature::ALL {
                assert!(!abilities.has(feature) || newer.has(feature), "{feature:?} of {}", abilities.provider);
            }
        }
    }

    #[test]
    fn every_provider_has_the_least_that_a_service_needs_and_its_default_algorithm() {
        for abilities in all() {
            assert!(abilities.has(Feature::Protocol(Protocol::Tcp)) && abilities.has(Feature::Protocol(Protocol::Udp)));
            if abilities.api >= ApiVersion::v2(13) {
                assert!(abilities.has(Feature::Algorithm(abilities.default_algorithm())), "{abilities:?}");
            }
            assert!(!abilities.has(Feature::PersistenceTimeout(Protocol::Tcp)), "Octavia's API refuses it");
        }
    }

    #[test]
    fn every_feature_is_listed_once() {
        assert_eq!(Feature::ALL.into_iter().collect::<BTreeSet<_>>().len(), Feature::ALL.len());
    }

    #[test]
    fn the_reason_names_provider_and_version() {
        let old = Abilities::new(Provider::Ovn, ApiVersion::v2(25));
        assert!(
            old.why_not(Feature::AdditionalVips).contains("since API v2.28"),
            "{}",
            old.why_not(Feature::AdditionalVips)
        );
        assert!(old.why_not(Feature::AllowedCidrs).contains("ovn can't do"));
    }

    #[test]
    fn providers_are_known_by_all_their_names() {
        assert_eq!([Provider::of("octavia"), Provider::of("amphorav2")], [Provider::Amphora, Provider::Amphora]);
        assert_eq!(Provider::of("f5").to_string(), "f5");
    }
}
