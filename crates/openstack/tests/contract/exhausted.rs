//! Quotas and addresses that are used up.

use super::fixture::{Plan, in_world};
use kuryr_core::error::Class;
use kuryr_openstack::{
    Kind,
    neutron::{NewPort, ProjectId},
};
use std::collections::BTreeMap;

#[tokio::test]
async fn the_quota_counts_and_refuses() {
    let plan = Plan { own_project: true, ..Plan::default() };
    in_world(plan, |world| async move {
        let project = ProjectId::from(world.name.as_str());
        let neutron = &world.neutron;
        let limits = BTreeMap::from([("port".to_owned(), 1)]);
        assert_eq!(neutron.set_quota(&project, &limits).await.unwrap()["port"], 1);
        let new = NewPort { project_id: Some(project.clone()), security_groups: Some(Vec::new()), ..world.port() };
        neutron.create_port(&new).await.unwrap();
        let quota = neutron.get_quota(&project).await.unwrap();
        assert_eq!((quota["port"].limit, quota["port"].used, quota["port"].free()), (1, 1, Some(0)));
        let over = neutron.create_port(&new).await.unwrap_err();
        assert_eq!(
            (over.kind(), over.neutron_type(), over.class()),
            (Kind::OverQuota, Some("OverQuota"), Class::Quota)
        );
        assert!(!over.outcome_unknown());
        neutron.reset_quota(&project).await.unwrap();
        assert_ne!(neutron.get_quota(&project).await.unwrap()["port"].limit, 1);
    })
    .await;
}

#[tokio::test]
async fn a_subnet_without_free_addresses_says_so() {
    // Room for the gateway and one port.
    let plan = Plan { cidr: "10.78.0.0/30", ..Plan::default() };
    in_world(plan, |world| async move {
        world.create_port().await;
        let full = world.neutron.create_port(&world.port()).await.unwrap_err();
        assert_eq!((full.kind(), full.class()), (Kind::AddressesExhausted, Class::Quota), "{full}");
        let in_bulk = world.neutron.create_ports(&[world.port(), world.port()]).await.unwrap_err();
        assert_eq!(in_bulk.kind(), Kind::AddressesExhausted, "{in_bulk}");
    })
    .await;
}
