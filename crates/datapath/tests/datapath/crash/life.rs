//! Lives of the daemon that end at a chosen step, and what is looked at afterwards.
//!
//! A life is a runtime of its own on one thread. Its steps are the turns of its tasks: from one await that has to wait to the
//! next. Between two of them nothing is done, so a process that ends does so at one of them; then the runtime goes with all
//! its tasks and sockets, as a process does. The next life sees what the first left in the OVSDB and in the kernel, and
//! nothing else.

use crate::fixture::{Node, Pod};
use futures::future::BoxFuture;
use kuryr_datapath::{Attachment, Driver, HoldSpec, StaleReason, ovs::Ovs};
use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
};
use tokio::runtime::{Builder, Runtime};

/// How often in a row the work must have come to its end: its number of steps varies by what the switch says meanwhile.
const ENDS: usize = 3;

/// What the stories are about: a pod, an older sandbox of it with the same Neutron port, and that port.
#[derive(Clone)]
pub struct Subject {
    pub attachment: Attachment,
    pub older: Attachment,
    pub spec: HoldSpec,
}

/// Something that a life does.
pub type Work = fn(Ovs, Subject) -> BoxFuture<'static, ()>;

/// What happens, in the order of the fields. All but the work is done to its end.
pub struct Story {
    /// What an earlier life did.
    pub before: Work,
    /// What happens to the node between the two.
    pub meanwhile: fn(&Node),
    /// What is killed at every step.
    pub work: Work,
    /// What must be so when the work had come to its end.
    pub done: Work,
    /// What the next life is asked for. It must succeed wherever the work was killed.
    pub next: Work,
    /// What must be so then, seen from outside.
    pub right: fn(&Node),
    /// How everything is taken away again: then nothing of it may be left.
    pub clear: Work,
    /// Another pod, and another port that is held, are there all the time and must stay as they are.
    pub neighbours: bool,
}

fn runtime() -> Runtime {
    // One task has its turn, then the caller.
    Builder::new_current_thread().enable_all().event_interval(1).global_queue_interval(1).build().unwrap()
}

/// Counts the turns in which no other task has anything to do. It is always in the queue, behind all others.
async fn count_idle(turns: Arc<AtomicUsize>) {
    poll_fn(|context| {
        turns.fetch_add(1, Ordering::Relaxed);
        context.waker().wake_by_ref();
        Poll::<()>::Pending
    })
    .await;
}

/// Begins `work` in a life of its own, and ends that after so many steps. Returns whether the work had ended.
fn killed_after(steps: usize, node: &Node, work: impl FnOnce(Ovs) -> BoxFuture<'static, ()>) -> bool {
    let runtime = runtime();
    let ended = runtime.block_on(async {
        let ovs = node.another_life();
        // What every life does first is no part of the work.
        ovs.attachments().await.unwrap();
        let idle = Arc::new(AtomicUsize::new(0));
        tokio::spawn(count_idle(idle.clone()));
        let mut work = tokio::spawn(work(ovs));
        let (mut seen, mut left) = (idle.load(Ordering::Relaxed), steps);
        poll_fn(|context| {
            if let Poll::Ready(ended) = Pin::new(&mut work).poll(context) {
                ended.unwrap();
                return Poll::Ready(true);
            }
            let now = idle.load(Ordering::Relaxed);
            if now != seen {
                // Something is on its way in the kernel or in another process: they may have the processor.
                std::thread::yield_now();
            } else if left == 0 {
                return Poll::Ready(false);
            } else {
                left -= 1;
            }
            seen = now;
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await
    });
    // Threads inside a namespace run to their end: they are a few system calls, which a process would end as well.
    runtime.shutdown_background();
    ended
}

/// A life that does all that it is asked for.
fn whole<F: Future<Output = ()>>(node: &Node, work: impl FnOnce(Ovs) -> F) {
    let runtime = runtime();
    runtime.block_on(async { work(node.another_life()).await });
    runtime.shutdown_background();
}

/// What there is on the node and in the sandboxes, as others see it.
#[derive(Debug, PartialEq, Eq)]
struct Picture {
    veths: Vec<String>,
    ports: Vec<String>,
    waiting: Vec<String>,
    in_sandboxes: Vec<String>,
}

impl Picture {
    fn take(node: &Node, pods: [&Pod; 2]) -> Self {
        let (mut veths, mut ports, mut waiting) = (node.veths(), node.ports(), node.waiting());
        for names in [&mut veths, &mut ports, &mut waiting] {
            names.sort();
        }
        Self { veths, ports, waiting, in_sandboxes: pods.iter().flat_map(|pod| pod.netns.devices()).collect() }
    }
}

/// The next start: what is stale is removed, and then nothing is.
async fn repair(node: &Node, ovs: &Ovs) {
    for stale in ovs.stale().await.unwrap() {
        assert!(stale.reason != StaleReason::NoNamespace, "{stale:?}");
        ovs.remove_stale(&stale).await.unwrap();
    }
    assert_eq!(ovs.stale().await.unwrap(), []);
    // Each device is a port that is on record, and each port has its device.
    let (held, attached) = (ovs.held().await.unwrap(), ovs.attachments().await.unwrap());
    let recorded = held.iter().map(|held| held.host_interface.clone());
    let mut recorded: Vec<_> = recorded.chain(attached.into_iter().map(|a| a.host_interface)).collect();
    let (mut devices, mut ports) = (node.veths(), node.ports());
    ports.retain(|name| name != crate::node_port::NAME);
    for names in [&mut recorded, &mut devices, &mut ports] {
        names.sort();
    }
    assert_eq!((&devices, &ports), (&recorded, &recorded));
}

/// Those that nothing of the story is about.
struct Neighbours {
    attached: Pod,
    held: Pod,
}

impl Neighbours {
    async fn settle(&self, ovs: &Ovs) {
        ovs.hold(&self.held.held()).await.unwrap();
        ovs.plug(&self.attached.attachment).await.unwrap();
    }

    async fn assert_unharmed(&self, ovs: &Ovs) {
        assert_eq!(ovs.check(&self.attached.attachment).await.unwrap(), []);
        assert!(ovs.held().await.unwrap().iter().any(|held| held.spec == self.held.held()));
    }
}

/// Kills the story's work at every step, and looks at what the next life makes of it.
pub fn killed_at_every_step(story: &Story) {
    let parts = runtime();
    let entered = parts.enter();
    let node = Node::new();
    drop(entered);
    let (pod, older) = (Pod::new(11), Pod::new(11));
    let (attachment, spec) = (pod.attachment.clone(), pod.held());
    let subject = || Subject { attachment: attachment.clone(), older: older.attachment.clone(), spec: spec.clone() };
    let neighbours = story.neighbours.then(|| Neighbours { attached: Pod::new(21), held: Pod::new(22) });
    whole(&node, async |ovs| {
        if let Some(neighbours) = &neighbours {
            neighbours.settle(&ovs).await;
        }
    });
    let empty = Picture::take(&node, [&pod, &older]);
    whole(&node, async |ovs| (story.before)(ovs, subject()).await);
    let (mut steps, mut ended) = (0, 0);
    while ended < ENDS {
        (story.meanwhile)(&node);
        let finished = killed_after(steps, &node, |ovs| (story.work)(ovs, subject()));
        ended = if finished { ended + 1 } else { 0 };
        whole(&node, async |ovs| {
            let told = Told(steps);
            repair(&node, &ovs).await;
            if finished {
                (story.done)(ovs.clone(), subject()).await;
            }
            (story.next)(ovs.clone(), subject()).await;
            (story.right)(&node);
            assert_eq!(ovs.stale().await.unwrap(), []);
            (story.clear)(ovs.clone(), subject()).await;
            assert_eq!(Picture::take(&node, [&pod, &older]), empty);
            if let Some(neighbours) = &neighbours {
                neighbours.assert_unharmed(&ovs).await;
            }
            (story.before)(ovs, subject()).await;
            drop(told);
        });
        steps += 1;
    }
    let name = std::thread::current().name().unwrap_or_default().to_owned();
    println!("{name}: killed at {} steps", steps - ENDS);
}

/// Says at which step the work was killed when a check fails.
struct Told(usize);

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the work was killed after {} steps", self.0);
        }
    }
}
