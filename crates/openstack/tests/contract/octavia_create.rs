//! Load balancers that are created as a whole, their addresses, their end.

use super::octavia_fixture::{PROVIDER, with_load_balancers};
use futures::future::join_all;
use kuryr_openstack::{
    Error, Found, Kind,
    neutron::{FixedIpRequest, NewPort},
    octavia::{
        Algorithm, Fault, LoadBalancerUpdate, NewAdditionalVip, NewHealthMonitor, NewListener, NewLoadBalancer,
        NewPool, OperatingStatus, Protocol, ProvisioningStatus, SessionPersistence, SessionPersistenceType,
    },
};
use std::net::IpAddr;

#[tokio::test]
async fn a_load_balancer_is_created_by_one_request_and_deleted_by_another() {
    with_load_balancers(|rig| async move {
        let udp = NewListener {
            default_pool: Some(rig.pool("udp-80", Protocol::Udp, &[3]).into()),
            ..NewListener::on(Protocol::Udp, 80)
        };
        let new = NewLoadBalancer {
            tags: vec!["a".to_owned(), "b c".to_owned()],
            ..rig.balancer(vec![rig.listener(80, &[1, 2]), udp])
        };
        let created = rig.octavia.create_load_balancer(&new).await.unwrap();
        let balancer = &created.load_balancer;
        assert_eq!((balancer.name.as_str(), &balancer.description), ("b", &rig.world.name));
        assert_eq!(balancer.provisioning_status, ProvisioningStatus::PendingCreate);
        assert_eq!((balancer.operating_status.clone(), balancer.admin_state_up), (OperatingStatus::Offline, true));
        assert_eq!((balancer.provider.as_str(), balancer.tags.len()), (PROVIDER, 2));
        assert_eq!(balancer.vip_network_id.as_ref(), Some(&rig.world.network.id));
        assert!(balancer.vip_address.is_some() && balancer.vip_port_id.is_some(), "they are known at once");
        assert_eq!((created.listeners.len(), created.pools.len()), (2, 2));
        for pool in &created.pools {
            let listener = created.listeners.iter().find(|listener| pool.pool.listeners == [listener.id.clone()]);
            assert_eq!(listener.unwrap().default_pool_id.as_ref(), Some(&pool.pool.id));
            assert!(pool.members.iter().all(|member| member.provisioning_status == ProvisioningStatus::PendingCreate));
            assert_eq!(pool.members.len(), if pool.pool.protocol == Protocol::Udp { 1 } else { 2 });
            assert!(pool.members.iter().all(|member| member.weight == Some(1) && !member.backup));
        }

        let tree = rig.settle(&balancer.id).await;
        assert_eq!(tree.operating_status, OperatingStatus::Online);
        assert!(tree.listeners.iter().all(|listener| listener.provisioning_status == ProvisioningStatus::Active));
        let member = &tree.listeners[0].pools[0].members[0];
        assert_eq!((&member.operating_status, member.protocol_port), (&OperatingStatus::NoMonitor, 8080));
        let found = rig.octavia.get_load_balancer(&balancer.id).await.unwrap();
        let sorted =
            |ids: &[_]| -> std::collections::BTreeSet<String> { ids.iter().map(ToString::to_string).collect() };
        assert_eq!(sorted(&found.pools), sorted(&balancer.pools));
        let listeners = rig.listeners(&balancer.id).await;
        assert!(listeners.iter().all(|listener| listener.load_balancers == [balancer.id.clone()]));
        let listener = rig.octavia.get_listener(&listeners[0].id).await.unwrap();
        assert_eq!((listener.connection_limit, listener.timeout_client_data), (Some(-1), Some(50_000)), "milliseconds");
        assert_eq!(listener.allowed_cidrs, []);

        let children = rig.octavia.delete_load_balancer(&balancer.id).await.unwrap_err();
        assert_eq!((children.kind(), children.octavia_fault()), (Kind::BadRequest, Some(Fault::HasChildren)));
        let port = balancer.vip_port_id.clone().unwrap();
        let port = rig.world.neutron.get_port(&port).await.unwrap();
        assert_eq!(port.name, format!("ovn-lb-vip-{}", balancer.id));
        rig.delete(&balancer.id).await.unwrap();
        assert_eq!(rig.octavia.get_pool(&created.pools[0].pool.id).await.found().unwrap(), None);
        let gone = rig.octavia.delete_load_balancer_tree(&balancer.id).await.unwrap_err();
        assert_eq!((gone.kind(), gone.octavia_fault()), (Kind::NotFound, Some(Fault::NotFound)));
        assert_eq!(rig.world.neutron.get_port(&port.id).await.found().unwrap(), None, "the port was the provider's");
    })
    .await;
}

#[tokio::test]
async fn a_port_of_our_own_keeps_the_address() {
    with_load_balancers(|rig| async move {
        let fixed_ips = Some(vec![FixedIpRequest { subnet_id: Some(rig.subnet()), ip_address: None }]);
        let new = NewPort { fixed_ips, device_owner: Some("kuryr:vip".to_owned()), ..rig.world.port() };
        let port = rig.world.neutron.create_port(&new).await.unwrap();
        let new = NewLoadBalancer {
            vip_subnet_id: None,
            vip_port_id: Some(port.id.clone()),
            ..rig.balancer(vec![rig.listener(80, &[1])])
        };
        for _ in 0..2 {
            let created = rig.create(&new).await;
            assert_eq!(created.load_balancer.vip_address, Some(port.fixed_ips[0].ip_address));
            let used = rig.world.neutron.get_port(&port.id).await.unwrap();
            assert_eq!((&used.device_owner, &used.description), (&port.device_owner, &port.description), "as it was");
            rig.delete(&created.load_balancer.id).await.unwrap();
            rig.world.neutron.get_port(&port.id).await.unwrap();
        }
        let twice = NewLoadBalancer {
            listeners: vec![rig.listener(80, &[]), NewListener::on(Protocol::Tcp, 80)],
            ..new.clone()
        };
        assert_eq!(rig.refusal(&twice).await.octavia_fault(), Some(Fault::DuplicateListener));
        rig.world.neutron.get_port(&port.id).await.unwrap();
        assert_eq!(rig.port_names().await, [""], "and no other port is left by the refusal");
        let taken = NewPort { device_id: Some("somebody".to_owned()), ..rig.world.port() };
        let taken = rig.world.neutron.create_port(&taken).await.unwrap();
        let error = rig.refusal(&NewLoadBalancer { vip_port_id: Some(taken.id), ..new }).await;
        assert_eq!(error.kind(), Kind::BadRequest);
        assert!(error.message().contains("is already used by device somebody"), "{error}");
    })
    .await;
}

/// The OVN provider makes the port before Octavia looks at listeners, pools and members, and forgets it when they are refused. With it the
/// address is taken for good: the second try with a fixed address ends with `AddressInUse`.
#[tokio::test]
async fn a_refused_load_balancer_leaves_its_port() {
    with_load_balancers(|rig| async move {
        let vip_address: Option<IpAddr> = "10.77.9.9".parse().ok();
        let twice = vec![rig.listener(80, &[]), NewListener::on(Protocol::Tcp, 80)];
        let twice = NewLoadBalancer { vip_address, ..rig.balancer(twice) };
        assert_eq!(rig.refusal(&twice).await.octavia_fault(), Some(Fault::DuplicateListener));
        assert_eq!(rig.balancers().await, []);
        let left = rig.port_names().await;
        assert!(left.len() == 1 && left[0].starts_with("ovn-lb-vip-"), "{left:?}");
        let error = rig.refusal(&NewLoadBalancer { vip_address, ..rig.balancer(Vec::new()) }).await;
        assert_eq!((error.kind(), error.octavia_fault()), (Kind::Conflict, Some(Fault::AddressInUse)), "{error}");
    })
    .await;
}

#[tokio::test]
async fn an_address_is_one_of_the_subnet_and_nobody_elses() {
    with_load_balancers(|rig| async move {
        let at = |address: &str| NewLoadBalancer { vip_address: address.parse().ok(), ..rig.balancer(Vec::new()) };
        let created = rig.create(&at("10.77.9.7")).await;
        assert_eq!(created.load_balancer.vip_address, "10.77.9.7".parse().ok());
        assert_eq!((created.listeners.len(), created.pools.len()), (0, 0));
        let used = rig.refusal(&at("10.77.9.7")).await;
        assert_eq!((used.kind(), used.octavia_fault()), (Kind::Conflict, Some(Fault::AddressInUse)), "{used}");
        let outside = rig.refusal(&at("192.0.2.1")).await;
        assert_eq!((outside.status(), outside.octavia_fault()), (Some(500), Some(Fault::InvalidAddress)), "{outside}");
        assert_eq!((outside.kind(), outside.outcome_unknown()), (Kind::BadRequest, false));
        let id = &created.load_balancer.id;
        rig.octavia.delete_load_balancer(id).await.unwrap();
        rig.gone(id).await;
    })
    .await;
}

#[tokio::test]
async fn both_families_are_two_addresses_of_one_network() {
    with_load_balancers(|rig| async move {
        let query = kuryr_openstack::neutron::SubnetQuery {
            network_ids: vec![rig.world.network.id.clone()],
            ..Default::default()
        };
        let subnets = rig.world.neutron.list_subnets(&query).await.unwrap();
        let v6 = subnets.into_iter().map(|subnet| subnet.id).find(|id| *id != rig.world.subnet.id).unwrap();
        let additional = |subnet_id| vec![NewAdditionalVip { subnet_id, ip_address: None }];
        let new =
            NewLoadBalancer { additional_vips: additional(v6.clone()), ..rig.balancer(vec![rig.listener(80, &[1])]) };
        let created = rig.create(&new).await;
        let found = rig.octavia.get_load_balancer(&created.load_balancer.id).await.unwrap();
        assert_eq!((found.additional_vips.len(), &found.additional_vips[0].subnet_id), (1, &v6));
        assert!(matches!(found.additional_vips[0].ip_address, Some(IpAddr::V6(_))));
        let twice = NewLoadBalancer { additional_vips: additional(rig.subnet()), ..rig.balancer(Vec::new()) };
        assert_eq!(rig.refusal(&twice).await.kind(), Kind::BadRequest);
    })
    .await;
}

/// Of several changes at a time some come while another one is carried out.
#[tokio::test]
async fn what_is_pending_refuses_changes() {
    with_load_balancers(|rig| async move {
        let created = rig.create(&rig.balancer(vec![rig.listener(80, &[1])])).await;
        let id = &created.load_balancer.id;
        let rename = LoadBalancerUpdate { name: Some("c".to_owned()), ..LoadBalancerUpdate::default() };
        let renamed = join_all((0..8).map(|_| rig.octavia.update_load_balancer(id, &rename))).await;
        let (taken, refused): (Vec<_>, Vec<_>) = renamed.into_iter().partition(Result::is_ok);
        for updated in taken.into_iter().flatten() {
            assert_eq!((updated.name.as_str(), updated.provisioning_status.is_pending()), ("c", true));
        }
        let mut refused: Vec<Error> = refused.into_iter().filter_map(Result::err).collect();
        assert!(!refused.is_empty());
        rig.settle(id).await;
        let new: Vec<NewListener> = (81..89)
            .map(|port| NewListener { load_balancer_id: Some(id.clone()), ..NewListener::on(Protocol::Tcp, port) })
            .collect();
        let listeners = join_all(new.iter().map(|new| rig.octavia.create_listener(new))).await;
        let (taken, not_taken): (Vec<_>, Vec<_>) = listeners.into_iter().partition(Result::is_ok);
        assert!(!not_taken.is_empty());
        refused.extend(not_taken.into_iter().filter_map(Result::err));
        for busy in refused {
            assert_eq!((busy.kind(), busy.status()), (Kind::Immutable, Some(409)), "{busy}");
            assert_eq!((busy.octavia_fault(), busy.outcome_unknown()), (Some(Fault::Immutable), false));
        }
        rig.settle(id).await;
        assert_eq!(rig.listeners(id).await.len(), 1 + taken.len());
    })
    .await;
}

#[tokio::test]
async fn what_the_provider_can_do_is_taken() {
    with_load_balancers(|rig| async move {
        let sctp = NewListener {
            default_pool: Some(rig.pool("sctp", Protocol::Sctp, &[1]).into()),
            ..NewListener::on(Protocol::Sctp, 80)
        };
        let sticky = NewPool {
            session_persistence: Some(SessionPersistence::source_ip(Some(120))),
            lb_algorithm: Algorithm::SourceIp,
            health_monitor: Some(NewHealthMonitor::tcp(5, 3, 2)),
            ..rig.pool("sticky", Protocol::Tcp, &[1])
        };
        let sticky = NewListener { default_pool: Some(sticky.into()), ..NewListener::on(Protocol::Tcp, 81) };
        let created = rig.create(&rig.balancer(vec![sctp, sticky])).await;
        let pool = created.pools.iter().find(|graph| graph.pool.name == "sticky").unwrap();
        let persistence = pool.pool.session_persistence.as_ref().unwrap();
        assert_eq!(
            (&persistence.r#type, persistence.persistence_timeout),
            (&SessionPersistenceType::SourceIp, Some(120))
        );
        let monitor = pool.health_monitor.as_ref().unwrap();
        let monitor = rig.octavia.get_health_monitor(&monitor.id).await.unwrap();
        assert_eq!((monitor.delay, monitor.timeout, monitor.max_retries, monitor.max_retries_down), (5, 3, 2, 3));
        assert_eq!(monitor.pools, std::slice::from_ref(&pool.pool.id));
    })
    .await;
}
