//! What an operator can set.

use ipnet::IpNet;
use kuryr_datapath::ovsdb::Remote;
use serde::{Deserialize, Serialize};
use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// Settings of the daemon: the section `daemon` of the configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Settings {
    /// Name of the Node object of the machine that the daemon runs on. Required.
    pub node_name: String,
    /// Path of the unix socket that `kuryr-cni` connects to. Its folder is made for root only, where it doesn't exist.
    pub socket: PathBuf,
    /// Where Open vSwitch's database server listens, in the notation of Open vSwitch: `unix:PATH` or `tcp:ADDRESS:PORT`.
    pub ovsdb: String,
    /// The integration bridge.
    pub bridge: String,
    /// Name of the host's own interface on the integration bridge.
    pub node_port: String,
    /// Networks that the host reaches through its node port and the gateways of the pod subnets, as the Service networks.
    pub routed_networks: Vec<IpNet>,
    /// Where `/live`, `/ready`, `/metrics` and `/debug/state` are served.
    pub admin_listen: SocketAddr,
    /// Limits of time.
    pub timeouts: Timeouts,
}

/// Limits of time, all in seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Timeouts {
    /// An ADD answers after this time at the latest. Less than what `kuryr-cni` waits for (110 s by default).
    pub add_seconds: u64,
    /// Any other CNI call answers after this time at the latest.
    pub call_seconds: u64,
    /// A request to the API server is given up after this time, and tried again.
    pub api_seconds: u64,
    /// How long one watch request lasts. A connection that died without a word is noticed 5 s later. From 1 to 50.
    pub watch_seconds: u32,
    /// How often what is on the node is compared with what should be.
    pub repair_seconds: u64,
    /// How long an interface is kept whose pod the API server doesn't know any more while its sandbox still lives. The
    /// kubelet removes such a sandbox by itself in much less.
    pub orphan_seconds: u64,
    /// How long an interface may be missing before its KuryrPort says so. A sandbox that is replaced has none for a moment.
    pub missing_seconds: u64,
    /// How long CNI calls in flight may take to end when the daemon is stopped.
    pub shutdown_seconds: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            node_name: String::new(),
            socket: kuryr_cni::config::DEFAULT_SOCKET.into(),
            ovsdb: "unix:/run/openvswitch/db.sock".to_owned(),
            bridge: "br-int".to_owned(),
            node_port: "kuryr0".to_owned(),
            routed_networks: Vec::new(),
            admin_listen: SocketAddr::from(([0, 0, 0, 0], 9806)),
            timeouts: Timeouts::default(),
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            add_seconds: 90,
            call_seconds: 60,
            api_seconds: 15,
            watch_seconds: 45,
            repair_seconds: 180,
            orphan_seconds: 600,
            missing_seconds: 30,
            shutdown_seconds: 20,
        }
    }
}

impl Timeouts {
    /// [`Timeouts::add_seconds`].
    #[must_use]
    pub const fn add(&self) -> Duration {
        Duration::from_secs(self.add_seconds)
    }

    /// [`Timeouts::call_seconds`].
    #[must_use]
    pub const fn call(&self) -> Duration {
        Duration::from_secs(self.call_seconds)
    }

    /// [`Timeouts::api_seconds`].
    #[must_use]
    pub const fn api(&self) -> Duration {
        Duration::from_secs(self.api_seconds)
    }

    /// [`Timeouts::repair_seconds`].
    #[must_use]
    pub const fn repair(&self) -> Duration {
        Duration::from_secs(self.repair_seconds)
    }

    /// [`Timeouts::orphan_seconds`].
    #[must_use]
    pub const fn orphan(&self) -> Duration {
        Duration::from_secs(self.orphan_seconds)
    }

    /// [`Timeouts::missing_seconds`].
    #[must_use]
    pub const fn missing(&self) -> Duration {
        Duration::from_secs(self.missing_seconds)
    }

    /// [`Timeouts::shutdown_seconds`].
    #[must_use]
    pub const fn shutdown(&self) -> Duration {
        Duration::from_secs(self.shutdown_seconds)
    }
}

/// A setting that the daemon can't start with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("setting `daemon.{key}` {problem}")]
pub struct InvalidSetting {
    /// The setting's name in the configuration file.
    pub key: &'static str,
    /// What is wrong with its value, and what it should be.
    pub problem: &'static str,
}

impl Settings {
    /// Looks whether the daemon can start with these settings.
    ///
    /// # Errors
    /// The first setting that is wrong.
    pub fn validate(&self) -> Result<(), InvalidSetting> {
        let invalid = |key, problem| Err(InvalidSetting { key, problem });
        let limits = &self.timeouts;
        if self.node_name.is_empty() {
            return invalid("nodeName", "is not set: give the name of this machine's Node object");
        }
        if !self.socket.is_absolute() {
            return invalid("socket", "is not an absolute path");
        }
        if self.ovsdb.parse::<Remote>().is_err() {
            return invalid("ovsdb", "is neither of the form unix:/PATH nor of the form tcp:ADDRESS:PORT");
        }
        if self.node_port.is_empty() || self.node_port.len() > kuryr_core::names::MAX_INTERFACE_NAME {
            return invalid("nodePort", "can't be the name of an interface: 1 to 15 characters");
        }
        if self.bridge.is_empty() {
            return invalid("bridge", "is empty");
        }
        let all = [limits.add_seconds, limits.call_seconds, limits.api_seconds, limits.repair_seconds];
        if all.contains(&0) {
            return invalid("timeouts", "has a limit of 0 seconds: nothing can succeed within that");
        }
        if !(1..=50).contains(&limits.watch_seconds) {
            // Silence has to end a watch before it ends the connection, and within a minute.
            return invalid("timeouts.watchSeconds", "must be from 1 to 50");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(value: serde_json::Value) -> Result<Settings, serde_json::Error> {
        serde_json::from_value(value)
    }

    #[test]
    fn only_the_node_has_to_be_named() {
        let settings = read(json!({"nodeName": "node1"})).unwrap();
        assert_eq!(settings.validate(), Ok(()));
        assert_eq!(settings, Settings { node_name: "node1".into(), ..Settings::default() });
        assert_eq!(Settings::default().validate().unwrap_err().key, "nodeName");
    }

    #[test]
    fn unknown_keys_are_named() {
        let error = read(json!({"nodename": "node1"})).unwrap_err().to_string();
        assert!(error.contains("nodename"), "{error}");
        let error = read(json!({"timeouts": {"add": 3}})).unwrap_err().to_string();
        assert!(error.contains("`add`"), "{error}");
    }

    #[test]
    fn values_that_cannot_work_are_named() {
        for (value, key) in [
            (json!({"nodeName": "n", "socket": "daemon.sock"}), "socket"),
            (json!({"nodeName": "n", "ovsdb": "/run/openvswitch/db.sock"}), "ovsdb"),
            (json!({"nodeName": "n", "nodePort": "a-name-that-is-too-long"}), "nodePort"),
            (json!({"nodeName": "n", "bridge": ""}), "bridge"),
            (json!({"nodeName": "n", "timeouts": {"addSeconds": 0}}), "timeouts"),
            (json!({"nodeName": "n", "timeouts": {"watchSeconds": 0}}), "timeouts.watchSeconds"),
            (json!({"nodeName": "n", "timeouts": {"watchSeconds": 51}}), "timeouts.watchSeconds"),
        ] {
            assert_eq!(read(value).unwrap().validate().unwrap_err().key, key);
        }
    }
}
