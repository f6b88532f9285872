//! The versions of everything that the lab downloads or builds: `versions.toml`, read once.

use std::{collections::BTreeMap, sync::LazyLock};

use anyhow::{Context, Result};
use serde::Deserialize;

const VERSIONS: &str = include_str!("../../versions.toml");

/// Exact versions of all Python packages (`pip freeze`).
pub const PYTHON_CONSTRAINTS: &str = include_str!("../../constraints.txt");

/// As [`PYTHON_CONSTRAINTS`], of the original Kuryr's environment.
pub const ORIGINAL_CONSTRAINTS: &str = include_str!("../../constraints-original.txt");

/// What `versions.toml` says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Versions {
    /// The OpenStack services and clients.
    pub python: Python,
    /// The original Kuryr.
    pub original: Original,
    /// What is built from Go modules.
    pub go: Go,
    /// The nodes' Open vSwitch.
    pub switch: Switch,
    /// Debian packages, each with what the lab needs it for.
    pub debian: BTreeMap<String, String>,
    /// Debian packages in the images of Kubernetes' own tests, each with what they need it for.
    #[serde(rename = "test-images")]
    pub test_images: BTreeMap<String, String>,
}

/// The Python environment.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Python {
    /// The wanted version of the interpreter, `3.11`.
    pub interpreter: String,
    /// What pip is asked for, `name==version`.
    pub packages: Vec<String>,
}

/// The original Kuryr in Python.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Original {
    /// What pip is asked for, `name==version`.
    pub packages: Vec<String>,
}

/// Versions of Go modules, with their leading `v`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Go {
    /// `k8s.io/kubernetes`.
    pub kubernetes: String,
    /// `github.com/coredns/coredns`.
    pub coredns: String,
    /// `go.etcd.io/etcd/server/v3`.
    pub etcd: String,
    /// `github.com/containernetworking/cni`, for cnitool.
    pub cni: String,
    /// `github.com/containernetworking/plugins`.
    pub cni_plugins: String,
    /// `sigs.k8s.io/network-policy-api`, for its definition of ClusterNetworkPolicies.
    pub network_policy_api: String,
}

/// A Debian package of another release than this machine's.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Switch {
    /// The code name of the release.
    pub release: String,
    /// The package.
    pub package: String,
}

static READ: LazyLock<Result<Versions, toml::de::Error>> = LazyLock::new(|| toml::from_str(VERSIONS));

impl Versions {
    /// The versions that this lab was written for.
    ///
    /// # Errors
    /// When `versions.toml` has an unknown or missing key: an error of whoever edited it.
    pub fn get() -> Result<&'static Self> {
        READ.as_ref().map_err(Clone::clone).context("reading crates/lab/versions.toml")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_requested_python_package_is_in_the_constraints_with_the_same_version() {
        let versions = Versions::get().unwrap();
        for (constraints, packages) in
            [(PYTHON_CONSTRAINTS, &versions.python.packages), (ORIGINAL_CONSTRAINTS, &versions.original.packages)]
        {
            let pinned: Vec<String> = constraints.lines().map(str::to_lowercase).collect();
            for package in packages {
                assert!(pinned.contains(&package.to_lowercase()), "{package} is not among the constraints");
            }
        }
    }

    #[test]
    fn go_modules_have_semantic_versions() {
        let go = &Versions::get().unwrap().go;
        for version in [&go.kubernetes, &go.coredns, &go.etcd, &go.cni, &go.cni_plugins, &go.network_policy_api] {
            let parts: Vec<&str> = version.strip_prefix('v').unwrap().split('.').collect();
            assert_eq!(parts.len(), 3, "{version}");
            assert!(parts.iter().all(|part| part.parse::<u32>().is_ok()), "{version}");
        }
    }
}
