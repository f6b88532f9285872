//! Sockets in a pod's network namespace, opened by this process: what they can reach is what the pod can reach.
//!
//! An attempt costs a system call or two this way, and no process inside the pod.

use crate::{Cluster, traffic::From};
use anyhow::{Context, Result};
use kuryr_lab::engine::netns;
use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    thread,
};
use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// A runtime whose sockets are those of a pod (or of a node). It ends when it is dropped.
pub struct Inside {
    runtime: Handle,
    end: CancellationToken,
}

impl Inside {
    /// A runtime in the network namespace of a running pod.
    ///
    /// # Errors
    /// When the namespace can't be found or entered.
    pub async fn of(cluster: &Cluster, place: &From) -> Result<Self> {
        let namespace = namespace_of(cluster, place).await?;
        let (tell, told) = oneshot::channel();
        let end = CancellationToken::new();
        let until = end.clone();
        // All sockets of a runtime with one thread are made on that thread.
        thread::Builder::new().name("inside".to_owned()).spawn(move || {
            let run = || -> Result<()> {
                let runtime = Builder::new_current_thread().enable_all().build().context("making a runtime")?;
                drop(tell.send(runtime.handle().clone()));
                runtime.block_on(until.cancelled());
                Ok(())
            };
            // Who asked hears of a failure by the end of the channel.
            drop(netns::enter(&namespace.to_string_lossy(), run));
        })?;
        let runtime = told.await.with_context(|| format!("nothing can run in {place:?}"))?;
        Ok(Self { runtime, end })
    }

    /// Begins some work inside. It ends with the handle.
    pub fn spawn<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> AbortOnDropHandle<T> {
        AbortOnDropHandle::new(self.runtime.spawn(work))
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.end.cancel();
    }
}

/// The file of a place's network namespace: that of any process inside.
async fn namespace_of(cluster: &Cluster, place: &From) -> Result<PathBuf> {
    let name = cluster.shell(place, "readlink /proc/self/ns/net").await?;
    let inode = name.trim().strip_prefix("net:[").and_then(|rest| rest.strip_suffix(']')?.parse::<u64>().ok());
    let inode = inode.with_context(|| format!("`{name}` names no network namespace"))?;
    let processes = fs::read_dir("/proc").context("reading /proc")?.flatten();
    let mut files = processes.map(|process| process.path().join("ns/net"));
    files.find(|file| is(file, inode)).with_context(|| format!("no process is in the network namespace of {place:?}"))
}

fn is(file: &Path, inode: u64) -> bool {
    fs::metadata(file).is_ok_and(|found| found.ino() == inode)
}
