//! What Neutron refuses of rules and address groups, and what it isn't prepared for.

use super::{
    fixture::{Plan, World, in_world},
    raw::{Raw, Said},
};
use serde_json::{Value, json};

/// Creates a group and an address group, and asks for rules in the one.
async fn group_and_addresses(world: &World, raw: &Raw) -> (String, String) {
    let group = world.closed_group("g").await.to_string();
    let new = json!({ "name": "a", "description": world.name, "addresses": ["10.0.0.1/32"] });
    let addresses = raw.post("address-groups", json!({ "address_group": new })).await;
    (group, addresses.body["address_group"]["id"].as_str().unwrap().to_owned())
}

fn is(said: &Said, status: u16, kind: &str, part: &str) {
    assert_eq!((said.status, said.kind()), (status, kind), "{said:?}");
    assert!(said.message().contains(part), "{said:?}");
}

#[tokio::test]
async fn rules_that_can_not_be_are_refused() {
    in_world(Plan::default(), |world| async move {
        let raw = world.raw().await;
        let (group, addresses) = group_and_addresses(&world, &raw).await;
        for (attributes, status, kind, part) in [
            (json!({ "protocol": "tcp", "port_range_min": 5 }), 400, "SecurityGroupInvalidPortRange", "<="),
            (json!({ "protocol": "sctp", "port_range_max": 5 }), 400, "SecurityGroupInvalidPortRange", "<="),
            (
                json!({ "protocol": "udp", "port_range_min": 0, "port_range_max": 5 }),
                400,
                "SecurityGroupInvalidPortValue",
                "port 0",
            ),
            (
                json!({ "protocol": "gre", "port_range_min": 5, "port_range_max": 6 }),
                400,
                "SecurityGroupInvalidProtocolForPort",
                "protocol 47",
            ),
            (json!({ "protocol": "icmp", "port_range_min": 256 }), 400, "SecurityGroupInvalidIcmpValue", "256"),
            (json!({ "protocol": "icmp", "port_range_max": 0 }), 400, "SecurityGroupMissingIcmpType", "code"),
            (json!({ "protocol": "icmpv6" }), 400, "SecurityGroupEthertypeConflictWithProtocol", "IPv4"),
            (json!({ "protocol": "58" }), 400, "SecurityGroupEthertypeConflictWithProtocol", "58"),
            (json!({ "protocol": 256 }), 400, "SecurityGroupRuleInvalidProtocol", "256"),
            (json!({ "ethertype": "IPv5" }), 400, "SecurityGroupRuleInvalidEtherType", "'IPv5'"),
            (json!({ "remote_ip_prefix": "x" }), 400, "InvalidCIDR", "Invalid CIDR x"),
            (
                json!({ "remote_ip_prefix": "::ffff:10.0.0.1/128" }),
                400,
                "SecurityGroupRuleParameterConflict",
                "ethertype IPv4",
            ),
            (
                json!({ "remote_address_group_id": addresses, "remote_group_id": group }),
                400,
                "SecurityGroupMultipleRemoteEntites",
                "Only one",
            ),
            (
                json!({ "remote_address_group_id": addresses, "remote_ip_prefix": "10.0.0.0/8" }),
                400,
                "SecurityGroupMultipleRemoteEntites",
                "Only one",
            ),
            (json!({ "security_group_id": "x" }), 404, "SecurityGroupNotFound", "x"),
            (json!({ "remote_group_id": "x" }), 404, "SecurityGroupNotFound", "x"),
            (json!({ "description": "x".repeat(256) }), 400, "HTTPBadRequest", "maximum length of 255"),
        ] {
            let mut rule = json!({ "security_group_id": group, "direction": "ingress" });
            rule.as_object_mut().unwrap().extend(attributes.as_object().unwrap().clone());
            let one = raw.post("security-group-rules", json!({ "security_group_rule": rule })).await;
            is(&one, status, kind, part);
            let bulk = raw.post("security-group-rules", json!({ "security_group_rules": [rule] })).await;
            is(&bulk, status, kind, part);
        }
    })
    .await;
}

#[tokio::test]
async fn a_rule_is_read_in_several_spellings_and_never_changed() {
    in_world(Plan::default(), |world| async move {
        let raw = world.raw().await;
        let group = world.closed_group("g").await.to_string();
        // An address without a length is one, and capitals in the family don't matter.
        let rule = json!({ "security_group_id": group, "direction": "ingress", "ethertype": "ipv4", "remote_ip_prefix": "10.0.0.1" });
        let made = raw.post("security-group-rules", json!({ "security_group_rule": rule })).await;
        let made = &made.body["security_group_rule"];
        assert_eq!((&made["ethertype"], &made["remote_ip_prefix"]), (&json!("IPv4"), &json!("10.0.0.1/32")), "{made}");
        let path = format!("security-group-rules/{}", made["id"].as_str().unwrap());
        let change = raw.put(&path, json!({ "security_group_rule": { "description": "d" } })).await;
        is(&change, 500, "HTTPInternalServerError", "");
        assert_eq!(raw.get(&path).await.body["security_group_rule"]["normalized_cidr"], "10.0.0.1/32");
    })
    .await;
}

#[tokio::test]
async fn address_groups_that_can_not_be_are_refused() {
    in_world(Plan::default(), |world| async move {
        let raw = world.raw().await;
        let bad = "HTTPBadRequest";
        for (attributes, status, kind, part) in [
            (
                json!({ "addresses": ["10.0.0.1/32", "10.0.0.1/32"] }),
                400,
                bad,
                "Duplicate items in the list: '10.0.0.1/32'",
            ),
            (json!({ "addresses": ["10.0.0.1"] }), 400, bad, "'10.0.0.1' is not a valid IP subnet"),
            (json!({ "addresses": ["x"] }), 400, bad, "'x' is not a valid IP subnet"),
            (json!({ "addresses": "10.0.0.1/32" }), 400, bad, "is not a list"),
            (json!({ "name": "x".repeat(256) }), 400, bad, "maximum length of 255"),
            (json!({ "description": "x".repeat(1025) }), 400, bad, "maximum length of 1024"),
            (json!({ "description": "x".repeat(256) }), 500, "HTTPInternalServerError", ""),
            (json!({ "tags": ["a"] }), 400, bad, "Unrecognized attribute(s) 'tags'"),
            (json!({ "shared": true }), 400, bad, "'shared' not allowed in POST"),
        ] {
            let mut new = json!({ "name": "a", "description": world.name });
            new.as_object_mut().unwrap().extend(attributes.as_object().unwrap().clone());
            is(&raw.post("address-groups", json!({ "address_group": new })).await, status, kind, part);
        }
        let new = json!({ "name": "a", "description": world.name, "addresses": ["10.1.2.3/16", "10.1.0.0/16"] });
        let bulk = raw.post("address-groups", json!({ "address_groups": [new] })).await;
        is(&bulk, 500, "HTTPInternalServerError", "");
        let made = raw.post("address-groups", json!({ "address_group": new })).await;
        assert_eq!(made.body["address_group"]["addresses"], json!(["10.1.0.0/16"]), "{made:?}");
        assert!(made.body["address_group"].get("tags").is_none(), "they have none: {made:?}");
        let path = format!("address-groups/{}", made.body["address_group"]["id"].as_str().unwrap());
        let change = json!({ "address_group": { "addresses": ["10.0.0.1/32"] } });
        is(&raw.put(&path, change).await, 400, bad, "Cannot update read-only attribute addresses");
        is(&raw.put(&format!("{path}/tags"), json!({ "tags": ["a"] })).await, 404, "HTTPNotFound", "");
        is(&raw.get("address-groups?addresses=10.1.0.0/16").await, 400, bad, "['addresses'] is invalid attribute");
    })
    .await;
}

#[tokio::test]
async fn changes_of_addresses_have_no_envelope() {
    in_world(Plan::default(), |world| async move {
        let raw = world.raw().await;
        let (_, id) = group_and_addresses(&world, &raw).await;
        let server = "HTTPInternalServerError";
        for (body, status, kind, part) in [
            (json!({ "address_group": { "addresses": ["10.0.0.9/32"] } }), 500, server, ""),
            (json!({ "addresses": null }), 500, server, ""),
            (json!({}), 500, server, ""),
            (json!({ "addresses": ["10.0.0.9/32", "x"] }), 400, "AddrFormatError", "invalid IPNetwork x"),
        ] {
            for action in ["add_addresses", "remove_addresses"] {
                is(&raw.put(&format!("address-groups/{id}/{action}"), body.clone()).await, status, kind, part);
            }
        }
        let one = json!({ "addresses": ["10.0.0.2"] });
        let said = raw.put(&format!("address-groups/{id}/add_addresses"), one.clone()).await;
        assert_eq!(said.body["address_group"]["addresses"], json!(["10.0.0.1/32", "10.0.0.2/32"]), "{said:?}");
        is(&raw.put(&format!("address-groups/{id}/nonsense"), one.clone()).await, 404, "HTTPNotFound", "");
        let said: Value = raw.put(&format!("address-groups/{id}/remove_addresses"), one).await.body;
        assert_eq!(said["address_group"]["addresses"], json!(["10.0.0.1/32"]), "{said}");
    })
    .await;
}
