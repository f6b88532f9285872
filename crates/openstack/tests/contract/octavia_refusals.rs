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

/// Tried on a load balancer that is there: a whole one that the provider refuses leaves a row in OVN that no API can remove.
#[tokio::test]
async fn what_the_ovn_provider_can_not_do_is_unsupported() {
    with_load_balancers(|rig| async move {
        let created = rig.create(&rig.balancer(vec![rig.listener(80, &[1])])).await;
        let (id, of_pool) = (&created.load_balancer.id, &created.pools[0].pool.id);
        let listener = |protocol| NewListener { load_balancer_id: Some(id.clone()), ..NewListener::on(protocol, 81) };
        let pool =
            |protocol, algorithm| NewPool { load_balancer_id: Some(id.clone()), ..NewPool::of(protocol, algorithm) };
        let cidrs = Some(vec!["10.0.0.0/8".parse().unwrap()]);
        let mut refusals = Vec::new();
        for (new, part) in [
            (listener(Protocol::Http), "does not support HTTP protocol"),
            (listener(Protocol::Https), "does not support HTTPS protocol"),
            (listener(Protocol::Prometheus), "does not support PROMETHEUS protocol"),
            (NewListener { allowed_cidrs: cidrs, ..listener(Protocol::Tcp) }, "does not support allowed_cidrs option"),
        ] {
            refusals.push((rig.octavia.create_listener(&new).await.unwrap_err(), part));
        }
        for (protocol, algorithm, part) in [
            (Protocol::Proxy, Algorithm::SourceIpPort, "does not support PROXY protocol"),
            (Protocol::ProxyV2, Algorithm::SourceIpPort, "does not support PROXYV2 protocol"),
            (Protocol::Http, Algorithm::SourceIpPort, "does not support HTTP protocol"),
            (Protocol::Tcp, Algorithm::RoundRobin, "does not support ROUND_ROBIN algorithm"),
            (Protocol::Tcp, Algorithm::LeastConnections, "does not support LEAST_CONNECTIONS algorithm"),
        ] {
            refusals.push((rig.octavia.create_pool(&pool(protocol, algorithm)).await.unwrap_err(), part));
        }
        for (r#type, part) in [
            (HealthMonitorType::Http, "does not support HTTP health monitor type"),
            (HealthMonitorType::Ping, "does not support PING health monitor type"),
            (HealthMonitorType::TlsHello, "does not support TLS-HELLO health monitor type"),
        ] {
            let new = NewHealthMonitor { pool_id: Some(of_pool.clone()), ..NewHealthMonitor::of(r#type, 5, 3, 2) };
            refusals.push((rig.octavia.create_health_monitor(&new).await.unwrap_err(), part));
        }
        let watched = NewMember { monitor_port: Some(9), ..rig.member(2) };
        let watched = rig.octavia.create_member(of_pool, &watched).await.unwrap_err();
        refusals.push((watched, "does not support different member monitor address or port"));
        for (error, part) in refusals {
            assert_eq!((error.kind(), error.octavia_fault()), (Kind::Unsupported, Some(Fault::Unsupported)), "{error}");
            assert_eq!((error.status(), error.outcome_unknown()), (Some(501), false));
            assert!(error.message().contains(part), "{error}");
        }
        // A mistake of the provider's: its refusal fails.
        let cookie =
            SessionPersistence { r#type: SessionPersistenceType::HttpCookie, ..SessionPersistence::source_ip(None) };
        let cookie = NewPool { session_persistence: Some(cookie), ..pool(Protocol::Tcp, Algorithm::SourceIpPort) };
        let error = rig.octavia.create_pool(&cookie).await.unwrap_err();
        assert_eq!((error.kind(), error.status()), (Kind::Server, Some(500)), "{error}");
        let found = rig.octavia.get_load_balancer(id).await.unwrap();
        assert_eq!((found.listeners.len(), found.pools.len()), (1, 1), "nothing of it was done");
        assert!(found.provisioning_status.is_mutable());
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
