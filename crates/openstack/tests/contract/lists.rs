//! Long lists.

use super::fixture::{Plan, in_world};
use futures::TryStreamExt;
use kuryr_openstack::neutron::{NewPort, Port, PortId, PortQuery};
use std::collections::BTreeSet;

fn ids(ports: &[Port]) -> BTreeSet<&PortId> {
    ports.iter().map(|port| &port.id).collect()
}

#[tokio::test]
async fn pages_of_two_are_the_whole_list() {
    in_world(Plan::default(), |world| async move {
        let new: Vec<NewPort> = (0..5).map(|_| world.port()).collect();
        let created = world.neutron.create_ports(&new).await.unwrap();
        let query = PortQuery {
            descriptions: vec![world.name.clone()],
            fields: vec!["id", "description"],
            page_size: Some(2),
            ..PortQuery::default()
        };
        let listed = world.neutron.list_ports(&query).await.unwrap();
        assert_eq!((listed.len(), ids(&listed)), (5, ids(&created)));
        assert!(listed.iter().all(|port| port.description == world.name && port.mac_address.is_none()), "only fields");
        let streamed: Vec<Port> = world.neutron.stream_ports(&query).try_collect().await.unwrap();
        assert_eq!(ids(&streamed), ids(&created));
    })
    .await;
}

#[tokio::test]
async fn a_query_that_is_too_long_for_one_request_is_answered() {
    in_world(Plan::default(), |world| async move {
        let created = world.neutron.create_ports(&[world.port(), world.port()]).await.unwrap();
        let mut asked: Vec<PortId> =
            (0..400).map(|i| PortId::from(format!("00000000-0000-4000-8000-{i:012}"))).collect();
        asked.insert(0, created[0].id.clone());
        asked.push(created[1].id.clone());
        let listed = world.neutron.list_ports(&PortQuery { ids: asked, ..PortQuery::default() }).await.unwrap();
        assert_eq!(ids(&listed), ids(&created));
    })
    .await;
}
