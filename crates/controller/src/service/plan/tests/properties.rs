//! Whatever there is.

use super::*;
use proptest::prelude::*;

/// Carries the plan out, as the API server and, in the end, the garbage collector do.
fn apply(plan: &Plan, seen: &mut Observed, at_once: bool) {
    if let Some(ingress) = &plan.ingress {
        seen.ingress.clone_from(ingress);
    }
    match &plan.object {
        Change::None => {}
        Change::Create(spec) => seen.object = Some(Arc::new(KuryrLoadBalancer::new("web", *spec.clone()))),
        Change::SetSpec(spec) => Arc::make_mut(seen.object.as_mut().unwrap()).spec = *spec.clone(),
        Change::Delete if at_once => seen.object = None,
        Change::Delete => seen.object = seen.object.take().map(|object| Arc::new(going((*object).clone()))),
    }
}

prop_compose! {
    fn any_service()(
        kind in prop::sample::select(vec![ServiceType::ClusterIp, ServiceType::LoadBalancer, ServiceType::LoadBalancer, ServiceType::ExternalName]),
        ips in prop::sample::select(vec![vec![V4], vec![V6, V4], vec!["None"], vec![""], vec!["10.97.0.1"]]),
        class in prop::sample::select(vec![None, Some("example.org/other")]),
        annotation in prop::sample::select(vec![("a", "b"), (annotations::INTERNAL, "true"), (annotations::HOSTNAME, "web.example.org")]),
        ranges in prop::sample::select(vec![None, Some("192.0.2.0/24"), Some("everybody")]),
        ip in prop::sample::select(vec![None, Some(FLOATING), Some(V4), Some("nonsense")]),
        deleted in prop::bool::weighted(0.1),
    ) -> Service {
        Service {
            kind,
            deleted,
            cluster_ips: ips.into_iter().map(str::to_owned).collect(),
            load_balancer_class: class.map(str::to_owned),
            load_balancer_ip: ip.map(str::to_owned),
            load_balancer_source_ranges: ranges.into_iter().map(str::to_owned).collect(),
            ..annotated(annotation.0, annotation.1)
        }
    }
}

prop_compose! {
    fn any_object()(
        before in any_service(),
        uid in prop::sample::select(vec!["1", "1", "1", "2"]),
        vips in prop::sample::select(vec![vec![], vec![V4], vec![V6, V4]]),
        floating in prop::sample::select(vec![None, Some(FLOATING), Some("203.0.113.8")]),
        conditions in prop::sample::select(vec![READY, UNREADY, CLOSED]),
        goes in prop::bool::weighted(0.1),
    ) -> Option<KuryrLoadBalancer> {
        let before = Service { uid: uid.to_owned(), ..before };
        let Wanted::LoadBalancer(_) = wanted(&before, &settings()) else { return None };
        let object = object(&before, &vips, floating, conditions);
        Some(if goes { going(object) } else { object })
    }
}

proptest! {
    #[test]
    fn a_plan_that_was_carried_out_leaves_nothing_to_do(
        service in any_service(),
        there in any_object(),
        ingress in prop::sample::subsequence(vec![at(FLOATING), at(V4), at("198.51.100.1"), named("web.example.org")], 0..=4),
        default_class in any::<bool>(),
        at_once in any::<bool>(),
    ) {
        let settings = Settings { default_class, ..settings() };
        let mut now = seen(&service, &ingress, there);
        let first = planned_with(&now, &settings);
        let (own, before) = (now.own().and_then(|object| object.status.clone()).unwrap_or_default(), now.ingress.clone());
        apply(&first, &mut now, at_once);
        let second = planned_with(&now, &settings);
        prop_assert!(is_empty(&second), "{first:?}\n{second:?}");
        // Nothing is ever told that the load balancer doesn't have, and nobody else's word is touched.
        if is_ours(&service, &settings) {
            let has = own.vips.iter().map(|vip| vip.address).chain(own.floating_ip.map(|floating| floating.address));
            let has: Vec<String> = has.map(|address| address.to_string()).collect();
            prop_assert!(now.ingress.iter().all(|one| one.ip.as_ref().is_none_or(|ip| has.contains(ip))), "{now:?}");
        } else if service.kind == ServiceType::LoadBalancer {
            let theirs = at("198.51.100.1");
            prop_assert_eq!(now.ingress.contains(&theirs), before.contains(&theirs));
        }
    }
}
