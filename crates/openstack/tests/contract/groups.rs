//! Security groups and their rules.

use super::fixture::{Plan, in_world};
use kuryr_openstack::{
    Kind,
    neutron::{
        Direction, EtherType, NewPort, NewSecurityGroup, NewSecurityGroupRule, SecurityGroupRuleQuery,
        SecurityGroupUpdate,
    },
};

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
