//! Address groups: sets of prefixes that rules refer to.

use super::{
    Failure, Neutron, Outcome, Request,
    attribute::{Attribute, Kind, check_change, check_new, fixed, free, plain, read_only},
    body::Body,
    list::Query,
    object::{self, Meta, Names, Object},
};
use crate::{call::Call, uuid::Uuid};
use ipnet::IpNet;
use serde_json::Value;
use std::{collections::BTreeSet, net::IpAddr};

/// The API takes longer descriptions than the database.
const ATTRIBUTES: [Attribute; 3] =
    [fixed("addresses", Kind::Prefixes), free("description", Kind::Text(1024)), read_only("shared")];

/// Longest description in the database.
const LONGEST: usize = 255;

#[derive(Debug)]
pub(super) struct AddressGroup {
    pub meta: Meta,
    pub addresses: BTreeSet<IpNet>,
}

impl Object for AddressGroup {
    const NAMES: Names = Names {
        one: "address_group",
        many: "address_groups",
        quota: "address_group",
        title: "Address group",
        not_found: "AddressGroupNotFound",
        missing: "could not be found.",
    };
    const FIELDS: &'static [&'static str] = &["addresses"];
    const HAS_TAGS: bool = false;

    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn field(&self, name: &str) -> Value {
        match name {
            "addresses" => self.addresses.iter().map(ToString::to_string).collect(),
            _ => Value::Null,
        }
    }

    fn get(neutron: &Neutron, id: Uuid) -> Option<&Self> {
        neutron.address_groups.get(&id)
    }

    fn get_mut(neutron: &mut Neutron, id: Uuid) -> Option<&mut Meta> {
        neutron.address_groups.get_mut(&id).map(|group| &mut group.meta)
    }

    fn list(neutron: &mut Neutron, request: &Request<'_>) -> Outcome {
        let query = Query::parse(&request.call.query, Self::FIELDS)?;
        neutron.page(request, &query, neutron.address_groups.values())
    }

    /// Neutron has no quota of address groups.
    fn count(_: &Neutron, _: &str) -> usize {
        0
    }

    /// A bulk request is always a failure of Neutron's.
    fn check(_: &Neutron, request: &Request<'_>, body: Body<'_>) -> Result<(), Failure> {
        check_new(&ATTRIBUTES, body)?;
        let bulk = request.call.body.as_deref().is_some_and(|envelope| envelope.get(Self::NAMES.many).is_some());
        if bulk || is_too_long(body) { Err(Failure::server()) } else { Ok(()) }
    }

    fn create(neutron: &mut Neutron, request: &Request<'_>, body: Body<'_>) -> Result<Uuid, Failure> {
        let addresses = prefixes(body.list("addresses").unwrap_or_default())?;
        let meta = Meta::new(request, body);
        let id = meta.id;
        neutron.address_groups.insert(id, Self { meta, addresses });
        Ok(id)
    }

    fn update(neutron: &mut Neutron, _: &Request<'_>, id: Uuid, body: Body<'_>) -> Result<(), Failure> {
        check_change(&ATTRIBUTES, body)?;
        if is_too_long(body) {
            return Err(Failure::server());
        }
        if let Some(group) = neutron.address_groups.get_mut(&id)
            && group.meta.update(body)
        {
            group.meta.touch();
        }
        Ok(())
    }

    fn delete(neutron: &mut Neutron, _: &Request<'_>, id: Uuid) -> Result<(), Failure> {
        let mut rules = neutron.groups.values().flat_map(|group| group.rules.values());
        if rules.any(|rule| rule.what.address_group == Some(id)) {
            let message = format!("Address group {id} is in use on one or more security group rules.");
            return Err(Failure::conflict("AddressGroupInUse", message));
        }
        Self::remove(neutron, id);
        Ok(())
    }

    fn remove(neutron: &mut Neutron, id: Uuid) {
        neutron.address_groups.remove(&id);
    }
}

impl Neutron {
    /// How many addresses the address group has that a request is about: what its latency depends on.
    pub fn members(&self, call: &Call) -> usize {
        let ["address-groups", id, ..] = call.segments()[..] else { return 0 };
        let group = id.parse().ok().and_then(|id: Uuid| self.address_groups.get(&id));
        group.map_or(0, |group| group.addresses.len())
    }

    /// Adds prefixes to a group or removes some, all or none.
    pub(super) fn change_addresses(&mut self, request: &Request<'_>, id: &str, adds: bool) -> Outcome {
        let id = self.checked::<AddressGroup>(request, id)?;
        let body = request.call.body.as_deref().and_then(|body| body.get("addresses")).and_then(Value::as_array);
        // Also for a body in an envelope.
        let wanted = prefixes(body.ok_or_else(Failure::server)?)?;
        let Some(group) = self.address_groups.get_mut(&id) else { return Err(Failure::no_such_path()) };
        let wrong: Vec<String> = wanted
            .iter()
            .filter(|prefix| group.addresses.contains(*prefix) == adds)
            .map(|prefix| format!("'{prefix}'"))
            .collect();
        if !wrong.is_empty() {
            return Err(refusal(&wrong.join(", "), id, adds));
        }
        if !wanted.is_empty() {
            group.meta.touch();
        }
        if adds {
            group.addresses.extend(wanted);
        } else {
            group.addresses.retain(|prefix| !wanted.contains(prefix));
        }
        Ok(object::answer_one(200, self.stored::<AddressGroup>(id)?, &[]))
    }
}

fn is_too_long(body: Body<'_>) -> bool {
    body.text("description").is_some_and(|text| text.chars().count() > LONGEST)
}

fn refusal(addresses: &str, id: Uuid, adds: bool) -> Failure {
    if adds {
        let message = format!("Addresses [{addresses}] already exist in the address group {id}.");
        Failure::new(400, "AddressesAlreadyExist", message)
    } else {
        let message = format!("Addresses [{addresses}] not found in the address group {id}.");
        Failure::new(404, "AddressesNotFound", message)
    }
}

/// Prefixes without host bits, each once. An address is a prefix of its whole length.
fn prefixes(list: &[Value]) -> Result<BTreeSet<IpNet>, Failure> {
    let parse = |value: &Value| {
        let text = plain(value);
        let prefix = text.parse().ok().or_else(|| text.parse().ok().map(|address: IpAddr| IpNet::from(address)));
        let wrong = || Failure::new(400, "AddrFormatError", format!("invalid IPNetwork {text}"));
        prefix.map(|prefix: IpNet| prefix.trunc()).ok_or_else(wrong)
    };
    list.iter().map(parse).collect()
}
