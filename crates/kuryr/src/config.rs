//! The configuration file: one YAML file for the controller and the daemons, environment and flags over it.

use kuryr_controller::settings::{Controller, NetworkPolicies, NodePort, Nodes, Pods, Pools, Services, Sweep};
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
    /// Free ports that nodes keep ready for their next pods.
    #[serde(deserialize_with = "null_as_default")]
    pub pools: Pools,
    /// How the controller runs.
    #[serde(deserialize_with = "null_as_default")]
    pub controller: Controller,
    /// What the controller does about nodes.
    #[serde(deserialize_with = "null_as_default")]
    pub nodes: Nodes,
    /// The controller's comparison of the objects with Neutron's ports.
    #[serde(deserialize_with = "null_as_default")]
    pub sweep: Sweep,
    /// Services on Octavia.
    #[serde(deserialize_with = "null_as_default")]
    pub services: Services,
    /// NetworkPolicies as Neutron security groups.
    #[serde(deserialize_with = "null_as_default")]
    pub network_policies: NetworkPolicies,
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
        let requests_in_flight = kuryr_openstack::Settings::default().max_in_flight;
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
        if self.network_policies.enabled && !pods.security_groups.is_empty() {
            return Err(ConfigError(
                "`pods.securityGroups` would let pass what NetworkPolicies forbid: remove it, or switch them off by \
                 `networkPolicies.enabled: false`"
                    .to_owned(),
            ));
        }
        if self.openstack.requests_in_flight == 0 {
            return Err(ConfigError("`openstack.requestsInFlight` is 0: nothing could ever be asked".to_owned()));
        }
        let many = self.controller.concurrency;
        for (key, value) in [
            ("pods", many.pods),
            ("ports", many.ports),
            ("poolPorts", many.pool_ports),
            ("nodes", many.nodes),
            ("pools", many.pools),
            ("services", many.services),
            ("loadBalancers", many.load_balancers),
            ("networkPolicies", many.network_policies),
        ] {
            if value == 0 {
                return Err(ConfigError(format!("`controller.concurrency.{key}` is 0: nothing would ever be done")));
            }
        }
        let pools = self.pools.clone();
        if pools.minimum > pools.maximum {
            return Err(ConfigError(format!(
                "`pools.minimum` ({}) is above `pools.maximum` ({})",
                pools.minimum, pools.maximum
            )));
        }
        if self.controller.audit_seconds.is_some() {
            return Err(ConfigError(
                "`controller.auditSeconds` is called `sweep.periodSeconds` now: move it there".to_owned(),
            ));
        }
        if self.sweep.most_percent > 100 {
            return Err(ConfigError("`sweep.mostPercent` is a share: 100 is the most".to_owned()));
        }
        let (nodes, sweep) = (self.nodes, self.sweep);
        if !(1..=50).contains(&self.controller.watch_seconds) {
            // Longer than that, and the client's own limit (60 s) takes a watch that is only idle for a dead one.
            return Err(ConfigError("`controller.watchSeconds` must be from 1 to 50".to_owned()));
        }
        if let Err(problem) = self.controller.lease.terms().validate() {
            return Err(ConfigError(format!("`controller.lease`: {problem}")));
        }
        let (node_port, controller, services) =
            (self.node_port.clone(), self.controller.clone(), self.services.clone());
        let network_policies = self.network_policies.clone();
        Ok(kuryr_controller::Settings {
            cluster,
            pods,
            node_port,
            pools,
            controller,
            nodes,
            sweep,
            services,
            network_policies,
        })
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
    let at = text.lines().nth(number(line)).map_or("", |line| key_at(line, number(column)));
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The example that is shipped.
    const EXAMPLE: &str = include_str!("../../../deploy/kuryr.yaml");

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(text, Path::new("kuryr.yaml")).map_err(|error| error.to_string())
    }

    #[test]
    fn the_example_is_a_configuration_and_its_comments_are_the_defaults() {
        let example = parse(EXAMPLE).unwrap();
        example.controller_settings().unwrap();
        // Every commented setting, put in force, changes nothing but what has no default.
        let in_force: String = EXAMPLE.lines().map(|line| uncommented(line) + "\n").collect();
        let all = parse(&in_force).unwrap();
        assert_eq!(all.controller, example.controller);
        assert_eq!(all.node_port, example.node_port);
        assert_eq!(all.sweep, example.sweep);
        assert_eq!(all.nodes, example.nodes);
        assert_eq!(all.pods, example.pods);
        assert_eq!(all.openstack, OpenStack { clouds_file: all.openstack.clouds_file.clone(), ..example.openstack });
        let node_name = all.daemon.node_name.clone();
        assert_eq!(all.daemon, kuryr_daemon::Settings { node_name, ..example.daemon });
    }

    /// A line whose comment is a setting (`# key: value` or `# key:`, the key in lower case) without the comment sign.
    fn uncommented(line: &str) -> String {
        let Some((indent, comment)) = line.split_once("# ") else { return line.to_owned() };
        let key = comment.split_once(':').map_or("", |(key, _)| key.trim());
        let is_key = !key.is_empty() && key.chars().all(char::is_alphanumeric) && key.starts_with(char::is_lowercase);
        if is_key && indent.trim().is_empty() { format!("{indent}{comment}") } else { line.to_owned() }
    }

    #[test]
    fn a_mistake_is_told_in_one_line_with_file_line_and_key() {
        for (text, line) in [
            (
                "cluster: lab\nclouds: x\n",
                "kuryr.yaml:2:1: unknown field `clouds`, expected one of cluster, openstack, pods, nodePort, pools, controller, nodes, sweep, services, networkPolicies, daemon",
            ),
            (
                "pods:\n  subnet: [a]\n",
                "kuryr.yaml:2:3: unknown field `subnet`, expected one of subnets, securityGroups",
            ),
            ("pods: {subnets: a}\n", "kuryr.yaml:1:17: `subnets`: expected sequence start"),
            ("controller:\n  listen: here\n", "kuryr.yaml:2:11: `listen`: invalid socket address syntax"),
            ("controller:\n  concurrency:\n    pods: many\n", "kuryr.yaml:3:11: `pods`: invalid u16"),
            ("daemon:\n  socet: /run/x\n", "kuryr.yaml:2:3: unknown field `socet`"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with(line), "{error}\n{line}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }

    #[test]
    fn what_the_controller_lacks_is_named() {
        let lacks = |text: &str| parse(text).unwrap().controller_settings().unwrap_err().to_string();
        assert!(lacks("pods: {subnets: [a]}").contains("`cluster`"));
        assert!(lacks("cluster: lab").contains("`pods`"));
        assert!(lacks("{cluster: lab, pods: {subnets: []}}").contains("`pods.subnets`"));
        assert!(lacks("{cluster: ' ', pods: {subnets: [a]}}").contains("`cluster`"));
        let no_workers = "{cluster: lab, pods: {subnets: [a]}, controller: {concurrency: {ports: 0}}}";
        assert!(lacks(no_workers).contains("`controller.concurrency.ports`"));
        let open = "{cluster: lab, pods: {subnets: [a], securityGroups: [open]}}";
        assert!(lacks(open).contains("`pods.securityGroups`"));
        let crossed = "{cluster: lab, pods: {subnets: [a]}, pools: {minimum: 5, maximum: 4}}";
        assert!(lacks(crossed).contains("`pools.minimum` (5)"));
        let moved = "{cluster: lab, pods: {subnets: [a]}, controller: {auditSeconds: 60}}";
        assert!(lacks(moved).contains("`sweep.periodSeconds`"));
        let too_much = "{cluster: lab, pods: {subnets: [a]}, sweep: {mostPercent: 101}}";
        assert!(lacks(too_much).contains("`sweep.mostPercent`"));
        let no_margin = "{cluster: lab, pods: {subnets: [a]}, controller: {lease: {durationSeconds: 10}}}";
        assert!(lacks(no_margin).contains("`controller.lease`: the duration must be longer than the renew deadline"));
    }

    #[test]
    fn a_daemon_needs_no_cloud_and_an_empty_section_is_none() {
        let config = parse("daemon:\ncontroller:\n").unwrap();
        assert_eq!(config, Config::default());
    }
}
