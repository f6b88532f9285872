use super::*;
use kuryr_api::KuryrLoadBalancerSpec;
use kuryr_core::service::{
    abilities::Feature,
    graph::{Effect, Graph},
    observed::Operating,
    spec::{External, FloatingIp},
};
use std::collections::{BTreeMap, BTreeSet};

fn vip() -> Vip {
    Vip { address: "10.96.0.9".parse().unwrap(), subnet_id: "services".to_owned() }
}

fn object() -> KuryrLoadBalancer {
    KuryrLoadBalancer::new(
        "web-1",
        KuryrLoadBalancerSpec {
            service_name: "web".into(),
            service_uid: "1".into(),
            load_balancer: Default::default(),
        },
    )
}

fn desired(external: bool, unsupported: Vec<Unsupported>) -> Desired {
    let graph = Graph {
        name: "shop/web".to_owned(),
        description: "kuryr:c:u".to_owned(),
        provider: Some("ovn".to_owned()),
        flavor_id: None,
        availability_zone: None,
        vip: vip(),
        additional_vips: BTreeSet::new(),
        listeners: BTreeMap::new(),
    };
    let floating_ip = Some(FloatingIp::default());
    Desired { graph, external: external.then(|| External { floating_ip, ..External::default() }), unsupported }
}

fn current(provisioning: Provisioning) -> ObservedLoadBalancer {
    ObservedLoadBalancer {
        id: "lb".to_owned(),
        provisioning,
        operating: Operating::Online,
        name: "shop/web".to_owned(),
        description: "kuryr:c:u".to_owned(),
        admin_state_up: true,
        provider: "ovn".to_owned(),
        flavor_id: None,
        availability_zone: None,
        vip: vip(),
        vip_port_id: "port".to_owned(),
        additional_vips: BTreeSet::new(),
        listeners: Vec::new(),
        pools: Vec::new(),
    }
}

/// The conditions that follow, as `Type=Status(Reason)`.
fn says(facts: &Facts<'_>) -> Vec<String> {
    let status = status(&object(), facts, Timestamp::UNIX_EPOCH).unwrap();
    status.conditions.iter().map(|says| format!("{}={}({})", says.type_, says.status, says.reason)).collect()
}

fn pending() -> Step {
    Step::Wait { load_balancer: "lb".to_owned(), provisioning: Provisioning::PendingUpdate }
}

#[test]
fn what_is_served_is_ready_and_said_once() {
    let (desired, current) = (desired(false, Vec::new()), current(Provisioning::Active));
    let floating_ip = Ok(None);
    let facts = Facts {
        desired: Some(&desired),
        current: Some(&current),
        step: &Step::Converged,
        stuck: false,
        floating_ip: &floating_ip,
    };
    let all = ["Accepted", "Provisioned", "Programmed", "Ready"].map(|type_| format!("{type_}=True(AsDesired)"));
    assert_eq!(says(&facts), all);
    let written = status(&object(), &facts, Timestamp::UNIX_EPOCH).unwrap();
    assert_eq!((written.load_balancer_id.as_deref(), written.vip_port_id.as_deref()), (Some("lb"), Some("port")));
    let told = KuryrLoadBalancer { status: Some(written), ..object() };
    assert_eq!(status(&told, &facts, Timestamp::now()), None, "promise P5");
}

fn no_address(lost: bool) -> NoAddress {
    NoAddress { reason: reasons::NO_FLOATING_IP, message: "no external network".to_owned(), lost }
}

#[test]
fn an_address_is_told_until_neutron_says_that_it_is_lost() {
    let (desired, current) = (desired(true, Vec::new()), current(Provisioning::Active));
    let has = FloatingIpStatus {
        id: "fip".to_owned(),
        address: [172, 24, 4, 9].into(),
        origin: kuryr_api::FloatingIpOrigin::Adopted,
    };
    let told = KuryrLoadBalancerStatus { floating_ip: Some(has.clone()), ..KuryrLoadBalancerStatus::default() };
    let object = KuryrLoadBalancer { status: Some(told), ..object() };
    for (lost, left) in [(false, Some(has)), (true, None)] {
        let floating_ip = Err(no_address(lost));
        let facts = Facts {
            desired: Some(&desired),
            current: Some(&current),
            step: &Step::Converged,
            stuck: false,
            floating_ip: &floating_ip,
        };
        assert_eq!(status(&object, &facts, Timestamp::UNIX_EPOCH).unwrap().floating_ip, left);
    }
}

#[test]
fn what_is_bad_and_new_is_an_event_whatever_else_is_bad() {
    let says = |type_: &str, reason: &str, message: &str| Condition {
        type_: type_.to_owned(),
        status: "False".to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        last_transition_time: k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(Timestamp::UNIX_EPOCH),
        observed_generation: None,
    };
    let ignored = says(conditions::ACCEPTED, reasons::OPTION_IGNORED, "its time");
    let before = [ignored.clone(), says(conditions::READY, "Pending", "Next: wait")];
    let quota = |type_| says(type_, reasons::QUOTA_EXCEEDED, "used up");
    let now = [ignored, quota(conditions::PROGRAMMED), quota(conditions::READY)];
    assert_eq!(news(&before, &now), BTreeMap::from([(reasons::QUOTA_EXCEEDED, "used up")]));
    assert_eq!(news(&now, &now), BTreeMap::new());
    let more = says(conditions::ACCEPTED, reasons::OPTION_IGNORED, "its time and its ranges");
    let now = [more];
    assert_eq!(news(&before, &now), BTreeMap::from([(reasons::OPTION_IGNORED, "its time and its ranges")]));
}

#[test]
fn what_is_missing_is_named() {
    let plain = desired(false, Vec::new());
    let exposed = desired(true, Vec::new());
    let (active, changes, failed) =
        (current(Provisioning::Active), current(Provisioning::PendingUpdate), current(Provisioning::Error));
    let (none, problem) = (Ok(None), Err(no_address(false)));
    let rebuild = Step::Delete { load_balancer: "lb".into(), why: kuryr_core::service::step::Reason::Failed };
    for (desired, current, step, stuck, floating_ip, ready) in [
        (&plain, Some(&changes), &pending(), false, &none, "False(Pending)"),
        (&plain, Some(&changes), &pending(), true, &none, "False(OctaviaStuck)"),
        (&plain, Some(&failed), &rebuild, false, &none, "False(OctaviaError)"),
        (&plain, None, &pending(), false, &none, "False(Pending)"),
        (&exposed, Some(&active), &Step::Converged, false, &none, "False(NoFloatingIp)"),
        (&exposed, Some(&active), &Step::Converged, false, &problem, "False(NoFloatingIp)"),
    ] {
        let facts = Facts { desired: Some(desired), current, step, stuck, floating_ip };
        assert_eq!(says(&facts).last().unwrap(), &format!("Ready={ready}"), "{step} {stuck}");
    }
}

#[test]
fn the_worst_that_cannot_be_had_gives_the_reason_and_all_of_it_is_told() {
    let unsupported = |effect, message: &str| Unsupported {
        what: Feature::AllowedCidrs,
        port: None,
        effect,
        message: message.to_owned(),
    };
    let lacking = vec![unsupported(Effect::Ignored, "One."), unsupported(Effect::NotExposed, "Two.")];
    let says = accepted(&lacking);
    assert_eq!((says.status, says.reason, says.message.as_str()), (Some(false), reasons::NOT_EXPOSED, "One. Two."));
    let long = accepted(&[unsupported(Effect::Ignored, &"x".repeat(5000))]);
    assert_eq!(long.message.len(), LONGEST);
}

#[test]
fn a_failure_leaves_ready_what_is_served() {
    let failure = (reasons::REFUSED, "no".to_owned());
    let never = failed(&object(), &failure, Timestamp::UNIX_EPOCH).unwrap();
    assert!(never.conditions.iter().all(|says| says.status == "False" && says.reason == reasons::REFUSED));
    assert_eq!(never.conditions.len(), 3);
    let told = KuryrLoadBalancer { status: Some(never), ..object() };
    assert_eq!(failed(&told, &failure, Timestamp::now()), None, "it is told once");

    let (desired, current, floating_ip) = (desired(false, Vec::new()), current(Provisioning::Active), Ok(None));
    let facts = Facts {
        desired: Some(&desired),
        current: Some(&current),
        step: &Step::Converged,
        stuck: false,
        floating_ip: &floating_ip,
    };
    let served = KuryrLoadBalancer { status: status(&object(), &facts, Timestamp::UNIX_EPOCH), ..object() };
    let after = failed(&served, &failure, Timestamp::UNIX_EPOCH).unwrap();
    assert!(conditions::is_true(&after.conditions, conditions::READY));
    assert!(!conditions::is_true(&after.conditions, conditions::PROGRAMMED));
    assert_eq!(after.conditions.len(), 4, "no condition is lost");
}
