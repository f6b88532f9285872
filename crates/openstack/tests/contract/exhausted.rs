//! Quotas and addresses that are used up.

use super::fixture::{Plan, in_world};
use kuryr_core::error::Class;
use kuryr_openstack::{
    Error, Kind,
    neutron::{NewPort, NewSecurityGroup, ProjectId},
};
use serde_json::json;
use std::collections::BTreeMap;

#[tokio::test]
async fn the_quota_counts_and_refuses() {
    let plan = Plan { own_project: true, ..Plan::default() };
    in_world(plan, |world| async move {
        let project = ProjectId::from(world.name.as_str());
        let neutron = &world.neutron;
        let limits = BTreeMap::from([("port".to_owned(), 1)]);
        assert_eq!(neutron.set_quota(&project, &limits).await.unwrap()["port"], 1);
        let new = NewPort { project_id: Some(project.clone()), security_groups: Some(Vec::new()), ..world.port() };
        neutron.create_port(&new).await.unwrap();
        let quota = neutron.get_quota(&project).await.unwrap();
        assert_eq!((quota["port"].limit, quota["port"].used, quota["port"].free()), (1, 1, Some(0)));
        let over = neutron.create_port(&new).await.unwrap_err();
        assert_eq!(
            (over.kind(), over.neutron_type(), over.class()),
            (Kind::OverQuota, Some("OverQuota"), Class::Quota)
        );
        assert!(!over.outcome_unknown());
        neutron.reset_quota(&project).await.unwrap();
        assert_ne!(neutron.get_quota(&project).await.unwrap()["port"].limit, 1);
    })
    .await;
}

#[tokio::test]
async fn the_quotas_of_groups_and_rules_refuse_groups_rules_and_bulks() {
    let plan = Plan { own_project: true, ..Plan::default() };
    in_world(plan, |world| async move {
        let neutron = &world.neutron;
        let project = ProjectId::from(world.name.as_str());
        let new = NewSecurityGroup { project_id: Some(project.clone()), ..world.group("g") };
        // The project has a group `default` now, and this one: 4 rules and 2.
        let group = neutron.create_security_group(&new).await.unwrap().id;
        let used = neutron.get_quota(&project).await.unwrap();
        assert_eq!((used["security_group"].used, used["security_group_rule"].used), (2, 6));
        assert!(!used.contains_key("address_group"), "there is no such quota: {used:?}");

        let limit = async |kind: &str, limit: i64| {
            neutron.set_quota(&project, &BTreeMap::from([(kind.to_owned(), limit)])).await.unwrap();
        };
        let refused = |error: Error, kind: &str| {
            assert_eq!((error.kind(), error.class()), (Kind::OverQuota, Class::Quota), "{error}");
            assert_eq!(error.message(), format!("Quota exceeded for resources: ['{kind}']."));
        };
        limit("security_group", 2).await;
        refused(neutron.create_security_group(&new).await.unwrap_err(), "security_group");
        limit("security_group", -1).await;
        limit("security_group_rule", 7).await;
        // A new group needs room for the rules that it is given.
        refused(neutron.create_security_group(&new).await.unwrap_err(), "security_group_rule");
        let quota = neutron.get_quota(&project).await.unwrap();
        assert_eq!(quota["security_group"].used, 2, "no group without its rules");

        let rule = |port| {
            json!({
                "security_group_id": group.as_str(), "project_id": project.as_str(), "direction": "ingress", "protocol": "tcp",
                "port_range_min": port, "port_range_max": port,
            })
        };
        let raw = world.raw().await;
        for (body, status) in [
            (json!({ "security_group_rules": [rule(1), rule(2)] }), 409),
            (json!({ "security_group_rule": rule(1) }), 201),
            (json!({ "security_group_rule": rule(2) }), 409),
            (json!({ "security_group_rules": [rule(2)] }), 409),
        ] {
            let said = raw.post("security-group-rules", body).await;
            assert_eq!(said.status, status, "{said:?}");
            let expected = if status == 409 { "OverQuota" } else { "" };
            assert_eq!(said.kind(), expected);
        }
    })
    .await;
}

#[tokio::test]
async fn a_subnet_without_free_addresses_says_so() {
    // Room for the gateway and one port.
    let plan = Plan { cidr: "10.78.0.0/30", ..Plan::default() };
    in_world(plan, |world| async move {
        world.create_port().await;
        let full = world.neutron.create_port(&world.port()).await.unwrap_err();
        assert_eq!((full.kind(), full.class()), (Kind::AddressesExhausted, Class::Quota), "{full}");
        let in_bulk = world.neutron.create_ports(&[world.port(), world.port()]).await.unwrap_err();
        assert_eq!(in_bulk.kind(), Kind::AddressesExhausted, "{in_bulk}");
    })
    .await;
}
