//! Groups of the fake cloud with its faults and behind its back, as the client sees them: what other crates' tests rely on.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use kuryr_openstack::{
    Cloud, CloudConfig, Kind, Metrics, Neutron, Settings,
    config::Files,
    neutron::{
        AddressGroup, AddressGroupQuery, AddressGroupUpdate, Direction, EtherType, NewAddressGroup, NewSecurityGroup,
        NewSecurityGroupRule, SecurityGroupQuery,
    },
};
use kuryr_openstack_fake::{Config, Effect, FakeCloud, Fault, Latency, Method, Moment, Next};
use prometheus_client::registry::Registry;
use serde_json::json;
use std::time::{Duration, Instant};

async fn start(config: Config) -> (FakeCloud, Neutron) {
    start_with(config, &mut Registry::default()).await
}

async fn start_with(config: Config, registry: &mut Registry) -> (FakeCloud, Neutron) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let fake = FakeCloud::start(config).await.unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), fake.clouds_yaml()).unwrap();
    let files = Files { clouds: file.path().to_owned(), secure: None };
    let settings = Settings {
        first_delay: Duration::from_millis(1),
        max_delay: Duration::from_millis(5),
        attempts: 2,
        ..Settings::default()
    };
    let config = CloudConfig::read(&files, Some("kuryr")).unwrap();
    let cloud = Cloud::connect(config, settings, Metrics::register(registry)).await.unwrap();
    fake.clear_journal();
    (fake, cloud.neutron())
}

async fn address_group(neutron: &Neutron) -> AddressGroup {
    let addresses = vec!["10.0.0.1/32".parse().unwrap()];
    let new = NewAddressGroup { name: "a".to_owned(), addresses, ..NewAddressGroup::default() };
    neutron.create_address_group(&new).await.unwrap()
}

fn group(name: &str) -> NewSecurityGroup {
    NewSecurityGroup { name: name.to_owned(), ..NewSecurityGroup::default() }
}

#[tokio::test]
async fn an_answer_that_is_lost_makes_a_conflict_of_the_repetition() {
    let (fake, neutron) = start(Config::default()).await;
    let id = address_group(&neutron).await.id;
    let fault = Fault::new(Effect::LostAfterCommit).on(Method::PUT, "address-groups").once();
    fake.inject(&fault);
    let lost = neutron.add_addresses(&id, &["10.0.0.2/32".parse().unwrap()]).await.unwrap_err();
    assert_eq!((lost.kind(), lost.outcome_unknown(), fault.hits()), (Kind::Conflict, true, 1), "{lost}");
    assert_eq!(neutron.get_address_group(&id).await.unwrap().addresses.len(), 2);
    assert_eq!(
        fake.count(|entry| entry.is_write() && entry.resource == "address-groups" && entry.path.contains("add_")),
        2
    );
}

#[tokio::test]
async fn a_hook_sees_what_is_added_and_can_end_it() {
    let (fake, neutron) = start(Config::default()).await;
    let id = address_group(&neutron).await.id;
    fake.on_request(|event| {
        let adds = event.call.path.ends_with("/add_addresses") && event.moment == Moment::BeforeCommit;
        Box::pin(std::future::ready(if adds { Next::Close } else { Next::Continue }))
    });
    let closed = neutron.add_addresses(&id, &["10.0.0.2/32".parse().unwrap()]).await.unwrap_err();
    assert_eq!((closed.kind(), closed.outcome_unknown()), (Kind::ConnectionLost, true));
    neutron.remove_addresses(&id, &["10.0.0.1/32".parse().unwrap()]).await.unwrap();
    assert!(fake.address_groups()[0].addresses.is_empty());
}

#[tokio::test]
async fn what_is_done_by_hand_is_seen_and_not_noted() {
    let (fake, neutron) = start(Config::default()).await;
    let addresses = address_group(&neutron).await.id;
    let closed = neutron.create_closed_security_group(&group("g")).await.unwrap();
    let rule = NewSecurityGroupRule {
        remote_address_group_id: Some(addresses.clone()),
        protocol: Some("tcp".to_owned()),
        port_range_min: Some(80),
        port_range_max: Some(81),
        ..NewSecurityGroupRule::allow_all(closed.id.clone(), Direction::Ingress, EtherType::Ipv4)
    };
    let rule = neutron.create_security_group_rule(&rule).await.unwrap();
    let view = || fake.security_groups().into_iter().find(|view| view.id == closed.id.as_str()).unwrap();
    let seen = view();
    assert_eq!((seen.name.as_str(), seen.stateful, seen.rules.len()), ("g", true, 1));
    let seen = &seen.rules[0];
    assert_eq!(
        (seen.id.as_str(), seen.ingress, seen.v4, seen.ports),
        (rule.id.as_str(), true, true, (Some(80), Some(81)))
    );
    assert_eq!((seen.protocol.as_deref(), seen.address_group.as_deref()), (Some("tcp"), Some(addresses.as_str())));

    fake.clear_journal();
    let path = format!("address-groups/{addresses}");
    let (status, said) = fake.by_hand("kuryr", Method::DELETE, &path, None);
    assert_eq!((status, said["NeutronError"]["type"].as_str()), (409, Some("AddressGroupInUse")));
    let more = Some(json!({ "addresses": ["10.9.0.0/16"] }));
    assert_eq!(fake.by_hand("kuryr", Method::PUT, &format!("{path}/add_addresses"), more).0, 200);
    assert_eq!(fake.by_hand("kuryr", Method::DELETE, &format!("security-group-rules/{}", rule.id), None).0, 204);
    let (_, listed) = fake.by_hand("kuryr", Method::GET, "address-groups?name=a&fields=id", None);
    assert_eq!(listed["address_groups"], json!([{ "id": addresses.as_str() }]));
    assert!(view().rules.is_empty());
    assert_eq!(fake.address_groups()[0].addresses.len(), 2);
    assert_eq!(fake.journal().len(), 0);
}

#[tokio::test]
async fn of_two_rules_that_are_the_same_one_is_not_in_force_without_the_other() {
    let (fake, neutron) = start(Config::default()).await;
    let closed = neutron.create_closed_security_group(&group("g")).await.unwrap().id;
    let all = NewSecurityGroupRule::allow_all(closed.clone(), Direction::Ingress, EtherType::Ipv4);
    let first = neutron.create_security_group_rule(&all).await.unwrap();
    let prefix = NewSecurityGroupRule { remote_ip_prefix: Some("10.0.0.0/8".parse().unwrap()), ..all.clone() };
    let second = neutron.create_security_group_rule(&prefix).await.unwrap();
    for rule in [&first, &second] {
        assert!(fake.double_rule(rule.id.as_str()).is_some());
        neutron.delete_security_group_rule(&rule.id).await.unwrap();
    }
    let view = fake.security_groups().into_iter().find(|view| view.id == closed.as_str()).unwrap();
    let in_force = |prefix: bool| view.rules.iter().find(|rule| rule.prefix.is_some() == prefix).unwrap().in_force;
    assert_eq!((view.rules.len(), in_force(false), in_force(true)), (2, false, true));
    // Only when the other one is gone as well it can be created again.
    let again = neutron.create_security_group_rule(&all).await.unwrap_err().existing_rule().unwrap();
    neutron.delete_security_group_rule(&again).await.unwrap();
    neutron.create_security_group_rule(&all).await.unwrap();
    assert!(fake.security_groups().iter().flat_map(|group| &group.rules).all(|rule| rule.in_force));
}

#[tokio::test]
async fn an_administrator_may_have_changed_the_rules_of_new_groups() {
    let ingress = json!({ "direction": "ingress", "ethertype": "IPv4", "protocol": "tcp", "port_range_min": 22, "port_range_max": 22 });
    let (_fake, neutron) = start(Config { new_group_rules: vec![ingress], ..Config::default() }).await;
    let open = neutron.create_security_group(&group("g")).await.unwrap();
    assert_eq!(open.rules.iter().map(|rule| rule.port_range_min).collect::<Vec<_>>(), [Some(22)]);
    assert_eq!(neutron.create_closed_security_group(&group("h")).await.unwrap().rules, []);
    let query = SecurityGroupQuery { names: vec!["h".to_owned()], ..SecurityGroupQuery::default() };
    assert_eq!(neutron.list_security_groups(&query).await.unwrap()[0].rules, []);
}

#[tokio::test]
async fn a_group_that_can_not_be_closed_is_found_again() {
    let (fake, neutron) = start(Config::default()).await;
    fake.inject(&Fault::new(Effect::Status(503, None)).on(Method::DELETE, "security-group-rules"));
    assert_eq!(neutron.create_closed_security_group(&group("g")).await.unwrap_err().kind(), Kind::Unavailable);
    fake.clear_faults();
    let query = SecurityGroupQuery { names: vec!["g".to_owned()], ..SecurityGroupQuery::default() };
    let left = neutron.list_security_groups(&query).await.unwrap().remove(0);
    assert_eq!(left.rules.len(), 2, "it lets everything out");
    neutron.close_security_group(&left).await.unwrap();
    assert_eq!(neutron.get_security_group(&left.id).await.unwrap().rules, []);
}

#[tokio::test]
async fn a_large_address_group_is_slow() {
    let (fake, neutron) = start(Config::default()).await;
    let id = address_group(&neutron).await.id;
    let many: Vec<_> = (0..2000).map(|i| format!("10.1.{}.{}/32", i / 250, i % 250).parse().unwrap()).collect();
    neutron.add_addresses(&id, &many).await.unwrap();
    fake.set_latency(Latency::Lab);
    let begun = Instant::now();
    neutron.add_addresses(&id, &["10.0.0.2/32".parse().unwrap()]).await.unwrap();
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(300), "{took:?}");
}

#[tokio::test]
async fn a_cloud_without_address_groups_says_so() {
    let (_fake, neutron) = start(Config { address_groups: false, ..Config::default() }).await;
    assert!(!neutron.has_address_groups().await.unwrap());
    let error = neutron.list_address_groups(&AddressGroupQuery::default()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Malformed, "a path that isn't there is no group that isn't there: {error}");
    let closed = neutron.create_closed_security_group(&group("g")).await.unwrap();
    let rule = NewSecurityGroupRule {
        remote_address_group_id: Some("00000000-0000-4000-8000-000000000000".into()),
        ..NewSecurityGroupRule::allow_all(closed.id, Direction::Ingress, EtherType::Ipv4)
    };
    assert_eq!(neutron.create_security_group_rule(&rule).await.unwrap_err().kind(), Kind::BadRequest);
}

#[tokio::test]
async fn a_large_address_group_is_not_taken_for_a_busy_service() {
    let mut registry = Registry::default();
    let (fake, neutron) = start_with(Config::default(), &mut registry).await;
    let limit = || {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let line = text.lines().find(|line| line.starts_with("openstack_requests_limit{service=\"network\"")).unwrap();
        line.rsplit_once(' ').unwrap().1.parse::<u32>().unwrap()
    };
    let id = address_group(&neutron).await.id;
    let address = ["10.0.0.2/32".parse().unwrap()];
    let rename = AddressGroupUpdate { name: Some("b".to_owned()), ..AddressGroupUpdate::default() };
    let twice = async || {
        neutron.add_addresses(&id, &address).await.unwrap();
        neutron.remove_addresses(&id, &address).await.unwrap();
    };
    for _ in 0..5 {
        twice().await;
        neutron.update_address_group(&id, &rename).await.unwrap();
    }
    let before = limit();
    fake.inject(&Fault::new(Effect::Slow(Duration::from_millis(60))).method(Method::PUT));
    for _ in 0..5 {
        twice().await;
    }
    assert_eq!(limit(), before);
    for _ in 0..10 {
        neutron.update_address_group(&id, &rename).await.unwrap();
    }
    assert!(limit() < before, "what always takes as long tells that the service is busy");
}
