//! Services: what Octavia has of them, whatever happens.

use super::harness::{World, eventually_so, in_world};
use k8s_openapi::api::{core::v1::Service, discovery::v1::EndpointSlice};
use kube::{
    Api,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use kuryr_api::{KuryrLoadBalancer, conditions};
use kuryr_openstack_fake::LoadBalancerView;
use serde_json::{Value, json};

fn services(world: &World) -> Api<Service> {
    Api::namespaced(world.client.clone(), &world.name)
}

fn slices(world: &World) -> Api<EndpointSlice> {
    Api::namespaced(world.client.clone(), &world.name)
}

fn objects(world: &World) -> Api<KuryrLoadBalancer> {
    Api::namespaced(world.client.clone(), &world.name)
}

/// Makes a Service with a TCP port 80.
async fn create(world: &World, name: &str, more: Value) -> Service {
    let mut spec = json!({ "ports": [{ "name": "http", "port": 80, "protocol": "TCP" }] });
    for (key, value) in more.as_object().unwrap() {
        spec[key] = value.clone();
    }
    let service = json!({ "metadata": { "name": name }, "spec": spec });
    services(world).create(&PostParams::default(), &serde_json::from_value(service).unwrap()).await.unwrap()
}

/// Gives a Service these IPv4 endpoints, on port 8080.
async fn endpoints(world: &World, service: &str, addresses: &[&str]) {
    let endpoints: Vec<_> =
        addresses.iter().map(|one| json!({ "addresses": [one], "conditions": { "ready": true } })).collect();
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": { "name": service, "labels": { "kubernetes.io/service-name": service } },
        "addressType": "IPv4", "endpoints": endpoints,
        "ports": [{ "name": "http", "port": 8080, "protocol": "TCP" }],
    });
    let params = PatchParams::apply("test").force();
    slices(world).patch(service, &params, &Patch::Apply(&slice)).await.unwrap();
}

/// The load balancers of the world.
fn load_balancers(world: &World) -> Vec<LoadBalancerView> {
    let all = world.fake.octavia().all();
    let mark = format!("kuryr:{}:", world.name);
    all.into_iter().filter(|one| one.description.starts_with(&mark)).collect()
}

/// The members of all pools, as `address:port`.
fn members(one: &LoadBalancerView) -> Vec<String> {
    let members = one.pools.iter().flat_map(|pool| &pool.members);
    let mut members: Vec<_> = members.map(|member| format!("{}:{}", member.address, member.protocol_port)).collect();
    members.sort();
    members
}

async fn object(world: &World, service: &str) -> Option<KuryrLoadBalancer> {
    let all = objects(world).list(&ListParams::default()).await.unwrap().items;
    all.into_iter().find(|object| object.spec.service_name == service)
}

/// Waits until the Service's object is ready and Octavia has these members.
async fn served(world: &World, service: &str, wanted: &[&str]) -> LoadBalancerView {
    eventually_so("the Service is served", || async {
        let object = object(world, service).await.ok_or("no object")?;
        let status = object.status.unwrap_or_default();
        if !conditions::is_true(&status.conditions, conditions::READY) {
            return Err(format!("{:?}", status.conditions));
        }
        let all = load_balancers(world);
        let one = all.into_iter().find(|one| Some(&one.id) == status.load_balancer_id.as_ref()).ok_or("no such one")?;
        if members(&one) == wanted { Ok(one) } else { Err(format!("{:?}", members(&one))) }
    })
    .await
}

async fn nothing_left(world: &World) {
    eventually_so("nothing is left", || async {
        let (objects, all) = (objects(world).list(&ListParams::default()).await.unwrap().items, load_balancers(world));
        if objects.is_empty() && all.is_empty() { Ok(()) } else { Err(format!("{} {}", objects.len(), all.len())) }
    })
    .await;
}

async fn delete(world: &World, name: &str) {
    services(world).delete(name, &DeleteParams::default()).await.unwrap();
}

#[test]
fn a_service_is_served_follows_its_endpoints_and_goes() {
    in_world(|world| async move {
        let world = world.with_services().await;
        let controller = world.start();
        let service = create(&world, "web", json!({})).await;
        endpoints(&world, "web", &["10.244.0.11", "10.244.0.12"]).await;
        let one = served(&world, "web", &["10.244.0.11:8080", "10.244.0.12:8080"]).await;
        assert_eq!(Some(&one.vip_address), service.spec.unwrap().cluster_ip.as_ref());
        assert_eq!(one.provider, "ovn");
        endpoints(&world, "web", &["10.244.0.12", "10.244.0.13"]).await;
        let after = served(&world, "web", &["10.244.0.12:8080", "10.244.0.13:8080"]).await;
        assert_eq!(after.id, one.id, "changed in place");
        let ports = json!({ "spec": { "ports": [
            { "name": "http", "port": 81, "protocol": "TCP" }, { "name": "dns", "port": 53, "protocol": "UDP" },
        ] } });
        services(&world).patch("web", &PatchParams::default(), &Patch::Merge(ports)).await.unwrap();
        eventually_so("the other ports are there", || async {
            let one = load_balancers(&world).pop().ok_or("none")?;
            let ports: Vec<_> =
                one.listeners.iter().map(|listener| (listener.protocol.clone(), listener.protocol_port)).collect();
            let wanted = [("UDP".to_owned(), 53), ("TCP".to_owned(), 81)];
            if ports == wanted && one.id == after.id { Ok(()) } else { Err(format!("{ports:?}")) }
        })
        .await;
        delete(&world, "web").await;
        nothing_left(&world).await;
        controller.stop().await;
    });
}

#[test]
fn a_service_of_type_load_balancer_has_a_floating_ip_while_it_is_one() {
    in_world(|world| async move {
        let world = world.with_services().await;
        let controller = world.start();
        create(&world, "web", json!({ "type": "LoadBalancer" })).await;
        endpoints(&world, "web", &["10.244.0.11"]).await;
        served(&world, "web", &["10.244.0.11:8080"]).await;
        let ingress = || async {
            let status = services(&world).get("web").await.unwrap().status?.load_balancer?;
            status.ingress?.pop()?.ip
        };
        let address =
            eventually_so("the Service says its address", || async { ingress().await.ok_or_else(String::new) }).await;
        let object = object(&world, "web").await.unwrap();
        let floating_ip = object.status.unwrap().floating_ip.unwrap();
        assert_eq!(floating_ip.address.to_string(), address);
        let kind = json!({ "spec": { "type": "ClusterIP" } });
        services(&world).patch("web", &PatchParams::default(), &Patch::Merge(kind)).await.unwrap();
        eventually_so("the Service says none", || async { ingress().await.map_or(Ok(()), Err) }).await;
        eventually_so("there is no floating IP", || async {
            let status = super::services::object(&world, "web").await.ok_or("none")?.status.unwrap_or_default();
            status.floating_ip.map_or(Ok(()), |has| Err(format!("{has:?}")))
        })
        .await;
        delete(&world, "web").await;
        nothing_left(&world).await;
        controller.stop().await;
    });
}
