//! How Octavia writes what it writes differently from Neutron.

use serde::{Deserialize, Deserializer, de::DeserializeOwned};

/// Reads `[{"id": ...}, ...]` as identifiers, `null` as none.
pub(super) fn ids<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<Vec<T>, D::Error> {
    let objects = Option::<Vec<Reference<T>>>::deserialize(deserializer)?.unwrap_or_default();
    Ok(objects.into_iter().map(|object| object.id).collect())
}

#[derive(Deserialize)]
struct Reference<T> {
    id: T,
}
