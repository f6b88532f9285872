//! Who may reach whom, by the text of the Kubernetes API (networking.k8s.io/v1), as naively as it reads.
//!
//! It knows nothing of how Kuryr does it (`kuryr_core::policy`): two readings of one text that must agree.

use super::{
    mesh::{self, PODS, SPACES},
    table::{Cell, Expected, Family, Name, Protocol, Way},
};
use anyhow::Result;
use ipnet::IpNet;
use k8s_openapi::{
    api::{
        core::v1::{Namespace, Pod},
        networking::v1::{IPBlock, NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort},
    },
    apimachinery::pkg::{
        apis::meta::v1::{LabelSelector, LabelSelectorRequirement},
        util::intstr::IntOrString,
    },
};
use kube::ResourceExt;
use serde_json::json;
use std::{collections::BTreeMap, net::IpAddr};

/// What the API server has of a mesh.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// The namespaces, by their short names.
    pub spaces: BTreeMap<String, Namespace>,
    /// The pods, by their short names.
    pub pods: BTreeMap<Name, Pod>,
    /// The policies of all these namespaces.
    pub policies: Vec<NetworkPolicy>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Ingress,
    Egress,
}

/// A packet that begins something: who sends it to whom, and how.
struct Packet<'a> {
    from: &'a Pod,
    to: &'a Pod,
    way: Way,
}

/// What a rule says, be it one for ingress or for egress.
struct Rule<'a> {
    peers: &'a [NetworkPolicyPeer],
    ports: &'a [NetworkPolicyPort],
}

impl World {
    /// A mesh that isn't on any lab, with addresses as there: to look at what policies would mean.
    ///
    /// # Errors
    /// Never, if the mesh's pods are pods.
    pub fn of_mesh() -> Result<Self> {
        let mut world = Self::default();
        for (number, space) in (1..).zip(SPACES) {
            let name = format!("mesh-{space}");
            let labels: BTreeMap<_, _> = mesh::space_labels(space).collect();
            let metadata = json!({ "name": name, "labels": labels });
            world.spaces.insert(space.to_owned(), serde_json::from_value(json!({ "metadata": metadata }))?);
            for (nth, pod) in (1..).zip(PODS) {
                let mut object: Pod = serde_json::from_str(&mesh::template(pod).manifest(&name))?;
                let (v4, v6) = (format!("10.244.0.{number}{nth}"), format!("fd00:244::{number}{nth}"));
                let status = json!({ "podIPs": [{ "ip": v4 }, { "ip": v6 }] });
                object.status = Some(serde_json::from_value(status)?);
                world.pods.insert(mesh::name(space, pod), object);
            }
        }
        Ok(world)
    }

    /// The real name of a namespace, by its short one.
    #[must_use]
    pub fn name_of(&self, space: &str) -> Option<String> {
        self.spaces.get(space).map(ResourceExt::name_any)
    }

    /// Which ways are open.
    #[must_use]
    pub fn table(&self) -> Expected {
        let mut table = Expected::new();
        for (from_name, from) in &self.pods {
            for (to_name, to) in &self.pods {
                for way in Way::all() {
                    let cell = Cell { from: from_name.clone(), to: to_name.clone(), way };
                    table.insert(cell, self.allows(from, to, way));
                }
            }
        }
        table
    }

    /// Whether a pod may reach another one in this way.
    #[must_use]
    pub fn allows(&self, from: &Pod, to: &Pod, way: Way) -> bool {
        // "A Pod cannot block access to itself" (Kubernetes documentation, Network Policies).
        if (from.namespace(), from.name_any()) == (to.namespace(), to.name_any()) {
            return true;
        }
        let packet = Packet { from, to, way };
        self.passes(Direction::Egress, from, &packet) && self.passes(Direction::Ingress, to, &packet)
    }

    /// "Traffic is allowed to a pod if there are no NetworkPolicies selecting the pod [...], OR if the traffic matches at least one
    /// ingress rule across all of the NetworkPolicy objects whose podSelector matches the pod." Likewise for egress.
    fn passes(&self, direction: Direction, pod: &Pod, packet: &Packet<'_>) -> bool {
        let concerned = |policy: &&NetworkPolicy| affects(policy, direction) && selects(policy, pod);
        let policies: Vec<_> = self.policies.iter().filter(concerned).collect();
        policies.is_empty() || policies.iter().any(|policy| self.policy_allows(policy, direction, packet))
    }

    fn policy_allows(&self, policy: &NetworkPolicy, direction: Direction, packet: &Packet<'_>) -> bool {
        let other = if direction == Direction::Ingress { packet.from } else { packet.to };
        rules(policy, direction).iter().any(|rule| {
            // "If this field is empty or missing, this rule matches all sources [destinations, ports]."
            let peers = rule.peers.is_empty()
                || rule.peers.iter().any(|peer| self.is_peer(peer, policy, other, packet.way.family));
            let ports = rule.ports.is_empty() || rule.ports.iter().any(|port| is_port(port, packet));
            peers && ports
        })
    }

    fn is_peer(&self, peer: &NetworkPolicyPeer, policy: &NetworkPolicy, pod: &Pod, family: Family) -> bool {
        if let Some(block) = &peer.ip_block {
            return address(pod, family).is_some_and(|ip| is_in_block(block, ip));
        }
        let in_namespaces = match &peer.namespace_selector {
            Some(selector) => self.namespace_of(pod).is_some_and(|space| matches(selector, space.labels())),
            // "Otherwise it selects the pods matching podSelector in the policy's own namespace."
            None => pod.namespace() == policy.namespace(),
        };
        // "Otherwise it selects all pods in the namespaces selected by namespaceSelector."
        let among_pods = peer.pod_selector.as_ref().is_none_or(|selector| matches(selector, pod.labels()));
        in_namespaces && among_pods
    }

    fn namespace_of(&self, pod: &Pod) -> Option<&Namespace> {
        self.spaces.values().find(|space| space.metadata.name == pod.metadata.namespace)
    }
}

/// "If this field is not specified, it will default based on the existence of ingress or egress rules; policies that contain an egress
/// section are assumed to affect egress, and all policies (whether or not they contain an ingress section) are assumed to affect
/// ingress."
fn affects(policy: &NetworkPolicy, direction: Direction) -> bool {
    let Some(spec) = &policy.spec else { return direction == Direction::Ingress };
    match (spec.policy_types.as_deref().unwrap_or_default(), direction) {
        ([], Direction::Ingress) => true,
        ([], Direction::Egress) => spec.egress.is_some(),
        (types, Direction::Ingress) => types.iter().any(|kind| kind == "Ingress"),
        (types, Direction::Egress) => types.iter().any(|kind| kind == "Egress"),
    }
}

/// "An empty selector matches all pods in the policy's namespace. [...] If it is not specified, it defaults to an empty selector."
fn selects(policy: &NetworkPolicy, pod: &Pod) -> bool {
    let selector = policy.spec.as_ref().and_then(|spec| spec.pod_selector.as_ref());
    pod.namespace() == policy.namespace() && selector.is_none_or(|selector| matches(selector, pod.labels()))
}

fn rules(policy: &NetworkPolicy, direction: Direction) -> Vec<Rule<'_>> {
    let Some(spec) = &policy.spec else { return Vec::new() };
    match direction {
        Direction::Ingress => {
            let rules = spec.ingress.iter().flatten();
            rules.map(|rule| Rule { peers: listed(rule.from.as_ref()), ports: listed(rule.ports.as_ref()) }).collect()
        }
        Direction::Egress => {
            let rules = spec.egress.iter().flatten();
            rules.map(|rule| Rule { peers: listed(rule.to.as_ref()), ports: listed(rule.ports.as_ref()) }).collect()
        }
    }
}

fn listed<T>(list: Option<&Vec<T>>) -> &[T] {
    list.map(Vec::as_slice).unwrap_or_default()
}

/// "If present, only traffic on the specified protocol AND port will be matched."
fn is_port(port: &NetworkPolicyPort, packet: &Packet<'_>) -> bool {
    let Way { protocol, port: number, .. } = packet.way;
    if port.protocol.as_deref().unwrap_or("TCP") != protocol.as_str() {
        return false;
    }
    match (&port.port, port.end_port) {
        (None, _) => true,
        (Some(IntOrString::Int(first)), None) => *first == i32::from(number),
        (Some(IntOrString::Int(first)), Some(last)) => (*first..=last).contains(&i32::from(number)),
        (Some(IntOrString::String(name)), _) => has_port(packet.to, name, protocol, number),
    }
}

/// "This can either be a numerical or named port on a pod": on the one that is the destination.
fn has_port(pod: &Pod, name: &str, protocol: Protocol, number: u16) -> bool {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    containers.flat_map(|container| container.ports.iter().flatten()).any(|port| {
        port.name.as_deref() == Some(name)
            && port.protocol.as_deref().unwrap_or("TCP") == protocol.as_str()
            && port.container_port == i32::from(number)
    })
}

fn is_in_block(block: &IPBlock, ip: IpAddr) -> bool {
    let contains = |cidr: &str| cidr.parse::<IpNet>().is_ok_and(|net| net.contains(&ip));
    contains(&block.cidr) && !block.except.iter().flatten().any(|except| contains(except))
}

/// The address of a pod in a family.
#[must_use]
pub fn address(pod: &Pod, family: Family) -> Option<IpAddr> {
    crate::workload::addresses(pod).into_iter().find(|ip| Family::of(*ip) == family)
}

/// "The requirements are ANDed."
fn matches(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let mut wanted = selector.match_labels.iter().flatten();
    let mut requirements = selector.match_expressions.iter().flatten();
    wanted.all(|(key, value)| labels.get(key) == Some(value)) && requirements.all(|one| meets(one, labels))
}

fn meets(requirement: &LabelSelectorRequirement, labels: &BTreeMap<String, String>) -> bool {
    let value = labels.get(&requirement.key);
    let among = |value: &String| requirement.values.iter().flatten().any(|one| one == value);
    match requirement.operator.as_str() {
        "In" => value.is_some_and(among),
        // An object without the key has no value that is among them.
        "NotIn" => !value.is_some_and(among),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        _ => false,
    }
}

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;
