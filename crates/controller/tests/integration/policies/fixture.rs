//! What the tests of NetworkPolicies have in common: policies, labelled pods, and what Neutron's groups let through.

use super::super::harness::{World, eventually_so};
use k8s_openapi::api::{core::v1::Pod, networking::v1::NetworkPolicy};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use kuryr_api::{KuryrNetworkPolicy, KuryrNetworkPolicyStatus};
use kuryr_controller::settings::Sweep;
use kuryr_openstack_fake::{AddressGroupView, PortView, SecurityGroupView};
use serde_json::{Value, json};
use std::net::IpAddr;

/// The port that tests talk about.
pub const PORT: u16 = 80;

/// Nothing is done by itself, so that a controller comes to rest.
pub fn at_rest(mut world: World) -> World {
    world.settings.sweep = Sweep { period_seconds: 0, ..Sweep::default() };
    world.settings.network_policies.audit_seconds = 300;
    world
}

pub fn policies(world: &World) -> Api<NetworkPolicy> {
    Api::namespaced(world.client.clone(), &world.name)
}

pub fn objects(world: &World) -> Api<KuryrNetworkPolicy> {
    Api::namespaced(world.client.clone(), &world.name)
}

/// Makes a policy, or changes it.
pub async fn policy(world: &World, name: &str, spec: Value) {
    let object = json!({ "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": { "name": name }, "spec": spec });
    let params = PatchParams::apply("test").force();
    policies(world).patch(name, &params, &Patch::Apply(&object)).await.unwrap();
}

pub async fn delete_policy(world: &World, name: &str) {
    policies(world).delete(name, &DeleteParams::default()).await.unwrap();
}

/// Lets pods with the label `app: to` be reached by those with `app: from` only.
pub async fn only(world: &World, name: &str, to: &str, from: &str) {
    let spec = json!({
        "podSelector": { "matchLabels": { "app": to } },
        "ingress": [{ "from": [{ "podSelector": { "matchLabels": { "app": from } } }], "ports": [{ "port": PORT }] }],
    });
    policy(world, name, spec).await;
}

/// Creates a pod with the label `app`. No kubelet looks at it.
pub async fn pod(world: &World, name: &str, app: &str) -> Pod {
    let pod = json!({
        "metadata": { "name": name, "labels": { "app": app } },
        "spec": {
            "nodeName": world.name, "automountServiceAccountToken": false, "tolerations": [{ "operator": "Exists" }],
            "containers": [{ "name": "c", "image": "none", "ports": [{ "name": "http", "containerPort": PORT }] }],
        },
    });
    world.pods().create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap()
}

/// Creates a pod and waits until it has its addresses.
pub async fn running(world: &World, name: &str, app: &str) -> Pod {
    let pod = pod(world, name, app).await;
    world.allocated(&pod).await;
    pod
}

pub async fn relabel(world: &World, name: &str, app: &str) {
    let patch = Patch::Merge(json!({ "metadata": { "labels": { "app": app } } }));
    world.pods().patch(name, &PatchParams::default(), &patch).await.unwrap();
}

/// The port of a pod. `None`: it isn't there yet.
pub async fn port_of(world: &World, pod: &Pod) -> Option<PortView> {
    let claim = world.ports_of(&pod.uid()?).await.pop()?;
    let id = claim.status?.interfaces.first()?.port_id.clone();
    world.neutron_ports().into_iter().find(|port| port.id == id)
}

/// What Neutron's groups let through, by their own words.
pub struct Neutron {
    groups: Vec<SecurityGroupView>,
    address_groups: Vec<AddressGroupView>,
}

impl Neutron {
    pub fn of(world: &World) -> Self {
        Self { groups: world.fake.security_groups(), address_groups: world.fake.address_groups() }
    }

    /// Whether a port's groups let a TCP connection through.
    pub fn lets(&self, port: &PortView, ingress: bool, peer: IpAddr, number: u16) -> bool {
        let has = self.groups.iter().filter(|group| port.security_groups.contains(&group.id));
        has.flat_map(|group| &group.rules).any(|rule| {
            let within = |range: (Option<u16>, Option<u16>)| {
                range.0.is_none_or(|first| first <= number) && range.1.is_none_or(|last| number <= last)
            };
            let members = |id: &String| self.address_groups.iter().find(|group| group.id == *id);
            let in_group =
                |id: &String| members(id).is_some_and(|group| group.addresses.iter().any(|net| net.contains(&peer)));
            rule.ingress == ingress
                && rule.v4 == peer.is_ipv4()
                && rule.protocol.as_deref().is_none_or(|protocol| protocol == "tcp")
                && within(rule.ports)
                && rule.prefix.is_none_or(|net| net.contains(&peer))
                && rule.address_group.as_ref().is_none_or(in_group)
        })
    }

    /// Whether one pod's connection to another one passes both ports. `None`: of one family only, as in the middle of a change.
    pub fn passes(&self, from: &PortView, to: &PortView, number: u16) -> Option<bool> {
        let both = |family: fn(&IpAddr) -> bool| {
            let (from_ip, to_ip) =
                (from.addresses.iter().copied().find(family), to.addresses.iter().copied().find(family));
            from_ip.zip(to_ip).is_none_or(|(from_ip, to_ip)| {
                self.lets(from, false, to_ip, number) && self.lets(to, true, from_ip, number)
            })
        };
        let (v4, v6) = (both(IpAddr::is_ipv4), both(IpAddr::is_ipv6));
        (v4 == v6).then_some(v4)
    }
}

/// Waits until connections pass, or don't, between pods at [`PORT`].
pub async fn passes(world: &World, expected: &[(&Pod, &Pod, bool)]) {
    eventually_so("connections pass as they are to", || async {
        for (from, to, wanted) in expected {
            let (Some(a), Some(b)) = (port_of(world, from).await, port_of(world, to).await) else {
                return Err("a pod has no port".to_owned());
            };
            if Neutron::of(world).passes(&a, &b, PORT) != Some(*wanted) {
                return Err(format!("{} to {} isn't {wanted}", from.name_any(), to.name_any()));
            }
        }
        Ok(())
    })
    .await;
}

/// The groups and address groups that carry the world's mark.
pub fn marked(world: &World) -> (Vec<SecurityGroupView>, Vec<AddressGroupView>) {
    let mark = format!("kuryr:{}:", world.name);
    let (mut groups, mut named) = (world.fake.security_groups(), world.fake.address_groups());
    groups.retain(|group| group.description.starts_with(&mark));
    named.retain(|group| group.description.starts_with(&mark));
    (groups, named)
}

/// Waits until only what every cluster has is left: the open groups, and one for each node.
pub async fn only_the_common_groups(world: &World, nodes: usize) {
    eventually_so("nothing of policies is left in Neutron", || async {
        let (groups, named) = marked(world);
        let names: Vec<_> = groups.iter().map(|group| group.name.clone()).collect();
        if groups.len() == nodes + 2 && named.is_empty() {
            Ok(())
        } else {
            Err(format!("{names:?} and {} address groups", named.len()))
        }
    })
    .await;
}

/// Waits until a policy's object says of itself that this generation is in force.
pub async fn programmed(world: &World, name: &str) -> KuryrNetworkPolicyStatus {
    says(world, name, "Programmed", "True", "AsDesired").await
}

/// Waits until a policy's object says this.
pub async fn says(world: &World, name: &str, kind: &str, status: &str, reason: &str) -> KuryrNetworkPolicyStatus {
    eventually_so(&format!("the policy {name} is told {kind} {status} {reason}"), || async {
        let policy = policies(world).get(name).await.map_err(|error| error.to_string())?;
        let of_policy = ListParams::default().fields(&format!("spec.policyUid={}", policy.uid().unwrap()));
        let object = objects(world).list(&of_policy).await.unwrap().items.pop().ok_or("no object")?;
        let told = object.status.unwrap_or_default();
        let condition = told.conditions.iter().find(|one| one.type_ == kind).ok_or("no condition")?;
        let is_now = condition.observed_generation == policy.metadata.generation;
        if is_now && condition.status == status && condition.reason == reason {
            Ok(told)
        } else {
            Err(format!("{condition:?}"))
        }
    })
    .await
}
