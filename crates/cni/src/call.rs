//! One CNI call: the command and its parameters, from the environment and standard input.

use crate::error::{CniError, Code};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Longest interface name: IFNAMSIZ without its closing NUL.
const MAX_INTERFACE_NAME: usize = 15;

/// `CNI_COMMAND`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Command {
    /// Give a container its interface.
    Add,
    /// Take it away. Idempotent.
    Del,
    /// Look whether it is as ADD made it.
    Check,
    /// Remove what belongs to none of the listed attachments.
    Gc,
    /// Say whether ADD can be served.
    Status,
    /// Say which versions are spoken.
    Version,
}

impl Command {
    /// The command as `CNI_COMMAND` and metrics write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Add => "ADD",
            Self::Del => "DEL",
            Self::Check => "CHECK",
            Self::Gc => "GC",
            Self::Status => "STATUS",
            Self::Version => "VERSION",
        }
    }

    /// # Errors
    /// Code 4 for anything that isn't a command.
    pub fn parse(text: &str) -> Result<Self, CniError> {
        [Self::Add, Self::Del, Self::Check, Self::Gc, Self::Status, Self::Version]
            .into_iter()
            .find(|command| command.as_str() == text)
            .ok_or_else(|| {
                CniError::new(Code::InvalidEnvironment, format!("CNI_COMMAND is `{text}`"))
                    .details("ADD, DEL, CHECK, GC, STATUS and VERSION are known")
            })
    }
}

/// A call as the executable relays it and the daemon serves it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Call {
    /// What to do.
    pub command: Command,
    /// `CNI_CONTAINERID`: the sandbox. Empty where the command doesn't have it.
    #[serde(default)]
    pub container_id: String,
    /// `CNI_NETNS`: path of the sandbox's network namespace. Empty where the command doesn't have it, and in a DEL
    /// whose namespace is gone.
    #[serde(default)]
    pub netns: String,
    /// `CNI_IFNAME`: name of the interface in the sandbox.
    #[serde(default)]
    pub ifname: String,
    /// `CNI_ARGS`, see [`crate::PodArgs`].
    #[serde(default)]
    pub args: String,
    /// `CNI_PATH`.
    #[serde(default)]
    pub path: String,
    /// The network configuration from standard input, whole: `prevResult`, `runtimeConfig` and keys that are unknown to
    /// us go along.
    #[serde(default)]
    pub config: Value,
}

impl Call {
    /// Reads the call from the environment (`lookup` gives a variable's value) and a parsed standard input.
    ///
    /// # Errors
    /// Code 4 when a variable that the command needs is missing or malformed.
    pub fn from_environment(lookup: impl Fn(&str) -> Option<String>, config: Value) -> Result<Self, CniError> {
        let text = |name: &str| lookup(name).unwrap_or_default();
        let command = lookup("CNI_COMMAND").ok_or_else(|| {
            CniError::new(Code::InvalidEnvironment, "CNI_COMMAND is not set")
                .details("kuryr-cni is a CNI plugin: it is run by the container runtime, not by hand")
        })?;
        let call = Self {
            command: Command::parse(&command)?,
            container_id: text("CNI_CONTAINERID"),
            netns: text("CNI_NETNS"),
            ifname: text("CNI_IFNAME"),
            args: text("CNI_ARGS"),
            path: text("CNI_PATH"),
            config,
        };
        call.validate()?;
        Ok(call)
    }

    /// Looks whether the parameters that the command needs are there and well formed.
    ///
    /// # Errors
    /// Code 4, naming the variable.
    pub fn validate(&self) -> Result<(), CniError> {
        match self.command {
            Command::Version | Command::Status | Command::Gc => return Ok(()),
            Command::Del => {}
            Command::Add | Command::Check if self.netns.is_empty() => return Err(missing("CNI_NETNS", self.command)),
            Command::Add | Command::Check => {}
        }
        validate_container_id(&self.container_id, self.command)?;
        validate_ifname(&self.ifname, self.command)
    }
}

fn missing(variable: &str, command: Command) -> CniError {
    CniError::new(Code::InvalidEnvironment, format!("{variable} is not set, but {} needs it", command.as_str()))
}

/// Section "Parameters": a container id starts with an alphanumeric character, followed by those, `_`, `.` or `-`.
fn validate_container_id(id: &str, command: Command) -> Result<(), CniError> {
    if id.is_empty() {
        return Err(missing("CNI_CONTAINERID", command));
    }
    let starts_well = id.starts_with(|c: char| c.is_ascii_alphanumeric());
    if starts_well && id.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-')) {
        return Ok(());
    }
    Err(CniError::new(Code::InvalidEnvironment, format!("CNI_CONTAINERID `{id}` is not a container id")))
}

/// What the kernel takes as an interface name (`dev_valid_name`).
fn validate_ifname(name: &str, command: Command) -> Result<(), CniError> {
    if name.is_empty() {
        return Err(missing("CNI_IFNAME", command));
    }
    let fits = name.len() <= MAX_INTERFACE_NAME && name != "." && name != "..";
    if fits && !name.contains(|c: char| matches!(c, '/' | ':') || c.is_whitespace() || c.is_control()) {
        return Ok(());
    }
    Err(CniError::new(Code::InvalidEnvironment, format!("CNI_IFNAME `{name}` can't be the name of an interface"))
        .details("at most 15 characters, without `/`, `:` and blanks"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn call(pairs: &[(&str, &str)]) -> Result<Call, CniError> {
        let lookup = |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Call::from_environment(lookup, json!({"name": "kuryr"}))
    }

    const ADD: [(&str, &str); 4] =
        [("CNI_COMMAND", "ADD"), ("CNI_CONTAINERID", "abc-1"), ("CNI_NETNS", "/run/netns/x"), ("CNI_IFNAME", "eth0")];

    fn add_with(name: &str, value: &str) -> Result<Call, CniError> {
        let mut pairs = ADD.to_vec();
        pairs.retain(|(key, _)| *key != name);
        if !value.is_empty() {
            pairs.push((name, value));
        }
        call(&pairs)
    }

    #[test]
    fn each_command_needs_what_the_specification_says() {
        assert!(call(&ADD).is_ok());
        for variable in ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"] {
            let error = add_with(variable, "").unwrap_err();
            assert_eq!(error.code, 4);
            assert!(error.msg.contains(variable), "{}", error.msg);
        }
        let del = [("CNI_COMMAND", "DEL"), ("CNI_CONTAINERID", "abc"), ("CNI_IFNAME", "eth0")];
        assert!(call(&del).is_ok(), "DEL works without a network namespace");
        assert!(call(&[("CNI_COMMAND", "STATUS")]).is_ok());
        assert!(call(&[("CNI_COMMAND", "GC")]).is_ok());
        assert_eq!(call(&[]).unwrap_err().code, 4);
        assert_eq!(call(&[("CNI_COMMAND", "add")]).unwrap_err().code, 4);
    }

    #[test]
    fn malformed_names_are_refused() {
        for id in ["-abc", "a/b", "a b", "..", "ä"] {
            assert_eq!(add_with("CNI_CONTAINERID", id).unwrap_err().code, 4, "{id}");
        }
        for name in ["sixteencharacter", "a/b", "a b", ".", "..", "eth0:1"] {
            assert_eq!(add_with("CNI_IFNAME", name).unwrap_err().code, 4, "{name}");
        }
    }

    #[test]
    fn the_wire_form_keeps_the_whole_configuration() {
        let mut made = call(&ADD).unwrap();
        made.config = json!({"name": "kuryr", "prevResult": {"x": 1}, "unknown": [1], "cni.dev/valid-attachments": []});
        let text = serde_json::to_string(&made).unwrap();
        assert_eq!(serde_json::from_str::<Call>(&text).unwrap(), made);
    }
}
