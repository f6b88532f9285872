//! Versions of the API: which Octavia this is. Each version only adds to the one before it, and all are served at the same path;
//! nobody has to ask for one.

use super::{Octavia, Resource};
use crate::Error;
use serde::Deserialize;
use std::{fmt, str::FromStr};

const VERSIONS: Resource = Resource { path: "versions", one: "version", many: "versions" };

/// A version of Octavia's API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiVersion {
    /// 2.
    pub major: u16,
    /// Grows with what is added.
    pub minor: u16,
}

impl ApiVersion {
    /// Tags, and lists that are filtered by them. (Stein)
    pub const TAGS: Self = Self::two(5);
    /// `additive_only` of batch member updates. (Train)
    pub const ADDITIVE_MEMBERS: Self = Self::two(11);
    /// `allowed_cidrs` of listeners. (Ussuri)
    pub const ALLOWED_CIDRS: Self = Self::two(12);
    /// The algorithm `SOURCE_IP_PORT`. (Ussuri)
    pub const SOURCE_IP_PORT: Self = Self::two(13);
    /// `availability_zone` of load balancers. (Ussuri)
    pub const AVAILABILITY_ZONES: Self = Self::two(14);
    /// The pool protocol `PROXYV2`. (Wallaby)
    pub const PROXY_V2: Self = Self::two(22);
    /// SCTP. (Wallaby)
    pub const SCTP: Self = Self::two(23);
    /// `additional_vips` of load balancers. (Zed)
    pub const ADDITIONAL_VIPS: Self = Self::two(26);
    /// `vip_sg_ids` of load balancers. (2025.1)
    pub const VIP_SECURITY_GROUPS: Self = Self::two(29);

    const fn two(minor: u16) -> Self {
        Self { major: 2, minor }
    }
}

impl FromStr for ApiVersion {
    type Err = ();

    /// Reads `v2.30`; `v2` is `v2.0`.
    fn from_str(text: &str) -> Result<Self, ()> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
        Ok(Self { major: major.parse().map_err(drop)?, minor: minor.parse().map_err(drop)? })
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// An entry of the list of versions.
#[derive(Deserialize)]
struct Entry {
    id: String,
}

impl Octavia {
    /// The newest version of API 2 that this Octavia serves: what it can do depends on it. `None` when it names none.
    ///
    /// # Errors
    /// When the request fails. Whether a wrong login is refused depends on the cloud: Octavia itself answers this without one.
    pub async fn api_version(&self) -> Result<Option<ApiVersion>, Error> {
        let endpoint = self.api.at_the_root::<Vec<Entry>>(VERSIONS);
        let entries = self.api.cloud.run(&endpoint.answer_in(VERSIONS.many)).await?;
        let versions = entries.iter().filter_map(|entry| entry.id.parse::<ApiVersion>().ok());
        Ok(versions.filter(|version| version.major == 2).max())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        let version = |text: &str| text.parse::<ApiVersion>();
        assert_eq!(version("v2"), Ok(ApiVersion { major: 2, minor: 0 }));
        assert!(version("v2.9").unwrap() < ApiVersion::ADDITIVE_MEMBERS);
        assert!(version("v2.30").unwrap() > ApiVersion::VIP_SECURITY_GROUPS);
        assert_eq!(ApiVersion::SCTP.to_string(), "2.23");
        for wrong in ["", "v", "v2.", "two", "v2.0.1"] {
            version(wrong).unwrap_err();
        }
    }
}
