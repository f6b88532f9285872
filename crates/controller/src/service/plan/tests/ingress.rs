//! What is published.

use super::*;

#[test]
fn an_address_is_published_once_it_serves_and_stays_while_it_is_there() {
    let with = |floating, conditions| Some(object(&public(), &[V4], floating, conditions));
    assert_eq!(published(&seen(&public(), &[], with(None, UNREADY))), []);
    assert_eq!(published(&seen(&public(), &[], with(Some(FLOATING), UNREADY))), []);
    assert_eq!(published(&seen(&public(), &[], with(None, READY))), [], "it is the floating IP that was asked for");
    assert_eq!(published(&seen(&public(), &[], with(Some(FLOATING), READY))), [at(FLOATING)]);
    assert_eq!(published(&seen(&public(), &[at(FLOATING)], with(Some(FLOATING), UNREADY))), [at(FLOATING)]);
    assert_eq!(published(&seen(&public(), &[at(FLOATING)], with(None, UNREADY))), [], "it is gone");
    assert_eq!(published(&seen(&public(), &[at(FLOATING)], None)), []);
}

#[test]
fn an_internal_service_is_reached_at_its_own_addresses() {
    let internal = Service { cluster_ips: vec![V6.into(), V4.into()], ..annotated(annotations::INTERNAL, "true") };
    let both = object(&internal, &[V6, V4], None, READY);
    assert_eq!(published(&seen(&internal, &[], Some(both))), [at(V6), at(V4)]);
    let first = object(&internal, &[V6], None, READY);
    assert_eq!(
        published(&seen(&internal, &[at(V6), at(V4)], Some(first))),
        [at(V6)],
        "one that isn't served isn't told"
    );
}

#[test]
fn of_two_families_the_floating_ip_stands_for_the_first_only() {
    let dual = Service { cluster_ips: vec![V4.into(), V6.into()], ..public() };
    let both = object(&dual, &[V4, V6], Some(FLOATING), READY);
    assert_eq!(published(&seen(&dual, &[], Some(both))), [at(FLOATING), at(V6)]);
    let pending = object(&dual, &[V4, V6], None, READY);
    assert_eq!(published(&seen(&dual, &[at(V6)], Some(pending))), [at(V6)]);
}

#[test]
fn another_floating_ip_takes_the_place_of_the_first_when_it_is_there() {
    let other = Service { load_balancer_ip: Some("203.0.113.8".into()), ..public() };
    let still = object(&public(), &[V4], Some(FLOATING), READY);
    assert_eq!(published(&seen(&other, &[at(FLOATING)], Some(still))), [at(FLOATING)]);
    let now = object(&other, &[V4], Some("203.0.113.8"), READY);
    assert_eq!(published(&seen(&other, &[at(FLOATING)], Some(now))), [at("203.0.113.8")]);
}

#[test]
fn a_name_is_published_in_place_of_the_address() {
    let service = annotated(annotations::HOSTNAME, "web.example.org");
    let with = |floating, conditions| Some(object(&service, &[V4], floating, conditions));
    assert_eq!(published(&seen(&service, &[], with(None, READY))), []);
    assert_eq!(published(&seen(&service, &[at(FLOATING)], with(Some(FLOATING), READY))), [named("web.example.org")]);
    let name = [named("web.example.org")];
    assert_eq!(published(&seen(&service, &name, with(Some(FLOATING), UNREADY))), name);
    assert_eq!(published(&seen(&public(), &name, Some(object(&public(), &[V4], Some(FLOATING), UNREADY)))), []);
}

#[test]
fn a_service_that_may_not_be_open_isnt_told_to_be() {
    let internal = annotated(annotations::INTERNAL, "true");
    let closed = object(&internal, &[V4], None, CLOSED);
    assert_eq!(published(&seen(&internal, &[at(V4)], Some(closed))), []);
}

#[test]
fn services_of_another_class_are_served_and_their_addresses_left_alone() {
    let other = Service { load_balancer_class: Some("example.org/other".into()), ..public() };
    let theirs = [at("198.51.100.1"), named("other.example.org")];
    let there = object(&other, &[V4], None, READY);
    assert_eq!(planned(&seen(&other, &theirs, Some(there))), Plan::default());
    let plan = planned(&seen(&other, &theirs, None));
    assert!(matches!(plan.object, Change::Create(_)) && plan.ingress.is_none());
}

#[test]
fn what_was_ours_is_taken_back_when_the_class_becomes_somebody_elses() {
    let settings = Settings { default_class: false, ..settings() };
    let there = object(&public(), &[V4], Some(FLOATING), READY);
    let now = seen(&public(), &[at(FLOATING), at("198.51.100.1")], Some(there));
    let plan = planned_with(&now, &settings);
    assert_eq!(plan.ingress, Some(vec![at("198.51.100.1")]));
    assert!(matches!(plan.object, Change::SetSpec(ref spec) if spec.load_balancer.external.is_none()));
}

#[test]
fn a_service_that_is_no_load_balancer_any_more_has_no_addresses() {
    let there = object(&public(), &[V4], Some(FLOATING), READY);
    let plan = planned(&seen(&service(ServiceType::ClusterIp), &[at(FLOATING)], Some(there)));
    assert!(matches!(plan.object, Change::SetSpec(_)));
    assert_eq!(plan.ingress, Some(vec![]));
}

#[test]
fn where_services_are_left_to_others_their_addresses_are_left_alone() {
    let theirs = [at("198.51.100.1")];
    for why in [Why::SwitchedOff, Why::LeftToOthers] {
        let plan_of = |seen: &Observed| plan(seen, &Wanted::Nothing(why), true);
        assert_eq!(plan_of(&seen(&public(), &theirs, None)), Plan::default(), "{why:?}");
        let there = object(&public(), &[V4], Some(FLOATING), READY);
        let plan = plan_of(&seen(&public(), &[at(FLOATING), theirs[0].clone()], Some(there)));
        assert_eq!((plan.object, plan.ingress), (Change::Delete, Some(theirs.to_vec())), "{why:?}: Kuryr's own goes");
    }
}
