//! Lists.

use crate::testing::{Rig, fault};
use serde_json::{Value, json};

fn names(body: &Value) -> Vec<&str> {
    body["loadbalancers"].as_array().unwrap().iter().map(|lb| lb["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn filters_and_fields() {
    let rig = Rig::start().await;
    for (name, tags) in [("a", json!(["x", "y"])), ("b", json!(["x"])), ("c", json!([]))] {
        rig.load_balancer(json!({ "name": name, "tags": tags, "description": format!("of {name}") })).await;
    }
    for (query, expected) in [
        ("sort=name", &["a", "b", "c"][..]),
        ("sort=name:desc", &["c", "b", "a"]),
        ("sort_key=name&sort_dir=desc", &["c", "b", "a"]),
        ("name=b", &["b"]),
        ("description=of%20c", &["c"]),
        ("tags=x,y", &["a"]),
        ("tags-any=y,z", &["a"]),
        ("not-tags=x&sort=name", &["c"]),
        ("not-tags-any=y&sort=name", &["b", "c"]),
        ("provisioning_status=ACTIVE&sort=name", &["a", "b", "c"]),
        ("provisioning_status=ERROR", &[]),
        ("admin_state_up=false", &[]),
    ] {
        let (status, body) = rig.get(&format!("loadbalancers?{query}")).await;
        assert_eq!((status, &names(&body)[..]), (200, expected), "{query}");
    }
    let (_, body) = rig.get("loadbalancers?name=a&fields=id&fields=name").await;
    assert_eq!(body["loadbalancers"][0].as_object().unwrap().keys().collect::<Vec<_>>(), ["id", "name"]);
    for (query, status, words) in [
        ("wrong=1", 400, "One or more arguments are either duplicate or invalid"),
        ("marker=x", 400, "Supplied pagination marker 'x' is not valid."),
        ("sort=wrong", 400, "Supplied sort key 'wrong' is not valid."),
        (
            "name=a&name=b",
            500,
            "(MySQLdb._exceptions.OperationalError) (4078, \"Illegal parameter data types varchar and row for operation '='\")",
        ),
    ] {
        assert_eq!(fault(&rig.get(&format!("loadbalancers?{query}")).await), (status, words));
    }
}

#[tokio::test]
async fn pages_lose_their_filters() {
    let rig = Rig::start().await;
    for name in ["a", "b", "c"] {
        rig.load_balancer(json!({ "name": name })).await;
    }
    let mut path = "loadbalancers?limit=2&sort=name&admin_state_up=true".to_owned();
    let mut seen = Vec::new();
    loop {
        let (_, body) = rig.get(&path).await;
        seen.push(names(&body).join(""));
        let links = body["loadbalancers_links"].as_array().unwrap();
        let Some(next) = links.iter().find(|link| link["rel"] == "next") else { break };
        let next = next["href"].as_str().unwrap();
        assert!(!next.contains("admin_state_up"), "{next}");
        path = next.split_once("/lbaas/").unwrap().1.to_owned();
    }
    assert_eq!(seen, ["ab", "c"]);
}
