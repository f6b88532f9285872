//! Lists as Neutron answers them: links to pages, sorting, filters, fields.

use super::{
    backend::host,
    fixture::{Plan, in_world},
};
use serde_json::{Value, json};

/// Ports `NAME-0` to `NAME-3` in the world's network; answers their identifiers in the order in which Neutron lists them.
async fn four_ports(raw: &super::raw::Raw, network: &str) -> Vec<String> {
    let new = |i: usize| json!({ "network_id": network, "name": format!("p{}", 3 - i) });
    let said = raw.post("ports", json!({ "ports": (0..4).map(new).collect::<Vec<Value>>() })).await;
    assert_eq!(said.status, 201, "{said:?}");
    let mut ids: Vec<String> = said.column("ports", "id").into_iter().map(ToOwned::to_owned).collect();
    ids.sort();
    ids
}

/// The path of a link of a page.
fn link(said: &super::raw::Said, rel: &str) -> Option<String> {
    let links = said.body["ports_links"].as_array()?;
    let link = links.iter().find(|link| link["rel"] == rel)?;
    let href = link["href"].as_str()?;
    href.split_once("/v2.0/").map(|(_, path)| path.to_owned())
}

#[tokio::test]
async fn pages_lead_to_each_other() {
    in_world(Plan::default(), |world| async move {
        let raw = world.raw().await;
        let network = world.network.id.as_str();
        let ids = four_ports(&raw, network).await;
        let all = format!("ports?network_id={network}&fields=id");

        let first = raw.get(&format!("{all}&limit=3")).await;
        assert_eq!(first.column("ports", "id"), ids[..3]);
        let second = raw.get(&link(&first, "next").unwrap()).await;
        assert_eq!(second.column("ports", "id"), ids[3..]);
        assert_eq!(link(&second, "next"), None, "a page that isn't full is the last");
        let back = raw.get(&link(&second, "previous").unwrap()).await;
        assert_eq!(back.column("ports", "id"), ids[..3]);
        let beyond = raw.get(&format!("{all}&limit=2&marker={}", ids[3])).await;
        assert_eq!(beyond.column("ports", "id"), [""; 0]);
        let whole = raw.get(&format!("{all}&limit=0")).await;
        assert_eq!((whole.column("ports", "id").len(), whole.body.get("ports_links")), (4, None));

        let marker = "00000000-0000-4000-8000-000000000000";
        let unknown = raw.get(&format!("ports?limit=1&marker={marker}")).await;
        assert_eq!((unknown.status, unknown.kind()), (404, "PortNotFound"));
        for limit in ["x", "-1"] {
            let wrong = raw.get(&format!("ports?limit={limit}")).await;
            assert_eq!((wrong.status, wrong.kind()), (400, "BadRequest"), "{limit}: {wrong:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn lists_are_sorted() {
    in_world(Plan::default(), |world| async move {
        let raw = world.raw().await;
        let network = world.network.id.as_str();
        four_ports(&raw, network).await;
        let all = format!("ports?network_id={network}&fields=id&fields=name&sort_key=name");
        let up = raw.get(&format!("{all}&sort_dir=asc")).await;
        assert_eq!(up.column("ports", "name"), ["p0", "p1", "p2", "p3"]);
        let down = raw.get(&format!("{all}&sort_dir=desc&limit=3")).await;
        assert_eq!(down.column("ports", "name"), ["p3", "p2", "p1"]);
        let rest = raw.get(&link(&down, "next").unwrap()).await;
        assert_eq!(rest.column("ports", "name"), ["p0"]);
        let wrong = raw.get(&format!("{all}&fields=name")).await;
        assert_eq!((wrong.status, wrong.kind()), (400, "HTTPBadRequest"), "a key without a direction: {wrong:?}");
    })
    .await;
}

#[tokio::test]
async fn each_filter_finds_what_it_says() {
    let plan = Plan { with_v6: true, ..Plan::default() };
    in_world(plan, |world| async move {
        let raw = world.raw().await;
        let network = world.network.id.as_str();
        let group = json!({ "security_group": { "name": "g", "description": world.name } });
        let group = raw.post("security-groups", group).await.body["security_group"]["id"].as_str().unwrap().to_owned();
        let one = json!({
            "network_id": network, "name": "one", "security_groups": [group], "binding:host_id": host(),
            "fixed_ips": [{ "ip_address": "10.77.1.1" }], "mac_address": "fa:16:3e:77:01:01",
        });
        let one = raw.post("ports", json!({ "port": one })).await;
        assert_eq!(one.status, 201, "{one:?}");
        let one = one.body["port"]["id"].as_str().unwrap().to_owned();
        let two = json!({ "network_id": network, "name": "two", "device_id": "d", "admin_state_up": false });
        let two = raw.post("ports", json!({ "port": two })).await.body["port"].clone();
        assert_eq!(two["fixed_ips"].as_array().unwrap().len(), 2, "one address of each family: {two}");
        raw.put(&format!("ports/{one}/tags"), json!({ "tags": ["a", "b"] })).await;

        let v4 = world.subnet.id.as_str();
        let v6 = two["fixed_ips"].as_array().unwrap().iter().find(|ip| ip["subnet_id"] != v4).unwrap();
        let v4_of_two = two["fixed_ips"].as_array().unwrap().iter().find(|ip| ip["subnet_id"] == v4).unwrap();
        let v4_of_two = v4_of_two["ip_address"].as_str().unwrap();
        let (v6, v6_address) = (v6["subnet_id"].as_str().unwrap(), v6["ip_address"].as_str().unwrap());
        for (filter, expected) in [
            ("name=one", &["one"][..]),
            ("name=one&name=two", &["one", "two"]),
            ("name=one&name=two&device_id=d", &["two"]),
            ("device_id=", &["one"]),
            ("admin_state_up=True", &["one"]),
            ("admin_state_up=false", &["two"]),
            ("status=DOWN&status=ACTIVE", &["one", "two"]),
            ("status=ACTIVE", &[]),
            ("mac_address=fa:16:3e:77:01:01", &["one"]),
            (&format!("binding:host_id={}", host()), &["one"]),
            (&format!("security_groups={group}"), &["one"]),
            (&format!("fixed_ips=subnet_id={v4}"), &["one", "two"]),
            (&format!("fixed_ips=subnet_id={v6}"), &["two"]),
            ("fixed_ips=ip_address=10.77.1.1", &["one"]),
            (&format!("fixed_ips=ip_address=10.77.1.1&fixed_ips=ip_address={v6_address}"), &["one", "two"]),
            (&format!("fixed_ips=ip_address=10.77.1.1&fixed_ips=subnet_id={v4}"), &["one"]),
            (&format!("fixed_ips=ip_address={v4_of_two}&fixed_ips=subnet_id={v6}"), &["two"]),
            ("tags=a", &["one"]),
            ("tags=a,b", &["one"]),
            ("tags=a,c", &[]),
            ("tags-any=a,c", &["one"]),
            ("not-tags=a", &["two"]),
        ] {
            let said = raw.get(&format!("ports?network_id={network}&fields=name&{filter}")).await;
            assert_eq!(said.status, 200, "{filter}: {said:?}");
            let mut names = said.column("ports", "name");
            names.sort_unstable();
            assert_eq!(names, expected, "{filter}");
        }
        let wrong = raw.get("ports?nonsense=1").await;
        assert_eq!((wrong.status, wrong.message()), (400, "['nonsense'] is invalid attribute for filtering"));
        let wrong = raw.get("ports?admin_state_up=nah").await;
        assert_eq!((wrong.status, wrong.kind()), (400, "InvalidInput"));
        let nothing = raw.get(&format!("ports?name=one&network_id={network}&fields=nonsense")).await;
        assert_eq!(nothing.body["ports"], json!([{}]), "an unknown field is no error");
    })
    .await;
}
