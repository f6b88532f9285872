//! Turns a cloud's entry of `clouds.yaml` into a [`CloudConfig`].

use super::{ApplicationCredential, CloudConfig, ConfigError, Credential, Domain, Interface, Named};
use crate::auth::with_root;
use reqwest::Url;
use secrecy::SecretString;
use serde_json::{Map, Value};
use std::{collections::BTreeMap, path::Path};

/// Keys of `auth` that are understood. Any other is an error: a misspelt one would only show as a refused login.
const AUTH_KEYS: [&str; 17] = [
    "auth_url",
    "username",
    "user_id",
    "password",
    "user_domain_id",
    "user_domain_name",
    "project_name",
    "project_id",
    "tenant_name",
    "tenant_id",
    "project_domain_id",
    "project_domain_name",
    "default_domain_id",
    "default_domain_name",
    "application_credential_id",
    "application_credential_name",
    "application_credential_secret",
];

/// One cloud's entry, for error messages.
struct Entry<'a> {
    path: &'a Path,
    cloud: &'a str,
    values: &'a Map<String, Value>,
    auth: Map<String, Value>,
}

/// Reads an entry.
pub(super) fn parse(path: &Path, cloud: &str, values: &Map<String, Value>) -> Result<CloudConfig, ConfigError> {
    let mut entry = Entry { path, cloud, values, auth: Map::new() };
    entry.auth = match values.get("auth") {
        Some(Value::Object(auth)) => auth.clone(),
        _ => return Err(entry.wrong("auth", "a mapping with `auth_url` and credentials is missing")),
    };
    if let Some(unknown) = entry.auth.keys().find(|key| !AUTH_KEYS.contains(&key.as_str())) {
        let problem = format!("is not a known key; known are {}", AUTH_KEYS.join(", "));
        return Err(entry.wrong(&format!("auth.{unknown}"), &problem));
    }
    if let Some(profile) = values.get("profile") {
        let problem = format!("vendor profiles (here {profile}) are not supported: write `auth.auth_url` out");
        return Err(entry.wrong("profile", &problem));
    }
    let auth_url = entry.auth("auth_url")?.ok_or_else(|| entry.wrong("auth.auth_url", "is missing"))?;
    Ok(CloudConfig {
        name: cloud.to_owned(),
        auth_url: entry.auth_url(&auth_url)?,
        credential: entry.credential()?,
        region: entry.region()?,
        interface: entry.interface()?,
        endpoint_overrides: entry.overrides()?,
        verify: entry.flag("verify")?.unwrap_or(!entry.flag("insecure")?.unwrap_or(false)),
        ca_bundle: entry.ca_bundle()?,
    })
}

impl Entry<'_> {
    fn wrong(&self, key: &str, problem: &str) -> ConfigError {
        let (path, cloud, key) = (self.path.to_owned(), self.cloud.to_owned(), key.to_owned());
        ConfigError::Key { path, cloud, key, problem: problem.to_owned() }
    }

    /// A value that is text, or was meant to be: a password of digits is a number in YAML.
    fn text(&self, values: &Map<String, Value>, prefix: &str, key: &str) -> Result<Option<String>, ConfigError> {
        match values.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            Some(_) => Err(self.wrong(&format!("{prefix}{key}"), "text is expected; quote it")),
        }
    }

    fn top(&self, key: &str) -> Result<Option<String>, ConfigError> {
        self.text(self.values, "", key)
    }

    fn auth(&self, key: &str) -> Result<Option<String>, ConfigError> {
        self.text(&self.auth, "auth.", key)
    }

    fn required(&self, key: &str) -> Result<String, ConfigError> {
        self.auth(key)?.ok_or_else(|| self.wrong(&format!("auth.{key}"), "is missing"))
    }

    /// Booleans as YAML 1.1 has them, which openstacksdk reads.
    fn flag(&self, key: &str) -> Result<Option<bool>, ConfigError> {
        match self.values.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(Value::String(text)) => match text.to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" | "1" => Ok(Some(true)),
                "false" | "no" | "off" | "0" => Ok(Some(false)),
                _ => Err(self.wrong(key, "`true` or `false` is expected")),
            },
            Some(_) => Err(self.wrong(key, "`true` or `false` is expected")),
        }
    }

    /// Keystone's URL with `/v3`, which clouds.yaml may leave out.
    fn auth_url(&self, text: &str) -> Result<Url, ConfigError> {
        let url = self.url("auth.auth_url", text)?;
        if url.path().trim_end_matches('/').ends_with("/v2.0") {
            return Err(self.wrong("auth.auth_url", "ends with /v2.0, but only version 3 of Keystone is supported"));
        }
        Ok(with_root(url, "v3"))
    }

    fn url(&self, key: &str, text: &str) -> Result<Url, ConfigError> {
        let url = Url::parse(text).map_err(|error| self.wrong(key, &format!("`{text}` isn't a URL: {error}")))?;
        match url.scheme() {
            "http" | "https" => Ok(url),
            _ => Err(self.wrong(key, &format!("`{text}` must begin with http:// or https://"))),
        }
    }

    fn credential(&self) -> Result<Credential, ConfigError> {
        let auth_type = self.top("auth_type")?;
        let application = self.auth.contains_key("application_credential_secret");
        let auth_type =
            auth_type.as_deref().unwrap_or(if application { "v3applicationcredential" } else { "password" });
        match auth_type {
            "password" | "v3password" => {
                let project =
                    self.named("project", self.first(&["project_id", "tenant_id"])?, &["project_name", "tenant_name"])?;
                Ok(Credential::Password {
                    user: self.user()?,
                    password: SecretString::from(self.required("password")?),
                    project,
                })
            }
            "v3applicationcredential" => {
                let credential = match self.auth("application_credential_id")? {
                    Some(id) => ApplicationCredential::Id(id),
                    None => {
                        let name = self.auth("application_credential_name")?.ok_or_else(|| {
                            let problem = "is missing (or application_credential_name with the user's name or id)";
                            self.wrong("auth.application_credential_id", problem)
                        })?;
                        ApplicationCredential::Name { name, user: self.user()? }
                    }
                };
                let secret = SecretString::from(self.required("application_credential_secret")?);
                Ok(Credential::ApplicationCredential { credential, secret })
            }
            other => {
                let problem = format!("`{other}` is not supported: use `password` or `v3applicationcredential`");
                Err(self.wrong("auth_type", &problem))
            }
        }
    }

    fn user(&self) -> Result<Named, ConfigError> {
        self.named("user", self.auth("user_id")?, &["username"])
    }

    fn first(&self, keys: &[&str]) -> Result<Option<String>, ConfigError> {
        for key in keys {
            if let Some(text) = self.auth(key)? {
                return Ok(Some(text));
            }
        }
        Ok(None)
    }

    /// A user or project, by identifier or by one of the name keys and its domain.
    fn named(&self, what: &str, id: Option<String>, names: &[&str]) -> Result<Named, ConfigError> {
        if let Some(id) = id {
            return Ok(Named::Id(id));
        }
        let usual = names.first().copied().unwrap_or(what);
        let missing = || self.wrong(&format!("auth.{usual}"), &format!("is missing (or auth.{what}_id)"));
        let name = self.first(names)?.ok_or_else(missing)?;
        let (id_key, name_key) = (format!("{what}_domain_id"), format!("{what}_domain_name"));
        let domain = if let Some(id) = self.auth(&id_key)? {
            Domain::Id(id)
        } else if let Some(name) = self.auth(&name_key)? {
            Domain::Name(name)
        } else if let Some(id) = self.auth("default_domain_id")? {
            Domain::Id(id)
        } else if let Some(name) = self.auth("default_domain_name")? {
            Domain::Name(name)
        } else {
            let problem = format!("is missing (or auth.{id_key}): auth.{usual} is unique only in a domain");
            return Err(self.wrong(&format!("auth.{name_key}"), &problem));
        };
        Ok(Named::Name { name, domain })
    }

    fn region(&self) -> Result<Option<String>, ConfigError> {
        if let Some(region) = self.top("region_name")? {
            return Ok(Some(region));
        }
        match self.values.get("regions") {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Array(regions)) => match regions.as_slice() {
                [] => Ok(None),
                [Value::String(region)] => Ok(Some(region.clone())),
                _ => Err(self.wrong("regions", "has more than a name: choose one by `region_name`")),
            },
            Some(_) => Err(self.wrong("regions", "a list is expected")),
        }
    }

    fn interface(&self) -> Result<Interface, ConfigError> {
        let key = if self.values.contains_key("interface") { "interface" } else { "endpoint_type" };
        let Some(interface) = self.top(key)? else { return Ok(Interface::default()) };
        // The old form is `publicURL`.
        match interface.strip_suffix("URL").unwrap_or(&interface) {
            "public" => Ok(Interface::Public),
            "internal" => Ok(Interface::Internal),
            "admin" => Ok(Interface::Admin),
            _ => Err(self.wrong(key, &format!("`{interface}` isn't one of `public`, `internal` and `admin`"))),
        }
    }

    /// `network_endpoint_override` and the like, by service type.
    fn overrides(&self) -> Result<BTreeMap<String, Url>, ConfigError> {
        let mut overrides = BTreeMap::new();
        for key in self.values.keys() {
            if let Some(service) = key.strip_suffix("_endpoint_override")
                && let Some(text) = self.top(key)?
            {
                overrides.insert(service.replace('_', "-"), self.url(key, &text)?);
            }
        }
        Ok(overrides)
    }

    fn ca_bundle(&self) -> Result<Option<Vec<u8>>, ConfigError> {
        let Some(file) = self.top("cacert")? else { return Ok(None) };
        let read = std::fs::read(&file);
        read.map(Some).map_err(|error| self.wrong("cacert", &format!("{file} can't be read: {error}")))
    }
}
