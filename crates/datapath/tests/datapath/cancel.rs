//! A plug that is cancelled anywhere leaves nothing.

use crate::fixture::{Node, Pod, eventually};
use futures::FutureExt;
use kuryr_datapath::{Attachment, Driver};
use std::{future::Future, pin::pin, task::Poll, time::Duration};
use tokio::time::timeout;

/// Waits until the undo in the background has ended. DEL waits for it, but would also do its work: so this looks.
async fn nothing_left(node: &Node, what: &str) {
    eventually(what, || (node.veths().is_empty() && node.ports().is_empty()).then_some(())).await;
    node.assert_empty();
}

/// Leaves out what only the first plug does: it takes longer than all the rest.
async fn warm_up(node: &Node, pod: &Pod) {
    node.ovs.plug(&pod.attachment).await.unwrap();
    node.ovs.unplug(&pod.attachment.container_id, "eth0").await.unwrap();
}

#[tokio::test]
async fn cancelled_after_any_time() {
    let node = Node::new();
    let pod = Pod::new(11);
    warm_up(&node, &pod).await;
    let mut completed = 0;
    // From before the first step to after the last one, in steps that are shorter than any of them.
    for moment in 0..120 {
        let limit = Duration::from_micros(moment * 150);
        if let Ok(plugged) = timeout(limit, node.ovs.plug(&pod.attachment)).await {
            plugged.unwrap();
            completed += 1;
            assert_eq!(node.ovs.check(&pod.attachment).await.unwrap(), []);
            node.ovs.unplug(&pod.attachment.container_id, "eth0").await.unwrap();
        }
        nothing_left(&node, &format!("cancelled after {limit:?}")).await;
        if completed > 3 {
            break;
        }
    }
    assert!(pod.netns.devices().is_empty());
}

/// On one thread the runtime runs the tasks in turn: so many turns of the caller are so many moments of the plug.
async fn polled(times: usize, node: &Node, attachment: &Attachment) -> bool {
    let mut plug = pin!(node.ovs.plug(attachment));
    let mut left = times;
    std::future::poll_fn(|context| match plug.as_mut().poll(context) {
        Poll::Ready(result) => {
            result.unwrap();
            Poll::Ready(true)
        }
        Poll::Pending if left == 0 => Poll::Ready(false),
        Poll::Pending => {
            left -= 1;
            context.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await
}

#[tokio::test]
async fn cancelled_at_any_turn_of_the_runtime() {
    let node = Node::new();
    let pod = Pod::new(11);
    warm_up(&node, &pod).await;
    for turns in (0..40).chain((40..2000).step_by(50)) {
        if polled(turns, &node, &pod.attachment).await {
            node.ovs.unplug(&pod.attachment.container_id, "eth0").await.unwrap();
        }
        nothing_left(&node, &format!("cancelled after {turns} turns")).await;
    }
}

#[tokio::test]
async fn a_success_that_nobody_heard_of_is_undone() {
    let node = Node::new();
    let pod = Pod::new(11);
    let mut plug = node.ovs.plug(&pod.attachment);
    assert!((&mut plug).now_or_never().is_none());
    // The work goes on without the caller's polling, to its end.
    while !node.ovs.check(&pod.attachment).await.unwrap().is_empty() {}
    drop(plug);
    nothing_left(&node, "the answer was not taken").await;
}

#[tokio::test]
async fn a_new_add_waits_for_the_undo_of_a_cancelled_one() {
    let node = Node::new();
    let pod = Pod::new(11);
    for micros in (0..6000).step_by(500) {
        drop(timeout(Duration::from_micros(micros), node.ovs.plug(&pod.attachment)).await);
        node.ovs.plug(&pod.attachment).await.unwrap();
        assert_eq!(node.ovs.check(&pod.attachment).await.unwrap(), []);
    }
}

#[tokio::test]
async fn an_unplug_that_is_dropped_is_finished_all_the_same() {
    let node = Node::new();
    let pod = Pod::new(11);
    node.ovs.plug(&pod.attachment).await.unwrap();
    drop(timeout(Duration::ZERO, node.ovs.unplug(&pod.attachment.container_id, "eth0")).await);
    nothing_left(&node, "unplug was dropped").await;
}
