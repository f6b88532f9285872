//! The nodes' own ports: they follow the configured network, and no node is without one for longer than it must be.

use super::harness::{World, eventually, eventually_so, in_world};
use kube::{
    ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use kuryr_api::{ClaimKind, KuryrPool, KuryrPoolPort, conditions};
use kuryr_controller::settings::Pools;
use kuryr_openstack_fake::Service;
use serde_json::json;
use std::collections::BTreeMap;

/// The nodes' own ports that Neutron has and nobody deletes, by node.
async fn of_nodes(world: &World) -> BTreeMap<String, KuryrPoolPort> {
    let of_node =
        |port: &KuryrPoolPort| port.spec.claim_ref.as_ref().is_some_and(|claim| claim.kind == ClaimKind::Node);
    let made = |port: &KuryrPoolPort| {
        let status = port.status.as_ref();
        status.is_some_and(|status| conditions::is_true(&status.conditions, conditions::CREATED))
    };
    let ports = world.own_pool_ports().await.into_iter();
    let ports = ports.filter(|port| of_node(port) && made(port) && port.metadata.deletion_timestamp.is_none());
    ports.map(|port| (port.spec.node_name.clone(), port)).collect()
}

/// Waits until each of so many nodes has a port with so many addresses.
async fn all_with(world: &World, nodes: usize, addresses: usize) -> BTreeMap<String, KuryrPoolPort> {
    eventually_so("every node has its port", || async {
        let ports = of_nodes(world).await;
        let got: Vec<_> = ports.values().map(|port| port.spec.subnet_ids.len()).collect();
        if got == vec![addresses; nodes] { Ok(ports) } else { Err(format!("{got:?}")) }
    })
    .await
}

fn uids(ports: &BTreeMap<String, KuryrPoolPort>) -> Vec<Option<String>> {
    ports.values().map(ResourceExt::uid).collect()
}

#[test]
fn another_network_gives_one_node_after_the_other_another_port_and_another_order_none() {
    in_world(|mut world| async move {
        world.settings.node_port.enabled = true;
        // Or a controller would never rest.
        world.settings.sweep.period_seconds = 0;
        let both = world.settings.pods.subnets.clone();
        for number in 2..=3 {
            world.create_node(&format!("{}-{number}", world.name)).await;
        }
        let controller = world.start();
        let first = all_with(&world, 3, 2).await;
        controller.stop().await;

        world.settings.pods.subnets = both.iter().rev().cloned().collect();
        let controller = world.start();
        world.allocated(&world.create_pod("reversed", false).await).await;
        world.rests(&controller.life).await;
        assert_eq!(uids(&of_nodes(&world).await), uids(&first), "the same subnets in another order");
        controller.stop().await;

        world.settings.pods.subnets = vec![both[0].clone()];
        let controller = world.start();
        let mut fewest = 3;
        let (mut replaced, all) = (Vec::new(), std::pin::pin!(all_with(&world, 3, 1)));
        let looks = async {
            loop {
                let ports = of_nodes(&world).await;
                fewest = fewest.min(ports.len());
                replaced.push(ports.values().filter(|port| port.spec.subnet_ids.len() == 1).count());
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        tokio::select! {
            _ = all => {}
            () = looks => {}
        }
        assert!(fewest >= 2, "{fewest} of three nodes had a port");
        for step in 1..=2 {
            assert!(replaced.contains(&step), "one after the other: {replaced:?}");
        }
        controller.stop().await;
    });
}

#[test]
fn a_node_keeps_its_port_until_neutron_itself_says_that_its_network_is_another_one() {
    in_world(|mut world| async move {
        world.settings.node_port.enabled = true;
        world.settings.pools = Pools { minimum: 1, maximum: 1, plugged: 0, ..Pools::default() };
        let both = std::mem::replace(&mut world.settings.pods.subnets, vec!["pods-v4".to_owned()]);
        let controller = world.start();
        world.allocated(&world.create_pod("first", false).await).await;
        let remembers =
            eventually("the pool remembers the configuration", || async { remembering(&world, 1).await }).await;
        controller.stop().await;

        world.settings.pods.subnets = both;
        let controller = world.start();
        let before = all_with(&world, 1, 2).await;
        controller.stop().await;

        // Back to the first configuration, which a pool remembers; the node's port is of the other one.
        put_back(&world, remembers).await;
        world.settings.pods.subnets = vec!["pods-v4".to_owned()];
        world.fake.shut(Service::Network).await;
        let controller = world.start();
        let waits = world.create_pod("waits", false).await;
        eventually("the KuryrPort says why its pod waits", || async {
            let status = world.ports_of(&waits.uid().unwrap()).await.pop()?.status?;
            status.conditions.iter().any(|c| c.reason == "OpenStackUnavailable").then_some(())
        })
        .await;
        assert_eq!(uids(&of_nodes(&world).await), uids(&before), "what is deleted now can't be made again");
        world.fake.open(Service::Network);
        all_with(&world, 1, 1).await;
        controller.stop().await;
    });
}

/// The world's pool of ports with so many subnets, where it remembers the configuration.
async fn remembering(world: &World, subnets: usize) -> Option<KuryrPool> {
    let pools = world.pools().list(&ListParams::default()).await.unwrap().items.into_iter();
    let mut ours = pools.filter(|pool| pool.spec.node_name == world.name && pool.spec.subnet_ids.len() == subnets);
    ours.find(|pool| pool.status.as_ref().is_some_and(|status| status.configured.is_some()))
}

/// Makes the pool as it was, and takes the others' memory.
async fn put_back(world: &World, pool: KuryrPool) {
    for other in world.pools().list(&ListParams::default()).await.unwrap() {
        if other.spec.node_name == world.name {
            world.pools().delete(&other.name_any(), &DeleteParams::default()).await.unwrap();
        }
    }
    let name = pool.name_any();
    eventually("the pools are gone", || async { world.pools().get_opt(&name).await.unwrap().is_none().then_some(()) })
        .await;
    let mut new = KuryrPool::new(&name, pool.spec);
    new.metadata.labels = pool.metadata.labels;
    new.metadata.owner_references = pool.metadata.owner_references;
    world.pools().create(&PostParams::default(), &new).await.unwrap();
    let status = json!({ "status": pool.status });
    world.pools().patch_status(&name, &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
}
