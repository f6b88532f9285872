//! Finds and merges `clouds.yaml` and `secure.yaml`.

use super::ConfigError;
use serde_json::{Map, Value};
use std::{
    env,
    path::{Path, PathBuf},
};

/// The files that clouds are read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// `clouds.yaml`.
    pub clouds: PathBuf,
    /// `secure.yaml`: the same form, merged over it, usually only the passwords.
    pub secure: Option<PathBuf>,
}

impl Files {
    /// Finds the files as openstacksdk does: the one that `OS_CLIENT_CONFIG_FILE` (`OS_CLIENT_SECURE_FILE`) names, else the
    /// first of the working directory, `$XDG_CONFIG_HOME/openstack` (`~/.config/openstack`) and `/etc/openstack`. Unlike
    /// there, a named file that doesn't exist is an error, because another cloud's credentials would be used.
    ///
    /// # Errors
    /// When there is no `clouds.yaml`.
    pub fn from_environment() -> Result<Self, ConfigError> {
        let named = |variable| env::var_os(variable).filter(|path| !path.is_empty()).map(PathBuf::from);
        let folders = folders();
        let clouds = match named("OS_CLIENT_CONFIG_FILE") {
            Some(path) => path,
            None => first(&folders, "clouds").ok_or_else(|| {
                let searched: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
                ConfigError::NotFound { searched: searched.join(", ") }
            })?,
        };
        Ok(Self { clouds, secure: named("OS_CLIENT_SECURE_FILE").or_else(|| first(&folders, "secure")) })
    }

    /// The cloud `name`, or the only one, with what `secure.yaml` adds to it.
    pub(super) fn entry(&self, name: Option<&str>) -> Result<(String, Map<String, Value>), ConfigError> {
        let mut clouds = clouds(&self.clouds)?;
        if let Some(secure) = &self.secure {
            for (name, entry) in self::clouds(secure)? {
                // A cloud that only secure.yaml knows can't be used anyway.
                if let Some(known) = clouds.get_mut(&name) {
                    merge(known, entry);
                }
            }
        }
        let available: Vec<String> = clouds.keys().map(|name| format!("`{name}`")).collect();
        let missing = |problem: String| ConfigError::NoCloud {
            path: self.clouds.clone(),
            problem,
            available: if available.is_empty() { "no clouds".to_owned() } else { available.join(", ") },
        };
        let name = match (name, clouds.keys().next()) {
            (Some(name), _) => name.to_owned(),
            (None, Some(only)) if clouds.len() == 1 => only.clone(),
            (None, _) => return Err(missing("no cloud was chosen (set OS_CLOUD or name one)".to_owned())),
        };
        match clouds.remove(&name) {
            Some(Value::Object(entry)) => Ok((name, entry)),
            Some(_) => Err(missing(format!("cloud `{name}` isn't a mapping"))),
            None => Err(missing(format!("there is no cloud `{name}`"))),
        }
    }
}

/// The folders that are searched.
fn folders() -> Vec<PathBuf> {
    let absolute = |path: PathBuf| Some(path).filter(|path| path.is_absolute());
    let home = || env::var_os("HOME").map(PathBuf::from).map(|home| home.join(".config"));
    let user = env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).and_then(absolute).or_else(home);
    let mut folders = vec![PathBuf::from(".")];
    folders.extend(user.map(|folder| folder.join("openstack")));
    folders.push(PathBuf::from("/etc/openstack"));
    folders
}

fn first(folders: &[PathBuf], stem: &str) -> Option<PathBuf> {
    let names = ["yaml", "yml", "json"].map(|ending| format!("{stem}.{ending}"));
    folders.iter().flat_map(|folder| names.iter().map(move |name| folder.join(name))).find(|path| path.is_file())
}

/// The member `clouds` of a file.
fn clouds(path: &Path) -> Result<Map<String, Value>, ConfigError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    let malformed = |reason: String| ConfigError::NotYaml { path: path.to_owned(), reason };
    // The text of the error may quote the file, secrets included, so only its place is told.
    // Only `true` and `false` are booleans, so that a user named `n` or `on` stays text.
    let options = serde_saphyr::options! { strict_booleans: true };
    let file: Value = serde_saphyr::from_str_with_options(&text, options).map_err(|error| malformed(place(&error)))?;
    match file.get("clouds") {
        Some(Value::Object(clouds)) => Ok(clouds.clone()),
        None | Some(Value::Null) => Ok(Map::new()),
        Some(_) => Err(malformed("`clouds` isn't a mapping".to_owned())),
    }
}

fn place(error: &serde_saphyr::Error) -> String {
    match error.location() {
        Some(location) => format!("see line {}, column {}", location.line(), location.column()),
        None => "it can't be parsed".to_owned(),
    }
}

/// Puts `over` over `under`, mapping by mapping.
fn merge(under: &mut Value, over: Value) {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            for (key, value) in over {
                merge(under.entry(key).or_insert(Value::Null), value);
            }
        }
        (under, over) => *under = over,
    }
}
