//! API extensions: what this Neutron can do.

use super::{Neutron, Resource};
use crate::Error;
use serde::Deserialize;

const EXTENSIONS: Resource = Resource { path: "extensions", one: "extension", many: "extensions" };

/// What rules need to refer to address groups: the groups themselves, and the rule's attribute `remote_address_group_id`.
const ADDRESS_GROUPS_IN_RULES: [&str; 2] = ["address-group", "security-groups-remote-address-group"];

/// An extension.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Extension {
    /// Short name, as `security-groups-remote-address-group`.
    pub alias: String,
    /// Name for people.
    #[serde(default)]
    pub name: String,
}

impl Neutron {
    /// Lists the extensions that this Neutron has loaded.
    ///
    /// # Errors
    /// When the request fails.
    pub async fn list_extensions(&self) -> Result<Vec<Extension>, Error> {
        self.api.list(EXTENSIONS, Vec::new()).await
    }

    /// Whether this Neutron has address groups and rules that refer to them.
    ///
    /// # Errors
    /// When the request fails.
    pub async fn has_address_groups(&self) -> Result<bool, Error> {
        let extensions = self.list_extensions().await?;
        let has = |alias: &&str| extensions.iter().any(|extension| extension.alias == *alias);
        Ok(ADDRESS_GROUPS_IN_RULES.iter().all(has))
    }
}
