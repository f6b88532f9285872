//! The error object of the CNI specification.

use crate::version::SpecVersion;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Error codes of the CNI specification, section "Error".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// The configuration asks for a version that isn't spoken.
    IncompatibleVersion,
    /// A field of the configuration isn't supported.
    UnsupportedField,
    /// The container isn't known, or doesn't exist any more: the runtime need not clean up.
    UnknownContainer,
    /// An environment variable is missing or wrong.
    InvalidEnvironment,
    /// Reading or writing failed.
    Io,
    /// Input that isn't what it should be, as JSON that can't be parsed.
    Decode,
    /// The configuration is wrong.
    InvalidConfig,
    /// Something passes by itself: the caller should try again later.
    TryAgainLater,
    /// STATUS: the plugin can't serve ADD.
    NotAvailable,
    /// STATUS: the plugin can't serve ADD, and present containers may have limited connectivity.
    LimitedConnectivity,
    /// CHECK: the interface isn't as it should be. Codes from 100 on belong to the plugin.
    NotAsExpected,
    /// Anything else.
    Internal,
}

impl Code {
    /// The number in the error object.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::IncompatibleVersion => 1,
            Self::UnsupportedField => 2,
            Self::UnknownContainer => 3,
            Self::InvalidEnvironment => 4,
            Self::Io => 5,
            Self::Decode => 6,
            Self::InvalidConfig => 7,
            Self::TryAgainLater => 11,
            Self::NotAvailable => 50,
            Self::LimitedConnectivity => 51,
            Self::NotAsExpected => 100,
            Self::Internal => 999,
        }
    }
}

/// A failed CNI call, as it goes over the wire and to the runtime.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CniError {
    /// The number of a [`Code`].
    pub code: u32,
    /// What failed, in one sentence. Runtimes show it to users.
    pub msg: String,
    /// Why, and what to do.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub details: String,
}

impl CniError {
    /// An error without details.
    #[must_use]
    pub fn new(code: Code, msg: impl Into<String>) -> Self {
        Self { code: code.number(), msg: msg.into(), details: String::new() }
    }

    /// The same error with details.
    #[must_use]
    pub fn details(mut self, details: impl Into<String>) -> Self {
        self.details = details.into();
        self
    }

    /// The error object. `asked` is the version of the request: an error about the version itself keeps it.
    #[must_use]
    pub fn render(&self, asked: Option<&str>) -> serde_json::Value {
        let mut object = serde_json::json!({
            "cniVersion": asked.unwrap_or(SpecVersion::LATEST.as_str()),
            "code": self.code,
            "msg": self.msg,
        });
        if !self.details.is_empty() {
            object["details"] = self.details.clone().into();
        }
        object
    }
}

impl fmt::Display for CniError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (CNI error code {})", self.msg, self.code)?;
        if self.details.is_empty() { Ok(()) } else { write!(f, ": {}", self.details) }
    }
}

impl std::error::Error for CniError {}
