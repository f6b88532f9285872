//! The extensions that this Neutron has: those whose attributes and calls it knows.

use crate::call::Answer;
use serde_json::{Value, json};

const ADDRESS_GROUP: &str = "address-group";
const REMOTE_ADDRESS_GROUP: &str = "security-groups-remote-address-group";

const ALIASES: [&str; 31] = [
    ADDRESS_GROUP,
    "allowed-address-pairs",
    "binding",
    "binding-extended",
    "empty-string-filtering",
    "external-net",
    "extra_dhcp_opt",
    "filter-validation",
    "ip-substring-filtering",
    "net-mtu",
    "net-mtu-writable",
    "pagination",
    "port-security",
    "project-id",
    "qos",
    "quota-check-limit",
    "quotas",
    "quota_details",
    "revision-if-match",
    "router",
    "security-group",
    "security-groups-normalized-cidr",
    REMOTE_ADDRESS_GROUP,
    "service-type",
    "sorting",
    "standard-attr-description",
    "standard-attr-revisions",
    "standard-attr-tag",
    "standard-attr-timestamp",
    "stateful-security-group",
    "subnet_allocation",
];

pub(super) fn list(address_groups: bool) -> Answer {
    let extension = |alias: &str| json!({ "alias": alias, "name": alias, "description": "", "links": [] });
    let aliases =
        ALIASES.iter().filter(|alias| address_groups || ![ADDRESS_GROUP, REMOTE_ADDRESS_GROUP].contains(*alias));
    let extensions: Vec<Value> = aliases.map(|alias| extension(alias)).collect();
    Answer::json(200, &json!({ "extensions": extensions }))
}
