//! Bulk requests, addresses, bindings: what of a request is done when a part of it fails.

use super::{
    backend::host,
    fixture::{Plan, in_world},
};
use kuryr_openstack::neutron::{FixedIpRequest, NewPort, PortQuery, PortUpdate, ProjectId, VifType};
use serde_json::{Value, json};
use std::{collections::BTreeMap, net::IpAddr};

#[tokio::test]
async fn a_bulk_request_that_fails_gives_every_address_back() {
    // Room for the gateway and five ports.
    in_world(Plan { cidr: "10.78.0.0/29", ..Plan::default() }, |world| async move {
        let neutron = &world.neutron;
        let taken = world.create_port().await.fixed_ips[0].ip_address;
        let of = |address: IpAddr| NewPort {
            fixed_ips: Some(vec![FixedIpRequest { subnet_id: None, ip_address: Some(address) }]),
            ..world.port()
        };
        for wrong in [vec![world.port(), world.port(), of(taken)], vec![world.port(); 5]] {
            neutron.create_ports(&wrong).await.unwrap_err();
            let query = PortQuery { network_ids: vec![world.network.id.clone()], ..PortQuery::default() };
            assert_eq!(neutron.list_ports(&query).await.unwrap().len(), 1);
        }
        let ports = neutron.create_ports(&vec![world.port(); 4]).await.unwrap();
        let addresses: std::collections::BTreeSet<IpAddr> =
            ports.iter().map(|port| port.fixed_ips[0].ip_address).chain([taken]).collect();
        assert_eq!(addresses.len(), 5, "all that there are, each once");
        neutron.delete_port(&ports[0].id).await.unwrap();
        let again = neutron.create_port(&world.port()).await.unwrap();
        assert_eq!(again.fixed_ips, ports[0].fixed_ips, "the only one that is free");
    })
    .await;
}

#[tokio::test]
async fn a_bulk_request_counts_as_a_whole_against_the_quota() {
    in_world(Plan { own_project: true, ..Plan::default() }, |world| async move {
        let project = ProjectId::from(world.name.as_str());
        let neutron = &world.neutron;
        neutron.set_quota(&project, &BTreeMap::from([("port".to_owned(), 3)])).await.unwrap();
        let new = NewPort { project_id: Some(project.clone()), security_groups: Some(Vec::new()), ..world.port() };
        let over = neutron.create_ports(&vec![new.clone(); 4]).await.unwrap_err();
        assert_eq!(
            (over.neutron_type(), over.message()),
            (Some("OverQuota"), "Quota exceeded for resources: ['port'].")
        );
        assert_eq!(neutron.create_ports(&vec![new; 3]).await.unwrap().len(), 3);
        let quota = neutron.get_quota(&project).await.unwrap();
        assert_eq!((quota["port"].used, quota["port"].free()), (3, Some(0)));
        for kind in ["network", "subnet", "security_group", "security_group_rule"] {
            assert!(quota.contains_key(kind), "no {kind} in {quota:?}");
        }
        assert_eq!((quota["network"].used, quota["subnet"].used), (1, 1));
    })
    .await;
}

#[tokio::test]
async fn quotas_are_for_administrators_and_one_s_own_project() {
    in_world(Plan::default(), |world| async move {
        let raw = world.raw().await;
        let project = world.cloud.project_id().await.unwrap();
        let own = raw.get(&format!("quotas/{project}")).await;
        assert!(own.body["quota"]["port"].is_i64(), "{own:?}");
        if world.is_admin {
            for (value, status) in
                [(json!({ "nonsense": 1 }), 400), (json!({ "port": -5 }), 400), (json!({ "port": "x" }), 400)]
            {
                let said = raw.put(&format!("quotas/{}", world.name), json!({ "quota": value })).await;
                assert_eq!(said.status, status, "{said:?}");
            }
            let none = raw.delete(&format!("quotas/{}", world.name)).await;
            assert_eq!((none.status, none.kind()), (404, "TenantQuotaNotFound"));
            return;
        }
        let other = raw.get("quotas/other/details.json").await;
        assert_eq!((other.status, other.kind()), (403, "AdminRequired"), "{other:?}");
        let set = raw.put(&format!("quotas/{project}"), json!({ "quota": { "port": 1 } })).await;
        assert_eq!((set.status, set.kind()), (403, "PolicyNotAuthorized"), "{set:?}");
    })
    .await;
}

#[tokio::test]
async fn a_port_is_bound_where_there_is_a_chassis() {
    in_world(Plan::default(), |world| async move {
        let neutron = &world.neutron;
        let port = world.create_port().await;
        let unbound = (Some(String::new()), Some(VifType::Unbound));
        assert_eq!((port.host_id, port.vif_type), unbound);
        for (to, vif_type) in [
            (host(), VifType::Ovs),
            ("no-such-host".to_owned(), VifType::BindingFailed),
            (String::new(), VifType::Unbound),
        ] {
            let update = PortUpdate { host_id: Some(to.clone()), ..PortUpdate::default() };
            let bound = neutron.update_port(&port.id, &update).await.unwrap();
            assert_eq!((bound.host_id, bound.vif_type), (Some(to), Some(vif_type)));
        }
    })
    .await;
}

#[tokio::test]
async fn addresses_are_kept_where_they_still_fit() {
    in_world(Plan { with_v6: true, ..Plan::default() }, |world| async move {
        let neutron = &world.neutron;
        let port = world.create_port().await;
        assert_eq!(port.fixed_ips.len(), 2);
        let v4 = port.fixed_ips.iter().find(|ip| ip.subnet_id == world.subnet.id).unwrap();
        let set = async |wanted: Vec<FixedIpRequest>| {
            let update = PortUpdate { fixed_ips: Some(wanted), ..PortUpdate::default() };
            neutron.update_port(&port.id, &update).await.unwrap().fixed_ips
        };
        assert_eq!(set(vec![world.subnet.id.clone().into()]).await, std::slice::from_ref(v4));
        let other: IpAddr = "10.77.2.2".parse().unwrap();
        let moved = set(vec![FixedIpRequest { subnet_id: None, ip_address: Some(other) }]).await;
        assert_eq!(moved.iter().map(|ip| ip.ip_address).collect::<Vec<_>>(), [other]);
        // The address that it had is free for others now.
        let again = FixedIpRequest { subnet_id: None, ip_address: Some(v4.ip_address) };
        neutron.create_port(&NewPort { fixed_ips: Some(vec![again]), ..world.port() }).await.unwrap();
        assert_eq!(set(Vec::new()).await, []);
    })
    .await;
}

#[tokio::test]
async fn the_gateway_and_the_pools_of_a_subnet() {
    in_world(Plan { with_v6: true, ..Plan::default() }, |world| async move {
        let raw = world.raw().await;
        let said = raw.get(&format!("subnets?network_id={}", world.network.id)).await;
        let subnets = said.body["subnets"].as_array().unwrap();
        let of = |version: u8| subnets.iter().find(|subnet| subnet["ip_version"] == version).unwrap();
        let pool = |first: &str, last: &str| json!([{ "start": first, "end": last }]);
        assert_eq!(of(4)["gateway_ip"], "10.77.0.1");
        assert_eq!(of(4)["allocation_pools"], pool("10.77.0.2", "10.77.15.254"));
        assert_eq!(of(6)["gateway_ip"], "fd00:77::");
        assert_eq!(of(6)["allocation_pools"], pool("fd00:77::1", "fd00:77::ffff:ffff:ffff:ffff"));
        let narrow = json!({
            "network_id": world.network.id.as_str(), "name": world.name, "ip_version": 4, "cidr": "10.76.0.0/24",
            "gateway_ip": Value::Null, "allocation_pools": pool("10.76.0.10", "10.76.0.11"),
        });
        let narrow = raw.post("subnets", json!({ "subnet": narrow })).await;
        assert_eq!((narrow.status, &narrow.body["subnet"]["gateway_ip"]), (201, &Value::Null), "{narrow:?}");
        let narrow = narrow.body["subnet"]["id"].as_str().unwrap();
        let mut addresses = Vec::new();
        let port = json!({ "network_id": world.network.id.as_str(), "fixed_ips": [{ "subnet_id": narrow }] });
        for _ in 0..2 {
            let said = raw.post("ports", json!({ "port": port })).await;
            addresses.push(said.body["port"]["fixed_ips"][0]["ip_address"].as_str().unwrap().to_owned());
        }
        addresses.sort();
        assert_eq!(addresses, ["10.76.0.10", "10.76.0.11"]);
        let full = raw.post("ports", json!({ "port": port })).await;
        assert_eq!((full.status, full.kind()), (409, "IpAddressGenerationFailure"), "{full:?}");
    })
    .await;
}

#[tokio::test]
async fn a_pool_gives_prefixes_until_it_is_empty() {
    in_world(Plan::default(), |world| async move {
        let raw = world.raw().await;
        // The subnets of a network are of one pool or of none.
        world.neutron.delete_subnet(&world.subnet.id).await.unwrap();
        let pool = json!({
            "name": world.name, "prefixes": ["10.75.0.0/24"], "default_prefixlen": 25, "min_prefixlen": 24,
        });
        let pool = raw.post("subnetpools", json!({ "subnetpool": pool })).await;
        assert_eq!(pool.status, 201, "{pool:?}");
        let id = pool.body["subnetpool"]["id"].as_str().unwrap().to_owned();
        let new = json!({
            "network_id": world.network.id.as_str(), "name": world.name, "ip_version": 4, "subnetpool_id": id,
        });
        let mut prefixes = Vec::new();
        let mut subnets = Vec::new();
        for _ in 0..2 {
            let said = raw.post("subnets", json!({ "subnet": new })).await;
            prefixes.push(said.body["subnet"]["cidr"].as_str().unwrap().to_owned());
            subnets.push(said.body["subnet"]["id"].as_str().unwrap().to_owned());
        }
        let empty = raw.post("subnets", json!({ "subnet": new })).await;
        let in_use = raw.delete(&format!("subnetpools/{id}")).await;
        for subnet in subnets {
            assert_eq!(raw.delete(&format!("subnets/{subnet}")).await.status, 204);
        }
        assert_eq!(raw.delete(&format!("subnetpools/{id}")).await.status, 204);
        prefixes.sort();
        assert_eq!(prefixes, ["10.75.0.0/25", "10.75.0.128/25"]);
        assert_eq!((empty.status, empty.kind()), (500, "SubnetAllocationError"), "{empty:?}");
        assert_eq!((in_use.status, in_use.kind()), (400, "SubnetPoolDeleteError"), "{in_use:?}");
    })
    .await;
}

#[tokio::test]
async fn a_group_that_is_gone_takes_the_rules_with_it_that_name_it() {
    in_world(Plan::default(), |world| async move {
        let raw = world.raw().await;
        let mut groups = Vec::new();
        for name in ["a", "b"] {
            let group = json!({ "security_group": { "name": name, "description": world.name } });
            let group = raw.post("security-groups", group).await;
            groups.push(group.body["security_group"]["id"].as_str().unwrap().to_owned());
        }
        let rule = json!({ "security_group_id": groups[0], "direction": "ingress", "remote_group_id": groups[1] });
        let rule = raw.post("security-group-rules", json!({ "security_group_rule": rule })).await;
        let rule = rule.body["security_group_rule"]["id"].as_str().unwrap().to_owned();
        assert_eq!(raw.delete(&format!("security-groups/{}", groups[1])).await.status, 204);
        assert_eq!(raw.get(&format!("security-group-rules/{rule}")).await.kind(), "SecurityGroupRuleNotFound");
        assert_eq!(raw.get(&format!("security-groups/{}", groups[0])).await.status, 200);
    })
    .await;
}
