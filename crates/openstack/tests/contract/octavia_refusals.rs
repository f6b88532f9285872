//! What Octavia and the OVN provider refuse, and as what.

use super::octavia_fixture::with_load_balancers;
use kuryr_openstack::{
    Kind,
    octavia::{
        Algorithm, Fault, HealthMonitorType, NewHealthMonitor, NewListener, NewLoadBalancer, NewMember, NewPool,
        Protocol, Query, Quota, SessionPersistence, SessionPersistenceType,
    },
};

const MISSING: &str = "00000000-0000-4000-8000-000000000000";

#[tokio::test]
async fn what_the_ovn_provider_can_not_do_is_unsupported() {
    with_load_balancers(|rig| async move {
        let listener = |pool: NewPool| vec![NewListener { default_pool: Some(pool.into()), ..rig.listener(80, &[]) }];
        let pool = |algorithm| NewPool { lb_algorithm: algorithm, ..rig.pool("p", Protocol::Tcp, &[1]) };
        let speaking = |protocol| rig.pool("p", protocol, &[1]);
        let monitor = |r#type| NewPool {
            health_monitor: Some(NewHealthMonitor::of(r#type, 5, 3, 2)),
            ..pool(Algorithm::SourceIpPort)
        };
        let watched = NewPool {
            members: vec![NewMember { monitor_port: Some(9), ..rig.member(1) }],
            ..pool(Algorithm::SourceIpPort)
        };
        let cidrs = Some(vec!["10.0.0.0/8".parse().unwrap()]);
        for (listeners, part) in [
            (vec![NewListener::on(Protocol::Http, 80)], "does not support HTTP protocol"),
            (vec![NewListener::on(Protocol::Https, 80)], "does not support HTTPS protocol"),
            (listener(speaking(Protocol::Proxy)), "does not support PROXY protocol"),
            (listener(pool(Algorithm::RoundRobin)), "does not support ROUND_ROBIN algorithm"),
            (listener(pool(Algorithm::LeastConnections)), "does not support LEAST_CONNECTIONS algorithm"),
            (listener(monitor(HealthMonitorType::Http)), "does not support HTTP health monitor type"),
            (listener(monitor(HealthMonitorType::Ping)), "does not support PING health monitor type"),
            (listener(watched), "does not support different member monitor address or port"),
            (
                vec![NewListener { allowed_cidrs: cidrs, ..NewListener::on(Protocol::Tcp, 80) }],
                "does not support allowed_cidrs option",
            ),
        ] {
            let error = rig.refusal(&rig.balancer(listeners)).await;
            assert_eq!((error.kind(), error.octavia_fault()), (Kind::Unsupported, Some(Fault::Unsupported)), "{error}");
            assert_eq!((error.status(), error.outcome_unknown()), (Some(501), false));
            assert!(error.message().contains(part), "{error}");
        }
        // A mistake of the provider's: its refusal fails.
        let cookie =
            SessionPersistence { r#type: SessionPersistenceType::HttpCookie, ..SessionPersistence::source_ip(None) };
        let cookie = NewPool { session_persistence: Some(cookie), ..pool(Algorithm::SourceIpPort) };
        assert_eq!(rig.refusal(&rig.balancer(listener(cookie))).await.status(), Some(500));
        assert_eq!(rig.balancers().await, []);
    })
    .await;
}

#[tokio::test]
async fn wrong_requests_are_refused() {
    with_load_balancers(|rig| async move {
        let plain = || rig.balancer(Vec::new());
        let unnamed = NewPool { name: None, ..rig.pool("", Protocol::Tcp, &[]) };
        let unnamed = NewListener { default_pool: Some(unnamed.into()), ..NewListener::on(Protocol::Tcp, 80) };
        let mixed = NewListener {
            default_pool: Some(rig.pool("u", Protocol::Udp, &[]).into()),
            ..NewListener::on(Protocol::Tcp, 80)
        };
        let twice = vec![rig.listener(80, &[]), NewListener::on(Protocol::Tcp, 80)];
        for (new, kind, fault) in [
            (NewLoadBalancer { name: Some("x".repeat(256)), ..plain() }, Kind::BadRequest, None),
            (NewLoadBalancer { description: Some("x".repeat(256)), ..plain() }, Kind::BadRequest, None),
            (NewLoadBalancer { tags: vec!["x".repeat(256)], ..plain() }, Kind::BadRequest, None),
            (NewLoadBalancer { provider: Some("x".to_owned()), ..plain() }, Kind::BadRequest, Some(Fault::NoProvider)),
            (NewLoadBalancer { vip_subnet_id: None, ..plain() }, Kind::BadRequest, None),
            (
                NewLoadBalancer { vip_subnet_id: Some(MISSING.into()), ..plain() },
                Kind::BadRequest,
                Some(Fault::NoSuchReference),
            ),
            (
                NewLoadBalancer { vip_sg_ids: Some(vec![MISSING.into()]), ..plain() },
                Kind::BadRequest,
                Some(Fault::NoSuchReference),
            ),
            (NewLoadBalancer { flavor_id: Some(MISSING.into()), ..plain() }, Kind::BadRequest, None),
            (NewLoadBalancer { availability_zone: Some("x".to_owned()), ..plain() }, Kind::BadRequest, None),
            (rig.balancer(vec![unnamed]), Kind::BadRequest, None),
            (rig.balancer(vec![mixed]), Kind::BadRequest, None),
            (rig.balancer(twice), Kind::Conflict, Some(Fault::DuplicateListener)),
            (rig.balancer(vec![NewListener::on(Protocol::Other("X".to_owned()), 80)]), Kind::BadRequest, None),
        ] {
            let error = rig.refusal(&new).await;
            assert_eq!((error.kind(), error.octavia_fault()), (kind, fault), "{error}");
            assert!(!error.message().is_empty() && !error.outcome_unknown());
        }
        for missing in [
            rig.octavia.get_load_balancer(&MISSING.into()).await.unwrap_err(),
            rig.octavia.get_status_tree(&MISSING.into()).await.unwrap_err(),
            rig.octavia.get_listener(&MISSING.into()).await.unwrap_err(),
            rig.octavia.get_pool(&MISSING.into()).await.unwrap_err(),
            rig.octavia.get_health_monitor(&MISSING.into()).await.unwrap_err(),
        ] {
            assert_eq!((missing.kind(), missing.octavia_fault()), (Kind::NotFound, Some(Fault::NotFound)), "{missing}");
        }
    })
    .await;
}

#[tokio::test]
async fn the_provider_has_nothing_to_fail_over() {
    with_load_balancers(|rig| async move {
        let id = &rig.create(&rig.balancer(Vec::new())).await.load_balancer.id;
        let error = rig.octavia.fail_over_load_balancer(id).await.unwrap_err();
        let expected = if rig.world.is_admin { Kind::Unsupported } else { Kind::Forbidden };
        assert_eq!(error.kind(), expected, "{error}");
    })
    .await;
}

/// A quota of a project that has nothing: the identifier is the world's name.
#[tokio::test]
async fn quotas_are_set_by_administrators() {
    with_load_balancers(|rig| async move {
        let project = rig.world.name.as_str().into();
        let none = Quota { load_balancers: Some(0), members: Some(7), ..Quota::default() };
        let set = rig.octavia.set_quota(&project, &none).await;
        if !rig.world.is_admin {
            assert_eq!(set.unwrap_err().kind(), Kind::Forbidden);
            return;
        }
        let set = set.unwrap();
        assert_eq!((set.load_balancers, set.members), (Some(0), Some(7)));
        let over =
            rig.refusal(&NewLoadBalancer { project_id: Some(project.clone()), ..rig.balancer(Vec::new()) }).await;
        rig.octavia.reset_quota(&project).await.unwrap();
        assert_eq!((over.kind(), over.octavia_fault()), (Kind::OverQuota, Some(Fault::Quota)), "{over}");
        assert_ne!(rig.octavia.get_quota(&project).await.unwrap().load_balancers, Some(0));
        let nothing = Query { project_id: Some(project), ..Query::default() };
        assert_eq!(rig.octavia.list_load_balancers(&nothing).await.unwrap(), []);
    })
    .await;
}
