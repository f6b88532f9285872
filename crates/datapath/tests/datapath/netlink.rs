//! The netlink helpers by themselves.

use crate::fixture::Netns;
use kuryr_datapath::netlink::{Netlink, Veth, create_veth, set_up};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_is_whole_while_devices_come_and_go() {
    let (one, two) = (Netns::new("a"), Netns::new("b"));
    let namespace = two.open();
    let create = |name: &str| {
        create_veth(&Veth {
            name,
            peer: name,
            peer_namespace: &namespace,
            peer_mac: "fa:16:3e:00:00:01".parse().unwrap(),
            mtu: 1400,
        })
    };
    let netlink = Netlink::open(&one.open()).await.unwrap();
    let stable: Vec<String> = (0..40).map(|number| format!("stable{number}")).collect();
    netlink.execute(stable.iter().map(|name| create(name))).await.unwrap();
    let churn = async {
        for number in 0..30 {
            let name = format!("churn{number}");
            netlink.execute([create(&name)]).await.unwrap();
            assert!(netlink.remove_link(&name).await.unwrap());
        }
    };
    let other = Netlink::open(&one.open()).await.unwrap();
    let look = async {
        for _ in 0..60 {
            let found = other.links().await.unwrap();
            for name in &stable {
                assert_eq!(found.iter().filter(|link| link.name == *name).count(), 1, "{name}");
            }
        }
    };
    tokio::join!(churn, look);
}

#[tokio::test]
async fn a_refusal_says_what_was_tried_on_what_and_where() {
    let one = Netns::new("a");
    let netlink = Netlink::open(&one.open()).await.unwrap();
    let error = netlink.execute([set_up("lo"), set_up("nothere"), set_up("lo")]).await.unwrap_err();
    assert!(error.missing() && !error.exists());
    let text = error.to_string();
    assert!(text.contains("setting `nothere` up") && text.contains(&one.path().display().to_string()), "{text}");
    assert_eq!(netlink.link("nothere").await.unwrap(), None);
    assert!(!netlink.remove_link("nothere").await.unwrap());
    let lo = netlink.link("lo").await.unwrap().unwrap();
    assert!(lo.up && lo.index == 1);
}
