//! Members: batches, what they leave alone, single ones.

use super::octavia_fixture::{lasts, with_load_balancers};
use kuryr_openstack::{
    Kind,
    octavia::{Fault, Member, MemberUpdate, NewMember, OperatingStatus, PoolId, Query},
};

#[tokio::test]
async fn a_batch_replaces_or_adds() {
    with_load_balancers(|rig| async move {
        let created = rig.create(&rig.balancer(vec![rig.listener(80, &[1, 2])])).await;
        let (id, pool) = (&created.load_balancer.id, &created.pools[0].pool.id);
        let before = rig.members(pool).await;
        let of = |lasts: &[u8]| -> Vec<NewMember> { lasts.iter().map(|&last| rig.member(last)).collect() };
        for (additive, members, expected) in [
            (false, of(&[1, 2]), &[1, 2][..]),
            (true, of(&[3]), &[1, 2, 3]),
            (true, of(&[3]), &[1, 2, 3]),
            (false, of(&[1, 4]), &[1, 4]),
            (true, of(&(10..30).collect::<Vec<u8>>()), &[&[1, 4][..], &(10..30).collect::<Vec<u8>>()].concat()),
            (false, of(&[1]), &[1]),
        ] {
            if additive {
                rig.octavia.add_members(pool, &members).await.unwrap();
            } else {
                rig.octavia.replace_members(pool, &members).await.unwrap();
            }
            rig.until(id, pool, |members| lasts(members) == expected).await;
        }
        let after = rig.members(pool).await;
        assert!(before.iter().any(|member| member.id == after[0].id), "a member that stays is the same one");
        rig.octavia.replace_members(pool, &[]).await.unwrap();
        rig.until(id, pool, |members| members.is_empty()).await;
    })
    .await;
}

#[tokio::test]
async fn a_batch_sets_members_to_what_it_says_and_to_defaults() {
    with_load_balancers(|rig| async move {
        let created = rig.create(&rig.balancer(vec![rig.listener(80, &[1])])).await;
        let (id, pool) = (&created.load_balancer.id, &created.pools[0].pool.id);
        let down = NewMember {
            name: Some("n".to_owned()),
            weight: Some(7),
            backup: Some(true),
            admin_state_up: Some(false),
            ..rig.member(1)
        };
        let id_of_one = &created.pools[0].members[0].id;
        let is = |members: &[Member], status| {
            let one = members.iter().find(|member| member.id == *id_of_one);
            one.is_some_and(|one| one.operating_status == status)
        };
        rig.octavia.replace_members(pool, &[down, rig.member(2)]).await.unwrap();
        let members = rig.until(id, pool, |members| is(members, OperatingStatus::Offline)).await;
        let one = members.iter().find(|member| member.id == *id_of_one).unwrap();
        assert_eq!((one.name.as_str(), one.weight, one.backup, one.admin_state_up), ("n", Some(7), true, false));
        rig.octavia.add_members(pool, &[rig.member(1)]).await.unwrap();
        let members = rig.until(id, pool, |members| is(members, OperatingStatus::NoMonitor)).await;
        let one = members.iter().find(|member| member.id == *id_of_one).unwrap();
        assert_eq!((one.name.as_str(), one.weight, one.backup, one.admin_state_up), ("n", Some(1), false, true));
    })
    .await;
}

#[tokio::test]
async fn a_wrong_batch_changes_nothing() {
    with_load_balancers(|rig| async move {
        let created = rig.create(&rig.balancer(vec![rig.listener(80, &[1, 2])])).await;
        let (id, pool) = (&created.load_balancer.id, &created.pools[0].pool.id);
        let missing = "00000000-0000-4000-8000-000000000000";
        let elsewhere = NewMember::at("192.0.2.1".parse().unwrap(), 80);
        let v6 = NewMember { subnet_id: Some(rig.subnet()), ..NewMember::at("fd00:77::9".parse().unwrap(), 80) };
        for (members, kind, fault) in [
            (vec![rig.member(3), rig.member(3)], Kind::Conflict, Some(Fault::DuplicateMember)),
            (vec![rig.member(1), rig.member(1)], Kind::BadRequest, None),
            (vec![NewMember { weight: Some(257), ..rig.member(1) }], Kind::BadRequest, None),
            (vec![NewMember { name: Some("x".repeat(256)), ..rig.member(1) }], Kind::BadRequest, None),
            (vec![NewMember { protocol_port: 0, ..rig.member(1) }], Kind::BadRequest, None),
            (
                vec![NewMember { subnet_id: Some(missing.into()), ..rig.member(3) }],
                Kind::BadRequest,
                Some(Fault::NoSuchReference),
            ),
            (vec![NewMember { monitor_port: Some(9), ..rig.member(3) }], Kind::Unsupported, Some(Fault::Unsupported)),
            (vec![elsewhere], Kind::Unsupported, Some(Fault::Unsupported)),
            (vec![v6], Kind::Unsupported, Some(Fault::Unsupported)),
        ] {
            let error = rig.octavia.replace_members(pool, &members).await.unwrap_err();
            assert_eq!((error.kind(), error.octavia_fault()), (kind, fault), "{error}");
            assert!(rig.octavia.get_load_balancer(id).await.unwrap().provisioning_status.is_mutable(), "{error}");
        }
        assert_eq!(lasts(&rig.members(pool).await), [1, 2]);
        let gone = rig.octavia.replace_members(&PoolId::from(missing), &[]).await.unwrap_err();
        assert_eq!(gone.kind(), Kind::NotFound, "{gone}");
        let gone = rig.octavia.list_members(&PoolId::from(missing), &Query::default()).await.unwrap_err();
        assert_eq!(gone.kind(), Kind::NotFound, "{gone}");
    })
    .await;
}

#[tokio::test]
async fn single_members_come_change_and_go() {
    with_load_balancers(|rig| async move {
        let created = rig.create(&rig.balancer(vec![rig.listener(80, &[1])])).await;
        let (id, pool) = (&created.load_balancer.id, &created.pools[0].pool.id);
        let member = rig.octavia.create_member(pool, &rig.member(2)).await.unwrap();
        rig.settle(id).await;
        let twice = rig.octavia.create_member(pool, &rig.member(2)).await.unwrap_err();
        assert_eq!((twice.kind(), twice.octavia_fault()), (Kind::Conflict, Some(Fault::DuplicateMember)));
        let update = MemberUpdate { weight: Some(5), name: Some("n".to_owned()), ..MemberUpdate::default() };
        let updated = rig.octavia.update_member(pool, &member.id, &update).await.unwrap();
        assert_eq!((updated.weight, updated.name.as_str()), (Some(5), "n"));
        rig.settle(id).await;
        rig.octavia.delete_member(pool, &member.id).await.unwrap();
        rig.until(id, pool, |members| lasts(members) == [1]).await;
        let gone = rig.octavia.delete_member(pool, &member.id).await.unwrap_err();
        assert_eq!(gone.kind(), Kind::NotFound);
    })
    .await;
}
