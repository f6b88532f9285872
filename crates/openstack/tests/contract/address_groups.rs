//! Address groups: sets of prefixes that rules refer to.

use super::fixture::{Plan, World, in_world};
use futures::future::join_all;
use ipnet::IpNet;
use kuryr_core::error::Class;
use kuryr_openstack::{
    Found, Kind,
    neutron::{
        AddressGroup, AddressGroupId, AddressGroupQuery, AddressGroupUpdate, Direction, EtherType,
        NewSecurityGroupRule, SecurityGroupRuleQuery,
    },
};
use std::collections::BTreeSet;

const MISSING: &str = "00000000-0000-4000-8000-000000000000";

fn prefixes(list: &[&str]) -> Vec<IpNet> {
    list.iter().map(|text| text.parse().unwrap()).collect()
}

fn set(group: &AddressGroup) -> BTreeSet<String> {
    group.addresses.iter().map(ToString::to_string).collect()
}

fn ours(world: &World) -> AddressGroupQuery {
    AddressGroupQuery { descriptions: vec![world.name.clone()], ..AddressGroupQuery::default() }
}

#[tokio::test]
async fn the_cloud_has_address_groups_in_rules() {
    in_world(Plan::default(), |world| async move {
        assert!(world.neutron.has_address_groups().await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn an_address_group_is_created_found_renamed_and_deleted() {
    in_world(Plan::default(), |world| async move {
        let neutron = &world.neutron;
        let new = world.address_group(&["10.0.0.1/32", "10.1.2.3/16", "FD00::1:0/112", "::ffff:10.0.0.1/128"]);
        let group = neutron.create_address_group(&new).await.unwrap();
        assert_eq!((group.name.as_str(), &group.description), ("a", &world.name));
        assert_eq!(group.project_id, world.cloud.project_id().await.unwrap());
        let expected = ["10.0.0.1/32", "10.1.0.0/16", "::ffff:10.0.0.1/128", "fd00::1:0/112"];
        assert_eq!(set(&group), expected.map(ToOwned::to_owned).into(), "without host bits");

        let whole = neutron.list_address_groups(&ours(&world)).await.unwrap();
        assert_eq!(whole, [neutron.get_address_group(&group.id).await.unwrap()]);
        assert_eq!(set(&whole[0]), set(&group));
        let empty = neutron.create_address_group(&world.address_group(&[])).await.unwrap();
        assert_eq!(empty.addresses, []);
        for query in [
            AddressGroupQuery { ids: vec![group.id.clone(), MISSING.into()], ..AddressGroupQuery::default() },
            AddressGroupQuery { ids: vec![group.id.clone()], names: vec!["a".to_owned()], ..ours(&world) },
            AddressGroupQuery {
                project_ids: vec![group.project_id.clone()],
                ids: vec![group.id.clone()],
                ..ours(&world)
            },
        ] {
            assert_eq!(neutron.list_address_groups(&query).await.unwrap(), whole, "{query:?}");
        }
        let query = AddressGroupQuery { fields: vec!["id", "name"], page_size: Some(1), ..ours(&world) };
        let listed = neutron.list_address_groups(&query).await.unwrap();
        assert!(
            listed.len() == 2 && listed.iter().all(|one| one.name == "a" && one.addresses.is_empty()),
            "{listed:?}"
        );

        let update = AddressGroupUpdate { name: Some("b".to_owned()), ..AddressGroupUpdate::default() };
        let renamed = neutron.update_address_group(&group.id, &update).await.unwrap();
        assert_eq!((renamed.name.as_str(), &renamed.description, set(&renamed)), ("b", &world.name, set(&group)));
        assert!(renamed.revision_number > whole[0].revision_number);
        neutron.delete_address_group(&group.id).await.unwrap();
        assert_eq!(neutron.get_address_group(&group.id).await.found().unwrap(), None);
        let gone = neutron.delete_address_group(&group.id).await.unwrap_err();
        assert_eq!((gone.kind(), gone.neutron_type()), (Kind::NotFound, Some("AddressGroupNotFound")));
    })
    .await;
}

#[tokio::test]
async fn addresses_are_added_and_removed_all_or_none() {
    in_world(Plan::default(), |world| async move {
        let neutron = &world.neutron;
        let id = neutron.create_address_group(&world.address_group(&["10.0.0.1/32"])).await.unwrap().id;
        let all = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<BTreeSet<_>>();
        let added = neutron.add_addresses(&id, &prefixes(&["10.0.0.2/32", "fd00::2/128", "10.9.9.9/8"])).await.unwrap();
        assert_eq!(set(&added), all(&["10.0.0.1/32", "10.0.0.2/32", "fd00::2/128", "10.0.0.0/8"]));
        assert_eq!((&added.id, &added.description), (&id, &world.name));

        // One that is there: nothing is done, and it isn't said that the request was wrong.
        let there = neutron.add_addresses(&id, &prefixes(&["10.0.0.3/32", "10.0.0.2/32"])).await.unwrap_err();
        assert_eq!((there.kind(), there.class()), (Kind::Conflict, Class::Conflict), "{there}");
        assert_eq!((there.status(), there.neutron_type()), (Some(400), Some("AddressesAlreadyExist")));
        assert!(there.message().contains("'10.0.0.2/32'") && !there.message().contains("10.0.0.3"), "{there}");
        // One that isn't there, though the group is.
        let gone = neutron.remove_addresses(&id, &prefixes(&["10.0.0.1/32", "10.0.0.4/32"])).await.unwrap_err();
        assert_eq!(
            (gone.kind(), gone.class(), gone.is_not_found()),
            (Kind::Conflict, Class::Conflict, false),
            "{gone}"
        );
        assert_eq!((gone.status(), gone.neutron_type()), (Some(404), Some("AddressesNotFound")));
        assert_eq!(set(&neutron.get_address_group(&id).await.unwrap()), set(&added), "nothing was done");

        // Nothing, and the same twice.
        assert_eq!(set(&neutron.add_addresses(&id, &[]).await.unwrap()), set(&added));
        assert_eq!(set(&neutron.remove_addresses(&id, &[]).await.unwrap()), set(&added));
        neutron.add_addresses(&id, &prefixes(&["10.3.0.1/24", "10.3.0.2/24", "10.3.0.1/24"])).await.unwrap();
        let left =
            neutron.remove_addresses(&id, &prefixes(&["10.3.0.9/24", "10.0.0.0/8", "10.0.0.1/32"])).await.unwrap();
        assert_eq!(set(&left), all(&["10.0.0.2/32", "fd00::2/128"]));
        assert!(left.revision_number > added.revision_number);

        let missing = AddressGroupId::from(MISSING);
        let nowhere = neutron.add_addresses(&missing, &prefixes(&["10.0.0.1/32"])).await.unwrap_err();
        assert_eq!((nowhere.kind(), nowhere.neutron_type()), (Kind::NotFound, Some("AddressGroupNotFound")));
        let nowhere = neutron.remove_addresses(&missing, &prefixes(&["10.0.0.1/32"])).await.unwrap_err();
        assert_eq!((nowhere.kind(), nowhere.neutron_type()), (Kind::NotFound, Some("AddressGroupNotFound")));
    })
    .await;
}

#[tokio::test]
async fn several_can_change_one_address_group_at_a_time() {
    in_world(Plan::default(), |world| async move {
        let neutron = &world.neutron;
        let id = neutron.create_address_group(&world.address_group(&["10.0.0.1/32"])).await.unwrap().id;
        let new: Vec<IpNet> = (0..12).map(|i| format!("10.0.1.{i}/32").parse().unwrap()).collect();
        let adds = new.iter().map(|address| neutron.add_addresses(&id, std::slice::from_ref(address)));
        for added in join_all(adds).await {
            added.unwrap();
        }
        // Each of them by two: one of the two is told that it is there.
        let both = new.iter().chain(&new).map(|address| neutron.remove_addresses(&id, std::slice::from_ref(address)));
        let outcomes = join_all(both).await;
        let refused = outcomes.iter().filter_map(|outcome| outcome.as_ref().err());
        assert!(refused.clone().all(|error| error.neutron_type() == Some("AddressesNotFound")), "{outcomes:?}");
        assert_eq!(refused.count(), 12);
        assert_eq!(neutron.get_address_group(&id).await.unwrap().addresses, prefixes(&["10.0.0.1/32"]));
    })
    .await;
}

#[tokio::test]
async fn an_address_group_that_rules_refer_to_stays() {
    in_world(Plan::default(), |world| async move {
        let neutron = &world.neutron;
        let group = world.closed_group("g").await;
        let addresses = neutron.create_address_group(&world.address_group(&["10.0.0.1/32"])).await.unwrap().id;
        let rule = |ethertype| NewSecurityGroupRule {
            remote_address_group_id: Some(addresses.clone()),
            ..NewSecurityGroupRule::allow_all(group.clone(), Direction::Ingress, ethertype)
        };
        let rules = [rule(EtherType::Ipv4), rule(EtherType::Ipv6)];
        let made = neutron.create_security_group_rules(&rules).await.unwrap();
        assert!(made.iter().all(|rule| rule.remote_address_group_id.as_ref() == Some(&addresses)), "{made:?}");

        let in_use = neutron.delete_address_group(&addresses).await.unwrap_err();
        assert_eq!((in_use.kind(), in_use.neutron_type()), (Kind::Conflict, Some("AddressGroupInUse")));
        assert!(in_use.message().contains(addresses.as_str()), "{in_use}");
        // Its addresses can be changed all the same.
        neutron.add_addresses(&addresses, &prefixes(&["10.0.0.2/32"])).await.unwrap();
        let query = SecurityGroupRuleQuery {
            remote_address_group_ids: vec![addresses.clone()],
            fields: vec!["id"],
            ..SecurityGroupRuleQuery::default()
        };
        let found = neutron.list_security_group_rules(&query).await.unwrap();
        assert_eq!(found.len(), 2);
        assert!(found.iter().all(|rule| rule.security_group_id.as_str().is_empty()), "only fields: {found:?}");
        neutron.delete_security_group_rule(&found[0].id).await.unwrap();
        assert_eq!(neutron.delete_address_group(&addresses).await.unwrap_err().kind(), Kind::Conflict);
        neutron.delete_security_group(&group).await.unwrap();
        neutron.delete_address_group(&addresses).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_rule_needs_an_address_group_that_is_there() {
    in_world(Plan::default(), |world| async move {
        let group = world.closed_group("g").await;
        for missing in [MISSING, "x"] {
            let rule = NewSecurityGroupRule {
                remote_address_group_id: Some(missing.into()),
                ..NewSecurityGroupRule::allow_all(group.clone(), Direction::Egress, EtherType::Ipv4)
            };
            for refused in [
                world.neutron.create_security_group_rule(&rule).await.unwrap_err(),
                world.neutron.create_security_group_rules(&[rule]).await.unwrap_err(),
            ] {
                assert_eq!((refused.kind(), refused.neutron_type()), (Kind::NotFound, Some("AddressGroupNotFound")));
            }
        }
    })
    .await;
}
