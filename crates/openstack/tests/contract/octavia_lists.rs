//! Lists: filters, fields, pages; versions and providers.

use super::octavia_fixture::{PROVIDER, with_load_balancers};
use kuryr_openstack::{
    Kind,
    octavia::{ApiVersion, NewListener, NewLoadBalancer, Protocol, ProvisioningStatus, Query},
};

#[tokio::test]
async fn load_balancers_are_found_by_what_we_chose() {
    with_load_balancers(|rig| async move {
        let mark = &rig.world.name;
        let named = |name: &str, tags: &[&str]| NewLoadBalancer {
            name: Some(name.to_owned()),
            tags: tags.iter().map(|tag| format!("{mark}-{tag}")).collect(),
            ..rig.balancer(Vec::new())
        };
        for new in [named("one", &["a", "b"]), named("two", &["a"]), named("three", &[])] {
            rig.create(&new).await;
        }
        let base = Query { description: Some(mark.clone()), ..Query::default() };
        let tag = |tag: &str| format!("{mark}-{tag}");
        for (query, expected) in [
            (base.clone(), &["one", "three", "two"][..]),
            (Query { name: Some("two".to_owned()), ..base.clone() }, &["two"]),
            (Query { description: Some(mark[..mark.len() - 1].to_owned()), ..Query::default() }, &[]),
            (Query { tags: vec![tag("a")], ..Query::default() }, &["one", "two"]),
            (Query { tags: vec![tag("a"), tag("b")], ..Query::default() }, &["one"]),
            (Query { tags_any: vec![tag("b"), tag("c")], ..Query::default() }, &["one"]),
            (Query { tags: vec![tag("c")], ..Query::default() }, &[]),
            (Query { provisioning_status: Some(ProvisioningStatus::PendingUpdate), ..base.clone() }, &[]),
            (Query { page_size: Some(1), ..base.clone() }, &["one", "three", "two"]),
            (Query { fields: vec!["name"], page_size: Some(2), ..base.clone() }, &["one", "three", "two"]),
        ] {
            let found = rig.octavia.list_load_balancers(&query).await.unwrap();
            let mut names: Vec<&str> = found.iter().map(|balancer| balancer.name.as_str()).collect();
            names.sort_unstable();
            assert_eq!(names, expected, "{query:?}");
            assert!(found.iter().all(|balancer| !balancer.id.as_str().is_empty()));
            let whole = found.iter().all(|balancer| balancer.vip_address.is_some());
            assert_eq!(whole, query.fields.is_empty() || found.is_empty(), "{query:?}");
        }
        let wrong = Query { description: Some("x".to_owned()), ..Query::default() };
        let listeners = rig.octavia.list_listeners(&wrong).await.unwrap();
        assert_eq!(listeners, []);
    })
    .await;
}

#[tokio::test]
async fn what_belongs_to_a_load_balancer_is_found_by_it() {
    with_load_balancers(|rig| async move {
        let created = rig.create(&rig.balancer(vec![rig.listener(80, &[1, 2]), rig.listener(81, &[3])])).await;
        let other = rig.create(&rig.balancer(vec![NewListener::on(Protocol::Tcp, 80)])).await;
        let id = &created.load_balancer.id;
        assert_eq!((rig.listeners(id).await.len(), rig.pools(id).await.len()), (2, 2));
        let others = &other.load_balancer.id;
        assert_eq!((rig.listeners(others).await.len(), rig.pools(others).await.len()), (1, 0));
        let pool = &created.pools.iter().find(|graph| graph.members.len() == 2).unwrap().pool.id;
        let paged = Query { page_size: Some(1), fields: vec!["address"], ..Query::default() };
        let members = rig.octavia.list_members(pool, &paged).await.unwrap();
        assert_eq!(members.len(), 2);
        assert!(members.iter().all(|member| member.address.is_some() && member.protocol_port == 0));
        let no_such_filter = Query { description: Some("x".to_owned()), ..Query::default() };
        let error = rig.octavia.list_members(pool, &no_such_filter).await.unwrap_err();
        assert_eq!(error.kind(), Kind::BadRequest, "{error}");
    })
    .await;
}

#[tokio::test]
async fn versions_and_providers() {
    with_load_balancers(|rig| async move {
        let version = rig.octavia.api_version().await.unwrap().unwrap();
        assert!(version >= ApiVersion::ADDITIONAL_VIPS, "{version}");
        let providers = rig.octavia.list_providers().await.unwrap();
        assert!(providers.iter().any(|provider| provider.name == PROVIDER), "{providers:?}");
        let project = rig.world.cloud.project_id().await.unwrap();
        let quota = rig.octavia.get_quota(&project).await.unwrap();
        assert!(quota.load_balancers.is_some() && quota.members.is_some(), "{quota:?}");
    })
    .await;
}
