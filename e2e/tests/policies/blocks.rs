//! Addresses that a rule means, whoever has them.

use super::case::{Case, egress, ingress, pod};
use anyhow::{Context, Result};
use kuryr_e2e::policies::{
    mesh::name,
    table::Family,
    text::{World, address},
};
use serde_json::{Value, json};

/// Where the lab's pods have their addresses.
const POD_RANGES: [&str; 2] = ["10.244.0.0/16", "fd00:244::/64"];

/// The cases.
pub fn cases(world: &World) -> Result<Vec<Case>> {
    let of = |family: Family, space: &str, pod: &str| only(world, family, space, pod);
    let ya4 = of(Family::V4, "y", "a")?;
    let ya6 = of(Family::V6, "y", "a")?;
    let excepts4 = [of(Family::V4, "y", "a")?, of(Family::V4, "y", "b")?, of(Family::V4, "z", "c")?];
    let excepts6 = [of(Family::V6, "y", "b")?, of(Family::V6, "z", "a")?, of(Family::V6, "x", "b")?];
    let from = |blocks: &[Value]| ingress(&json!({ "from": blocks }));
    let to = |blocks: &[Value]| egress(&json!({ "to": blocks }));
    let [pods4, pods6] = POD_RANGES;
    let both_except = [except(pods4, &excepts4), except(pods6, &excepts6)];
    Ok(vec![
        Case::new("from one IPv4 address", "x", from(&[block(&ya4)])),
        Case::new("from one IPv6 address", "x", from(&[block(&ya6)])),
        Case::new("from a pod's addresses of both families", "x", from(&[block(&ya4), block(&ya6)])),
        Case::new("from all of IPv4", "x", from(&[block("0.0.0.0/0")])),
        Case::new("from all of IPv6", "x", from(&[block("::/0")])),
        Case::new("everything from all addresses", "x", from(&[block("0.0.0.0/0"), block("::/0")])).witnessed(),
        Case::new("from all of IPv4 but some pods", "x", from(&[except("0.0.0.0/0", &excepts4)])),
        Case::new("from all pods but some, of both families", "x", from(&both_except)),
        Case::new("from all of IPv6 but the pods", "x", from(&[except("::/0", &[pods6.to_owned()])])),
        Case::new("from addresses that no pod has", "x", from(&[block("192.0.2.0/24"), block("2001:db8::/32")])),
        Case::new("an exception of one block is in another", "x", from(&[except(pods4, &excepts4), block(&ya4)])),
        Case::new("an exception of a block is a peer by its labels", "x", from(&[except(pods6, &excepts6), pod("b")])),
        Case::new(
            "a block at a port",
            "x",
            ingress(&json!({ "from": [except(pods4, &excepts4)], "ports": [{ "port": 80, "protocol": "UDP" }] })),
        ),
        Case::new("to one address", "x", to(&[block(&ya6)])),
        Case::new("to all of IPv4", "x", to(&[block("0.0.0.0/0")])),
        Case::new("to all pods but some, of both families", "x", to(&both_except)),
        Case::new(
            "to all addresses but some, at a range of ports",
            "x",
            egress(&json!({
                "to": [except("0.0.0.0/0", &excepts4), except("::/0", &excepts6)],
                "ports": [{ "port": 81, "endPort": 90 }, { "port": 80, "protocol": "UDP" }],
            })),
        ),
        Case::new("blocks in and out", "x", from(&[block(pods4)])).and("y", to(&[except(pods6, &excepts6)])),
    ])
}

fn block(cidr: &str) -> Value {
    json!({ "ipBlock": { "cidr": cidr } })
}

fn except(cidr: &str, excepts: &[String]) -> Value {
    json!({ "ipBlock": { "cidr": cidr, "except": excepts } })
}

/// The prefix that a pod has alone.
fn only(world: &World, family: Family, space: &str, pod: &str) -> Result<String> {
    let found = world.pods.get(&name(space, pod)).and_then(|pod| address(pod, family));
    let ip = found.with_context(|| format!("{space}/{pod} has no address of {family:?}"))?;
    Ok(format!("{ip}/{}", if ip.is_ipv4() { 32 } else { 128 }))
}
