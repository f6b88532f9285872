//! The INI files that the OpenStack services read.

use std::fmt::Write;

/// An INI file under construction.
#[derive(Debug, Default)]
pub(crate) struct Ini(String);

impl Ini {
    /// An empty file.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a section.
    #[must_use]
    pub fn section<K: AsRef<str>, V: AsRef<str>>(mut self, name: &str, keys: impl IntoIterator<Item = (K, V)>) -> Self {
        // Writing to a String can't fail.
        let _ = writeln!(self.0, "[{name}]");
        for (key, value) in keys {
            let _ = writeln!(self.0, "{} = {}", key.as_ref(), value.as_ref());
        }
        self.0.push('\n');
        self
    }

    /// The text of the file.
    pub fn text(&self) -> &str {
        &self.0
    }
}

/// How a service proves to Keystone who it is, and asks it who others are: the keys of `[keystone_authtoken]` and of
/// every section in which Octavia is a client.
pub(super) fn service_credentials(user: &str) -> Vec<(&'static str, String)> {
    let keystone = super::keystone::base_url();
    vec![
        ("www_authenticate_uri", keystone.clone()),
        ("auth_url", keystone),
        ("auth_type", "password".into()),
        ("project_domain_id", "default".into()),
        ("user_domain_id", "default".into()),
        ("project_name", "service".into()),
        ("username", user.into()),
        ("password", super::PASSWORD.into()),
        ("region_name", "RegionOne".into()),
    ]
}

/// `key = -1` for every quota: a lab that runs hundreds of pods has no use for limits.
pub(super) fn unlimited(keys: &[&'static str]) -> Vec<(&'static str, &'static str)> {
    keys.iter().map(|key| (*key, "-1")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_written_in_order() {
        let ini = Ini::new().section("DEFAULT", [("a", "1"), ("b", "2")]).section("quotas", unlimited(&["quota_port"]));
        assert_eq!(ini.text(), "[DEFAULT]\na = 1\nb = 2\n\n[quotas]\nquota_port = -1\n\n");
    }
}
