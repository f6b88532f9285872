//! What becomes of the KuryrLoadBalancer.

use super::*;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kuryr_api::{FloatingIpOrigin, FloatingIpStatus, KuryrLoadBalancerStatus};
use kuryr_core::service::{
    annotations,
    facts::{ServicePort, ServiceType, Settings, Subnet, TargetPort},
    spec::{Protocol, Vip},
    wanted::{Why, is_ours, wanted},
};
use serde_json::json;

mod ingress;
mod properties;

const FLOATING: &str = "203.0.113.7";
const V4: &str = "10.96.0.10";
const V6: &str = "fd96::10";

fn settings() -> Settings {
    let subnet = |id: &str, cidr: &str| Subnet { id: id.to_owned(), cidr: cidr.parse().unwrap() };
    Settings {
        service_subnets: vec![subnet("v4", "10.96.0.0/16"), subnet("v6", "fd96::/108")],
        floating_network: Some("public".into()),
        ..Settings::default()
    }
}

fn service(kind: ServiceType) -> Service {
    let http = ServicePort {
        name: "http".into(),
        protocol: Protocol::Tcp,
        port: 80,
        target: TargetPort::Number(8080),
        node_port: None,
        app_protocol: None,
    };
    Service {
        name: "web".into(),
        namespace: "shop".into(),
        uid: "1".into(),
        kind,
        cluster_ips: vec![V4.into()],
        ports: vec![http],
        ..Service::default()
    }
}

fn public() -> Service {
    service(ServiceType::LoadBalancer)
}

fn annotated(name: &str, value: &str) -> Service {
    Service { annotations: [(name.to_owned(), value.to_owned())].into(), ..public() }
}

/// The object as it is after the Service was read, with a status: what is served, the floating IP, and conditions.
fn object(
    service: &Service,
    vips: &[&str],
    floating: Option<&str>,
    conditions: &[(&str, &str, &str)],
) -> KuryrLoadBalancer {
    let Wanted::LoadBalancer(ask) = wanted(service, &settings()) else { panic!() };
    let mut object = KuryrLoadBalancer::new(&ask.name, *spec(service, &ask.spec));
    let condition = |(type_, status, reason): &(&str, &str, &str)| {
        let time = "2026-11-27T00:00:00Z";
        let condition =
            json!({ "type": type_, "status": status, "reason": reason, "message": "", "lastTransitionTime": time });
        serde_json::from_value(condition).unwrap()
    };
    object.status = Some(KuryrLoadBalancerStatus {
        vips: vips.iter().map(|ip| Vip { address: ip.parse().unwrap(), subnet_id: "s".into() }).collect(),
        floating_ip: floating.map(|ip| FloatingIpStatus {
            id: "f".into(),
            address: ip.parse().unwrap(),
            origin: FloatingIpOrigin::Created,
        }),
        conditions: conditions.iter().map(condition).collect(),
        ..KuryrLoadBalancerStatus::default()
    });
    object
}

const READY: &[(&str, &str, &str)] = &[("Ready", "True", "AsDesired")];
const CLOSED: &[(&str, &str, &str)] = &[("Accepted", "False", "NotExposed"), READY[0]];
const UNREADY: &[(&str, &str, &str)] = &[("Ready", "False", "Pending")];

fn at(ip: &str) -> LoadBalancerIngress {
    LoadBalancerIngress { ip: Some(ip.into()), ip_mode: Some("VIP".into()), ..LoadBalancerIngress::default() }
}

fn named(hostname: &str) -> LoadBalancerIngress {
    LoadBalancerIngress { hostname: Some(hostname.into()), ..LoadBalancerIngress::default() }
}

fn seen(service: &Service, ingress: &[LoadBalancerIngress], object: Option<KuryrLoadBalancer>) -> Observed {
    Observed { service: service.clone(), ingress: ingress.to_vec(), object: object.map(Arc::new) }
}

fn planned_with(seen: &Observed, settings: &Settings) -> Plan {
    plan(seen, &wanted(&seen.service, settings), is_ours(&seen.service, settings))
}

fn planned(seen: &Observed) -> Plan {
    planned_with(seen, &settings())
}

/// What is published after the plan.
fn published(seen: &Observed) -> Vec<LoadBalancerIngress> {
    planned(seen).ingress.unwrap_or_else(|| seen.ingress.clone())
}

/// There is nothing to write.
fn is_empty(plan: &Plan) -> bool {
    plan.object == Change::None && plan.ingress.is_none()
}

fn going(mut object: KuryrLoadBalancer) -> KuryrLoadBalancer {
    object.metadata.deletion_timestamp = Some(Time(jiff::Timestamp::UNIX_EPOCH));
    object
}

#[test]
fn what_is_missing_is_made_and_what_is_as_it_is_to_be_is_left() {
    let inside = service(ServiceType::ClusterIp);
    let Change::Create(spec) = planned(&seen(&inside, &[], None)).object else { panic!() };
    assert_eq!((spec.service_name.as_str(), spec.service_uid.as_str()), ("web", "1"));
    assert_eq!(spec.load_balancer.vips[0].subnet_id, "v4");
    let there = object(&inside, &[V4], None, READY);
    assert_eq!(there.spec, *spec);
    assert_eq!(planned(&seen(&inside, &[], Some(there))), Plan::default());
}

#[test]
fn a_changed_service_changes_the_spec() {
    let before = object(&service(ServiceType::ClusterIp), &[V4], None, READY);
    let plan = planned(&seen(&public(), &[], Some(before)));
    let Change::SetSpec(spec) = plan.object else { panic!() };
    assert!(spec.load_balancer.external.is_some());
    assert_eq!(plan.ingress, None, "the floating IP isn't there yet");
}

#[test]
fn a_service_that_wants_none_loses_its_object() {
    let there = || Some(object(&public(), &[V4], Some(FLOATING), READY));
    let gone = Service { deleted: true, ..public() };
    let plan = planned(&seen(&gone, &[at(FLOATING)], there()));
    assert_eq!((plan.object, plan.ingress), (Change::Delete, Some(vec![])));
    assert!(is_empty(&planned(&seen(&gone, &[], None))));
    let name = Service { kind: ServiceType::ExternalName, ..public() };
    assert_eq!(planned(&seen(&name, &[at(FLOATING)], there())).ingress, Some(vec![]));
}

#[test]
fn an_object_that_goes_is_waited_for() {
    let goes = going(object(&public(), &[V4], Some(FLOATING), READY));
    for service in [public(), Service { deleted: true, ..public() }, service(ServiceType::ClusterIp)] {
        let plan = planned(&seen(&service, &[at(FLOATING)], Some(goes.clone())));
        assert_eq!((plan.object, plan.ingress), (Change::None, Some(vec![])), "its addresses go with it");
    }
}

#[test]
fn what_is_impossible_leaves_all_as_it_is_and_is_told() {
    let wrong = Service { load_balancer_source_ranges: vec!["everybody".into()], ..public() };
    let there = object(&public(), &[V4], Some(FLOATING), READY);
    let plan = planned(&seen(&wrong, &[at(FLOATING)], Some(there)));
    assert!(is_empty(&plan));
    assert!(plan.problems.len() == 1 && plan.problems[0].contains("everybody"), "{:?}", plan.problems);
    let new = planned(&seen(&wrong, &[], None));
    assert_eq!((new.object, new.ingress, new.problems.len()), (Change::None, None, 1));
}

#[test]
fn wrong_words_are_told_and_the_rest_is_done() {
    let plan = planned(&seen(&annotated(annotations::LB_METHOD, "FASTEST"), &[], None));
    assert!(matches!(plan.object, Change::Create(_)));
    assert!(plan.problems[0].contains("FASTEST"), "{:?}", plan.problems);
}

#[test]
fn an_object_of_another_service_is_told_and_left_alone() {
    let other = Service { uid: "2".into(), ..public() };
    let foreign = object(&other, &[V4], Some(FLOATING), READY);
    let plan = planned(&seen(&public(), &[], Some(foreign.clone())));
    assert!(is_empty(&plan) && plan.problems[0].contains("in the way"), "{plan:?}");
    let gone = Service { deleted: true, ..public() };
    assert_eq!(planned(&seen(&gone, &[], Some(foreign))), Plan::default());
}
