//! A login's result.

use super::catalogue::Catalogue;
use crate::{
    CloudConfig,
    endpoint::{Call, Service},
    error::{Details, Error, Kind},
    neutron::ProjectId,
};
use reqwest::Url;
use secrecy::SecretString;
use std::time::Duration;
use tokio::time::Instant;

/// A token, what it is for, and where the services are.
#[derive(Debug)]
pub(crate) struct Session {
    pub token: SecretString,
    /// Counts the logins, so that who was refused can tell whether somebody else has logged in since.
    pub generation: u64,
    pub project_id: Option<ProjectId>,
    /// When the token ends, by our own clock: Keystone's may be another.
    pub ends: Instant,
    pub catalogue: Catalogue,
}

impl Session {
    pub fn has_ended(&self) -> bool {
        self.ends_within(Duration::ZERO)
    }

    pub fn ends_within(&self, margin: Duration) -> bool {
        self.ends.saturating_duration_since(Instant::now()) <= margin
    }

    /// The root of the service's resources, as `http://host:9696/v2.0`.
    pub fn base(&self, config: &CloudConfig, call: &Call) -> Result<Url, Error> {
        let service = call.service;
        if service == Service::IDENTITY {
            return Ok(config.auth_url.clone());
        }
        let endpoint = match config.endpoint_overrides.get(service.catalogue_type) {
            Some(endpoint) => endpoint.clone(),
            None => self
                .catalogue
                .endpoint(service, config.region.as_deref(), config.interface)
                .map_err(|why| Details::new(Kind::NoEndpoint, call.method.clone(), call.display_path(), why))?,
        };
        Ok(if call.versioned { with_root(endpoint, service.root) } else { without_root(endpoint, service.root) })
    }
}

/// The endpoint with the service's root at its end, once: catalogues have it or not, and spell it in either way.
pub(crate) fn with_root(endpoint: Url, root: &str) -> Url {
    let mut endpoint = without_root(endpoint, root);
    let path = format!("{}/{root}", endpoint.path().trim_end_matches('/'));
    endpoint.set_path(&path);
    endpoint
}

/// The endpoint without the service's root at its end: `v2.0`, or `v2`, whichever of them the root is.
fn without_root(mut endpoint: Url, root: &str) -> Url {
    let major = |version: &str| version.strip_suffix(".0").unwrap_or(version).to_owned();
    let path = endpoint.path().trim_end_matches('/');
    let path = path.rsplit_once('/').filter(|(_, last)| major(last) == major(root)).map_or(path, |(rest, _)| rest);
    let path = path.trim_end_matches('/').to_owned();
    endpoint.set_path(&path);
    endpoint
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::Arc;

    impl Session {
        /// A session that lives for `life`.
        pub fn for_test(life: Duration) -> Arc<Self> {
            let url =
                r#"[{"type": "network", "endpoints": [{"interface": "public", "region": "R", "url": "http://n"}]}]"#;
            Arc::new(Self {
                token: "token".to_owned().into(),
                generation: 1,
                project_id: None,
                ends: Instant::now() + life,
                catalogue: serde_json::from_str(url).unwrap(),
            })
        }
    }

    #[test]
    fn a_session_ends_by_our_own_clock() {
        let margin = Duration::from_secs(300);
        for (life, soon, ended) in [(400, false, false), (200, true, false), (0, true, true)] {
            let session = Session::for_test(Duration::from_secs(life));
            assert_eq!((session.ends_within(margin), session.has_ended()), (soon, ended), "{life} s");
        }
    }

    #[test]
    fn the_root_is_added_once() {
        for (catalogue, root, expected) in [
            ("http://h:9696", "v2.0", "http://h:9696/v2.0"),
            ("http://h:9696/", "v2.0", "http://h:9696/v2.0"),
            ("http://h:9696/v2.0", "v2.0", "http://h:9696/v2.0"),
            ("https://h/networking/v2.0/", "v2.0", "https://h/networking/v2.0"),
            ("https://h/identity", "v3", "https://h/identity/v3"),
            ("https://h/identity-v3", "v3", "https://h/identity-v3/v3"),
            ("http://h:9696/v2", "v2.0", "http://h:9696/v2.0"),
            ("http://h:9876/v2.0", "v2", "http://h:9876/v2"),
            ("http://h:9876/v2/", "v2", "http://h:9876/v2"),
            ("https://h/load-balancer", "v2", "https://h/load-balancer/v2"),
            ("https://h:9876/", "v2", "https://h:9876/v2"),
        ] {
            let endpoint = Url::parse(catalogue).unwrap();
            assert_eq!(with_root(endpoint, root).as_str(), expected, "{catalogue}");
            let bare = without_root(Url::parse(catalogue).unwrap(), root);
            assert_eq!(with_root(bare.clone(), root).as_str(), expected, "{catalogue}");
            assert_eq!(without_root(bare.clone(), root), bare, "{catalogue}");
        }
    }

    proptest! {
        #[test]
        fn adding_the_root_twice_is_adding_it_once(path in "(/[a-z0-9.-]{1,8}){0,4}/{0,2}") {
            let once = with_root(Url::parse(&format!("http://h{path}")).unwrap(), "v2.0");
            prop_assert!(once.path().ends_with("/v2.0"));
            prop_assert_eq!(with_root(once.clone(), "v2.0"), once);
        }
    }
}
