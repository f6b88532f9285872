//! What the tests of Services have in common.

use super::super::harness::{World, eventually_so};
use k8s_openapi::{
    api::{core::v1::Service, discovery::v1::EndpointSlice, events::v1::Event},
    apimachinery::pkg::apis::meta::v1::Condition,
};
use kube::{
    Api,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use kuryr_api::{KuryrLoadBalancer, KuryrLoadBalancerStatus, conditions};
use kuryr_controller::settings::Sweep;
use kuryr_openstack_fake::{LoadBalancerView, PortView};
use serde_json::{Value, json};

/// The owner of the port that a floating IP is of.
const FLOATING: &str = "network:floatingip";

/// Nothing is done for pods' ports by itself, so that a controller comes to rest.
pub fn at_rest(mut world: World) -> World {
    world.settings.sweep = Sweep { period_seconds: 0, ..Sweep::default() };
    world
}

pub fn services(world: &World) -> Api<Service> {
    Api::namespaced(world.client.clone(), &world.name)
}

pub fn slices(world: &World) -> Api<EndpointSlice> {
    Api::namespaced(world.client.clone(), &world.name)
}

pub fn objects(world: &World) -> Api<KuryrLoadBalancer> {
    Api::namespaced(world.client.clone(), &world.name)
}

/// Makes a Service with a TCP port 80.
pub async fn create(world: &World, name: &str, more: Value) -> Service {
    create_with(world, name, json!({}), more).await
}

/// Makes a Service with a TCP port 80 and these annotations.
pub async fn create_with(world: &World, name: &str, annotations: Value, more: Value) -> Service {
    let mut spec = json!({ "ports": [{ "name": "http", "port": 80, "protocol": "TCP" }] });
    for (key, value) in more.as_object().unwrap() {
        spec[key] = value.clone();
    }
    let service = json!({ "metadata": { "name": name, "annotations": annotations }, "spec": spec });
    services(world).create(&PostParams::default(), &serde_json::from_value(service).unwrap()).await.unwrap()
}

/// Changes a Service.
pub async fn patch(world: &World, name: &str, change: Value) {
    services(world).patch(name, &PatchParams::default(), &Patch::Merge(change)).await.unwrap();
}

/// Gives a Service these IPv4 endpoints, on port 8080.
pub async fn endpoints(world: &World, service: &str, addresses: &[&str]) {
    slice(world, service, service, addresses).await;
}

/// Makes or changes an EndpointSlice of a Service, with these IPv4 endpoints, on port 8080.
pub async fn slice(world: &World, name: &str, service: &str, addresses: &[&str]) {
    let endpoints: Vec<_> =
        addresses.iter().map(|one| json!({ "addresses": [one], "conditions": { "ready": true } })).collect();
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": { "name": name, "labels": { "kubernetes.io/service-name": service } },
        "addressType": "IPv4", "endpoints": endpoints,
        "ports": [{ "name": "http", "port": 8080, "protocol": "TCP" }],
    });
    let params = PatchParams::apply("test").force();
    slices(world).patch(name, &params, &Patch::Apply(&slice)).await.unwrap();
}

/// The load balancers of the world.
pub fn load_balancers(world: &World) -> Vec<LoadBalancerView> {
    let all = world.fake.octavia().all();
    let mark = format!("kuryr:{}:", world.name);
    all.into_iter().filter(|one| one.description.starts_with(&mark)).collect()
}

/// The ports of load balancers, whosever they are.
pub fn vip_ports(world: &World) -> Vec<PortView> {
    let all = world.fake.all_ports();
    all.into_iter().filter(|port| port.device_owner == "ovn-lb:vip" || port.device_owner == "Octavia").collect()
}

/// The addresses of all floating IPs of the cloud.
pub fn floating_ips(world: &World) -> Vec<String> {
    let all = world.fake.all_ports().into_iter().filter(|port| port.device_owner == FLOATING);
    all.flat_map(|port| port.addresses).map(|address| address.to_string()).collect()
}

/// The members of all pools, as `address:port`.
pub fn members(one: &LoadBalancerView) -> Vec<String> {
    let members = one.pools.iter().flat_map(|pool| &pool.members);
    let mut members: Vec<_> = members.map(|member| format!("{}:{}", member.address, member.protocol_port)).collect();
    members.sort();
    members
}

pub async fn object(world: &World, service: &str) -> Option<KuryrLoadBalancer> {
    let all = objects(world).list(&ListParams::default()).await.unwrap().items;
    all.into_iter().find(|object| object.spec.service_name == service)
}

pub async fn status(world: &World, service: &str) -> Option<KuryrLoadBalancerStatus> {
    object(world, service).await?.status
}

/// Waits until the object has this condition.
pub async fn says(world: &World, service: &str, type_: &str, is: &str, reason: &str) -> Condition {
    eventually_so(&format!("{service} says {type_}={is} {reason}"), || async {
        let conditions = status(world, service).await.ok_or("no status")?.conditions;
        let found = conditions.iter().find(|one| one.type_ == type_ && one.status == is && one.reason == reason);
        found.cloned().ok_or_else(|| told(&conditions))
    })
    .await
}

fn told(conditions: &[Condition]) -> String {
    let told: Vec<_> =
        conditions.iter().map(|one| format!("{}={} {} {}", one.type_, one.status, one.reason, one.message)).collect();
    told.join("; ")
}

/// Waits until an Event on the Service has this reason and tells of this.
pub async fn event(world: &World, service: &str, reason: &str, part: &str) {
    let events = Api::<Event>::namespaced(world.client.clone(), &world.name);
    eventually_so(&format!("an Event {reason} on {service} tells of {part}"), || async {
        let all = events.list(&ListParams::default()).await.unwrap().items;
        let told: Vec<_> = all
            .into_iter()
            .filter(|one| one.regarding.as_ref().and_then(|of| of.name.as_deref()) == Some(service))
            .map(|one| format!("{}: {}", one.reason.unwrap_or_default(), one.note.unwrap_or_default()))
            .collect();
        let is_it = |one: &String| one.starts_with(&format!("{reason}: ")) && one.contains(part);
        if told.iter().any(is_it) { Ok(()) } else { Err(format!("{told:?}")) }
    })
    .await;
}

/// Where the Service says that it is reached.
pub async fn ingress(world: &World, name: &str) -> Vec<String> {
    let service = services(world).get(name).await.unwrap();
    let ingress = service.status.and_then(|status| status.load_balancer?.ingress).unwrap_or_default();
    ingress.into_iter().filter_map(|one| one.ip.or(one.hostname)).collect()
}

/// Waits until the Service's object is ready and Octavia has these members in the only load balancer of the Service, all of which is done.
pub async fn served(world: &World, service: &str, wanted: &[&str]) -> LoadBalancerView {
    eventually_so("the Service is served", || async { is_served(world, service, wanted).await }).await
}

pub async fn is_served(world: &World, service: &str, wanted: &[&str]) -> Result<LoadBalancerView, String> {
    let object = object(world, service).await.ok_or("no object")?;
    let uid = object.metadata.uid.clone().unwrap_or_default();
    let generation = object.metadata.generation;
    let status = object.status.unwrap_or_default();
    if !conditions::is_true(&status.conditions, conditions::READY) || status.observed_generation != generation {
        return Err(format!("{} ({:?} of {generation:?})", told(&status.conditions), status.observed_generation));
    }
    let mut all = load_balancers(world);
    all.retain(|one| one.description.ends_with(&uid));
    if all.len() != 1 {
        let all: Vec<_> = all.iter().map(|one| (&one.id, states(one))).collect();
        return Err(format!("{all:?}; {:?}; {}", status.load_balancer_id, told(&status.conditions)));
    }
    let one = all.remove(0);
    if Some(&one.id) != status.load_balancer_id.as_ref() {
        return Err(format!("the status tells of {:?}", status.load_balancer_id));
    }
    let whole = one.pools.len() == one.listeners.len()
        && one.listeners.iter().all(|listener| listener.default_pool_id.is_some())
        && states(&one).iter().all(|state| state == "Active");
    if members(&one) == wanted && whole { Ok(one) } else { Err(format!("{one:?}")) }
}

/// The provisioning statuses of a load balancer and its parts.
pub fn states(one: &LoadBalancerView) -> Vec<String> {
    let members = one.pools.iter().flat_map(|pool| &pool.members).map(|member| member.provisioning_status);
    let listeners = one.listeners.iter().map(|listener| listener.provisioning_status);
    let pools = one.pools.iter().map(|pool| pool.provisioning_status);
    [one.provisioning_status]
        .into_iter()
        .chain(listeners)
        .chain(pools)
        .chain(members)
        .map(|s| format!("{s:?}"))
        .collect()
}

/// Waits until neither the cluster nor the cloud has anything of a Service.
pub async fn nothing_left(world: &World) {
    nothing_left_but(world, &[]).await;
}

/// As [`nothing_left`], but for parts that nobody can delete: of a load balancer that OVN's provider couldn't make.
pub async fn only_parts_left(world: &World, parts: usize) {
    left_are(world, parts, &[]).await;
}

/// As [`nothing_left`], but for these floating IPs.
pub async fn nothing_left_but(world: &World, kept: &[String]) {
    left_are(world, 0, kept).await;
}

async fn left_are(world: &World, parts: usize, kept: &[String]) {
    eventually_so("nothing is left", || async {
        let objects = objects(world).list_metadata(&ListParams::default()).await.unwrap().items.len();
        let octavia = world.fake.octavia();
        let all = [objects, octavia.all().len(), octavia.left_parts().len(), vip_ports(world).len()];
        let left = (all, floating_ips(world));
        let said = format!("{left:?}");
        if left == ([0, 0, parts, 0], kept.to_vec()) { Ok(()) } else { Err(said) }
    })
    .await;
}

pub async fn delete(world: &World, name: &str) {
    services(world).delete(name, &DeleteParams::default()).await.unwrap();
}
