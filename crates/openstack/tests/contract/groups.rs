//! Security groups and their rules.

use super::fixture::{Plan, in_world};
use kuryr_openstack::{
    Kind,
    neutron::{
        Direction, EtherType, NewPort, NewSecurityGroup, NewSecurityGroupRule, PortUpdate, SecurityGroupQuery,
        SecurityGroupRuleQuery, SecurityGroupUpdate,
    },
};
use serde_json::json;

#[tokio::test]
async fn a_group_gets_its_rules_in_bulk_and_goes_with_them() {
    in_world(Plan::default(), |world| async move {
        let neutron = &world.neutron;
        let new = NewSecurityGroup {
            name: "g".to_owned(),
            description: Some(world.name.clone()),
            ..NewSecurityGroup::default()
        };
        let group = neutron.create_security_group(&new).await.unwrap();
        assert_eq!(group.rules.len(), 2, "Neutron's own egress rules");
        for rule in &group.rules {
            assert_eq!(rule.direction, Direction::Egress);
            neutron.delete_security_group_rule(&rule.id).await.unwrap();
        }

        let allow = |ethertype| NewSecurityGroupRule::allow_all(group.id.clone(), Direction::Ingress, ethertype);
        let rules = [
            NewSecurityGroupRule {
                protocol: Some("tcp".to_owned()),
                port_range_min: Some(80),
                port_range_max: Some(81),
                remote_ip_prefix: Some("10.77.0.0/16".parse().unwrap()),
                ..allow(EtherType::Ipv4)
            },
            NewSecurityGroupRule { remote_group_id: Some(group.id.clone()), ..allow(EtherType::Ipv6) },
            NewSecurityGroupRule { protocol: Some("icmp".to_owned()), ..allow(EtherType::Ipv4) },
        ];
        assert_eq!(neutron.create_security_group_rules(&rules).await.unwrap().len(), 3);
        let query =
            SecurityGroupRuleQuery { security_group_ids: vec![group.id.clone()], ..SecurityGroupRuleQuery::default() };
        let mut listed = neutron.list_security_group_rules(&query).await.unwrap();
        let mut in_group = neutron.get_security_group(&group.id).await.unwrap().rules;
        listed.sort_by(|a, b| a.id.cmp(&b.id));
        in_group.sort_by(|a, b| a.id.cmp(&b.id));
        assert_eq!(listed, in_group);
        let tcp = listed.iter().find(|rule| rule.protocol.as_deref() == Some("tcp")).unwrap();
        assert_eq!((tcp.port_range_min, tcp.port_range_max), (Some(80), Some(81)));
        assert_eq!(tcp.remote_ip_prefix, Some("10.77.0.0/16".parse().unwrap()));

        let twice = neutron.create_security_group_rule(&rules[2]).await.unwrap_err();
        assert_eq!((twice.kind(), twice.neutron_type()), (Kind::Conflict, Some("SecurityGroupRuleExists")));

        let update = SecurityGroupUpdate { name: Some("h".to_owned()), description: None };
        let updated = neutron.update_security_group(&group.id, &update).await.unwrap();
        assert_eq!((updated.name.as_str(), updated.description), ("h", world.name.clone()));

        let port = NewPort { security_groups: Some(vec![group.id.clone()]), ..world.port() };
        let port = neutron.create_port(&port).await.unwrap();
        let in_use = neutron.delete_security_group(&group.id).await.unwrap_err();
        assert_eq!((in_use.kind(), in_use.neutron_type()), (Kind::Conflict, Some("SecurityGroupInUse")));
        neutron.delete_port(&port.id).await.unwrap();
        neutron.delete_security_group(&group.id).await.unwrap();
        assert_eq!(neutron.list_security_group_rules(&query).await.unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn a_closed_group_has_no_rule_and_is_found_by_its_description() {
    in_world(Plan::default(), |world| async move {
        let neutron = &world.neutron;
        let open = neutron.create_security_group(&world.group("open")).await.unwrap();
        assert!(open.rules.iter().all(|rule| rule.direction == Direction::Egress && rule.remote_ip_prefix.is_none()));
        let closed = neutron.create_closed_security_group(&world.group("closed")).await.unwrap();
        assert_eq!(closed.rules, []);
        let read = neutron.get_security_group(&closed.id).await.unwrap();
        assert_eq!((read.rules.len(), read.stateful, &read.description), (0, Some(true), &world.name));
        assert!(read.revision_number > closed.revision_number);
        // What somebody else has begun to close.
        neutron.delete_security_group_rule(&open.rules[0].id).await.unwrap();
        neutron.close_security_group(&open).await.unwrap();

        let ours = SecurityGroupQuery { descriptions: vec![world.name.clone()], ..SecurityGroupQuery::default() };
        let mut found = neutron.list_security_groups(&ours).await.unwrap();
        found.sort_by(|a, b| a.name.cmp(&b.name));
        assert_eq!(
            found.iter().map(|group| (group.name.as_str(), group.rules.len())).collect::<Vec<_>>(),
            [("closed", 0), ("open", 0)]
        );
        let allow = NewSecurityGroupRule::allow_all(closed.id.clone(), Direction::Ingress, EtherType::Ipv6);
        let rule = neutron.create_security_group_rule(&allow).await.unwrap();
        let fields = |fields: &[&'static str]| SecurityGroupQuery { fields: fields.into(), ..ours.clone() };
        let listed = neutron.list_security_groups(&fields(&["id", "description"])).await.unwrap();
        assert!(listed.iter().all(|group| group.rules.is_empty() && group.name.is_empty()), "only fields: {listed:?}");
        let listed = neutron.list_security_groups(&fields(&["id", "security_group_rules"])).await.unwrap();
        let rules: Vec<_> = listed.into_iter().flat_map(|group| group.rules).collect();
        assert_eq!(rules, [rule], "a list has the rules with all that they have");
    })
    .await;
}

#[tokio::test]
async fn a_port_has_stateful_groups_or_stateless_ones() {
    in_world(Plan::default(), |world| async move {
        let neutron = &world.neutron;
        let stateful = world.closed_group("f").await;
        let new = NewSecurityGroup { stateful: Some(false), ..world.group("l") };
        let stateless = neutron.create_closed_security_group(&new).await.unwrap();
        assert_eq!(stateless.stateful, Some(false));
        let with = |groups: &[_]| NewPort { security_groups: Some(groups.to_vec()), ..world.port() };
        let mixed = neutron.create_port(&with(&[stateful.clone(), stateless.id.clone()])).await.unwrap_err();
        assert_eq!((mixed.kind(), mixed.neutron_type()), (Kind::Conflict, Some("SecurityGroupConflict")), "{mixed}");
        let port = neutron.create_port(&with(std::slice::from_ref(&stateful))).await.unwrap();
        let both = Some(vec![stateful.clone(), stateless.id.clone()]);
        let update = PortUpdate { security_groups: both, ..PortUpdate::default() };
        let mixed = neutron.update_port(&port.id, &update).await.unwrap_err();
        assert_eq!((mixed.kind(), mixed.neutron_type()), (Kind::Conflict, Some("SecurityGroupConflict")), "{mixed}");
        let raw = world.raw().await;
        let to = |stateful: bool| json!({ "security_group": { "stateful": stateful } });
        let in_use = raw.put(&format!("security-groups/{stateful}"), to(false)).await;
        assert_eq!((in_use.status, in_use.kind()), (409, "SecurityGroupInUse"), "{in_use:?}");
        let unused = raw.put(&format!("security-groups/{}", stateless.id), to(true)).await;
        assert_eq!((unused.status, unused.body["security_group"]["stateful"].as_bool()), (200, Some(true)));
    })
    .await;
}
