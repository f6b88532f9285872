//! What can be wrong with `clouds.yaml`.

use std::path::PathBuf;

/// What is wrong with the configuration of a cloud.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// There is no file at any of the usual places.
    #[error("no clouds.yaml found at {searched}: write one, or name it in OS_CLIENT_CONFIG_FILE")]
    NotFound {
        /// Where it was looked for.
        searched: String,
    },
    /// A file can't be read.
    #[error("{}: can't be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file isn't YAML.
    #[error("{}: isn't valid YAML: {reason}", path.display())]
    NotYaml {
        /// The file.
        path: PathBuf,
        /// Where and why.
        reason: String,
    },
    /// The cloud isn't in the file, or none was chosen among several.
    #[error("{}: {problem}; the file has {available}", path.display())]
    NoCloud {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        problem: String,
        /// What is there.
        available: String,
    },
    /// A key of the cloud is missing or wrong.
    #[error("{}: cloud `{cloud}`: {key}: {problem}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// The cloud.
        cloud: String,
        /// The key, as `auth.username`.
        key: String,
        /// What is wrong with it and what to do.
        problem: String,
    },
}
