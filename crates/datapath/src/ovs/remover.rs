//! Removes devices of the node, all at once that wait for it.
//!
//! The kernel waits some 15 ms for everybody to let go of a device that goes, with the lock held that every other change
//! of any device needs. For a whole group of devices it waits once.

use crate::{
    Result,
    netlink::{Netlink, delete_group, set_group},
    netns::Namespace,
};
use futures::future::join_all;
use tokio::sync::{mpsc, oneshot};

/// The group of devices that are being removed: "kpod" in ASCII. Nothing else puts a device into it.
const GROUP: u32 = 0x6b70_6f64;

/// How many devices are removed at once.
const AT_ONCE: usize = 256;

/// A device to remove, and who waits for it.
#[derive(Debug)]
struct Removal {
    name: String,
    gone: oneshot::Sender<bool>,
}

/// The task that removes devices. It ends with this value.
#[derive(Debug)]
pub(super) struct Remover(mpsc::UnboundedSender<Removal>);

impl Remover {
    /// Starts the task. The devices are in `namespace`.
    pub fn start(namespace: Namespace) -> Self {
        let (removals, waiting) = mpsc::unbounded_channel();
        tokio::spawn(run(namespace, waiting));
        Self(removals)
    }

    /// Removes the device of that name. Returns whether it is certainly gone; if not, remove it singly to learn why.
    pub async fn remove(&self, name: &str) -> bool {
        let (gone, answer) = oneshot::channel();
        self.0.send(Removal { name: name.to_owned(), gone }).is_ok() && answer.await.unwrap_or(false)
    }
}

async fn run(namespace: Namespace, mut waiting: mpsc::UnboundedReceiver<Removal>) {
    let mut batch = Vec::new();
    while waiting.recv_many(&mut batch, AT_ONCE).await > 0 {
        let names: Vec<&str> = batch.iter().map(|removal| removal.name.as_str()).collect();
        let gone = remove_all(&namespace, &names).await.unwrap_or_default();
        for (index, removal) in batch.drain(..).enumerate() {
            // Nobody may wait any more.
            removal.gone.send(gone.get(index).copied().unwrap_or(false)).ok();
        }
    }
}

/// Removes all that are there, and says of each whether it is gone.
async fn remove_all(namespace: &Namespace, names: &[&str]) -> Result<Vec<bool>> {
    let netlink = Netlink::open(namespace).await?;
    let marked = join_all(names.iter().map(|name| netlink.execute([set_group(name, GROUP)]))).await;
    let deleted = if marked.iter().any(Result::is_ok) { netlink.execute([delete_group(GROUP)]).await } else { Ok(()) };
    Ok(marked.into_iter().map(|marked| marked.map_or_else(|error| error.missing(), |()| deleted.is_ok())).collect())
}
