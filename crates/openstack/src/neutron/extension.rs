//! API extensions: what this Neutron can do.

use super::{Neutron, Resource};
use crate::Error;
use serde::Deserialize;

const EXTENSIONS: Resource = Resource { path: "extensions", one: "extension", many: "extensions" };

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
}
