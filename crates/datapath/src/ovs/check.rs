//! Comparing an attachment with what is there.

use super::{Inner, interface, record};
use crate::{
    Attachment, Difference, Result,
    netlink::{Link, Netlink},
    netns::Namespace,
    ovsdb::View,
};

pub(super) async fn check(inner: &Inner, attachment: &Attachment) -> Result<Vec<Difference>> {
    let made = attachment.host_interface();
    let adopted = |view: &View| {
        let recorded = record::find(view, &attachment.container_id, &attachment.ifname);
        recorded.map(|interface| interface.name.clone())
    };
    let name = inner.client.read_fresh(&made, adopted).await?.unwrap_or(made);
    let mut differences = Vec::new();
    let row = |view: &View| port(view, &inner.settings.bridge, attachment, &name);
    differences.extend(inner.client.read(&format!("interface `{name}`"), row).await?);
    let node = inner.node_netlink().await?;
    match node.link(&name).await? {
        Some(link) => differences.extend(device(&link, attachment.mtu)),
        None => differences.push(missing(format!("device {name}"), "a veth device")),
    }
    // The end on which a pod's device stands that was made for a held port.
    if let Some(end) = inner.holding.end(&name).await? {
        differences.extend(device(&end, attachment.mtu).into_iter().map(in_holding));
    }
    let pod = Netlink::open(&Namespace::open(&attachment.netns)?).await?;
    match pod.link(&attachment.ifname).await? {
        Some(link) => {
            differences.extend(device(&link, attachment.mtu));
            if link.mac != Some(attachment.mac) {
                let found = link.mac.map_or_else(|| "nothing".to_owned(), |mac| mac.to_string());
                differences.push(Difference {
                    what: format!("MAC address of {}", link.name),
                    expected: attachment.mac.to_string(),
                    found,
                });
            }
            differences.extend(interface::compare(&pod, &link, &attachment.addresses, &attachment.routes).await?);
        }
        None => differences.push(missing(format!("device {}", attachment.ifname), "a device")),
    }
    Ok(differences)
}

fn missing(what: String, expected: &str) -> Difference {
    Difference { what, expected: expected.to_owned(), found: "nothing".to_owned() }
}

/// What all ends have in common.
fn device(link: &Link, mtu: u32) -> Vec<Difference> {
    let mut differences = Vec::new();
    if link.mtu != mtu {
        differences.push(Difference {
            what: format!("MTU of {}", link.name),
            expected: mtu.to_string(),
            found: link.mtu.to_string(),
        });
    }
    if !link.up {
        let (expected, found) = ("up".to_owned(), "down".to_owned());
        differences.push(Difference { what: format!("state of {}", link.name), expected, found });
    }
    differences
}

fn in_holding(difference: Difference) -> Difference {
    Difference { what: format!("{} in the holding namespace", difference.what), ..difference }
}

/// What the OVSDB has about it.
fn port(view: &View, bridge: &str, attachment: &Attachment, name: &str) -> Vec<Difference> {
    let Some(row) = view.interface(name) else {
        return vec![missing(format!("port {name} in Open vSwitch"), "a port")];
    };
    let mut differences = Vec::new();
    let on_bridge = view.port_of(name).zip(view.bridge(bridge));
    if !on_bridge.is_some_and(|((port, _), (_, bridge))| bridge.ports.contains(port)) {
        differences.push(missing(format!("port {name} on bridge {bridge}"), "a port"));
    }
    for (key, expected) in record::of(attachment) {
        let found = row.external_ids.get(key);
        if found != Some(&expected) {
            let found = found.cloned().unwrap_or_else(|| "nothing".to_owned());
            differences.push(Difference { what: format!("external_ids:{key} of port {name}"), expected, found });
        }
    }
    if let Some(error) = &row.error {
        let (expected, found) = ("no error".to_owned(), error.clone());
        differences.push(Difference { what: format!("state of port {name}"), expected, found });
    }
    differences
}
