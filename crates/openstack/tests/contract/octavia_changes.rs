//! Listeners, pools and health monitors, one by one.

use super::octavia_fixture::with_load_balancers;
use kuryr_openstack::{
    Found, Kind,
    octavia::{
        Algorithm, Fault, HealthMonitorUpdate, ListenerUpdate, NewHealthMonitor, NewListener, NewPool, PoolUpdate,
        Protocol, SessionPersistence,
    },
};

#[tokio::test]
async fn a_listener_and_its_pool_are_added_and_removed() {
    with_load_balancers(|rig| async move {
        let id = &rig.create(&rig.balancer(vec![rig.listener(80, &[1])])).await.load_balancer.id;
        let new = NewListener {
            load_balancer_id: Some(id.clone()),
            name: Some("second".to_owned()),
            tags: vec!["t".to_owned()],
            ..NewListener::on(Protocol::Tcp, 81)
        };
        let listener = rig.octavia.create_listener(&new).await.unwrap();
        assert_eq!((listener.load_balancers.clone(), listener.default_pool_id), (vec![id.clone()], None));
        rig.settle(id).await;
        let twice = rig.octavia.create_listener(&new).await.unwrap_err();
        assert_eq!((twice.kind(), twice.octavia_fault()), (Kind::Conflict, Some(Fault::DuplicateListener)));
        // The same port over UDP is another listener.
        let udp = NewListener { protocol: Protocol::Udp, ..new };
        rig.octavia.create_listener(&udp).await.unwrap();
        rig.settle(id).await;

        let new =
            NewPool { listener_id: Some(listener.id.clone()), ..NewPool::of(Protocol::Tcp, Algorithm::SourceIpPort) };
        let pool = rig.octavia.create_pool(&new).await.unwrap();
        assert_eq!(
            (pool.listeners.clone(), pool.load_balancers.clone()),
            (vec![listener.id.clone()], vec![id.clone()])
        );
        rig.settle(id).await;
        let second = rig.octavia.create_pool(&new).await.unwrap_err();
        assert_eq!((second.kind(), second.octavia_fault()), (Kind::Conflict, Some(Fault::DuplicatePool)));

        let update = ListenerUpdate {
            name: Some("renamed".to_owned()),
            timeout_client_data: Some(1000),
            connection_limit: Some(5),
            tags: Some(Vec::new()),
            ..ListenerUpdate::default()
        };
        let updated = rig.octavia.update_listener(&listener.id, &update).await.unwrap();
        assert_eq!((updated.name.as_str(), updated.timeout_client_data), ("renamed", Some(1000)));
        assert_eq!((updated.connection_limit, updated.tags.len()), (Some(5), 0));
        rig.settle(id).await;

        rig.octavia.delete_listener(&listener.id).await.unwrap();
        rig.settle(id).await;
        assert_eq!(rig.octavia.get_listener(&listener.id).await.found().unwrap(), None);
        assert_eq!(rig.octavia.get_pool(&pool.id).await.unwrap().listeners, [], "the pool stays");
        rig.octavia.delete_pool(&pool.id).await.unwrap();
        rig.settle(id).await;
        assert_eq!(rig.pools(id).await.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_health_monitor_is_added_changed_and_removed() {
    with_load_balancers(|rig| async move {
        let created = rig.create(&rig.balancer(vec![rig.listener(80, &[1])])).await;
        let (id, pool) = (&created.load_balancer.id, &created.pools[0].pool.id);
        let new = NewHealthMonitor { pool_id: Some(pool.clone()), ..NewHealthMonitor::tcp(5, 3, 2) };
        let monitor = rig.octavia.create_health_monitor(&new).await.unwrap();
        rig.settle(id).await;
        let twice = rig.octavia.create_health_monitor(&new).await.unwrap_err();
        assert_eq!((twice.kind(), twice.octavia_fault()), (Kind::Conflict, Some(Fault::DuplicateHealthMonitor)));
        assert_eq!(rig.octavia.get_pool(pool).await.unwrap().health_monitor_id, Some(monitor.id.clone()));
        let update = HealthMonitorUpdate { delay: Some(7), ..HealthMonitorUpdate::default() };
        assert_eq!(rig.octavia.update_health_monitor(&monitor.id, &update).await.unwrap().delay, 7);
        rig.settle(id).await;
        rig.octavia.delete_health_monitor(&monitor.id).await.unwrap();
        rig.settle(id).await;
        assert_eq!(rig.octavia.get_pool(pool).await.unwrap().health_monitor_id, None);
    })
    .await;
}

/// Only in the creation of a whole load balancer does Octavia take a timeout for TCP.
#[tokio::test]
async fn a_timeout_of_persistence_is_for_udp() {
    with_load_balancers(|rig| async move {
        let created = rig.create(&rig.balancer(vec![rig.listener(80, &[1])])).await;
        let id = &created.load_balancer.id;
        let sticky = |protocol| NewPool {
            load_balancer_id: Some(id.clone()),
            session_persistence: Some(SessionPersistence::source_ip(Some(60))),
            ..NewPool::of(protocol, Algorithm::SourceIpPort)
        };
        let tcp = rig.octavia.create_pool(&sticky(Protocol::Tcp)).await.unwrap_err();
        assert_eq!(tcp.kind(), Kind::BadRequest, "{tcp}");
        let udp = rig.octavia.create_pool(&sticky(Protocol::Udp)).await.unwrap();
        rig.settle(id).await;
        // Without `admin_state_up` the OVN provider fails, and the pool is in ERROR for good.
        let longer = PoolUpdate {
            session_persistence: Some(Some(SessionPersistence::source_ip(Some(90)))),
            admin_state_up: Some(true),
            ..PoolUpdate::default()
        };
        let updated = rig.octavia.update_pool(&udp.id, &longer).await.unwrap();
        assert_eq!(updated.session_persistence, Some(SessionPersistence::source_ip(Some(90))));
        rig.settle(id).await;
        assert!(rig.octavia.get_pool(&udp.id).await.unwrap().provisioning_status.is_mutable());
        let of_tcp = rig.octavia.update_pool(&created.pools[0].pool.id, &longer).await.unwrap_err();
        assert_eq!(of_tcp.kind(), Kind::BadRequest, "{of_tcp}");
    })
    .await;
}
