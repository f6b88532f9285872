//! A pod's way to its port, and back.

use super::harness::{eventually, in_world};
use http::Method;
use k8s_openapi::api::core::v1::Node;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
};
use kuryr_api::conditions;
use kuryr_core::names::{self, OwnerMark};
use serde_json::json;

#[test]
fn a_pod_has_one_port_from_its_start_to_its_nodes_word() {
    in_world(|mut world| async move {
        world.settings.sweep.period_seconds = 0;
        let controller = world.start();
        let pod = world.create_pod("web", false).await;
        let port = world.allocated(&pod).await;
        let got = &port.status.as_ref().unwrap().interfaces[0];
        let neutron = world.neutron_ports();
        assert_eq!(neutron.len(), 1);
        let object = world.pool_ports().get(&got.pool_port).await.unwrap();
        let mark = OwnerMark { cluster: world.name.clone(), uid: object.uid().unwrap() };
        assert_eq!(neutron[0].description, mark.to_string());
        assert_eq!((&neutron[0].id, &neutron[0].device_id), (&got.port_id, &mark.uid));
        assert_eq!((neutron[0].device_owner.as_str(), &neutron[0].name), (names::DEVICE_OWNER, &object.name_any()));
        assert_eq!(got.addresses.len(), world.settings.pods.subnets.len());
        assert!(got.addresses[0].ip.is_ipv4() && got.routes.len() == got.addresses.len());
        assert_eq!(world.fake.count(&Method::POST, "ports"), 1);
        assert_eq!(world.fake.count(&Method::GET, "ports"), 0, "a fresh object needs no look at Neutron");

        world.delete_pod("web").await;
        eventually("the KuryrPort is being deleted", || async {
            world.ports().get(&port.name_any()).await.unwrap().metadata.deletion_timestamp
        })
        .await;
        assert_eq!(world.neutron_ports().len(), 1, "the port stays until its node has confirmed (P2)");
        world.confirm(&port).await;
        world.nothing_left().await;
        controller.stop().await;
    });
}

#[test]
fn a_converged_pod_costs_no_request() {
    in_world(|mut world| async move {
        world.settings.sweep.period_seconds = 0;
        let controller = world.start();
        let pod = world.create_pod("web", false).await;
        let port = world.allocated(&pod).await;
        let other = world.create_pod("host", true).await;
        let before = (world.fake.total(), port.resource_version());
        // A change that means nothing to us, seen by every reconciler; a second pod shows that it was worked on.
        let label = Patch::Merge(json!({ "metadata": { "labels": { "a": "b" } } }));
        world.pods().patch("web", &PatchParams::default(), &label).await.unwrap();
        world.ports().patch(&port.name_any(), &PatchParams::default(), &label).await.unwrap();
        let second = world.create_pod("second", false).await;
        world.allocated(&second).await;
        let now = world.ports().get(&port.name_any()).await.unwrap();
        assert_eq!(now.status, port.status);
        assert_eq!(now.metadata.generation, port.metadata.generation);
        assert_eq!(world.fake.total(), before.0 + 1, "only the second pod's POST");
        assert!(world.ports_of(&other.uid().unwrap()).await.is_empty(), "a hostNetwork pod has none (P1)");
        controller.stop().await;
    });
}

#[test]
fn a_recreated_pod_does_not_wait_for_its_predecessor() {
    in_world(|world| async move {
        let controller = world.start();
        let first = world.create_pod("db-0", false).await;
        let old = world.allocated(&first).await;
        world.delete_pod("db-0").await;
        let second = world.create_pod("db-0", false).await;
        let new = world.allocated(&second).await;
        let address = |port: &kuryr_api::KuryrPort| port.status.as_ref().unwrap().interfaces[0].addresses[0].ip;
        assert_ne!(address(&old), address(&new), "the predecessor's address is still its own");
        world.confirm(&old).await;
        eventually("only the new port is left", || async { (world.neutron_ports().len() == 1).then_some(()) }).await;
        controller.stop().await;
    });
}

#[test]
fn a_node_that_is_gone_needs_no_confirmation() {
    in_world(|world| async move {
        let controller = world.start();
        let pod = world.create_pod("web", false).await;
        world.allocated(&pod).await;
        Api::<Node>::all(world.client.clone()).delete(&world.name, &DeleteParams::default()).await.unwrap();
        world.delete_pod("web").await;
        world.nothing_left().await;
        eventually("the KuryrPort is gone", || async {
            world.ports_of(&pod.uid().unwrap()).await.is_empty().then_some(())
        })
        .await;
        controller.stop().await;
    });
}

#[test]
fn a_port_deleted_by_hand_in_neutron_is_told() {
    in_world(|world| async move {
        let controller = world.start();
        let pod = world.create_pod("web", false).await;
        let port = world.allocated(&pod).await;
        let id = port.status.as_ref().unwrap().interfaces[0].port_id.clone();
        world.fake.delete_port(&id);
        eventually("the KuryrPort says that its port is missing", || async {
            let status = world.ports().get(&port.name_any()).await.unwrap().status?;
            let allocated = status.conditions.into_iter().find(|c| c.type_ == conditions::ALLOCATED)?;
            (allocated.status == "False" && allocated.reason == "NeutronPortMissing").then_some(())
        })
        .await;
        world.delete_pod("web").await;
        world.confirm(&port).await;
        world.nothing_left().await;
        controller.stop().await;
    });
}

#[test]
fn a_pool_port_deleted_by_hand_outlives_its_claimant() {
    in_world(|world| async move {
        let controller = world.start();
        let pod = world.create_pod("web", false).await;
        let port = world.allocated(&pod).await;
        let name = port.status.as_ref().unwrap().interfaces[0].pool_port.clone();
        world.pool_ports().delete(&name, &DeleteParams::default()).await.unwrap();
        // Another pod's whole way shows that the deletion was worked on.
        let second = world.create_pod("second", false).await;
        world.allocated(&second).await;
        assert_eq!(world.neutron_ports().len(), 2, "the pod still uses its port");
        world.delete_pod("web").await;
        world.confirm(&port).await;
        eventually("the port is gone", || async { (world.neutron_ports().len() == 1).then_some(()) }).await;
        controller.stop().await;
    });
}
