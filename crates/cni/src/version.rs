//! Versions of the CNI specification.

use crate::error::{CniError, Code};
use std::fmt;

/// A version of the specification that Kuryr speaks, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SpecVersion {
    /// 0.3.0: a list of interfaces and addresses.
    V0_3_0,
    /// 0.3.1: as 0.3.0, with a corrected example.
    V0_3_1,
    /// 0.4.0: adds CHECK.
    V0_4_0,
    /// 1.0.0: addresses lose their `version`.
    V1_0_0,
    /// 1.1.0: adds GC, STATUS, and `mtu` of an interface.
    V1_1_0,
}

impl SpecVersion {
    /// The newest version.
    pub const LATEST: Self = Self::V1_1_0;

    /// Every version, oldest first.
    pub const ALL: [Self; 5] = [Self::V0_3_0, Self::V0_3_1, Self::V0_4_0, Self::V1_0_0, Self::V1_1_0];

    /// The version as configurations write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V0_3_0 => "0.3.0",
            Self::V0_3_1 => "0.3.1",
            Self::V0_4_0 => "0.4.0",
            Self::V1_0_0 => "1.0.0",
            Self::V1_1_0 => "1.1.0",
        }
    }

    /// The version that a network configuration asks for.
    ///
    /// # Errors
    /// Code 1 when the version is missing or none of ours. A configuration without a version means 0.1.0, whose results
    /// have one address only.
    pub fn requested(text: Option<&str>) -> Result<Self, CniError> {
        let wanted = text.unwrap_or("0.1.0");
        Self::ALL.into_iter().find(|version| version.as_str() == wanted).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|version| version.as_str()).collect();
            CniError::new(Code::IncompatibleVersion, format!("kuryr-cni doesn't speak CNI version {wanted}"))
                .details(format!("set `cniVersion` of the network configuration to one of {}", known.join(", ")))
        })
    }

    /// The answer to VERSION. It names the version of the request, whatever it is.
    #[must_use]
    pub fn answer(asked: Option<&str>) -> serde_json::Value {
        let supported: Vec<_> = Self::ALL.iter().map(|version| version.as_str()).collect();
        serde_json::json!({
            "cniVersion": asked.unwrap_or(Self::LATEST.as_str()),
            "supportedVersions": supported,
        })
    }
}

impl fmt::Display for SpecVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_is_found_by_its_own_name() {
        for version in SpecVersion::ALL {
            assert_eq!(SpecVersion::requested(Some(version.as_str())), Ok(version));
        }
    }

    #[test]
    fn unknown_and_missing_versions_are_refused_with_the_known_ones() {
        for text in [None, Some("0.2.0"), Some("2.0.0"), Some("")] {
            let error = SpecVersion::requested(text).unwrap_err();
            assert_eq!(error.code, Code::IncompatibleVersion.number());
            assert!(error.details.contains("0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0"), "{}", error.details);
        }
    }
}
