//! What somebody changes in Neutron by hand is put right.

use super::super::harness::{eventually_so, in_world};
use super::fixture::{marked, only, passes, port_of, programmed, running};
use http::Method;
use serde_json::json;

#[test]
fn groups_rules_and_members_that_somebody_changes_are_repaired() {
    in_world(|world| async move {
        let world = world.with_policies();
        let controller = world.start();
        let (web, db, other) = (
            running(&world, "web", "web").await,
            running(&world, "db", "db").await,
            running(&world, "other", "other").await,
        );
        only(&world, "db", "db", "web").await;
        let expected = [(&web, &db, true), (&other, &db, false)];
        passes(&world, &expected).await;
        programmed(&world, "db").await;
        let sound = marked(&world);
        let group = sound.0.iter().find(|group| group.name.contains("policy")).unwrap();
        let address_group = &sound.1[0];
        let is_sound = || async {
            passes(&world, &expected).await;
            eventually_so("all is as it was", || async {
                let now = marked(&world);
                let rules = |groups: &[kuryr_openstack_fake::SecurityGroupView]| {
                    groups.iter().map(|one| one.rules.len()).sum::<usize>()
                };
                let same =
                    rules(&now.0) == rules(&sound.0) && now.0.len() == sound.0.len() && now.1.len() == sound.1.len();
                if same { Ok(()) } else { Err(format!("{now:?}")) }
            })
            .await;
        };
        let by_hand = |method: Method, path: String, body| world.fake.by_hand(method, &path, body);
        // A rule less, a rule more, a member less, a member more.
        by_hand(Method::DELETE, format!("security-group-rules/{}", group.rules[0].id), None);
        is_sound().await;
        let rule = json!({ "security_group_rule": { "security_group_id": group.id, "direction": "ingress", "ethertype": "IPv4" } });
        assert_eq!(by_hand(Method::POST, "security-group-rules".into(), Some(rule)).0, 201);
        is_sound().await;
        let member = address_group.addresses.iter().next().unwrap().to_string();
        let path = |action: &str| format!("address-groups/{}/{action}", address_group.id);
        assert_eq!(by_hand(Method::PUT, path("remove_addresses"), Some(json!({ "addresses": [member] }))).0, 200);
        is_sound().await;
        assert_eq!(by_hand(Method::PUT, path("add_addresses"), Some(json!({ "addresses": ["10.244.0.0/16"] }))).0, 200);
        is_sound().await;
        controller.stop().await;
    });
}

#[test]
fn groups_that_carry_the_mark_and_that_nobody_wants_go() {
    in_world(|world| async move {
        let world = world.with_policies();
        let controller = world.start();
        let db = running(&world, "db", "db").await;
        only(&world, "db", "db", "web").await;
        programmed(&world, "db").await;
        let (groups, named) = marked(&world);
        let twice = groups.iter().find(|group| group.name.contains("policy")).unwrap();
        let mark = |uid: &str| format!("kuryr:{}:{uid}", world.name);
        let group = |description: &str| json!({ "security_group": { "name": "x", "description": description } });
        // Ids are random: some of these come before that of the one that is in use.
        for description in [vec![mark("0123")], vec![twice.description.clone(); 8]].concat() {
            assert_eq!(world.fake.by_hand(Method::POST, "security-groups", Some(group(&description))).0, 201);
        }
        let body = json!({ "address_group": { "name": "x", "description": mark("4567"), "addresses": [] } });
        assert_eq!(world.fake.by_hand(Method::POST, "address-groups", Some(body)).0, 201);
        let others = world.fake.by_hand(Method::POST, "security-groups", Some(group("somebody's"))).1;
        eventually_so("only what is wanted is left", || async {
            let now = marked(&world);
            if (now.0.len(), now.1.len()) == (groups.len(), named.len()) { Ok(()) } else { Err(format!("{now:?}")) }
        })
        .await;
        let has = port_of(&world, &db).await.unwrap().security_groups;
        assert!(
            has.contains(&twice.id) && groups.iter().all(|one| marked(&world).0.contains(one)),
            "those in use stay"
        );
        let id = others["security_group"]["id"].as_str().unwrap();
        assert!(world.fake.security_groups().iter().any(|group| group.id == id), "what others have stays");
        controller.stop().await;
    });
}

#[test]
fn a_rule_that_is_there_twice_is_left_alone() {
    in_world(|world| async move {
        let world = world.with_policies();
        let controller = world.start();
        let (web, db) = (running(&world, "web", "web").await, running(&world, "db", "db").await);
        only(&world, "db", "db", "web").await;
        programmed(&world, "db").await;
        let of_policy = || marked(&world).0.into_iter().find(|group| group.name.contains("policy")).unwrap();
        let doubled = world.fake.double_rule(&of_policy().rules[0].id).unwrap();
        let looks = || world.fake.count(&Method::GET, "security-groups");
        let before = looks();
        eventually_so("the groups have been looked at twice more", || async {
            if looks() > before + 2 { Ok(()) } else { Err(format!("{}", looks())) }
        })
        .await;
        // With one of two OVN would forget what both allow.
        let now = of_policy();
        assert!(now.rules.iter().any(|rule| rule.id == doubled) && now.rules.iter().all(|rule| rule.in_force));
        passes(&world, &[(&web, &db, true)]).await;
        only(&world, "db", "db", "nobody").await;
        passes(&world, &[(&web, &db, false)]).await;
        controller.stop().await;
    });
}
