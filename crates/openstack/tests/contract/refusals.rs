//! What Neutron refuses, and in which words: clients decide by status and type.

use super::fixture::{Plan, in_world};
use reqwest::Method;
use serde_json::{Value, json};

const MISSING: &str = "00000000-0000-4000-8000-000000000000";

#[tokio::test]
async fn wrong_ports_are_refused_by_type() {
    in_world(Plan::default(), |world| async move {
        let raw = world.raw().await;
        let taken = world.create_port().await;
        let (address, mac) = (taken.fixed_ips[0].ip_address, taken.mac_address.unwrap());
        let subnet = world.subnet.id.as_str();
        for (attributes, status, kind, part) in [
            (json!({ "name": 7 }), 400, "HTTPBadRequest", "name"),
            (json!({ "nonsense": 1 }), 400, "HTTPBadRequest", "Unrecognized attribute(s) 'nonsense'"),
            (json!({ "description": "x".repeat(256) }), 400, "HTTPBadRequest", "maximum length of 255"),
            (json!({ "status": "ACTIVE" }), 400, "HTTPBadRequest", "status"),
            (json!({ "mac_address": "x" }), 400, "HTTPBadRequest", "not a valid MAC address"),
            (json!({ "mac_address": mac.to_string() }), 409, "MacAddressInUse", "in use"),
            (json!({ "security_groups": [MISSING] }), 404, "SecurityGroupNotFound", MISSING),
            (json!({ "security_groups": ["x"] }), 400, "HTTPBadRequest", "not a valid UUID"),
            (json!({ "fixed_ips": [{}] }), 400, "InvalidInput", "requires subnet_id or ip_address"),
            (json!({ "fixed_ips": [{ "ip_address": "x" }] }), 400, "HTTPBadRequest", "not a valid IP address"),
            (
                json!({ "fixed_ips": [{ "subnet_id": subnet, "ip_address": "192.0.2.1" }] }),
                400,
                "InvalidIpForSubnet",
                "",
            ),
            (json!({ "fixed_ips": [{ "ip_address": "10.77.0.0" }] }), 400, "InvalidIpForNetwork", "10.77.0.0"),
            (json!({ "fixed_ips": [{ "ip_address": address }] }), 409, "IpAddressAlreadyAllocated", subnet),
        ] {
            let mut port = json!({ "network_id": world.network.id.as_str() });
            port.as_object_mut().unwrap().extend(attributes.as_object().unwrap().clone());
            let said = raw.post("ports", json!({ "port": port })).await;
            assert_eq!((said.status, said.kind()), (status, kind), "{attributes}: {said:?}");
            assert!(said.message().contains(part), "{attributes}: {said:?}");
        }
        for (body, part) in [
            (json!({ "port": {} }), "Required attribute 'network_id' not specified"),
            (json!({ "prot": {} }), "Unable to find 'port' in request body"),
            (json!({ "ports": [] }), "Resources required"),
        ] {
            let said = raw.post("ports", body).await;
            assert_eq!((said.status, said.kind()), (400, "HTTPBadRequest"), "{said:?}");
            assert!(said.message().contains(part), "{said:?}");
        }
        let path = format!("ports/{}", taken.id);
        let said = raw.put(&path, json!({ "port": { "network_id": world.network.id.as_str() } })).await;
        assert_eq!((said.status, said.message()), (400, "Cannot update read-only attribute network_id"));
        assert_eq!(world.neutron.get_port(&taken.id).await.unwrap(), taken, "nothing of it was done");
    })
    .await;
}

#[tokio::test]
async fn what_is_not_there_is_told_from_a_path_that_is_not_there() {
    in_world(Plan::default(), |world| async move {
        let raw = world.raw().await;
        for (path, kind) in [
            ("ports/x", "PortNotFound"),
            ("networks/x", "NetworkNotFound"),
            ("subnets/x", "SubnetNotFound"),
            ("subnetpools/x", "SubnetPoolNotFound"),
            ("security-groups/x", "SecurityGroupNotFound"),
            ("security-group-rules/x", "SecurityGroupRuleNotFound"),
            ("address-groups/x", "AddressGroupNotFound"),
            ("nonsense", "HTTPNotFound"),
        ] {
            let said = raw.get(path).await;
            assert_eq!((said.status, said.kind()), (404, kind), "{path}: {said:?}");
        }
        for (path, kind) in [("ports", "PortNotFound"), ("security-groups", "SecurityGroupNotFound")] {
            let said = raw.delete(&format!("{path}/{MISSING}")).await;
            assert_eq!((said.status, said.kind()), (404, kind));
        }
    })
    .await;
}

#[tokio::test]
async fn wrong_subnets_are_refused() {
    in_world(Plan::default(), |world| async move {
        let raw = world.raw().await;
        let network = world.network.id.as_str();
        for (attributes, status, kind) in [
            (json!({ "ip_version": 4, "cidr": "10.77.0.0/24" }), 400, "InvalidInput"),
            (json!({ "ip_version": 4 }), 400, "BadRequest"),
            (json!({ "ip_version": 4, "cidr": "x" }), 400, "InvalidInput"),
            (json!({ "ip_version": 4, "cidr": "fd01::/64" }), 400, "InvalidInput"),
            (json!({ "cidr": "10.76.0.0/24" }), 400, "HTTPBadRequest"),
            (json!({ "ip_version": 4, "cidr": "10.76.0.0/24", "gateway_ip": "10.76.0.255" }), 400, "InvalidInput"),
        ] {
            let mut subnet = json!({ "network_id": network, "name": world.name });
            subnet.as_object_mut().unwrap().extend(attributes.as_object().unwrap().clone());
            let said = raw.post("subnets", json!({ "subnet": subnet })).await;
            assert_eq!((said.status, said.kind()), (status, kind), "{attributes}: {said:?}");
        }
        world.create_port().await;
        let said = raw.delete(&format!("subnets/{}", world.subnet.id)).await;
        assert_eq!((said.status, said.kind()), (409, "SubnetInUse"), "{said:?}");
    })
    .await;
}

#[tokio::test]
async fn wrong_rules_are_refused() {
    in_world(Plan::default(), |world| async move {
        let raw = world.raw().await;
        let group = json!({ "security_group": { "name": "g", "description": world.name } });
        let group = raw.post("security-groups", group).await;
        let group = group.body["security_group"]["id"].as_str().unwrap();
        let rule = |attributes: &Value| {
            let mut rule = json!({ "security_group_id": group, "direction": "ingress", "ethertype": "IPv4" });
            rule.as_object_mut().unwrap().extend(attributes.as_object().unwrap().clone());
            rule
        };
        for (attributes, status, kind) in [
            (
                json!({ "protocol": "tcp", "port_range_min": 2, "port_range_max": 1 }),
                400,
                "SecurityGroupInvalidPortRange",
            ),
            (json!({ "port_range_min": 1, "port_range_max": 2 }), 400, "SecurityGroupProtocolRequiredWithPorts"),
            (json!({ "protocol": "nonsense" }), 400, "SecurityGroupRuleInvalidProtocol"),
            (
                json!({ "protocol": "tcp", "port_range_min": 70000, "port_range_max": 70000 }),
                400,
                "SecurityGroupInvalidPortValue",
            ),
            (json!({ "remote_ip_prefix": "fd00::/64" }), 400, "SecurityGroupRuleParameterConflict"),
            (
                json!({ "remote_ip_prefix": "10.0.0.0/8", "remote_group_id": group }),
                400,
                "SecurityGroupMultipleRemoteEntites",
            ),
            (json!({ "remote_group_id": MISSING }), 404, "SecurityGroupNotFound"),
            (json!({ "security_group_id": MISSING }), 404, "SecurityGroupNotFound"),
            (json!({ "direction": "sideways" }), 400, "HTTPBadRequest"),
        ] {
            let said = raw.post("security-group-rules", json!({ "security_group_rule": rule(&attributes) })).await;
            assert_eq!((said.status, said.kind()), (status, kind), "{attributes}: {said:?}");
        }
        let (udp, sctp) = (rule(&json!({ "protocol": "udp" })), rule(&json!({ "protocol": "sctp" })));
        let twice = json!({ "security_group_rules": [sctp, udp, udp] });
        let said = raw.post("security-group-rules", twice).await;
        assert_eq!((said.status, said.kind()), (409, "DuplicateSecurityGroupRuleInPost"), "{said:?}");
        let said = raw.get(&format!("security-groups/{group}")).await;
        let rules = said.body["security_group"]["security_group_rules"].as_array().unwrap();
        assert_eq!(rules.len(), 2, "only Neutron's own: {said:?}");
    })
    .await;
}

#[tokio::test]
async fn a_change_is_made_only_at_the_revision_that_it_is_for() {
    in_world(Plan::default(), |world| async move {
        let raw = world.raw().await;
        let path = format!("ports/{}", world.create_port().await.id);
        let revision = async || raw.get(&path).await.body["port"]["revision_number"].as_i64().unwrap();
        let change = |text: &str| Some(json!({ "port": { "description": text } }));
        let first = revision().await;
        let put = raw.send(Method::PUT, &path, change(&world.name), Some(first)).await;
        assert_eq!((put.status, revision().await), (200, first), "nothing is different");
        let put = raw.send(Method::PUT, &path, change("x"), Some(first)).await;
        assert_eq!((put.status, put.body["port"]["description"].as_str()), (200, Some("x")));
        let second = revision().await;
        assert!(second > first);
        for method in [Method::PUT, Method::DELETE] {
            let body = change("y").filter(|_| method == Method::PUT);
            let said = raw.send(method, &path, body, Some(first)).await;
            assert_eq!((said.status, said.kind()), (412, "RevisionNumberConstraintFailed"), "{said:?}");
        }
        assert_eq!(revision().await, second);
        assert_eq!(raw.send(Method::DELETE, &path, None, Some(second)).await.status, 204);
    })
    .await;
}
