//! Floating IPs.

use super::fixture::{Plan, World, in_world};
use futures::FutureExt;
use kuryr_openstack::{
    Error, Found, Kind,
    neutron::{
        FloatingIpQuery, FloatingIpUpdate, NetworkId, NetworkQuery, NewFloatingIp, NewPort, Port, PortQuery, Taggable,
    },
};
use std::{
    panic::{AssertUnwindSafe, resume_unwind},
    sync::Arc,
};

/// Runs `test` in a world, and gives its floating IPs and its ports in other networks back.
async fn with_floating_ips<F: Future<Output = ()>>(test: impl Fn(Arc<World>) -> F) {
    let test = &test;
    in_world(Plan::default(), |world| async move {
        let result = AssertUnwindSafe(test(Arc::clone(&world))).catch_unwind().await;
        let cleaned = take_down(&world).await;
        if let Err(panic) = result {
            resume_unwind(panic);
        }
        cleaned.unwrap();
    })
    .await;
}

async fn take_down(world: &World) -> Result<(), Error> {
    for floating in world.neutron.list_floating_ips(&ours(world)).await? {
        world.neutron.delete_floating_ip(&floating.id).await?;
    }
    let query = PortQuery { descriptions: vec![world.name.clone()], ..PortQuery::default() };
    for port in world.neutron.list_ports(&query).await? {
        world.neutron.delete_port(&port.id).await?;
    }
    Ok(())
}

fn ours(world: &World) -> FloatingIpQuery {
    FloatingIpQuery { descriptions: vec![world.name.clone()], ..FloatingIpQuery::default() }
}

async fn external(world: &World) -> NetworkId {
    let query = NetworkQuery { external: Some(true), ..NetworkQuery::default() };
    world.neutron.list_networks(&query).await.unwrap().remove(0).id
}

/// A port in the network of Services, which a router joins with the external one.
async fn routed_port(world: &World) -> Port {
    let query = NetworkQuery { names: vec!["services".to_owned()], ..NetworkQuery::default() };
    let network = world.neutron.list_networks(&query).await.unwrap().remove(0).id;
    let new = NewPort { description: Some(world.name.clone()), ..NewPort::on(network) };
    world.neutron.create_port(&new).await.unwrap()
}

#[tokio::test]
async fn a_floating_ip_goes_from_port_to_port() {
    with_floating_ips(|world| async move {
        let neutron = &world.neutron;
        let new = NewFloatingIp { description: Some(world.name.clone()), ..NewFloatingIp::of(external(&world).await) };
        let floating = neutron.create_floating_ip(&new).await.unwrap();
        assert_eq!((&floating.description, &floating.port_id), (&world.name, &None));
        let address = floating.floating_ip_address.unwrap();
        let update = |port_id| FloatingIpUpdate { port_id: Some(port_id), ..FloatingIpUpdate::default() };
        let (one, two) = (routed_port(&world).await, routed_port(&world).await);
        for port in [&one, &two] {
            let moved = neutron.update_floating_ip(&floating.id, &update(Some(port.id.clone()))).await.unwrap();
            assert_eq!((moved.port_id.as_ref(), moved.floating_ip_address), (Some(&port.id), Some(address)));
            assert!(port.fixed_ips.iter().any(|ip| Some(ip.ip_address) == moved.fixed_ip_address));
        }
        let by_port = FloatingIpQuery { port_ids: vec![one.id.clone(), two.id.clone()], ..FloatingIpQuery::default() };
        let found = neutron.list_floating_ips(&by_port).await.unwrap();
        assert_eq!(found.iter().map(|found| &found.id).collect::<Vec<_>>(), [&floating.id]);
        let freed = neutron.update_floating_ip(&floating.id, &update(None)).await.unwrap();
        assert_eq!((freed.port_id, freed.fixed_ip_address), (None, None));
        let tags = neutron.replace_tags(&Taggable::FloatingIp(floating.id.clone()), &["t".to_owned()]).await.unwrap();
        assert_eq!(tags, ["t"]);
        assert_eq!(neutron.get_floating_ip(&floating.id).await.unwrap().tags, ["t"]);
        neutron.delete_floating_ip(&floating.id).await.unwrap();
        assert_eq!(neutron.get_floating_ip(&floating.id).await.found().unwrap(), None);
        assert_eq!(neutron.delete_floating_ip(&floating.id).await.unwrap_err().kind(), Kind::NotFound);
    })
    .await;
}

#[tokio::test]
async fn what_can_not_be_reached_or_is_taken_gets_no_floating_ip() {
    with_floating_ips(|world| async move {
        let neutron = &world.neutron;
        let base = NewFloatingIp { description: Some(world.name.clone()), ..NewFloatingIp::of(external(&world).await) };
        let port = routed_port(&world).await;
        let with_port = NewFloatingIp { port_id: Some(port.id.clone()), ..base.clone() };
        let first = neutron.create_floating_ip(&with_port).await.unwrap();
        assert_eq!(first.port_id.as_ref(), Some(&port.id));
        let unrouted = world.create_port().await;
        for (new, kind, neutron_type) in [
            (with_port, Kind::Conflict, "FloatingIPPortAlreadyAssociated"),
            (
                NewFloatingIp { port_id: Some(unrouted.id), ..base.clone() },
                Kind::NotFound,
                "ExternalGatewayForFloatingIPNotFound",
            ),
            (NewFloatingIp { port_id: Some("x".into()), ..base.clone() }, Kind::BadRequest, "HTTPBadRequest"),
            (
                NewFloatingIp { floating_network_id: world.network.id.clone(), ..base.clone() },
                Kind::BadRequest,
                "BadRequest",
            ),
        ] {
            let error = neutron.create_floating_ip(&new).await.unwrap_err();
            assert_eq!((error.kind(), error.neutron_type()), (kind, Some(neutron_type)), "{error}");
        }
        let certain = NewFloatingIp { floating_ip_address: first.floating_ip_address, ..base };
        let error = neutron.create_floating_ip(&certain).await.unwrap_err();
        let expected = if world.is_admin { Kind::Conflict } else { Kind::Forbidden };
        assert_eq!(error.kind(), expected, "{error}");
        assert_eq!(neutron.list_floating_ips(&ours(&world)).await.unwrap().len(), 1);
    })
    .await;
}
