//! Address groups: sets of prefixes that security group rules refer to. An address that comes or goes changes no rule.
//!
//! Meanings are those of the API reference's section "Address groups" (`/v2.0/address-groups`); what it leaves open was measured:
//! docs/neutron-groups.md.

use super::{
    AddressGroupId, Neutron, ProjectId, Resource,
    value::{Filters, null_as_default},
};
use crate::Error;
use ipnet::IpNet;
use reqwest::Method;
use serde::{Deserialize, Serialize};

const ADDRESS_GROUPS: Resource = Resource { path: "address-groups", one: "address_group", many: "address_groups" };

/// Most addresses that a request should hold: each costs Neutron some 10 ms, so that this many take 5 to 8 s, and proxies don't wait for
/// ever. (Neutron itself refuses bodies of more than 114,688 bytes.)
pub const MOST_ADDRESSES_PER_REQUEST: usize = 500;

/// Addresses that Neutron adds or removes in the time that it needs to create another object.
const ADDRESSES_PER_ITEM: usize = 50;

/// An address group. Whatever the `fields` of a list request leave out has its default value.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct AddressGroup {
    /// Identifier.
    pub id: AddressGroupId,
    /// Name; not unique.
    #[serde(deserialize_with = "null_as_default")]
    pub name: String,
    /// Free text; Kuryr's owner mark is here.
    #[serde(deserialize_with = "null_as_default")]
    pub description: String,
    /// Project that the group belongs to.
    #[serde(deserialize_with = "null_as_default")]
    pub project_id: ProjectId,
    /// Prefixes of both families, without host bits, each once, in no order. Addresses are prefixes of 32 or 128 bits.
    #[serde(deserialize_with = "null_as_default")]
    pub addresses: Vec<IpNet>,
    /// Grows with every change.
    pub revision_number: Option<i64>,
}

/// An address group to create.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct NewAddressGroup {
    /// Name.
    pub name: String,
    /// Free text, at most 255 characters (a longer one is a 500): the owner mark.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Prefixes, each once (twice the same is a 400); at most [`MOST_ADDRESSES_PER_REQUEST`].
    pub addresses: Vec<IpNet>,
    /// Another project than the caller's. Needs an administrator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project_id: Option<ProjectId>,
}

/// A change of an address group's texts. `None` leaves a value as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct AddressGroupUpdate {
    /// Name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Free text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// Which address groups to list. Values of one field are alternatives, fields must all match, an empty field matches everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AddressGroupQuery {
    /// Identifiers.
    pub ids: Vec<AddressGroupId>,
    /// Names.
    pub names: Vec<String>,
    /// Descriptions.
    pub descriptions: Vec<String>,
    /// Projects. An administrator sees the groups of all projects.
    pub project_ids: Vec<ProjectId>,
    /// Fields to answer, as `id` or `description`; empty: all.
    pub fields: Vec<&'static str>,
    /// Objects per request; `None`: as many as the service likes.
    pub page_size: Option<usize>,
}

impl Neutron {
    /// Creates an address group with its addresses. Not repeated when the outcome is unknown: look for its description first, and
    /// compare the addresses (Neutron creates the group first, then adds them).
    ///
    /// # Errors
    /// Most notable kinds: `BadRequest` (a prefix twice, too many addresses), `Malformed` (the cloud has no address groups).
    pub async fn create_address_group(&self, new: &NewAddressGroup) -> Result<AddressGroup, Error> {
        let endpoint = self.api.endpoint(ADDRESS_GROUPS, Method::POST, &[ADDRESS_GROUPS.path]);
        let endpoint = endpoint.items(items(new.addresses.len())).of_any_size().body(ADDRESS_GROUPS.one, new);
        self.api.cloud.run(&endpoint.answer_in(ADDRESS_GROUPS.one)).await
    }

    /// Reads an address group with its addresses.
    ///
    /// # Errors
    /// `NotFound` when there is no such group.
    pub async fn get_address_group(&self, id: &AddressGroupId) -> Result<AddressGroup, Error> {
        self.api.get(ADDRESS_GROUPS, id.as_str()).await
    }

    /// Lists the address groups that match, with their addresses unless `fields` leaves them out, following all pages.
    ///
    /// # Errors
    /// When one of the requests fails.
    pub async fn list_address_groups(&self, query: &AddressGroupQuery) -> Result<Vec<AddressGroup>, Error> {
        let parameters = Filters::default()
            .any("id", &query.ids)
            .any("name", &query.names)
            .any("description", &query.descriptions)
            .any("project_id", &query.project_ids)
            .any("fields", &query.fields)
            .paged(query.page_size);
        self.api.list(ADDRESS_GROUPS, parameters).await
    }

    /// Changes name or description of an address group. Its addresses are changed by [`Self::add_addresses`] and
    /// [`Self::remove_addresses`] only.
    ///
    /// # Errors
    /// `NotFound` when there is no such group.
    pub async fn update_address_group(
        &self,
        id: &AddressGroupId,
        update: &AddressGroupUpdate,
    ) -> Result<AddressGroup, Error> {
        self.api.update(ADDRESS_GROUPS, id.as_str(), update).await
    }

    /// Adds prefixes to an address group, all or none; answers the group with all that it has then. An empty list changes nothing,
    /// a prefix twice is the same as once.
    ///
    /// # Errors
    /// `Conflict` (`AddressesAlreadyExist`) when the group has one of them already: nothing was done, unless an earlier attempt
    /// did it (`outcome_unknown`); read the group and send the difference. `NotFound` when there is no such group.
    pub async fn add_addresses(&self, id: &AddressGroupId, addresses: &[IpNet]) -> Result<AddressGroup, Error> {
        self.change_addresses(id, "add_addresses", addresses).await
    }

    /// Removes prefixes from an address group, all or none; answers the group with what is left. An empty list changes nothing,
    /// a prefix twice is the same as once.
    ///
    /// # Errors
    /// `Conflict` (`AddressesNotFound`) when the group has one of them no more: nothing was done, unless an earlier attempt did
    /// it (`outcome_unknown`); read the group and send the difference. `NotFound` when there is no such group.
    pub async fn remove_addresses(&self, id: &AddressGroupId, addresses: &[IpNet]) -> Result<AddressGroup, Error> {
        self.change_addresses(id, "remove_addresses", addresses).await
    }

    /// The body has no envelope: with one Neutron 29 answers 500.
    async fn change_addresses(
        &self,
        id: &AddressGroupId,
        action: &str,
        addresses: &[IpNet],
    ) -> Result<AddressGroup, Error> {
        let endpoint = self.api.endpoint(ADDRESS_GROUPS, Method::PUT, &[ADDRESS_GROUPS.path, id.as_str(), action]);
        let endpoint = endpoint.items(items(addresses.len())).of_any_size().body("addresses", &addresses);
        self.api.cloud.run(&endpoint.answer_in(ADDRESS_GROUPS.one)).await
    }

    /// Deletes an address group with its addresses.
    ///
    /// # Errors
    /// `Conflict` (`AddressGroupInUse`) while rules refer to it, `NotFound` when there was no such group at the first attempt.
    pub async fn delete_address_group(&self, id: &AddressGroupId) -> Result<(), Error> {
        let endpoint = self.api.endpoint(ADDRESS_GROUPS, Method::DELETE, &[ADDRESS_GROUPS.path, id.as_str()]);
        self.api.cloud.run(&endpoint.of_any_size()).await
    }
}

/// Objects that a request with so many addresses counts for: what its timeout depends on.
const fn items(addresses: usize) -> usize {
    1 + addresses / ADDRESSES_PER_ITEM
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn addresses_are_written_as_neutron_wants_them() {
        let new = NewAddressGroup {
            name: "n".to_owned(),
            addresses: ["10.0.0.1/32", "fd00::/64", "::ffff:10.0.0.1/128"].map(|text| text.parse().unwrap()).into(),
            ..NewAddressGroup::default()
        };
        let expected = json!({ "name": "n", "addresses": ["10.0.0.1/32", "fd00::/64", "::ffff:10.0.0.1/128"] });
        assert_eq!(serde_json::to_value(new).unwrap(), expected);
    }

    #[test]
    fn what_a_list_leaves_out_is_empty() {
        let group: AddressGroup = serde_json::from_value(json!({ "id": "a", "description": null })).unwrap();
        assert_eq!(group, AddressGroup { id: "a".into(), ..AddressGroup::default() });
    }
}
