//! Schemas of texts that have a form, for types that custom resources embed: the API server refuses what our types can't read. The
//! functions are those of Kubernetes' CEL libraries ("CEL in Kubernetes", IP address and CIDR).

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use std::borrow::Cow;

/// An IPv4 or IPv6 address, as [`std::net::IpAddr`] reads it.
#[derive(Debug)]
pub struct Ip;

/// An address with the length of a prefix, as [`ipnet::IpNet`] reads it.
#[derive(Debug)]
pub struct Cidr;

impl JsonSchema for Ip {
    fn schema_name() -> Cow<'static, str> {
        "Ip".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "maxLength": 45,
            "x-kubernetes-validations": [{ "rule": "isIP(self)", "message": "must be an IPv4 or IPv6 address" }],
        })
    }

    fn inline_schema() -> bool {
        true
    }
}

impl JsonSchema for Cidr {
    fn schema_name() -> Cow<'static, str> {
        "Cidr".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "maxLength": 49,
            "x-kubernetes-validations": [
                { "rule": "isCIDR(self)", "message": "must be an address with the length of its prefix, as 10.0.0.0/24" },
            ],
        })
    }

    fn inline_schema() -> bool {
        true
    }
}
