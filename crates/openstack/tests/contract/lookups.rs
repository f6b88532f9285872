//! Networks, subnets and security groups by name and by identifier; extensions; quotas.

use super::fixture::{Plan, in_world, unique};
use kuryr_openstack::{
    Found, Kind,
    neutron::{
        NetworkId, NetworkQuery, NetworkStatus, SecurityGroupQuery, SubnetId, SubnetPoolId, SubnetPoolQuery,
        SubnetQuery, Taggable,
    },
};

#[tokio::test]
async fn a_network_is_found_by_name_and_by_id() {
    in_world(Plan::default(), |world| async move {
        let query = NetworkQuery { names: vec![world.name.clone()], ..NetworkQuery::default() };
        let by_name = world.neutron.list_networks(&query).await.unwrap();
        let by_id = world.neutron.get_network(&world.network.id).await.unwrap();
        assert_eq!(by_name, std::slice::from_ref(&by_id));
        assert_eq!(by_id.subnets, std::slice::from_ref(&world.subnet.id));
        assert_eq!((by_id.status, by_id.external), (NetworkStatus::Active, false));
        assert!(by_id.mtu.is_some_and(|mtu| (1200..=9000).contains(&mtu)), "{:?}", by_id.mtu);
        let external = NetworkQuery { external: Some(true), ..query };
        assert_eq!(world.neutron.list_networks(&external).await.unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn a_subnet_is_found_by_name_by_id_and_by_network() {
    in_world(Plan::default(), |world| async move {
        let by_id = world.neutron.get_subnet(&world.subnet.id).await.unwrap();
        assert_eq!(by_id.cidr, Plan::default().cidr.parse().unwrap());
        assert_eq!(by_id.gateway_ip, Some("10.77.0.1".parse().unwrap()));
        let queries = [
            SubnetQuery { names: vec![world.name.clone()], ..SubnetQuery::default() },
            SubnetQuery { network_ids: vec![world.network.id.clone()], ..SubnetQuery::default() },
            SubnetQuery { ids: vec![world.subnet.id.clone(), SubnetId::from("other")], ..SubnetQuery::default() },
        ];
        for query in queries {
            assert_eq!(world.neutron.list_subnets(&query).await.unwrap(), std::slice::from_ref(&by_id), "{query:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn the_default_group_of_the_project_is_found_by_name() {
    in_world(Plan::default(), |world| async move {
        let project = world.cloud.project_id().await.unwrap();
        let query = SecurityGroupQuery {
            names: vec!["default".to_owned()],
            project_ids: vec![project.clone()],
            ..SecurityGroupQuery::default()
        };
        let groups = world.neutron.list_security_groups(&query).await.unwrap();
        assert_eq!(groups.len(), 1);
        assert_eq!(world.neutron.get_security_group(&groups[0].id).await.unwrap().project_id, project);
        assert!(!groups[0].rules.is_empty());
    })
    .await;
}

#[tokio::test]
async fn what_does_not_exist_is_not_found() {
    in_world(Plan::default(), |world| async move {
        let error = world.neutron.get_network(&NetworkId::from(unique())).await.unwrap_err();
        assert_eq!((error.kind(), error.neutron_type()), (Kind::NotFound, Some("NetworkNotFound")));
        assert!(error.request_id().is_some() && error.status() == Some(404) && !error.outcome_unknown(), "{error}");
        assert_eq!(world.neutron.get_subnet(&SubnetId::from("x")).await.found().unwrap(), None);
        assert_eq!(world.neutron.get_subnet_pool(&SubnetPoolId::from("x")).await.found().unwrap(), None);
        let pools = SubnetPoolQuery { names: vec![unique()], ..SubnetPoolQuery::default() };
        assert_eq!(world.neutron.list_subnet_pools(&pools).await.unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn the_extensions_that_kuryr_needs_are_there() {
    in_world(Plan::default(), |world| async move {
        let extensions = world.neutron.list_extensions().await.unwrap();
        for needed in ["binding", "security-group", "quotas", "quota_details", "standard-attr-description", "net-mtu"] {
            assert!(extensions.iter().any(|extension| extension.alias == needed), "no `{needed}` in {extensions:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn tags_are_replaced_as_a_whole() {
    in_world(Plan::default(), |world| async move {
        let port = world.create_port().await;
        let objects = [
            Taggable::Network(world.network.id.clone()),
            Taggable::Subnet(world.subnet.id.clone()),
            Taggable::Port(port.id.clone()),
        ];
        for object in objects {
            for tags in [vec!["a".to_owned(), "kuryr:b".to_owned()], vec!["c".to_owned()]] {
                let mut answered = world.neutron.replace_tags(&object, &tags).await.unwrap();
                answered.sort();
                assert_eq!(answered, tags, "{object:?}");
            }
        }
        assert_eq!(world.neutron.get_port(&port.id).await.unwrap().tags, ["c"]);
    })
    .await;
}
