//! From a KuryrPort to what the driver makes, and to what the runtime is told.

use ipnet::IpNet;
use kuryr_api::{Address, InterfaceStatus, KuryrPort};
use kuryr_cni::{AddResult, Call, CniError, Code, Dns, Interface, Ip, Route};
use kuryr_datapath::{Attachment, Plugged, PodRef};

/// The interfaces to make in the sandbox of `call`, in the order in which the KuryrPort asks for them. The first one gets the
/// name that the runtime asks for.
pub(super) fn attachments(port: &KuryrPort, call: &Call) -> Result<Vec<Attachment>, CniError> {
    interfaces(port)?.enumerate().map(|(index, (name, got))| attachment(port, call, index, name, got)).collect()
}

/// Each requested interface with what it got.
fn interfaces(port: &KuryrPort) -> Result<impl Iterator<Item = (&str, &InterfaceStatus)>, CniError> {
    let got = port.status.as_ref().map_or(&[][..], |status| &status.interfaces);
    let pairs: Option<Vec<_>> = port
        .spec
        .interfaces
        .iter()
        .map(|wanted| Some((wanted.name.as_str(), got.iter().find(|got| got.name == wanted.name)?)))
        .collect();
    pairs.map(Vec::into_iter).ok_or_else(|| unusable(port, "an interface has no port"))
}

fn attachment(
    port: &KuryrPort,
    call: &Call,
    index: usize,
    name: &str,
    got: &InterfaceStatus,
) -> Result<Attachment, CniError> {
    let addresses: Result<Vec<_>, _> = got.addresses.iter().map(|address| prefixed(port, address)).collect();
    let route =
        |route: &kuryr_api::Route| kuryr_datapath::Route { destination: route.destination, gateway: route.gateway };
    Ok(Attachment {
        pod: PodRef {
            namespace: port.metadata.namespace.clone().unwrap_or_default(),
            name: port.spec.pod_name.clone(),
            uid: port.spec.pod_uid.clone(),
        },
        container_id: call.container_id.clone(),
        netns: call.netns.clone().into(),
        ifname: if index == 0 { call.ifname.clone() } else { name.to_owned() },
        port_id: got.port_id.clone(),
        mac: got.mac_address,
        mtu: got.mtu,
        addresses: addresses?,
        routes: got.routes.iter().map(route).collect(),
    })
}

fn prefixed(port: &KuryrPort, address: &Address) -> Result<IpNet, CniError> {
    IpNet::new(address.ip, address.prefix_length)
        .map_err(|_| unusable(port, &format!("{}/{} is no address", address.ip, address.prefix_length)))
}

fn unusable(port: &KuryrPort, why: &str) -> CniError {
    let name = port.metadata.name.as_deref().unwrap_or_default();
    CniError::new(Code::Internal, format!("the status of KuryrPort {name} can't be used: {why}"))
        .details("it was changed by hand, or the controller is of another release")
}

/// What ADD answers: for each interface the host's end and the sandbox's, and what the latter has.
pub(super) fn result(port: &KuryrPort, made: &[Attachment], plugged: &[Plugged]) -> Result<AddResult, CniError> {
    let mut result = AddResult::default();
    for ((attachment, plugged), (_, got)) in made.iter().zip(plugged).zip(interfaces(port)?) {
        result.interfaces.push(Interface { name: plugged.host_interface.clone(), ..Interface::default() });
        let index = result.interfaces.len();
        result.interfaces.push(Interface {
            name: attachment.ifname.clone(),
            mac: Some(attachment.mac.to_string()),
            mtu: Some(attachment.mtu),
            sandbox: Some(attachment.netns.display().to_string()),
        });
        result.ips.extend(got.addresses.iter().map(|address| Ip {
            address: format!("{}/{}", address.ip, address.prefix_length),
            gateway: address.gateway,
            interface: Some(index),
        }));
        let routes = got.routes.iter();
        result.routes.extend(routes.map(|r| Route { dst: r.destination.to_string(), gw: Some(r.gateway) }));
        if result.dns == Dns::default() {
            result.dns = Dns { nameservers: got.name_servers.clone() };
        }
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kuryr_cni::{Command, SpecVersion};
    use serde_json::{Value, json};

    fn port() -> KuryrPort {
        let interface = |name: &str, last: u8| {
            json!({
                "name": name, "poolPort": "node1-x", "portId": format!("port-{name}"),
                "macAddress": format!("fa:16:3e:00:00:0{last}"), "mtu": 1442, "binding": {"kind": "OVS"},
                "addresses": [{"ip": format!("10.244.0.{last}"), "prefixLength": 16, "gateway": "10.244.0.1", "subnetId": "s4"},
                              {"ip": format!("fd00:244::{last}"), "prefixLength": 64, "subnetId": "s6"}],
                "routes": [{"destination": "0.0.0.0/0", "gateway": "10.244.0.1"}],
                "nameServers": ["10.244.0.2"],
            })
        };
        serde_json::from_value(json!({
            "apiVersion": "kuryr.openstack.org/v1alpha1", "kind": "KuryrPort",
            "metadata": {"name": "web-0-x", "namespace": "shop"},
            "spec": {"podName": "web-0", "podUid": "u1", "nodeName": "node1",
                     "interfaces": [{"name": "eth0"}, {"name": "net1"}]},
            "status": {"interfaces": [interface("net1", 8), interface("eth0", 7)]},
        }))
        .unwrap()
    }

    fn call() -> Call {
        Call {
            command: Command::Add,
            container_id: "sandbox".into(),
            netns: "/run/netns/blue".into(),
            ifname: "ens3".into(),
            args: String::new(),
            path: String::new(),
            config: Value::Null,
        }
    }

    #[test]
    fn the_first_requested_interface_gets_the_name_that_the_runtime_wants() {
        let made = attachments(&port(), &call()).unwrap();
        let names: Vec<_> = made.iter().map(|a| (a.ifname.as_str(), a.port_id.as_str())).collect();
        assert_eq!(names, [("ens3", "port-eth0"), ("net1", "port-net1")]);
        assert_eq!(made[0].addresses, ["10.244.0.7/16".parse().unwrap(), "fd00:244::7/64".parse().unwrap()]);
        assert_eq!(made[0].pod.to_string(), "shop/web-0");
        assert_eq!(made[0].netns.to_str(), Some("/run/netns/blue"));
    }

    #[test]
    fn the_result_lists_every_interface_with_its_addresses() {
        let made = attachments(&port(), &call()).unwrap();
        let plugged = |host: &str| Plugged { host_interface: host.into(), was_held: true };
        let shown = result(&port(), &made, &[plugged("kpod1"), plugged("kpod2")]).unwrap().render(SpecVersion::V1_1_0);
        assert_eq!(
            shown,
            json!({
                "cniVersion": "1.1.0",
                "interfaces": [
                    {"name": "kpod1"},
                    {"name": "ens3", "mac": "fa:16:3e:00:00:07", "mtu": 1442, "sandbox": "/run/netns/blue"},
                    {"name": "kpod2"},
                    {"name": "net1", "mac": "fa:16:3e:00:00:08", "mtu": 1442, "sandbox": "/run/netns/blue"},
                ],
                "ips": [
                    {"address": "10.244.0.7/16", "gateway": "10.244.0.1", "interface": 1},
                    {"address": "fd00:244::7/64", "interface": 1},
                    {"address": "10.244.0.8/16", "gateway": "10.244.0.1", "interface": 3},
                    {"address": "fd00:244::8/64", "interface": 3},
                ],
                "routes": [{"dst": "0.0.0.0/0", "gw": "10.244.0.1"}, {"dst": "0.0.0.0/0", "gw": "10.244.0.1"}],
                "dns": {"nameservers": ["10.244.0.2"]},
            })
        );
    }

    #[test]
    fn a_status_that_cannot_be_used_is_an_error_and_no_panic() {
        let mut broken = port();
        broken.status.as_mut().unwrap().interfaces[1].addresses[0].prefix_length = 99;
        assert!(attachments(&broken, &call()).unwrap_err().msg.contains("10.244.0.7/99"));
        broken.status.as_mut().unwrap().interfaces.pop();
        assert!(attachments(&broken, &call()).unwrap_err().msg.contains("web-0-x"));
    }
}
