//! Random ClusterNetworkPolicies: small, so that they meet each other.

use crate::policy::{
    cluster::facts::{ClusterPolicy, NamespacedPod, Peer, Port, PortMatch, Rule, Subject, Transport},
    facts::LabelSelector,
    oracle::Cluster,
    tests::random::{PORTS, cluster, selector},
};
use ipnet::IpNet;
use proptest::{collection::vec, prelude::*, sample::select};
use std::collections::BTreeSet;

fn namespaced() -> impl Strategy<Value = NamespacedPod> {
    let namespaces = prop_oneof![1 => Just(LabelSelector::default()), 2 => selector()];
    (namespaces, selector())
        .prop_map(|(namespace_selector, pod_selector)| NamespacedPod { namespace_selector, pod_selector })
}

fn peer(egress: bool) -> impl Strategy<Value = Peer> {
    let namespaces = selector().prop_map(|it| Peer { namespaces: Some(it), ..Peer::default() });
    let pods = namespaced().prop_map(|it| Peer { pods: Some(it), ..Peer::default() });
    let nets = ["0.0.0.0/0", "::/0", "10.0.0.0/29", "10.0.0.2/31", "192.0.2.128/25", "10.0.0.0/24", "fd00::2/127"];
    let networks = vec(select(nets.to_vec()).prop_map(str::to_owned), 1..3);
    let networks = networks.prop_map(|networks| Peer { networks, ..Peer::default() });
    let odd = select(vec![
        Peer::default(),
        Peer { nodes: Some(LabelSelector::default()), ..Peer::default() },
        Peer { domain_names: vec!["kubernetes.io".into()], ..Peer::default() },
        Peer { networks: vec!["10.0.0.0/24".into()], namespaces: Some(LabelSelector::default()), ..Peer::default() },
    ]);
    prop_oneof![60 => namespaces, 60 => pods, if egress { 60 } else { 1 } => networks, 1 => odd]
}

fn port() -> impl Strategy<Value = PortMatch> {
    let number = select(PORTS.to_vec()).prop_map(|it| Some(Port { number: Some(it.into()), range: None }));
    let range = select(vec![(80, 81), (60, 80), (1, 65535), (81, 65535)]);
    let range = range.prop_map(|it| Some(Port { number: None, range: Some(it) }));
    let wrong = select(vec![Some(Port::default()), Some(Port { number: None, range: Some((81, 80)) })]);
    let port = prop_oneof![30 => number, 20 => range, 10 => Just(None), 1 => wrong];
    let fixed = (select(vec![0, 0, 1, 2]), port).prop_map(|(protocol, port)| {
        let it = |wanted: i32| (protocol == wanted).then_some(Transport { port });
        PortMatch { tcp: it(0), udp: it(1), sctp: it(2), named: None }
    });
    let named = select(vec!["http", "dns"]).prop_map(|it| PortMatch { named: Some(it.into()), ..PortMatch::default() });
    prop_oneof![60 => fixed, 25 => named, 1 => Just(PortMatch::default())]
}

fn rule(egress: bool) -> impl Strategy<Value = Rule> {
    let action = prop_oneof![40 => select(vec!["Accept", "Deny", "Pass"]), 1 => Just("Audit")];
    let ports = prop_oneof![1 => Just(Vec::new()), 2 => vec(port(), 1..3)];
    (action, vec(peer(egress), 1..3), ports).prop_map(|(action, peers, protocols)| Rule {
        action: action.into(),
        peers,
        protocols,
    })
}

/// Boxed: with all that it is made of it is too large for the stack beside others.
pub fn policy(number: usize) -> BoxedStrategy<ClusterPolicy> {
    prop_oneof![2 => any_policy(number), 1 => alike(number)].boxed()
}

fn any_policy(number: usize) -> BoxedStrategy<ClusterPolicy> {
    let subject = prop_oneof![
        20 => Just(Subject { namespaces: Some(LabelSelector::default()), pods: None }),
        20 => selector().prop_map(|it| Subject { namespaces: Some(it), pods: None }),
        20 => namespaced().prop_map(|it| Subject { namespaces: None, pods: Some(it) }),
        1 => Just(Subject::default()),
    ];
    let tier = prop_oneof![30 => Just("Admin"), 30 => Just("Baseline"), 1 => Just("Middle")];
    let priority = prop_oneof![40 => 0..3i32, 1 => Just(1001)];
    let rules = |egress| vec(rule(egress).boxed(), 0..4);
    let all = (tier, priority, subject, rules(false), rules(true));
    let policy = all.prop_map(move |(tier, priority, subject, ingress, egress)| {
        let name = format!("cnp{number}").as_str().into();
        ClusterPolicy { name, tier: tier.into(), priority, subject, ingress, egress }
    });
    policy.boxed()
}

/// Policies for all pods that say the same but for little: so that decisions are shared, and come and go with NetworkPolicies and names of ports.
fn alike(number: usize) -> BoxedStrategy<ClusterPolicy> {
    let peer = select(vec![None, Some("web"), Some("db")]).prop_map(|app| {
        let match_labels = app.map(|app| ("app".to_owned(), app.to_owned())).into_iter().collect();
        let pod_selector = LabelSelector { match_labels, match_expressions: Vec::new() };
        Peer { pods: Some(NamespacedPod { pod_selector, ..NamespacedPod::default() }), ..Peer::default() }
    });
    let port = select(vec![None, None, Some("http")]).prop_map(|named| {
        let port = named.map(|named| PortMatch { named: Some(named.into()), ..PortMatch::default() });
        port.into_iter().collect()
    });
    let rule = (select(vec!["Accept", "Deny"]), peer, port);
    let rule = rule.prop_map(|(action, peer, protocols)| Rule { action: action.into(), peers: vec![peer], protocols });
    let rules = || vec(rule.clone().boxed(), 0..3);
    let policy = (select(vec!["Admin", "Baseline"]), rules(), rules()).prop_map(move |(tier, ingress, egress)| {
        let subject = Subject { namespaces: Some(LabelSelector::default()), pods: None };
        let name = format!("cnp{number}").as_str().into();
        ClusterPolicy { name, tier: tier.into(), priority: 1, subject, ingress, egress }
    });
    policy.boxed()
}

pub fn policies() -> impl Strategy<Value = Vec<ClusterPolicy>> {
    (1usize..5).prop_flat_map(|count| (0..count).map(policy).collect::<Vec<_>>())
}

/// Clusters that mostly have ClusterNetworkPolicies.
pub fn with_policies() -> BoxedStrategy<Cluster> {
    let policies = prop_oneof![1 => Just(Vec::new()), 3 => policies()];
    let both = (cluster().boxed(), policies.boxed());
    both.prop_map(|(cluster, cluster_policies)| Cluster { cluster_policies, ..cluster }).boxed()
}

/// The pods' networks: all, some of them, none.
pub fn networks() -> impl Strategy<Value = BTreeSet<IpNet>> {
    let all = [&["10.0.0.0/25", "fd00::/64"][..], &["10.0.0.0/30", "fd00::/64"], &[]];
    select(all.to_vec()).prop_map(|nets| nets.iter().map(|net| net.parse().unwrap()).collect())
}
