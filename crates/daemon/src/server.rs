//! The unix socket that `kuryr-cni` connects to.

use crate::{cni, node::Node};
use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, State},
    routing::post,
};
use kuryr_cni::{Call, wire};
use std::{
    fs::{self, DirBuilder, File, Permissions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

/// The longest request, in bytes: GC lists every attachment of the node.
const MAX_REQUEST: usize = 16 << 20;

/// How often a second daemon looks whether the first has gone.
const LOCK_EVERY: Duration = Duration::from_millis(200);

/// The socket can't be made.
#[derive(Debug, thiserror::Error)]
#[error("can't {what} `{}`: {source}", path.display())]
pub struct SocketError {
    what: &'static str,
    path: PathBuf,
    source: io::Error,
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SocketError {
    move |source| SocketError { what, path: path.to_owned(), source }
}

/// The socket's file, and the right to serve this node. Dropping it removes the file, unless another daemon has put its own
/// there.
pub struct Socket {
    path: PathBuf,
    inode: u64,
    /// Held until the daemon has ended: the calls in flight of one node are in one table.
    _lock: File,
}

impl Socket {
    /// Listens at `path`. Waits for another daemon that serves this node, as during an update, to end.
    ///
    /// # Errors
    /// When the folder or the socket can't be made, or `shutdown` ends the wait.
    pub async fn open(path: &Path, shutdown: &CancellationToken) -> Result<(Self, UnixListener), SocketError> {
        // A folder that exists may be open to others' eyes: then the socket's own mode has to do.
        let folder = path.parent().unwrap_or(Path::new("/"));
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed("make the folder", folder))?;
        is_ours_alone(folder).map_err(failed("use the folder", folder))?;
        let lock = lock(&path.with_extension("lock"), shutdown).await?;
        // Closed to others before anybody can find it, and put in place in one step: a stale socket is replaced, and there is
        // no moment without one.
        let hidden = path.with_extension("new");
        for place in [path, &hidden] {
            is_free(place).await.map_err(failed("put the socket at", place))?;
        }
        match fs::remove_file(&hidden) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("remove", &hidden)(error)),
            _ => {}
        }
        let listener = UnixListener::bind(&hidden).map_err(failed("listen on", &hidden))?;
        fs::set_permissions(&hidden, Permissions::from_mode(0o600)).map_err(failed("close", &hidden))?;
        let inode = fs::metadata(&hidden).map_err(failed("look at", &hidden))?.ino();
        fs::rename(&hidden, path).map_err(failed("put in place the socket", path))?;
        Ok((Self { path: path.to_owned(), inode, _lock: lock }, listener))
    }
}

/// Serves calls until `shutdown`, then the calls in flight to their end.
///
/// # Errors
/// When the listener fails for good.
pub async fn serve(listener: UnixListener, node: Arc<Node>, shutdown: CancellationToken) -> io::Result<()> {
    let router = Router::new().route(wire::PATH, post(call)).layer(DefaultBodyLimit::max(MAX_REQUEST)).with_state(node);
    axum::serve(listener, router).with_graceful_shutdown(shutdown.cancelled_owned()).await
}

impl Drop for Socket {
    fn drop(&mut self) {
        if fs::metadata(&self.path).is_ok_and(|found| found.ino() == self.inode) {
            // Whoever connects to a file that stays behind is refused all the same.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Whoever can write to the folder can put a socket of his own in the place of ours, and would get every pod's CNI calls.
fn is_ours_alone(folder: &Path) -> io::Result<()> {
    let found = fs::metadata(folder)?;
    let (owner, mode) = (found.uid(), found.mode() & 0o7777);
    if owner != nix::unistd::geteuid().as_raw() {
        return Err(io::Error::other(format!("it belongs to user {owner}: choose a folder of the daemon's own user")));
    }
    // Not even with the sticky bit (as /tmp has): who comes first there could keep us from our place.
    if mode & 0o022 != 0 {
        return Err(io::Error::other(format!("others can write to it (mode {mode:o}): chmod go-w")));
    }
    Ok(())
}

/// Only a stale socket may be replaced: the path may be mistaken, and what is there somebody else's. We hold the lock, so
/// that a socket that answers isn't another Kuryr daemon's.
async fn is_free(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(found) if !found.file_type().is_socket() => {
            Err(io::Error::other("something that isn't a socket is there: remove it, or set `daemon.socket`"))
        }
        Ok(_) if UnixStream::connect(path).await.is_ok() => {
            Err(io::Error::other("another program listens there: end it, or set `daemon.socket`"))
        }
        Ok(_) => Ok(()),
    }
}

/// The lock goes with the process, however it ends.
async fn lock(path: &Path, shutdown: &CancellationToken) -> Result<File, SocketError> {
    // Whoever can open the file can hold the lock, and keep the daemon from starting.
    let mut options = File::options();
    let file = options.write(true).create(true).truncate(false).mode(0o600).open(path).map_err(failed("make", path))?;
    let mut told = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(failed("lock", path)(error)),
            Err(TryLockError::WouldBlock) => {}
        }
        if !told {
            told = true;
            tracing::warn!(lock = %path.display(), "another Kuryr daemon serves this node; waiting for its end");
        }
        if shutdown.run_until_cancelled(tokio::time::sleep(LOCK_EVERY)).await.is_none() {
            return Err(failed("lock", path)(io::Error::from(io::ErrorKind::Interrupted)));
        }
    }
}

/// The caller's death closes the connection, which drops this future.
async fn call(State(node): State<Arc<Node>>, Json(call): Json<Call>) -> Json<wire::Reply> {
    Json(cni::serve(node, call).await)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[tokio::test]
    async fn only_root_gets_to_the_socket_and_a_stale_one_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/daemon.sock");
        let stop = CancellationToken::new();
        drop(Socket::open(&path, &stop).await.unwrap());
        assert!(!path.exists());
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let _open = Socket::open(&path, &stop).await.unwrap();
        assert_eq!((mode(path.parent().unwrap()), mode(&path)), (0o700, 0o600));
        assert_eq!(mode(&path.with_extension("lock")), 0o600, "whoever can open it can hold it");
        tokio::net::UnixStream::connect(&path).await.unwrap();
    }

    #[tokio::test]
    async fn a_second_daemon_waits_for_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("daemon.sock");
        let stop = CancellationToken::new();
        let first = Socket::open(&path, &stop).await.unwrap();
        let mut second = tokio::spawn({
            let (path, stop) = (path.clone(), stop.clone());
            async move { Socket::open(&path, &stop).await }
        });
        assert!(tokio::time::timeout(LOCK_EVERY * 3, &mut second).await.is_err(), "the first holds the lock");
        drop(first);
        let second = second.await.unwrap().unwrap();
        tokio::net::UnixStream::connect(&path).await.unwrap();
        let third = Socket::open(&path, &stop);
        stop.cancel();
        assert!(third.await.is_err(), "a stop ends the wait");
        drop(second);
    }
}
