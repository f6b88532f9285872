//! Rules: what Neutron makes of what it is given, and which rules are the same to it.

use super::fixture::{Plan, World, in_world};
use futures::future::join_all;
use kuryr_openstack::{
    Kind,
    neutron::{Direction, EtherType, NewSecurityGroupRule, SecurityGroupId, SecurityGroupRule, SecurityGroupRuleQuery},
};

/// An IPv4 or IPv6 ingress rule: protocol, ports, prefix.
fn rule(
    group: &SecurityGroupId,
    v6: bool,
    protocol: Option<&str>,
    ports: (Option<u16>, Option<u16>),
    prefix: Option<&str>,
) -> NewSecurityGroupRule {
    let ethertype = if v6 { EtherType::Ipv6 } else { EtherType::Ipv4 };
    NewSecurityGroupRule {
        protocol: protocol.map(ToOwned::to_owned),
        port_range_min: ports.0,
        port_range_max: ports.1,
        remote_ip_prefix: prefix.map(|text| text.parse().unwrap()),
        ..NewSecurityGroupRule::allow_all(group.clone(), Direction::Ingress, ethertype)
    }
}

async fn rules_of(world: &World, group: &SecurityGroupId) -> Vec<SecurityGroupRule> {
    let query = SecurityGroupRuleQuery { security_group_ids: vec![group.clone()], ..SecurityGroupRuleQuery::default() };
    world.neutron.list_security_group_rules(&query).await.unwrap()
}

type Given<'a> = (bool, Option<&'a str>, (Option<u16>, Option<u16>), Option<&'a str>);
type Kept<'a> = (Option<&'a str>, (Option<u16>, Option<u16>), Option<&'a str>);

const ANY: (Option<u16>, Option<u16>) = (None, None);

/// What is given, and what Neutron keeps of it: protocol, ports, prefix.
const KEPT: [(Given<'static>, Kept<'static>); 17] = [
    ((false, Some("TCP"), ANY, None), (Some("tcp"), ANY, None)),
    ((false, Some("udp"), (Some(1), Some(65535)), None), (Some("udp"), ANY, None)),
    ((false, Some("132"), (Some(6), Some(6)), None), (Some("132"), (Some(6), Some(6)), None)),
    ((false, Some("sctp"), (Some(5), Some(7)), None), (Some("sctp"), (Some(5), Some(7)), None)),
    ((false, Some("1"), ANY, None), (Some("1"), ANY, None)),
    ((false, Some("icmp"), (Some(8), None), None), (Some("icmp"), (Some(8), None), None)),
    ((false, Some("icmp"), (Some(8), Some(0)), None), (Some("icmp"), (Some(8), Some(0)), None)),
    ((false, Some("200"), ANY, None), (Some("200"), ANY, None)),
    ((false, Some("any"), ANY, None), (None, ANY, None)),
    ((false, None, ANY, Some("10.1.2.3/8")), (None, ANY, Some("10.1.2.3/8"))),
    ((false, None, ANY, Some("10.0.0.0/8")), (None, ANY, Some("10.0.0.0/8"))),
    ((true, Some("icmp"), ANY, None), (Some("ipv6-icmp"), ANY, None)),
    ((true, Some("1"), (Some(128), None), None), (Some("58"), (Some(128), None), None)),
    ((true, Some("icmpv6"), (Some(129), Some(0)), None), (Some("ipv6-icmp"), (Some(129), Some(0)), None)),
    ((true, None, ANY, Some("::/0")), (None, ANY, Some("::/0"))),
    ((true, None, ANY, Some("fd00::1/64")), (None, ANY, Some("fd00::1/64"))),
    ((true, None, ANY, Some("::ffff:10.0.0.0/104")), (None, ANY, Some("::ffff:10.0.0.0/104"))),
];

#[tokio::test]
async fn what_a_rule_is_after_it_was_created() {
    in_world(Plan::default(), |world| async move {
        let group = world.closed_group("g").await;
        for ((v6, protocol, ports, prefix), (kept, kept_ports, kept_prefix)) in KEPT {
            let new = rule(&group, v6, protocol, ports, prefix);
            let made = world.neutron.create_security_group_rule(&new).await.unwrap();
            let expected = (kept, kept_ports.0, kept_ports.1, kept_prefix.map(|text| text.parse().unwrap()));
            let found = (made.protocol.as_deref(), made.port_range_min, made.port_range_max, made.remote_ip_prefix);
            assert_eq!(found, expected, "{new:?}");
            assert_eq!(made.key(), new.key(), "{new:?}");
            let again = world.neutron.create_security_group_rule(&new).await.unwrap_err();
            assert_eq!((again.kind(), again.neutron_type()), (Kind::Conflict, Some("SecurityGroupRuleExists")));
            assert_eq!(again.existing_rule(), Some(made.id), "{again}");
        }
        assert_eq!(rules_of(&world, &group).await.len(), KEPT.len());
    })
    .await;
}

#[tokio::test]
async fn rules_with_the_same_key_are_the_same_to_neutron() {
    in_world(Plan::default(), |world| async move {
        let group = world.closed_group("g").await;
        let forms: [&[Given<'_>]; 8] = [
            &[
                (false, Some("tcp"), ANY, None),
                (false, Some("6"), ANY, None),
                (false, Some("Tcp"), (Some(1), Some(65535)), None),
            ],
            &[(false, Some("icmp"), ANY, None), (false, Some("1"), ANY, None)],
            &[
                (true, Some("ipv6-icmp"), ANY, None),
                (true, Some("icmpv6"), ANY, None),
                (true, Some("icmp"), ANY, None),
                (true, Some("58"), ANY, None),
                (true, Some("1"), ANY, None),
            ],
            &[(false, Some("0"), ANY, None), (false, Some("ip"), ANY, None)],
            &[(false, Some("hopopt"), ANY, None)],
            &[(false, None, ANY, None), (false, Some("any"), ANY, None), (false, None, ANY, Some("0.0.0.0/0"))],
            &[(true, None, ANY, Some("::/0")), (true, None, ANY, None)],
            &[(false, Some("132"), (Some(5), Some(5)), None), (false, Some("sctp"), (Some(5), Some(5)), None)],
        ];
        let mut keys = Vec::new();
        for same in forms {
            let mut first = None;
            for (v6, protocol, ports, prefix) in same {
                let new = rule(&group, *v6, *protocol, *ports, *prefix);
                let outcome = world.neutron.create_security_group_rule(&new).await;
                match &first {
                    None => first = Some(outcome.unwrap()),
                    Some(first) => {
                        assert_eq!(outcome.unwrap_err().existing_rule().as_ref(), Some(&first.id), "{new:?}");
                        assert_eq!(first.key(), new.key());
                    }
                }
            }
            keys.extend(first.map(|rule| rule.key()));
        }
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), forms.len(), "rules that can be beside each other have different keys");
    })
    .await;
}

#[tokio::test]
async fn rules_are_created_in_bulk_for_one_group_all_or_none() {
    in_world(Plan::default(), |world| async move {
        let neutron = &world.neutron;
        let (one, two) = (world.closed_group("g").await, world.closed_group("h").await);
        let tcp = rule(&one, false, Some("tcp"), (Some(80), Some(80)), None);
        let first = neutron.create_security_group_rule(&tcp).await.unwrap();
        let udp = rule(&one, false, Some("udp"), ANY, None);
        for (wrong, kind, neutron_type) in [
            (vec![udp.clone(), tcp.clone()], Kind::Conflict, "SecurityGroupRuleExists"),
            (
                vec![udp.clone(), rule(&one, false, Some("17"), ANY, None)],
                Kind::Conflict,
                "DuplicateSecurityGroupRuleInPost",
            ),
            (
                vec![udp.clone(), rule(&two, false, Some("udp"), ANY, None)],
                Kind::BadRequest,
                "SecurityGroupNotSingleGroupRules",
            ),
        ] {
            let refused = neutron.create_security_group_rules(&wrong).await.unwrap_err();
            assert_eq!((refused.kind(), refused.neutron_type()), (kind, Some(neutron_type)), "{refused}");
            let existing = (neutron_type == "SecurityGroupRuleExists").then(|| first.id.clone());
            assert_eq!(refused.existing_rule(), existing);
        }
        assert_eq!(rules_of(&world, &one).await.len(), 1);
        let many: Vec<NewSecurityGroupRule> =
            (1000..1020).map(|port| rule(&one, true, Some("tcp"), (Some(port), Some(port)), None)).collect();
        let made = neutron.create_security_group_rules(&many).await.unwrap();
        let mut keys: Vec<_> = made.iter().map(SecurityGroupRule::key).collect();
        keys.sort();
        let mut wanted: Vec<_> = many.iter().map(NewSecurityGroupRule::key).collect();
        wanted.sort();
        assert_eq!(keys, wanted);
        let in_group = neutron.get_security_group(&one).await.unwrap();
        assert_eq!((in_group.rules.len(), rules_of(&world, &one).await.len()), (21, 21));
        assert_eq!(neutron.create_security_group_rules(&[]).await.unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn a_rule_is_found_by_its_description_and_deleted_once() {
    in_world(Plan::default(), |world| async move {
        let neutron = &world.neutron;
        let group = world.closed_group("g").await;
        let mark = |text: &str| format!("{}:{text}", world.name);
        for (port, text) in [(80, "a"), (81, "b"), (82, "b")] {
            let new = rule(&group, false, Some("tcp"), (Some(port), Some(port)), None);
            let new = NewSecurityGroupRule { description: Some(mark(text)), ..new };
            neutron.create_security_group_rule(&new).await.unwrap();
        }
        // The description doesn't make it another rule.
        let same = rule(&group, false, Some("tcp"), (Some(80), Some(80)), None);
        assert_eq!(neutron.create_security_group_rule(&same).await.unwrap_err().kind(), Kind::Conflict);
        let by = |texts: &[&str]| SecurityGroupRuleQuery {
            descriptions: texts.iter().map(|text| mark(text)).collect(),
            ..SecurityGroupRuleQuery::default()
        };
        assert_eq!(neutron.list_security_group_rules(&by(&["b"])).await.unwrap().len(), 2);
        assert_eq!(neutron.list_security_group_rules(&by(&["a", "b", "c"])).await.unwrap().len(), 3);
        let found = neutron.list_security_group_rules(&by(&["a"])).await.unwrap().remove(0);
        assert_eq!((found.port_range_min, &found.security_group_id), (Some(80), &group));
        let before = neutron.get_security_group(&group).await.unwrap().revision_number;
        neutron.delete_security_group_rule(&found.id).await.unwrap();
        let after = neutron.get_security_group(&group).await.unwrap();
        assert!(after.revision_number > before, "{before:?}, {:?}", after.revision_number);
        assert_eq!(after.rules.len(), 2);
        let gone = neutron.delete_security_group_rule(&found.id).await.unwrap_err();
        assert_eq!((gone.kind(), gone.neutron_type()), (Kind::NotFound, Some("SecurityGroupRuleNotFound")));
    })
    .await;
}

#[tokio::test]
async fn the_same_rule_at_the_same_time_may_be_there_twice_and_goes_as_one() {
    in_world(Plan::default(), |world| async move {
        let neutron = &world.neutron;
        let group = world.closed_group("g").await;
        let new = rule(&group, false, None, ANY, Some("10.0.0.0/8"));
        let outcomes = join_all((0..4).map(|_| neutron.create_security_group_rule(&new))).await;
        let made = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        let refused = outcomes.iter().filter_map(|outcome| outcome.as_ref().err());
        assert!(refused.clone().all(|error| error.existing_rule().is_some()), "{outcomes:?}");
        let read = neutron.get_security_group(&group).await.unwrap();
        assert!(made >= 1 && read.rules.len() == made, "{outcomes:?}");
        assert!(read.rules.iter().all(|rule| rule.key() == new.key()));
        neutron.close_security_group(&read).await.unwrap();
        assert_eq!(neutron.get_security_group(&group).await.unwrap().rules, []);
    })
    .await;
}
