//! Providers: what carries out load balancers.

use super::{Octavia, Resource};
use crate::{Error, value::null_as_default};
use serde::Deserialize;

const PROVIDERS: Resource = Resource { path: "providers", one: "provider", many: "providers" };

/// A provider that load balancers can be created with.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Provider {
    /// Name, as `amphora` or `ovn`. Operators choose it: `octavia` and `amphorav2` are names of the amphora provider too.
    pub name: String,
    /// Text for people.
    #[serde(default, deserialize_with = "null_as_default")]
    pub description: String,
}

impl Octavia {
    /// Lists the providers that are enabled. It doesn't say which one is the default. Since API 2.1.
    ///
    /// # Errors
    /// When the request fails.
    pub async fn list_providers(&self) -> Result<Vec<Provider>, Error> {
        self.api.list(PROVIDERS, Vec::new()).await
    }
}
