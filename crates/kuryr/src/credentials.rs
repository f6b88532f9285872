//! A node's daemon refuses to be given OpenStack credentials: whoever takes over a node must not get the cloud (promise P10).
//!
//! What is looked at is what the daemon itself is told: its configuration and its environment. A compute host may hold
//! credentials of other programs; those are not ours to judge.

use crate::config::Config;
use std::{ffi::OsString, fs::File, path::Path};

/// Variables that name a file with credentials, as every OpenStack client and `kuryr controller` read them.
const FILES: [&str; 3] = ["KURYR_CLOUDS_FILE", "OS_CLIENT_CONFIG_FILE", "OS_CLIENT_SECURE_FILE"];

/// Parts of the names of variables that are secrets: OS_PASSWORD, OS_APPLICATION_CREDENTIAL_SECRET, OS_TOKEN, OS_AUTH_TOKEN.
const SECRETS: [&str; 3] = ["PASSWORD", "SECRET", "TOKEN"];

/// The daemon was given credentials.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{what}: a node must hold no OpenStack credentials; take them away from the daemon, only the controller needs them"
)]
pub struct Given {
    what: String,
}

/// Looks at what the daemon is told. A file that it can't open gives it nothing: the configuration may be shared with the
/// controller, which has the file.
///
/// # Errors
/// The first credential.
pub fn none_given(config: &Config, environment: impl Iterator<Item = (OsString, OsString)>) -> Result<(), Given> {
    let given = |what: String| Err(Given { what });
    if let Some(file) = config.openstack.clouds_file.as_deref().filter(|file| opens(file)) {
        return given(format!("`openstack.cloudsFile` names {}, which can be read here", file.display()));
    }
    for (name, value) in environment.filter(|(_, value)| !value.is_empty()) {
        let Some(name) = name.to_str() else { continue };
        if FILES.contains(&name) && opens(Path::new(&value)) {
            return given(format!("the environment's {name} names {}, which can be read here", value.display()));
        }
        if name.starts_with("OS_") && SECRETS.iter().any(|part| name.contains(part)) {
            return given(format!("the environment has {name}"));
        }
    }
    Ok(())
}

fn opens(file: &Path) -> bool {
    File::open(file).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> std::vec::IntoIter<(OsString, OsString)> {
        pairs.iter().map(|(name, value)| (name.into(), value.into())).collect::<Vec<_>>().into_iter()
    }

    fn given(config: &Config, pairs: &[(&str, &str)]) -> String {
        none_given(config, environment(pairs)).unwrap_err().to_string()
    }

    #[test]
    fn what_a_daemon_may_be_told() {
        let mut config = Config::default();
        config.openstack.cloud = Some("kuryr".into());
        config.openstack.clouds_file = Some("/there/is/no/such/clouds.yaml".into());
        let harmless = [
            ("OS_CLOUD", "kuryr"),
            ("OS_PASSWORD", ""),
            ("KURYR_CLOUDS_FILE", "/there/is/no/such/clouds.yaml"),
            ("MY_OS_PASSWORD", "x"),
            ("KUBECONFIG", "/etc/kuryr/kubeconfig"),
        ];
        assert_eq!(none_given(&config, environment(&harmless)), Ok(()));
    }

    #[test]
    fn a_file_or_a_secret_is_refused_and_not_repeated() {
        let clouds = tempfile::NamedTempFile::new().unwrap();
        let path = clouds.path().to_str().unwrap();
        let mut config = Config::default();
        for name in FILES {
            assert!(given(&config, &[(name, path)]).contains(name));
        }
        for name in ["OS_PASSWORD", "OS_APPLICATION_CREDENTIAL_SECRET", "OS_TOKEN", "OS_AUTH_TOKEN"] {
            let said = given(&config, &[("HOME", "/"), (name, "very-secret")]);
            assert!(said.contains(name) && !said.contains("very-secret"), "{said}");
        }
        config.openstack.clouds_file = Some(path.into());
        assert!(given(&config, &[]).contains("`openstack.cloudsFile`"));
    }
}
