//! All members of a pool in one request.

use super::graph::whole;
use crate::testing::{Rig, fault};
use serde_json::{Value, json};

async fn pool(rig: &Rig) -> String {
    rig.load_balancer(whole()).await;
    rig.fake.octavia().get("lb").unwrap().pools[0].id.clone()
}

fn members(rig: &Rig) -> Vec<(String, i64, String)> {
    let view = rig.fake.octavia().get("lb").unwrap();
    let members = view.pools[0].members.iter();
    members.map(|member| (member.address.clone(), member.weight, member.provisioning_status.to_string())).collect()
}

fn member(last: u8) -> Value {
    json!({ "address": format!("10.244.0.{last}"), "protocol_port": 8080 })
}

fn active(last: u8, weight: i64) -> (String, i64, String) {
    (format!("10.244.0.{last}"), weight, "ACTIVE".to_owned())
}

#[tokio::test]
async fn a_whole_list_replaces_what_was_there() {
    let rig = Rig::start().await;
    let pool = pool(&rig).await;
    let said = rig.put(&format!("pools/{pool}/members"), json!({ "members": [member(11), member(12)] })).await;
    assert_eq!(said, (202, Value::Null));
    let pending = |last: u8, weight, status: &str| (format!("10.244.0.{last}"), weight, status.to_owned());
    let expected =
        [pending(10, 1, "PENDING_DELETE"), pending(11, 1, "PENDING_UPDATE"), pending(12, 1, "PENDING_CREATE")];
    assert_eq!(members(&rig), expected, "the weight that isn't given is set back");
    rig.fake.octavia().settle();
    assert_eq!(members(&rig), [active(11, 1), active(12, 1)]);
}

#[tokio::test]
async fn an_additive_one_leaves_the_others() {
    let rig = Rig::start().await;
    let pool = pool(&rig).await;
    // The others were given no subnet: what stays is checked as what comes, and they fit the load balancer's.
    let said = rig.put(&format!("pools/{pool}/members?additive_only=True"), json!({ "members": [member(12)] })).await;
    assert_eq!(said.0, 202, "{said:?}");
    rig.fake.octavia().settle();
    assert_eq!(members(&rig), [active(10, 1), active(11, 5), active(12, 1)]);
}

#[tokio::test]
async fn refusals() {
    let rig = Rig::start().await;
    let pool = pool(&rig).await;
    let path = format!("pools/{pool}/members");
    let far = json!({ "address": "192.0.2.1", "protocol_port": 1 });
    let needs_subnet = "Provider 'ovn' does not support a requested option: Subnet is required, or Loadbalancer associated \
                        with Pool must have a subnet, for Member batch update with OVN Provider Driver if it is not the \
                        same as LB VIP subnet";
    let mixing = "Provider 'ovn' does not support a requested option: OVN provider does not support mixing IPv4/IPv6 \
                  configuration within the same Load Balancer.";
    for (list, status, words) in [
        (
            vec![member(10), member(10)],
            400,
            "Validation failure: Member must be updated only once in the same request.",
        ),
        (
            vec![member(12), member(12)],
            409,
            "Another member on this pool is already using ip 10.244.0.12 on protocol_port 8080",
        ),
        (vec![far], 501, needs_subnet),
        (vec![json!({ "address": "fd00:244::9", "protocol_port": 1 })], 501, mixing),
        (
            vec![json!({ "address": "10.244.0.9", "protocol_port": 1, "monitor_port": 2 })],
            501,
            "Provider 'ovn' does not support a requested option: OVN provider does not support monitor options",
        ),
        (
            vec![json!({ "address": "169.254.169.254", "protocol_port": 1 })],
            400,
            "169.254.169.254 is not a valid option for member address",
        ),
    ] {
        let said = rig.put(&path, json!({ "members": list })).await;
        assert_eq!(fault(&said), (status, words));
        assert_eq!(members(&rig), [active(10, 1), active(11, 5)], "{words}");
    }
    let said = rig.put(&format!("pools/{}/members", "0".repeat(8)), json!({ "members": [] })).await;
    assert_eq!(said.0, 404);
    assert_eq!(said.1["description"], "Pool 00000000 not found.");
}

#[tokio::test]
async fn nothing_to_do_is_done_at_once() {
    let rig = Rig::start().await;
    let pool = pool(&rig).await;
    rig.put(&format!("pools/{pool}/members"), json!({ "members": [] })).await;
    rig.fake.octavia().settle();
    assert_eq!(members(&rig), []);
    assert_eq!(rig.put(&format!("pools/{pool}/members"), json!({ "members": [] })).await.0, 202);
    assert_eq!(rig.fake.octavia().get("lb").unwrap().provisioning_status.to_string(), "ACTIVE");
}
