//! Egress over Services, whose backends decide.

use super::build::*;

/// What pod 1 may send to over a Service at 10.96.0.1:80, with these backends.
fn over_service(policies: &[Policy], service: &Service) -> bool {
    let with = |address_groups| {
        let cluster = Cluster { services: vec![service.clone()], ..cluster(policies) };
        let world = world(&cluster, settings(address_groups));
        lets(&world, &cluster.pods[0], Direction::Egress, End { address: vip4(1), protocol: Tcp, port: 80 })
    };
    assert_eq!(with(true), with(false));
    with(true)
}

/// Defect 10: a Service is allowed by what is behind it, at the port that is there.
#[test]
fn a_service_is_open_by_its_backends_ports() {
    let db = |port| egress(&[rule(&[pods(select(&[("app", "db")]))], &[port])]);
    let service = one_port(1, Tcp, 80, &[(v4(2), 81)]);
    assert!(over_service(&[db(port("TCP", 81))], &service));
    assert!(!over_service(&[db(port("TCP", 80))], &service));
    assert!(over_service(&[db(named("TCP", "http"))], &service));
    assert!(over_service(&[egress(&[rule(&[], &[port("TCP", 81)])])], &service));
    assert!(!over_service(&[egress(&[rule(&[], &[port("TCP", 80)])])], &service));
    assert!(over_service(&[egress(&[rule(&[], &[])])], &service));
    assert!(over_service(&[egress(&[rule(&[block("10.0.0.0/30", &[])], &[])])], &service));
}

/// A prefix that has Services' addresses doesn't open them.
#[test]
fn a_block_opens_no_service() {
    let service = one_port(1, Tcp, 80, &[(v4(2), 81)]);
    assert!(!over_service(&[egress(&[rule(&[block("10.96.0.0/16", &[])], &[])])], &service));
    assert!(!over_service(&[egress(&[rule(&[block("0.0.0.0/0", &["10.0.0.0/24"])], &[])])], &service));
    assert!(!over_service(&[egress(&[rule(&[block("10.96.0.1/32", &[])], &[port("TCP", 80)])])], &service));
}

/// All backends must be allowed: by one policy, or by several together. What isn't is told.
#[test]
fn a_service_with_a_backend_that_is_not_allowed_is_closed() {
    let db = egress(&[rule(&[pods(select(&[("app", "db")]))], &[])]);
    let other = Policy { uid: "policy2".into(), ..egress(&[rule(&[pods(select(&[("app", "")]))], &[])]) };
    let service = one_port(1, Tcp, 80, &[(v4(2), 80), (v4(3), 80)]);
    assert!(!over_service(std::slice::from_ref(&db), &service));
    assert!(over_service(&[db.clone(), other.clone()], &service));
    assert!(!over_service(std::slice::from_ref(&db), &one_port(1, Tcp, 80, &[])));
    let told = |policies: &[Policy]| {
        let world = world(&Cluster { services: vec![service.clone()], ..cluster(policies) }, settings(true));
        world.closed_services(&db.uid).iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let closed = "10.96.0.1:80/TCP is closed: only 1 of its 2 backends are allowed, and all of them must be";
    assert_eq!(told(std::slice::from_ref(&db)), [closed]);
    assert!(told(&[db.clone(), other]).is_empty());
}

/// "A Pod cannot block access to itself": over its own Service neither, in both directions.
#[test]
fn a_pod_reaches_itself_over_its_service() {
    let closed = Policy { policy_types: vec!["Ingress".into(), "Egress".into()], ..policy(1) };
    let alone = one_port(1, Tcp, 80, &[(v4(1), 80)]);
    assert!(over_service(std::slice::from_ref(&closed), &alone));
    assert!(!over_service(std::slice::from_ref(&closed), &one_port(1, Tcp, 80, &[(v4(1), 80), (v4(2), 80)])));
    let cluster = Cluster { services: vec![alone], ..cluster(&[closed]) };
    let hairpin = End { address: vip4(1), protocol: Tcp, port: 80 };
    let lets_in = |settings| lets(&world(&cluster, settings), &cluster.pods[0], Direction::Ingress, hairpin);
    assert!(lets_in(settings(true)));
    // A load balancer that shows its own address would let in everybody: it isn't let in.
    assert!(!lets_in(Settings { abilities: Abilities { address_groups: true, source_kept: false }, ..settings(true) }));
}

/// What a pod that isn't behind the Service may use follows from the policies that it has now.
#[test]
fn a_pod_that_is_relabelled_may_use_other_services() {
    let db = egress(&[rule(&[pods(select(&[("app", "db")]))], &[])]);
    let other = Policy { uid: "policy2".into(), ..egress(&[rule(&[pods(select(&[("app", "")]))], &[])]) };
    let service = one_port(1, Tcp, 80, &[(v4(2), 80), (v4(3), 80)]);
    let cluster = Cluster { services: vec![service], ..cluster(&[db.clone(), other.clone()]) };
    let mut world = world(&cluster, settings(true));
    let selected = &cluster.pods[0];
    let vip = End { address: vip4(1), protocol: Tcp, port: 80 };
    let unselected = Pod { labels: [].into(), ..selected.clone() };
    let no_more = world.learn([Fact::Pod(unselected)]);
    assert!(lets(&world, selected, Direction::Egress, vip));
    assert_eq!(world.address_groups().count(), 2);
    let again = world.learn([Fact::Pod(selected.clone())]);
    assert!(lets(&world, selected, Direction::Egress, vip));
    assert!(world.groups_of_pod(&selected.uid).is_some_and(|groups| groups.iter().any(|key| key.policy().is_none())));
    assert_eq!(world.address_groups().count(), 3);
    // What is to be told of a policy depends on which pods have it.
    let told = world.learn([Fact::NoPolicy(other.uid)]);
    assert_eq!(world.closed_services(&db.uid).len(), 1);
    for changes in [no_more, again, told] {
        assert!(changes.policies.contains(&db.uid));
    }
}

/// A Service whose address isn't in the configured ranges is told.
#[test]
fn services_outside_the_ranges_are_told() {
    let services = vec![one_port(1, Tcp, 80, &[(v4(2), 81)])];
    let cluster = Cluster { services, ..cluster(&[]) };
    assert!(world(&cluster, settings(true)).outside_ranges().is_empty());
    assert_eq!(world(&cluster, Settings::default()).outside_ranges().len(), 1);
}
