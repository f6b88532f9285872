//! Subnet pools.

use super::{
    Failure, Neutron, Outcome, Request,
    attribute::{Attribute, Kind, check_change, check_new, fixed, free, required},
    body::Body,
    list::Query,
    object::{Meta, Names, Object},
    subnet::overlap,
};
use crate::uuid::Uuid;
use ipnet::IpNet;
use serde_json::Value;

const ATTRIBUTES: [Attribute; 8] = [
    required("prefixes", Kind::List),
    free("default_prefixlen", Kind::Integer),
    free("min_prefixlen", Kind::Integer),
    free("max_prefixlen", Kind::Integer),
    fixed("shared", Kind::Flag),
    free("is_default", Kind::Flag),
    free("default_quota", Kind::Any),
    free("address_scope_id", Kind::UuidOrNull),
];

#[derive(Debug)]
pub(super) struct SubnetPool {
    meta: Meta,
    prefixes: Vec<IpNet>,
    default_length: u8,
    least_length: u8,
    most_length: u8,
    shared: bool,
}

impl Object for SubnetPool {
    const NAMES: Names = Names {
        one: "subnetpool",
        many: "subnetpools",
        quota: "subnetpool",
        title: "Subnet pool",
        not_found: "SubnetPoolNotFound",
        missing: "could not be found.",
    };
    const FIELDS: &'static [&'static str] = &[
        "prefixes",
        "default_prefixlen",
        "min_prefixlen",
        "max_prefixlen",
        "shared",
        "is_default",
        "ip_version",
        "default_quota",
        "address_scope_id",
    ];

    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn is_shared(&self) -> bool {
        self.shared
    }

    /// The lengths are text, as the real one answers them.
    fn field(&self, name: &str) -> Value {
        match name {
            "prefixes" => self.prefixes.iter().map(ToString::to_string).collect(),
            "default_prefixlen" => self.default_length.to_string().into(),
            "min_prefixlen" => self.least_length.to_string().into(),
            "max_prefixlen" => self.most_length.to_string().into(),
            "shared" => self.shared.into(),
            "is_default" => false.into(),
            "ip_version" => if self.prefixes.iter().all(|prefix| prefix.addr().is_ipv4()) { 4 } else { 6 }.into(),
            _ => Value::Null,
        }
    }

    fn get(neutron: &Neutron, id: Uuid) -> Option<&Self> {
        neutron.pools.get(&id)
    }

    fn get_mut(neutron: &mut Neutron, id: Uuid) -> Option<&mut Meta> {
        neutron.pools.get_mut(&id).map(|pool| &mut pool.meta)
    }

    fn list(neutron: &mut Neutron, request: &Request<'_>) -> Outcome {
        let query = Query::parse(&request.call.query, Self::FIELDS)?;
        neutron.page(request, &query, neutron.pools.values())
    }

    fn count(neutron: &Neutron, project: &str) -> usize {
        neutron.pools.values().filter(|pool| *pool.meta.project == *project).count()
    }

    fn check(_: &Neutron, _: &Request<'_>, body: Body<'_>) -> Result<(), Failure> {
        check_new(&ATTRIBUTES, body)
    }

    fn create(neutron: &mut Neutron, request: &Request<'_>, body: Body<'_>) -> Result<Uuid, Failure> {
        let texts = body.list("prefixes").unwrap_or_default().iter().filter_map(Value::as_str);
        let prefixes: Result<Vec<IpNet>, _> = texts.map(str::parse).collect();
        let prefixes = prefixes.map_err(|_| Failure::attribute("prefixes", "one of them is not a valid IP subnet."))?;
        let Some(longest) = prefixes.first().map(IpNet::max_prefix_len) else {
            return Err(Failure::new(400, "EmptySubnetPoolPrefixList", "Empty subnet pool prefix list."));
        };
        let length =
            |name: &str, default: u8| body.number(name).and_then(|number| u8::try_from(number).ok()).unwrap_or(default);
        let least_length = length("min_prefixlen", if longest == 32 { 8 } else { 64 });
        let pool = Self {
            meta: Meta::new(request, body),
            least_length,
            default_length: length("default_prefixlen", least_length),
            most_length: length("max_prefixlen", longest),
            shared: body.flag("shared").unwrap_or(false),
            prefixes,
        };
        let id = pool.meta.id;
        neutron.pools.insert(id, pool);
        Ok(id)
    }

    fn update(neutron: &mut Neutron, _: &Request<'_>, id: Uuid, body: Body<'_>) -> Result<(), Failure> {
        check_change(&ATTRIBUTES, body)?;
        if let Some(pool) = neutron.pools.get_mut(&id)
            && pool.meta.update(body)
        {
            pool.meta.touch();
        }
        Ok(())
    }

    fn delete(neutron: &mut Neutron, _: &Request<'_>, id: Uuid) -> Result<(), Failure> {
        if neutron.subnets.values().any(|subnet| subnet.pool == Some(id)) {
            let message = format!("Unable to delete subnet pool: Subnet pool has existing allocations. {id}");
            return Err(Failure::new(400, "SubnetPoolDeleteError", message));
        }
        Self::remove(neutron, id);
        Ok(())
    }

    fn remove(neutron: &mut Neutron, id: Uuid) {
        neutron.pools.remove(&id);
    }
}

impl Neutron {
    /// Takes the first free prefix of the pool that a new subnet names.
    pub(super) fn prefix_from_pool(
        &self,
        request: &Request<'_>,
        network: Uuid,
        body: Body<'_>,
    ) -> Result<(IpNet, Option<Uuid>), Failure> {
        let Some(text) = body.text("subnetpool_id") else {
            let message = "Bad subnets request: a subnetpool must be specified in the absence of a cidr.";
            return Err(Failure::new(400, "BadRequest", message));
        };
        let pool = self.find::<SubnetPool>(request, text)?;
        let version = body.number("ip_version").unwrap_or(4);
        let subnets = || self.subnets.values().filter(|subnet| subnet.is_v4() == (version == 4));
        if subnets().any(|subnet| subnet.network == network && subnet.pool != Some(pool.meta.id)) {
            let message = "Subnets hosted on the same network must be allocated from the same subnet pool.";
            return Err(Failure::new(400, "NetworkSubnetPoolAffinityError", message));
        }
        let wanted = body.number("prefixlen").and_then(|length| u8::try_from(length).ok());
        let length = wanted.unwrap_or(pool.default_length);
        if length < pool.least_length {
            let message = format!(
                "Unable to allocate subnet with prefix length {length}, minimum allowed prefix is {}.",
                pool.least_length
            );
            return Err(Failure::new(400, "MinPrefixSubnetAllocationError", message));
        }
        let taken: Vec<&IpNet> =
            subnets().filter(|subnet| subnet.pool == Some(pool.meta.id)).map(|subnet| &subnet.prefix).collect();
        let parts = pool.prefixes.iter().filter_map(|prefix| prefix.subnets(length).ok()).flatten();
        let free = parts.into_iter().find(|part| !taken.iter().any(|taken| overlap(taken, part)));
        free.map(|prefix| (prefix, Some(pool.meta.id))).ok_or_else(|| {
            let message = "Failed to allocate subnet: Insufficient prefix space to allocate subnet size";
            Failure::new(500, "SubnetAllocationError", format!("{message} /{length}."))
        })
    }
}
