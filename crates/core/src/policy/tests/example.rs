//! The example of docs/policies.md is what comes of it.

use super::{
    simulation::world,
    table::build::{egress, ingress, named, namespaces, pod, pods, port, rule, select},
};
use crate::{
    policy::{
        World,
        facts::{Backend, Family, Namespace, Node, Pod, Policy, Service, Settings},
        oracle::Cluster,
    },
    service::spec::Protocol::{Tcp, Udp},
};
use std::{collections::BTreeSet, fmt::Write, net::IpAddr};

const DOCS: &str = include_str!("../../../../../docs/policies.md");

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn example_pod(name: &str, namespace: &str, app: &str, node: &str, at: &str) -> Pod {
    let ports: &[_] = match name {
        "db-0" => &[("sql", Tcp, 5432)],
        "db-1" => &[("sql", Tcp, 5433)],
        _ => &[],
    };
    let addresses = [address(at)].into();
    Pod { uid: name.into(), node: Some(node.into()), addresses, ..pod(0, namespace, &[("app", app)], ports) }
}

fn service(uid: &str, vip: &str, key: (crate::service::spec::Protocol, u16), backends: &[(&str, u16)]) -> Service {
    let backends = backends.iter().map(|&(at, port)| Backend { address: address(at), port });
    Service { uid: uid.into(), vips: [address(vip)].into(), ports: [(key, backends.collect())].into() }
}

fn cluster() -> Cluster {
    let name = "kubernetes.io/metadata.name";
    let namespace = |own: &str| Namespace { name: own.into(), labels: select(&[(name, own)]).match_labels };
    let node = |name: &str, at: &str| Node { name: name.into(), addresses: [address(at)].into() };
    let shop = |uid: &str, app: &str, policy| Policy {
        uid: uid.into(),
        namespace: "shop".into(),
        pod_selector: select(&[("app", app)]),
        ..policy
    };
    let to_db = rule(&[pods(select(&[("app", "db")]))], &[named("TCP", "sql")]);
    let to_dns = rule(&[namespaces(select(&[(name, "kube-system")]))], &[port("UDP", 53)]);
    let from_web = rule(&[pods(select(&[("app", "web")]))], &[named("TCP", "sql")]);
    Cluster {
        namespaces: vec![namespace("shop"), namespace("kube-system")],
        nodes: vec![node("n1", "10.1.0.1"), node("n2", "10.1.0.2")],
        pods: vec![
            example_pod("web-0", "shop", "web", "n1", "10.0.0.10"),
            example_pod("db-0", "shop", "db", "n2", "10.0.0.20"),
            example_pod("db-1", "shop", "db", "n2", "10.0.0.21"),
            example_pod("dns-0", "kube-system", "dns", "n1", "10.0.0.53"),
        ],
        services: vec![
            service("db", "10.96.0.20", (Tcp, 5432), &[("10.0.0.20", 5432), ("10.0.0.21", 5433)]),
            service("dns", "10.96.0.10", (Udp, 53), &[("10.0.0.53", 53)]),
        ],
        policies: vec![shop("db", "db", ingress(&[from_web])), shop("web", "web", egress(&[to_db, to_dns]))],
        cluster_policies: Vec::new(),
    }
}

fn text(world: &World) -> String {
    let mut text = String::new();
    for pod in ["web-0", "db-0", "db-1", "dns-0"] {
        let groups = world.groups_of_pod(&pod.into()).unwrap();
        let groups: Vec<String> = groups.iter().map(ToString::to_string).collect();
        writeln!(text, "{pod}: {}", groups.join("; ")).unwrap();
    }
    text.push('\n');
    for key in world.groups() {
        writeln!(text, "{key}").unwrap();
        let rules: BTreeSet<String> = world.rules(key).unwrap().iter().map(ToString::to_string).collect();
        rules.iter().for_each(|rule| writeln!(text, "  {rule}").unwrap());
    }
    text.push('\n');
    for key in world.address_groups() {
        let members: Vec<String> = world.members(key).unwrap().iter().map(ToString::to_string).collect();
        writeln!(text, "{key}: {}", members.join(", ")).unwrap();
    }
    text
}

#[test]
fn the_example_in_the_documentation_is_what_comes_of_it() {
    let service_ranges = ["10.96.0.0/16".parse().unwrap()].into();
    let settings = Settings { service_ranges, families: [Family::V4].into(), ..Settings::default() };
    let text = text(&world(&cluster(), settings));
    assert!(DOCS.contains(&text), "docs/policies.md should have this:\n{text}");
}
