//! Where the services are.

use crate::Service;
use serde_json::{Value, json};

/// The services' URLs, in each region.
#[derive(Debug, Clone)]
pub(crate) struct Catalogue {
    pub regions: Vec<String>,
    pub urls: Vec<(Service, String)>,
}

impl Catalogue {
    /// The catalogue as it comes with a token.
    pub fn to_json(&self) -> Value {
        self.urls
            .iter()
            .map(|(service, url)| {
                let endpoints: Vec<Value> = self
                    .regions
                    .iter()
                    .flat_map(|region| ["public", "internal", "admin"].map(|interface| (region, interface)))
                    .map(|(region, interface)| {
                        let id = format!("{}-{region}-{interface}", service.name());
                        json!({ "id": id, "interface": interface, "region_id": region, "region": region, "url": url })
                    })
                    .collect();
                json!({ "id": service.name(), "type": service.catalogue_type(), "name": service.name(), "endpoints": endpoints })
            })
            .collect()
    }
}
