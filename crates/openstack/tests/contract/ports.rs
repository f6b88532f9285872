//! Ports: creation, reading back, change, deletion.

use super::{
    backend::host,
    fixture::{Plan, in_world, unique},
};
use kuryr_core::{error::Class, net::MacAddress};
use kuryr_openstack::{
    Found, Kind,
    neutron::{
        FixedIpRequest, NetworkId, NewPort, NewSecurityGroup, PortId, PortQuery, PortStatus, PortUpdate,
        SecurityGroupId, SubnetId, VifType,
    },
};
use std::net::IpAddr;

#[tokio::test]
async fn a_port_is_read_back_as_it_was_asked_for() {
    in_world(Plan::default(), |world| async move {
        let address: IpAddr = "10.77.3.4".parse().unwrap();
        let mac: MacAddress = "fa:16:3e:12:34:56".parse().unwrap();
        let new = NewPort {
            name: Some("a name".to_owned()),
            device_id: Some("a device".to_owned()),
            device_owner: Some("compute:kuryr".to_owned()),
            host_id: Some(host()),
            mac_address: Some(mac),
            security_groups: Some(Vec::new()),
            fixed_ips: Some(vec![FixedIpRequest {
                subnet_id: Some(world.subnet.id.clone()),
                ip_address: Some(address),
            }]),
            ..world.port()
        };
        let created = world.neutron.create_port(&new).await.unwrap();
        let port = world.neutron.get_port(&created.id).await.unwrap();
        assert_eq!(port.description, world.name);
        assert_eq!((port.name.as_str(), port.device_id.as_str()), ("a name", "a device"));
        assert_eq!(port.device_owner, "compute:kuryr");
        assert_eq!(port.host_id, Some(host()));
        assert_eq!(port.mac_address, Some(mac));
        assert_eq!(port.security_groups, []);
        assert_eq!(port.fixed_ips.len(), 1);
        assert_eq!((&port.fixed_ips[0].subnet_id, port.fixed_ips[0].ip_address), (&world.subnet.id, address));
        assert_eq!(port.status, PortStatus::Down, "nobody has plugged it");
        assert!(
            !matches!(port.vif_type, None | Some(VifType::BindingFailed | VifType::Unbound)),
            "{:?}: is KURYR_CONTRACT_HOST a host with a living chassis?",
            port.vif_type
        );
    })
    .await;
}

#[tokio::test]
async fn ports_are_created_in_bulk_and_found_by_each_filter() {
    in_world(Plan::default(), |world| async move {
        let port = |i: usize| NewPort {
            description: Some(format!("{}:{i}", world.name)),
            device_id: Some(format!("{}/{i}", world.name)),
            ..world.port()
        };
        let new: Vec<NewPort> = (0..4).map(port).collect();
        let created = world.neutron.create_ports(&new).await.unwrap();
        let descriptions = |ports: &[kuryr_openstack::neutron::Port]| {
            let mut texts: Vec<String> = ports.iter().map(|port| port.description.clone()).collect();
            texts.sort();
            texts
        };
        let all: Vec<String> = new.iter().filter_map(|port| port.description.clone()).collect();
        assert_eq!(descriptions(&created), all);
        assert_eq!(world.neutron.create_ports(&[]).await.unwrap(), []);

        let two = vec![all[0].clone(), all[2].clone()];
        let of = |i: usize| created.iter().find(|port| port.description == all[i]).unwrap();
        let queries = [
            PortQuery { descriptions: two.clone(), ..PortQuery::default() },
            PortQuery {
                device_ids: vec![of(0).device_id.clone(), of(2).device_id.clone()],
                network_ids: vec![world.network.id.clone()],
                ..PortQuery::default()
            },
            PortQuery { ids: vec![of(0).id.clone(), of(2).id.clone()], ..PortQuery::default() },
        ];
        for query in queries {
            let found = world.neutron.list_ports(&query).await.unwrap();
            assert_eq!(descriptions(&found), two, "{query:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_bulk_request_creates_all_or_nothing() {
    in_world(Plan::default(), |world| async move {
        let wrong = NewPort { security_groups: Some(vec![SecurityGroupId::from(unique())]), ..world.port() };
        world.neutron.create_ports(&[world.port(), wrong]).await.unwrap_err();
        let query = PortQuery { network_ids: vec![world.network.id.clone()], ..PortQuery::default() };
        assert_eq!(world.neutron.list_ports(&query).await.unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn the_groups_of_a_port_are_replaced() {
    in_world(Plan::default(), |world| async move {
        let new = NewSecurityGroup {
            name: "g".to_owned(),
            description: Some(world.name.clone()),
            ..NewSecurityGroup::default()
        };
        let group = world.neutron.create_security_group(&new).await.unwrap();
        let port = world.create_port().await;
        let mac = port.mac_address;
        for groups in [vec![group.id.clone()], Vec::new()] {
            let update = PortUpdate { security_groups: Some(groups.clone()), ..PortUpdate::default() };
            let updated = world.neutron.update_port(&port.id, &update).await.unwrap();
            assert_eq!((updated.security_groups, updated.mac_address), (groups, mac));
        }
    })
    .await;
}

#[tokio::test]
async fn a_port_is_deleted_once() {
    in_world(Plan::default(), |world| async move {
        let port = world.create_port().await;
        world.neutron.delete_port(&port.id).await.unwrap();
        let again = world.neutron.delete_port(&port.id).await.unwrap_err();
        assert_eq!((again.kind(), again.neutron_type()), (Kind::NotFound, Some("PortNotFound")));
        assert_eq!(world.neutron.get_port(&port.id).await.found().unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn wrong_requests_fail_by_kind() {
    in_world(Plan::default(), |world| async move {
        let ask = |subnet_id: Option<SubnetId>, ip_address: Option<IpAddr>| NewPort {
            fixed_ips: Some(vec![FixedIpRequest { subnet_id, ip_address }]),
            ..world.port()
        };
        let create = async |new: NewPort| world.neutron.create_port(&new).await.unwrap_err();

        let not_a_uuid = create(ask(Some(SubnetId::from("nonsense")), None)).await;
        assert_eq!((not_a_uuid.kind(), not_a_uuid.class()), (Kind::BadRequest, Class::Rejected), "{not_a_uuid}");
        let missing = "00000000-0000-4000-8000-000000000000";
        let no_subnet = create(ask(Some(SubnetId::from(missing)), None)).await;
        assert_eq!((no_subnet.kind(), no_subnet.neutron_type()), (Kind::NotFound, Some("SubnetNotFound")));
        let elsewhere = create(ask(None, Some("192.0.2.1".parse().unwrap()))).await;
        assert_eq!((elsewhere.kind(), elsewhere.neutron_type()), (Kind::BadRequest, Some("InvalidIpForNetwork")));
        let no_network = create(NewPort::on(NetworkId::from(missing))).await;
        assert_eq!((no_network.kind(), no_network.neutron_type()), (Kind::NotFound, Some("NetworkNotFound")));

        let address = world.create_port().await.fixed_ips[0].ip_address;
        let taken = create(ask(None, Some(address))).await;
        assert_eq!((taken.kind(), taken.class()), (Kind::Conflict, Class::Conflict), "{taken}");
        assert_eq!(taken.neutron_type(), Some("IpAddressAlreadyAllocated"));
        let in_use = world.neutron.delete_network(&world.network.id).await.unwrap_err();
        assert_eq!((in_use.kind(), in_use.neutron_type()), (Kind::Conflict, Some("NetworkInUse")));

        let empty = world.neutron.get_port(&PortId::from("")).await.unwrap_err();
        assert_eq!(empty.kind(), Kind::BadRequest, "an empty identifier must not become the list of all ports");
    })
    .await;
}
