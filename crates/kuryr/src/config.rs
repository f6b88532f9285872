//! The configuration file: one YAML file for the controller and the daemons, environment and flags over it.

use kuryr_controller::settings::{Controller, NodePort, Pods};
use serde::{Deserialize, Deserializer, Serialize};
use std::{
    fmt,
    path::{Path, PathBuf},
};

/// Longest name of a cluster: with the uid of an object it must fit a Neutron description (255 characters).
const MAX_CLUSTER: usize = 200;

/// The configuration file. Unknown keys are errors, because a key that does nothing is a setting that isn't in force.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Config {
    /// The cluster's name in everything that Kuryr creates in OpenStack: distinct for every Kubernetes cluster that uses the
    /// project, and never changed while the cluster has pods. The controller needs it.
    pub cluster: Option<String>,
    /// The cloud. Only the controller reads it.
    #[serde(deserialize_with = "null_as_default")]
    pub openstack: OpenStack,
    /// Networks of the pods. The controller needs it.
    pub pods: Option<Pods>,
    /// Each node's own port on the pod network.
    #[serde(deserialize_with = "null_as_default")]
    pub node_port: NodePort,
    /// How the controller runs.
    #[serde(deserialize_with = "null_as_default")]
    pub controller: Controller,
    /// How the nodes' daemons run.
    #[serde(deserialize_with = "null_as_default")]
    pub daemon: kuryr_daemon::Settings,
}

/// Which cloud, and how it is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct OpenStack {
    /// Name of the cloud in `clouds.yaml`. Without it `OS_CLOUD` names it, or it is the only one in the file.
    pub cloud: Option<String>,
    /// Path of `clouds.yaml`. Without it the file is searched as every OpenStack client does.
    pub clouds_file: Option<PathBuf>,
    /// Most requests in flight to each service at a time.
    pub requests_in_flight: usize,
}

impl Default for OpenStack {
    fn default() -> Self {
        let requests_in_flight = kuryr_openstack::Settings::default().in_flight;
        Self { cloud: None, clouds_file: None, requests_in_flight }
    }
}

/// Why the configuration can't be used, in one line.
#[derive(Debug)]
pub struct ConfigError(String);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Reads the file.
    ///
    /// # Errors
    /// One line that names the file, and the line and key that are wrong.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| ConfigError(format!("can't read the configuration file {}: {error}", path.display())))?;
        Self::parse(&text, path)
    }

    /// Reads the text of the file; `path` is only for messages.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        serde_saphyr::from_str(text).map_err(|error| ConfigError(located(&error, text, path)))
    }

    /// What the controller is told.
    ///
    /// # Errors
    /// One line that names the key that is missing or wrong.
    pub fn controller_settings(&self) -> Result<kuryr_controller::Settings, ConfigError> {
        let missing = |key: &str, what: &str| ConfigError(format!("the configuration lacks `{key}`: {what}"));
        let cluster = self.cluster.clone().ok_or_else(|| {
            missing("cluster", "a name for this Kubernetes cluster, distinct for every one that uses the project")
        })?;
        if cluster.trim().is_empty() || cluster.len() > MAX_CLUSTER || cluster.chars().any(char::is_control) {
            return Err(ConfigError(format!("`cluster` must be a name of 1 to {MAX_CLUSTER} printable characters")));
        }
        let pods = self.pods.clone().ok_or_else(|| missing("pods", "the subnets that pods get addresses of"))?;
        if pods.subnets.is_empty() {
            return Err(ConfigError("`pods.subnets` is empty: name at least one subnet".to_owned()));
        }
        if self.openstack.requests_in_flight == 0 {
            return Err(ConfigError("`openstack.requestsInFlight` is 0: nothing could ever be asked".to_owned()));
        }
        let many = self.controller.concurrency;
        for (key, value) in
            [("pods", many.pods), ("ports", many.ports), ("poolPorts", many.pool_ports), ("nodes", many.nodes)]
        {
            if value == 0 {
                return Err(ConfigError(format!("`controller.concurrency.{key}` is 0: nothing would ever be done")));
            }
        }
        let (node_port, controller) = (self.node_port.clone(), self.controller.clone());
        Ok(kuryr_controller::Settings { cluster, pods, node_port, controller })
    }
}

/// A section whose lines are all commented out is the same as none.
fn null_as_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// The error with the place that it is about: `FILE:LINE:COLUMN: ...`, in one line.
fn located(error: &serde_saphyr::Error, text: &str, path: &Path) -> String {
    let what = error.without_snippet().to_string();
    let what = what.lines().next().unwrap_or_default().trim();
    let Some(location) = error.location() else { return format!("{}: {what}", path.display()) };
    let (line, column) = (location.line(), location.column());
    let what = what.strip_suffix(&format!(" at line {line}, column {column}")).unwrap_or(what);
    let number = |value: u64| usize::try_from(value).unwrap_or(usize::MAX).saturating_sub(1);
    let at = text.lines().nth(number(line.into())).map_or("", |line| key_at(line, number(column.into())));
    let subject = if at.is_empty() || what.contains(&format!("`{at}`")) { String::new() } else { format!("`{at}`: ") };
    format!("{}:{line}:{column}: {subject}{what}", path.display())
}

/// The key at a place of a line, or the key whose value is there. Empty when the line has none.
fn key_at(line: &str, column: usize) -> &str {
    let (before, after) = line.split_at_checked(column).unwrap_or((line, ""));
    let is_key = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    let before = before.trim_end();
    match before.strip_suffix(':') {
        Some(key) => key.rsplit(|c| !is_key(c)).next().unwrap_or_default(),
        None => after.split(|c| !is_key(c)).next().unwrap_or_default(),
    }
}
