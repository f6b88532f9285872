//! Where a cloud is and with which credentials: `clouds.yaml`, read as openstacksdk reads it.

mod cloud;
mod error;
mod files;
#[cfg(test)]
pub(crate) mod tests;

use reqwest::Url;
use secrecy::SecretString;
use std::collections::BTreeMap;

pub use error::ConfigError;
pub use files::Files;

/// Everything that is needed to talk to one cloud.
#[derive(Debug, Clone)]
pub struct CloudConfig {
    /// Name of the cloud in `clouds.yaml`.
    pub name: String,
    /// Keystone's URL, with `/v3`.
    pub auth_url: Url,
    /// Who we are.
    pub credential: Credential,
    /// Region to take services from; not needed when the cloud has one.
    pub region: Option<String>,
    /// Which of a service's URLs is used.
    pub interface: Interface,
    /// URLs that are used instead of the catalogue's, by service type.
    pub endpoint_overrides: BTreeMap<String, Url>,
    /// Whether certificates are verified.
    pub verify: bool,
    /// Certificates in PEM form that are trusted beside the system's.
    pub ca_bundle: Option<Vec<u8>>,
}

/// Who we are.
#[derive(Debug, Clone)]
pub enum Credential {
    /// User and password, for a project.
    Password {
        /// The user.
        user: Named,
        /// Its password.
        password: SecretString,
        /// The project.
        project: Named,
    },
    /// An application credential, which is for one user and project.
    ApplicationCredential {
        /// Which one.
        credential: ApplicationCredential,
        /// Its secret.
        secret: SecretString,
    },
}

/// Which application credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApplicationCredential {
    /// By identifier.
    Id(String),
    /// By name, which is unique for a user.
    Name {
        /// Its name.
        name: String,
        /// Its user.
        user: Named,
    },
}

/// A user or project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// By identifier.
    Id(String),
    /// By name, which is unique in a domain.
    Name {
        /// Its name.
        name: String,
        /// Its domain.
        domain: Domain,
    },
}

/// A Keystone domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Domain {
    /// By identifier.
    Id(String),
    /// By name.
    Name(String),
}

/// Which of a service's URLs is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Interface {
    /// For everybody.
    #[default]
    Public,
    /// For the cloud's own parts.
    Internal,
    /// For administrators.
    Admin,
}

impl Interface {
    /// The interface as the catalogue writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Internal => "internal",
            Self::Admin => "admin",
        }
    }
}

impl CloudConfig {
    /// Reads the cloud `name` from the files that [`Files::from_environment`] finds. Without a name it is the one that
    /// `OS_CLOUD` names, or the only one in the file.
    ///
    /// # Errors
    /// One line that names file, cloud and key.
    pub fn load(name: Option<&str>) -> Result<Self, ConfigError> {
        let from_environment = std::env::var("OS_CLOUD").ok().filter(|name| !name.is_empty());
        Self::read(&Files::from_environment()?, name.or(from_environment.as_deref()))
    }

    /// Reads the cloud `name`, or the only one, from certain files.
    ///
    /// # Errors
    /// One line that names file, cloud and key.
    pub fn read(files: &Files, name: Option<&str>) -> Result<Self, ConfigError> {
        let (name, entry) = files.entry(name)?;
        cloud::parse(&files.clouds, &name, &entry)
    }

    /// Where names of the cloud's objects are looked up, in words: Keystone, region, and the project, or the application
    /// credential that is for one. There is no secret in it. How the services are reached from here isn't part of it.
    #[must_use]
    pub fn place(&self) -> String {
        let scope = match &self.credential {
            Credential::Password { project, .. } => format!("project {}", project.in_words()),
            Credential::ApplicationCredential { credential: ApplicationCredential::Id(id), .. } => {
                format!("application credential {id}")
            }
            Credential::ApplicationCredential { credential: ApplicationCredential::Name { name, user }, .. } => {
                format!("application credential {name} of {}", user.in_words())
            }
        };
        format!("{} region {} {scope}", self.auth_url, self.region.as_deref().unwrap_or_default())
    }
}

impl Named {
    fn in_words(&self) -> String {
        match self {
            Self::Id(id) => format!("id {id}"),
            Self::Name { name, domain: Domain::Id(id) } => format!("{name} of domain id {id}"),
            Self::Name { name, domain: Domain::Name(domain) } => format!("{name} of domain {domain}"),
        }
    }
}
