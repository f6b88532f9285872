//! The network configuration that a runtime hands to a plugin.

use crate::{
    error::{CniError, Code},
    version::SpecVersion,
};
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;

/// Where the daemon listens, unless the configuration says otherwise.
pub const DEFAULT_SOCKET: &str = "/run/kuryr/daemon.sock";

/// How long the executable waits for the daemon, unless the configuration says otherwise. Longer than the daemon takes
/// for an ADD at most, shorter than the four minutes that a kubelet gives a sandbox.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(110);

/// What Kuryr reads of a network configuration. Everything else that is in it is ignored.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct NetworkConfig {
    /// The version of the specification that the caller speaks.
    #[serde(default, rename = "cniVersion")]
    pub cni_version: Option<String>,
    /// Name of the network.
    #[serde(default)]
    pub name: String,
    /// Path of the daemon's socket.
    #[serde(default)]
    pub socket: Option<String>,
    /// How long to wait for the daemon, in seconds.
    #[serde(default, rename = "timeoutSeconds")]
    pub timeout_seconds: Option<u64>,
    /// What ADD answered: there in CHECK, and in DEL where the runtime still has it.
    #[serde(default, rename = "prevResult")]
    pub prev_result: Option<Value>,
    /// GC: the attachments that are still in use. `cni.dev/attachments` is how libcni called it at first.
    #[serde(default, rename = "cni.dev/valid-attachments", alias = "cni.dev/attachments")]
    valid_attachments: Option<Vec<Attachment>>,
}

/// One attachment of a container to the network.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
pub struct Attachment {
    /// The sandbox.
    #[serde(rename = "containerID")]
    pub container_id: String,
    /// The interface in it.
    pub ifname: String,
}

impl NetworkConfig {
    /// Reads a configuration.
    ///
    /// # Errors
    /// Code 7 when a key that Kuryr reads has a value of the wrong type.
    pub fn read(config: &Value) -> Result<Self, CniError> {
        let wrong = |why: String| {
            CniError::new(Code::InvalidConfig, "the network configuration for kuryr-cni is wrong")
                .details(format!("{why}; see /etc/cni/net.d on this node"))
        };
        if !config.is_object() {
            return Err(wrong("it is not a JSON object".to_owned()));
        }
        Self::deserialize(&without_double_attachments(config)).map_err(|error| wrong(error.to_string()))
    }

    /// The version that the caller speaks.
    ///
    /// # Errors
    /// Code 1, see [`SpecVersion::requested`].
    pub fn version(&self) -> Result<SpecVersion, CniError> {
        SpecVersion::requested(self.cni_version.as_deref())
    }

    /// Path of the daemon's socket.
    #[must_use]
    pub fn socket(&self) -> &str {
        self.socket.as_deref().unwrap_or(DEFAULT_SOCKET)
    }

    /// How long the executable waits for the daemon.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout_seconds.map_or(DEFAULT_TIMEOUT, Duration::from_secs)
    }

    /// The attachments that GC has to keep.
    ///
    /// # Errors
    /// Code 7 when the list is missing: that isn't the same as an empty list, which removes everything.
    pub fn valid_attachments(&self) -> Result<&[Attachment], CniError> {
        self.valid_attachments.as_deref().ok_or_else(|| {
            CniError::new(Code::InvalidConfig, "GC without `cni.dev/valid-attachments`")
                .details("nothing was removed: the runtime has to list the attachments that are still in use")
        })
    }
}

/// libcni sends the list of attachments under both of its names; serde takes that as one field given twice.
fn without_double_attachments(config: &Value) -> Value {
    let mut config = config.clone();
    if let Some(keys) = config.as_object_mut()
        && keys.contains_key("cni.dev/valid-attachments")
    {
        keys.remove("cni.dev/attachments");
    }
    config
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn unknown_keys_are_ignored_and_defaults_fill_in() {
        let config = NetworkConfig::read(&json!({
            "cniVersion": "1.0.0", "name": "kuryr", "type": "kuryr-cni", "capabilities": {"bandwidth": true},
            "runtimeConfig": {"bandwidth": {}}, "new.in/the-future": 1,
        }))
        .unwrap();
        assert_eq!(config.version(), Ok(SpecVersion::V1_0_0));
        assert_eq!((config.socket(), config.timeout()), (DEFAULT_SOCKET, DEFAULT_TIMEOUT));
        assert_eq!(config.name, "kuryr");
    }

    #[test]
    fn a_value_of_the_wrong_type_is_code_7() {
        assert_eq!(NetworkConfig::read(&json!({"socket": 3})).unwrap_err().code, 7);
        assert_eq!(NetworkConfig::read(&json!([])).unwrap_err().code, 7);
    }

    #[test]
    fn gc_distinguishes_no_list_from_an_empty_one() {
        let list = json!([{"containerID": "abc", "ifname": "eth0"}]);
        let both = json!({"cni.dev/valid-attachments": list, "cni.dev/attachments": list});
        let attachment = Attachment { container_id: "abc".into(), ifname: "eth0".into() };
        assert_eq!(NetworkConfig::read(&both).unwrap().valid_attachments(), Ok([attachment].as_slice()));
        let empty = NetworkConfig::read(&json!({"cni.dev/attachments": []})).unwrap();
        assert_eq!(empty.valid_attachments(), Ok([].as_slice()));
        assert_eq!(NetworkConfig::read(&json!({})).unwrap().valid_attachments().unwrap_err().code, 7);
    }
}
