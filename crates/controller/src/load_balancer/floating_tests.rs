use super::*;
use proptest::prelude::*;

const PORT: &str = "vip-port";

fn target() -> Target<'static> {
    Target { port: PORT, address: "10.96.0.9".parse().unwrap() }
}

fn has(id: &str, address: &str, port: Option<&str>) -> neutron::FloatingIp {
    neutron::FloatingIp {
        id: id.into(),
        floating_ip_address: address.parse().ok(),
        port_id: port.map(Into::into),
        ..neutron::FloatingIp::default()
    }
}

fn wanted(address: Option<&str>, keep: bool) -> FloatingIp {
    let address = address.map(|address| address.parse().unwrap());
    FloatingIp { network_id: Some("ext".to_owned()), address, keep, ..FloatingIp::default() }
}

fn status(id: &str, address: &str, origin: FloatingIpOrigin) -> FloatingIpStatus {
    FloatingIpStatus { id: id.to_owned(), address: address.parse().unwrap(), origin }
}

/// The next step of a Service that hasn't said anything else than its status about what is to be kept.
fn plan(
    wanted: Option<&FloatingIp>,
    observed: &Observed,
    recorded: Option<&FloatingIpStatus>,
    target: Option<Target<'_>>,
) -> Step {
    let kept = || recorded.is_some_and(|has| has.origin == FloatingIpOrigin::Kept);
    super::plan(wanted, wanted.map_or_else(kept, |wanted| wanted.keep), observed, target)
}

#[test]
fn one_is_made_once_and_deleted_when_it_is_no_longer_wanted() {
    let any = wanted(None, false);
    let nothing = Observed::default();
    assert_eq!(plan(Some(&any), &nothing, None, Some(target())), Step::Create(None));
    let made = Observed { ours: vec![has("f", "203.0.113.7", Some(PORT))], ..Observed::default() };
    let settled = status("f", "203.0.113.7", FloatingIpOrigin::Created);
    assert_eq!(plan(Some(&any), &made, None, Some(target())), Step::Settled(Some(settled.clone())));
    let off = Observed { ours: vec![has("f", "203.0.113.7", None)], ..Observed::default() };
    assert_eq!(plan(Some(&any), &off, Some(&settled), Some(target())), Step::Associate("f".into()));
    let twice = Observed { ours: vec![made.ours[0].clone(), has("g", "203.0.113.8", None)], ..Observed::default() };
    assert_eq!(plan(Some(&any), &twice, Some(&settled), Some(target())), Step::Delete("g".into()));
    assert_eq!(plan(None, &made, Some(&settled), Some(target())), Step::Delete("f".into()));
    assert_eq!(plan(None, &nothing, Some(&settled), Some(target())), Step::Settled(None));
}

#[test]
fn one_that_is_to_be_kept_is_left_behind_as_nobodys() {
    let keep = wanted(None, true);
    let made = Observed { ours: vec![has("f", "203.0.113.7", Some(PORT))], ..Observed::default() };
    let kept = status("f", "203.0.113.7", FloatingIpOrigin::Kept);
    assert_eq!(plan(Some(&keep), &made, None, Some(target())), Step::Settled(Some(kept.clone())));
    assert_eq!(plan(None, &made, Some(&kept), Some(target())), Step::Leave("f".into()));
}

#[test]
fn somebody_elses_is_taken_on_and_off_but_never_deleted() {
    let asks = wanted(Some("203.0.113.7"), false);
    let free = Observed { asked: Some(has("f", "203.0.113.7", None)), ..Observed::default() };
    assert_eq!(plan(Some(&asks), &free, None, Some(target())), Step::Associate("f".into()));
    let taken = Observed { asked: Some(has("f", "203.0.113.7", Some(PORT))), ..Observed::default() };
    let adopted = status("f", "203.0.113.7", FloatingIpOrigin::Adopted);
    assert_eq!(plan(Some(&asks), &taken, None, Some(target())), Step::Settled(Some(adopted.clone())));
    let other = Observed { asked: Some(has("f", "203.0.113.7", Some("a-server"))), ..Observed::default() };
    let refused = plan(Some(&asks), &other, None, Some(target()));
    assert!(matches!(&refused, Step::Impossible(why) if why.contains("a-server")), "{refused:?}");
    // Its load balancer is being made anew, and it belongs to that one.
    let description = "kuryr:lab:another-uid".to_owned();
    let marked = neutron::FloatingIp { description, ..has("f", "203.0.113.7", None) };
    let another = Observed { asked: Some(marked), ..Observed::default() };
    let refused = plan(Some(&asks), &another, None, Some(target()));
    assert!(matches!(&refused, Step::Impossible(why) if why.contains("another-uid")), "{refused:?}");
    let gone = Observed { recorded: Some(has("f", "203.0.113.7", Some(PORT))), ..Observed::default() };
    assert_eq!(plan(None, &gone, Some(&adopted), Some(target())), Step::TakeOff("f".into()));
    let elsewhere = Observed { recorded: Some(has("f", "203.0.113.7", Some("a-server"))), ..Observed::default() };
    assert_eq!(plan(None, &elsewhere, Some(&adopted), Some(target())), Step::Settled(None));
}

#[test]
fn another_address_replaces_the_one_that_was_made() {
    let asks = wanted(Some("203.0.113.9"), false);
    let made = Observed { ours: vec![has("f", "203.0.113.7", Some(PORT))], ..Observed::default() };
    assert_eq!(plan(Some(&asks), &made, None, Some(target())), Step::Delete("f".into()));
    assert_eq!(plan(Some(&asks), &Observed::default(), None, Some(target())), Step::Create(asks.address));
    let nowhere = FloatingIp { network_id: None, ..asks };
    assert!(matches!(plan(Some(&nowhere), &Observed::default(), None, Some(target())), Step::Impossible(_)));
    let anything = FloatingIp { address: None, ..nowhere };
    assert!(matches!(plan(Some(&anything), &Observed::default(), None, Some(target())), Step::Impossible(_)));
}

/// What Neutron has after a step.
fn apply(step: &Step, observed: &mut Observed, asks: Option<&FloatingIp>) {
    let off = |id: &FloatingIpId, all: &mut Observed| {
        let known = all.ours.iter_mut().chain(&mut all.asked).chain(&mut all.recorded);
        known.filter(|has| has.id == *id).for_each(|has| has.port_id = None);
    };
    match step {
        Step::Settled(_) | Step::Impossible(_) => {}
        Step::Create(address) => {
            let address = address.map_or_else(|| "203.0.113.99".to_owned(), |address| address.to_string());
            observed.ours.push(has("new", &address, Some(PORT)));
            let asked = asks.and_then(|asks| asks.address).is_some();
            observed.asked = asked.then(|| has("new", &address, Some(PORT)));
        }
        Step::Associate(id) => {
            let known = observed.ours.iter_mut().chain(&mut observed.asked);
            known.filter(|has| has.id == *id).for_each(|has| has.port_id = Some(PORT.into()));
        }
        Step::TakeOff(id) => off(id, observed),
        Step::Leave(id) | Step::Delete(id) => observed.ours.retain(|has| has.id != *id),
    }
}

proptest! {
    #[test]
    fn every_state_settles(
        ours in prop::collection::vec((0u8..3, any::<bool>()), 0..3),
        asked in prop::option::of(prop::option::of(any::<bool>())),
        recorded in any::<bool>(),
        wants in prop::option::of((any::<bool>(), any::<bool>())),
    ) {
        let port = |on: bool| on.then_some(PORT);
        let mut seen = std::collections::BTreeSet::new();
        let ours = ours.into_iter().filter(|(id, _)| seen.insert(*id));
        let ours: Vec<_> = ours.map(|(id, on)| has(&format!("o{id}"), &format!("203.0.113.{id}"), port(on))).collect();
        let asks = wants.map(|(addressed, keep)| wanted(addressed.then_some("203.0.113.50"), keep));
        let addressed = asks.as_ref().is_some_and(|asks| asks.address.is_some());
        let asked = asked.filter(|_| addressed).map(|on| has("a", "203.0.113.50", on.map_or(Some("a-server"), port)));
        let recorded_one = recorded.then(|| has("r", "203.0.113.60", Some(PORT)));
        let record = recorded.then(|| status("r", "203.0.113.60", FloatingIpOrigin::Adopted));
        let mut observed = Observed { ours, asked, recorded: recorded_one };
        for _ in 0..6 {
            let step = plan(asks.as_ref(), &observed, record.as_ref(), Some(target()));
            match &step {
                Step::Settled(has) => {
                    prop_assert_eq!(has.is_some(), asks.is_some());
                    return Ok(());
                }
                Step::Impossible(_) => return Ok(()),
                Step::Delete(id) | Step::Leave(id) => prop_assert!(id.as_str().starts_with('o') || id.as_str() == "new"),
                _ => {}
            }
            apply(&step, &mut observed, asks.as_ref());
        }
        prop_assert!(false, "it doesn't settle: {observed:?}");
    }
}
