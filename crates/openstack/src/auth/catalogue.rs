//! The catalogue: where the services of a cloud are.

use crate::{config::Interface, endpoint::Service};
use reqwest::Url;
use serde::Deserialize;
use std::collections::BTreeSet;

/// Keystone's catalogue, as it comes with a token.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(transparent)]
pub(crate) struct Catalogue(Vec<Entry>);

#[derive(Debug, Clone, Deserialize)]
struct Entry {
    #[serde(rename = "type")]
    service_type: String,
    #[serde(default)]
    endpoints: Vec<Address>,
}

#[derive(Debug, Clone, Deserialize)]
struct Address {
    interface: String,
    #[serde(default)]
    region_id: Option<String>,
    #[serde(default)]
    region: Option<String>,
    url: String,
}

impl Address {
    fn region(&self) -> Option<&str> {
        self.region_id.as_deref().or(self.region.as_deref())
    }
}

impl Catalogue {
    /// The URL of a service. Without a region there must be only one to choose from.
    pub fn endpoint(&self, service: Service, region: Option<&str>, interface: Interface) -> Result<Url, String> {
        let wanted = service.catalogue_type;
        let (interface, hint) = (interface.as_str(), wanted.replace('-', "_"));
        let of_service: Vec<&Address> =
            self.0.iter().filter(|entry| entry.service_type == wanted).flat_map(|entry| &entry.endpoints).collect();
        let found: Vec<&Address> = of_service
            .iter()
            .copied()
            .filter(|address| address.interface == interface)
            .filter(|address| region.is_none_or(|region| address.region() == Some(region)))
            .collect();
        let regions: BTreeSet<&str> = found.iter().filter_map(|address| address.region()).collect();
        if regions.len() > 1 {
            let regions: Vec<&str> = regions.into_iter().collect();
            return Err(format!(
                "the catalogue has a `{wanted}` service in several regions ({}): set `region_name` in clouds.yaml",
                regions.join(", ")
            ));
        }
        let Some(address) = found.first() else {
            let offers: BTreeSet<String> = of_service
                .iter()
                .map(|address| format!("{} in {}", address.interface, address.region().unwrap_or("no region")))
                .collect();
            let offers: Vec<String> = offers.into_iter().collect();
            let offers = if offers.is_empty() { "nothing of this type".to_owned() } else { offers.join(", ") };
            return Err(format!(
                "the catalogue has no {interface} endpoint of a `{wanted}` service in region {}; it has {offers}. Check \
                 `region_name` and `interface` in clouds.yaml, or set `{hint}_endpoint_override`",
                region.map_or("(any)".to_owned(), |region| format!("`{region}`")),
            ));
        };
        Url::parse(&address.url).map_err(|error| {
            format!("the catalogue's URL `{}` of the `{wanted}` service isn't one: {error}", address.url)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalogue() -> Catalogue {
        serde_json::from_str(
            r#"[
              {"type": "network", "name": "neutron", "endpoints": [
                {"interface": "public", "region_id": "north", "region": "north", "url": "http://public.north"},
                {"interface": "internal", "region_id": "north", "url": "http://internal.north"},
                {"interface": "public", "region": "south", "url": "http://public.south"}]},
              {"type": "identity", "endpoints": [{"interface": "public", "region": null, "url": "nonsense"}]},
              {"type": "empty"}]"#,
        )
        .unwrap()
    }

    #[test]
    fn region_and_interface_choose() {
        let find = |region, interface| catalogue().endpoint(Service::NETWORK, region, interface);
        assert_eq!(find(Some("north"), Interface::Public).unwrap().as_str(), "http://public.north/");
        assert_eq!(find(Some("south"), Interface::Public).unwrap().as_str(), "http://public.south/");
        assert_eq!(find(None, Interface::Internal).unwrap().as_str(), "http://internal.north/");
    }

    #[test]
    fn what_can_not_be_chosen_says_what_there_is() {
        let find = |region, interface| catalogue().endpoint(Service::NETWORK, region, interface).unwrap_err();
        assert!(find(None, Interface::Public).contains("in several regions (north, south)"));
        let south = find(Some("south"), Interface::Internal);
        assert!(south.contains("it has internal in north, public in north, public in south"), "{south}");
        assert!(south.contains("`network_endpoint_override`"), "{south}");
        let missing = Service { catalogue_type: "load-balancer", root: "v2" };
        let missing = catalogue().endpoint(missing, None, Interface::Public).unwrap_err();
        assert!(missing.contains("nothing of this type") && missing.contains("load_balancer_endpoint_override"));
        let nonsense = catalogue().endpoint(Service::IDENTITY, None, Interface::Public).unwrap_err();
        assert!(nonsense.contains("`nonsense`"), "{nonsense}");
    }
}
