//! How long it takes, and that nothing is used up.

use crate::fixture::{Node, Pod};
use futures::future::join_all;
use kuryr_datapath::Driver;
use std::time::{Duration, Instant};

fn show(what: &str, mut times: Vec<Duration>) -> Duration {
    times.sort();
    let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
    println!("{what}: p50 {:.1} ms, p99 {:.1} ms", at(50).as_secs_f64() * 1e3, at(99).as_secs_f64() * 1e3);
    at(50)
}

async fn timed<T>(work: impl Future<Output = T>) -> (Duration, T) {
    let start = Instant::now();
    let value = work.await;
    (start.elapsed(), value)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plug_and_unplug() {
    let node = Node::new();
    let pods: Vec<Pod> = (10..30).map(Pod::new).collect();
    for (what, at_once) in [("1 at a time", 1), ("20 at once", 20)] {
        let (mut plugs, mut unplugs) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            for batch in pods.chunks(at_once) {
                for (time, result) in join_all(batch.iter().map(|pod| timed(node.ovs.plug(&pod.attachment)))).await {
                    result.unwrap();
                    plugs.push(time);
                }
            }
            for batch in pods.chunks(at_once) {
                let unplug = |pod: &Pod| {
                    let (ovs, id) = (node.ovs.clone(), pod.attachment.container_id.clone());
                    timed(async move { ovs.unplug(&id, "eth0").await })
                };
                for (time, result) in join_all(batch.iter().map(unplug)).await {
                    result.unwrap();
                    unplugs.push(time);
                }
            }
        }
        let plug = show(&format!("plug, {what}"), plugs);
        show(&format!("unplug, {what}"), unplugs);
        // The bound is for one pod on a machine with nothing else to do; tests share theirs.
        assert!(at_once > 1 || plug < Duration::from_millis(500), "a plug takes {plug:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn held_ports() {
    let node = Node::new();
    let pods: Vec<Pod> = (10..30).map(Pod::new).collect();
    let (mut holds, mut adoptions, mut returns) = (Vec::new(), Vec::new(), Vec::new());
    for pod in &pods {
        let (time, result) = timed(node.ovs.hold(&pod.held())).await;
        result.unwrap();
        holds.push(time);
    }
    for round in 0..3 {
        let mut times = Vec::new();
        for pod in &pods {
            let (time, plugged) = timed(node.ovs.plug(&pod.attachment)).await;
            assert!(plugged.unwrap().was_held, "round {round}");
            times.push(time);
        }
        for pod in &pods {
            let (time, result) = timed(node.ovs.give_back(&pod.attachment.container_id, "eth0")).await;
            result.unwrap();
            returns.push(time);
        }
        adoptions.extend(times);
    }
    show("hold", holds);
    let adoption = show("plug of a held port", adoptions);
    show("give back", returns);
    assert!(adoption < Duration::from_millis(500), "it takes {adoption:?}");
}

#[tokio::test]
async fn sockets_and_threads_are_given_back() {
    let node = Node::new();
    let pod = Pod::new(11);
    let count = |what: &str| std::fs::read_dir(format!("/proc/self/{what}")).unwrap().count();
    let mut before = 0;
    for round in 0..30 {
        node.ovs.plug(&pod.attachment).await.unwrap();
        node.ovs.unplug(&pod.attachment.container_id, "eth0").await.unwrap();
        if round == 0 {
            before = count("fd");
        }
    }
    // Other tests of this process open and close theirs meanwhile; a leak of this one would be at least 60.
    let after = count("fd");
    assert!(after < before + 45, "{before} open files have become {after}");
}
