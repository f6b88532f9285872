//! The formats that every runtime depends on, compared with files written after the examples of the CNI specification.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use kuryr_cni::{AddResult, Attachment, CniError, Code, Dns, Interface, Ip, NetworkConfig, Route, SpecVersion};
use serde_json::Value;

/// The content of a file in `tests/golden`. Tests run in their package's folder; the folder that they were compiled in may
/// be another clone with the same target folder.
fn golden(name: &str) -> Value {
    let path = format!("tests/golden/{name}.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).unwrap()
}

fn dual_stack() -> AddResult {
    let ip = |address: &str, gateway: &str| Ip {
        address: address.into(),
        gateway: Some(gateway.parse().unwrap()),
        interface: Some(1),
    };
    AddResult {
        interfaces: vec![
            Interface { name: "veth3243".into(), mac: Some("55:44:33:22:11:11".into()), ..Interface::default() },
            Interface {
                name: "eth0".into(),
                mac: Some("99:88:77:66:55:44".into()),
                mtu: Some(1442),
                sandbox: Some("/var/run/netns/blue".into()),
            },
        ],
        ips: vec![ip("10.1.0.5/16", "10.1.0.1"), ip("fd00:1::5/64", "fd00:1::1")],
        routes: vec![
            Route { dst: "0.0.0.0/0".into(), gw: Some("10.1.0.1".parse().unwrap()) },
            Route { dst: "::/0".into(), gw: None },
        ],
        dns: Dns { nameservers: vec!["10.1.0.1".parse().unwrap()] },
    }
}

#[test]
fn every_version_of_the_result_has_its_own_fields() {
    for version in SpecVersion::ALL {
        assert_eq!(dual_stack().render(version), golden(&format!("add-{version}")), "{version}");
    }
}

#[test]
fn every_version_of_the_result_is_read_back() {
    for version in SpecVersion::ALL {
        let mut expected = dual_stack();
        if version < SpecVersion::V1_1_0 {
            expected.interfaces.iter_mut().for_each(|interface| interface.mtu = None);
        }
        assert_eq!(AddResult::read(&golden(&format!("add-{version}"))), Ok(expected), "{version}");
    }
}

#[test]
fn the_example_of_the_specification_survives_a_round_trip() {
    let example = golden("spec-bridge-add");
    assert_eq!(AddResult::read(&example).unwrap().render(SpecVersion::V1_1_0), example);
}

#[test]
fn an_empty_result_still_has_the_required_lists() {
    let empty = AddResult::default().render(SpecVersion::V0_3_1);
    assert_eq!(empty, serde_json::json!({"cniVersion": "0.3.1", "interfaces": [], "ips": [], "dns": {}}));
    assert_eq!(AddResult::read(&serde_json::json!({"cniVersion": "1.0.0"})), Ok(AddResult::default()));
    assert_eq!(AddResult::read(&serde_json::json!({"ips": 3})).unwrap_err().code, 6);
}

#[test]
fn the_error_object() {
    let error = CniError::new(Code::InvalidConfig, "Invalid Configuration")
        .details("Network 192.168.0.0/31 too small to allocate from.");
    assert_eq!(error.render(Some("1.1.0")), golden("spec-error"));
    let short = CniError::new(Code::TryAgainLater, "later").render(Some("0.4.0"));
    assert_eq!(short, serde_json::json!({"cniVersion": "0.4.0", "code": 11, "msg": "later"}));
}

#[test]
fn the_version_answer() {
    assert_eq!(SpecVersion::answer(Some("1.0.0")), golden("version"));
}

#[test]
fn a_gc_configuration_lists_attachments() {
    let config = NetworkConfig::read(&golden("gc-config")).unwrap();
    let attachment = |id: &str| Attachment { container_id: id.into(), ifname: "eth0".into() };
    assert_eq!(config.valid_attachments(), Ok([attachment("cni-abc"), attachment("cni-def")].as_slice()));
    assert_eq!(config.name, "dbnet");
}
