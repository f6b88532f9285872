//! Network namespaces: opening one by its path, and running something in it.
//!
//! A namespace belongs to a *thread*. So nothing here ever changes the namespace of a thread that others use: work runs on
//! a thread of its own that ends with it. A socket stays in the namespace in which it was opened, so what is mostly run
//! there is the opening of sockets, which are then used from anywhere.

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, setns, unshare},
    sys::{
        stat::fstat,
        statfs::{FsType, fstatfs},
    },
};
use std::{
    fmt,
    fs::{self, File},
    io,
    os::fd::AsRawFd,
    os::fd::RawFd,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::sync::oneshot;

/// `NSFS_MAGIC` of linux/magic.h: the file system that namespaces' files are on.
const NSFS_MAGIC: FsType = FsType(0x6e73_6673);

/// A failure to enter a network namespace.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file can't be opened.
    #[error("can't open network namespace {}: {source}", path.display())]
    Open {
        /// The path that was tried.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// There is a file, but it isn't a namespace: the sandbox was removed, or the path is wrong.
    #[error("{} is not a network namespace (any more)", path.display())]
    NotANamespace {
        /// The path that was tried.
        path: PathBuf,
    },
    /// The namespace can't be made.
    #[error("can't make network namespace {}: {source}", path.display())]
    Make {
        /// Where it was to be bound.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The namespace can't be entered.
    #[error("can't enter network namespace {namespace}: {source}")]
    Enter {
        /// The namespace.
        namespace: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The thread that was to work in the namespace could not be started, or it panicked.
    #[error("the thread for network namespace {namespace} failed: {source}")]
    Thread {
        /// The namespace.
        namespace: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A network namespace, kept alive by an open file. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Namespace {
    file: Arc<File>,
    path: Arc<Path>,
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.display().fmt(f)
    }
}

impl Namespace {
    /// Opens the namespace at `path`, as `/run/netns/NAME` or CNI's `CNI_NETNS`.
    ///
    /// # Errors
    /// When there is no such file, or when it is not a namespace.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(|source| Error::Open { path: path.to_owned(), source })?;
        // `ip netns add` and containerd make an empty file and mount the namespace on it: after the namespace is removed,
        // or before it is mounted, the file is there all the same.
        match fstatfs(&file) {
            Ok(stat) if stat.filesystem_type() == NSFS_MAGIC => Ok(Self { file: Arc::new(file), path: path.into() }),
            Ok(_) => Err(Error::NotANamespace { path: path.to_owned() }),
            Err(errno) => Err(Error::Open { path: path.to_owned(), source: errno.into() }),
        }
    }

    /// The namespace at `path`. Where there is none, one is made and bound there: it lives as long as the mount, or as the
    /// machine. It forwards nothing, and its devices, the loopback too, are down until somebody sets them up.
    ///
    /// # Errors
    /// When it can't be made, as without `CAP_SYS_ADMIN`.
    pub async fn open_or_make(path: &Path) -> Result<Self, Error> {
        if let Ok(namespace) = Self::open(path) {
            return Ok(namespace);
        }
        let failed = |source| Error::Make { path: path.to_owned(), source };
        let file = path.to_owned();
        let made = tokio::task::spawn_blocking(move || std::thread::spawn(move || make(&file)).join()).await;
        match made {
            Ok(Ok(made)) => made.map_err(failed)?,
            Ok(Err(_)) | Err(_) => return Err(failed(io::Error::other("the thread that made it panicked"))),
        }
        Self::open(path)
    }

    /// The namespace of the calling thread.
    ///
    /// # Errors
    /// When `/proc` is not mounted.
    pub fn current() -> Result<Self, Error> {
        Self::open(Path::new("/proc/thread-self/ns/net"))
    }

    /// Whether there is certainly no namespace at `path` any more. A look that fails, as with too many open files, says
    /// nothing: living pods lose their interfaces to a wrong yes.
    #[must_use]
    pub fn is_gone(path: &Path) -> bool {
        match Self::open(path) {
            Err(Error::NotANamespace { .. }) => true,
            Err(Error::Open { source, .. }) => {
                matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
            }
            Ok(_) | Err(_) => false,
        }
    }

    /// Whether it is what is found at `path`.
    #[must_use]
    pub fn is_at(&self, path: &Path) -> bool {
        let inode = |file: &File| fstat(file).map(|stat| (stat.st_dev, stat.st_ino)).ok();
        Self::open(path).is_ok_and(|there| inode(&there.file).is_some_and(|there| inode(&self.file) == Some(there)))
    }

    /// Binds it to `path`, where an empty file is made if there is none.
    ///
    /// # Errors
    /// When it can't be bound, as without `CAP_SYS_ADMIN`.
    pub async fn bind(&self, path: &Path) -> Result<(), Error> {
        let (namespace, file) = (self.clone(), path.to_owned());
        let failed = |source| Error::Make { path: path.to_owned(), source };
        let work = move || {
            File::options().write(true).create(true).truncate(false).open(&file)?;
            let own = format!("/proc/self/fd/{}", namespace.as_raw_fd());
            Ok(mount(Some(own.as_str()), &file, None::<&str>, MsFlags::MS_BIND, None::<&str>)?)
        };
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(failed)
    }

    /// The file that stands for the namespace in netlink requests. It is open as long as `self` lives.
    #[must_use]
    pub fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    /// Runs `work` on a new thread inside the namespace. When the future is dropped, the work runs to its end all the same.
    ///
    /// # Errors
    /// When the namespace can't be entered, or when `work` panics.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
        let (sender, receiver) = oneshot::channel();
        let namespace = self.clone();
        std::thread::Builder::new()
            .name("netns".to_owned())
            .spawn(move || {
                let entered = setns(&namespace.file, CloneFlags::CLONE_NEWNET);
                let result = entered.map(|()| work()).map_err(io::Error::from);
                // Nobody waits any more when the caller was cancelled; the result is not needed then.
                drop(sender.send(result));
            })
            .map_err(|source| Error::Thread { namespace: self.to_string(), source })?;
        match receiver.await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(source)) => Err(Error::Enter { namespace: self.to_string(), source }),
            Err(_) => Err(Error::Thread { namespace: self.to_string(), source: io::Error::other("it panicked") }),
        }
    }
}

/// Makes a namespace and binds it to `file`. To be run on a thread that ends with it.
fn make(file: &Path) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    File::options().write(true).create(true).truncate(false).open(file)?;
    unshare(CloneFlags::CLONE_NEWNET)?;
    // A new namespace may inherit the node's settings (`net.core.devconf_inherit_init_net`).
    for family in ["ipv4/conf/all/forwarding", "ipv6/conf/all/forwarding"] {
        match fs::write(format!("/proc/sys/net/{family}"), "0") {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(mount(Some("/proc/thread-self/ns/net"), file, None::<&str>, MsFlags::MS_BIND, None::<&str>)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_file_is_no_namespace() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = Namespace::open(file.path()).unwrap_err();
        assert!(matches!(error, Error::NotANamespace { .. }), "{error}");
        assert!(error.to_string().contains(&file.path().display().to_string()));
    }

    #[test]
    fn what_cannot_be_looked_at_is_not_gone() {
        let folder = tempfile::tempdir().unwrap();
        let (missing, file, unreadable) = (folder.path().join("a"), folder.path().join("b"), folder.path().join("c"));
        std::fs::write(&file, "").unwrap();
        std::os::unix::fs::symlink(&unreadable, &unreadable).unwrap();
        assert!(Namespace::is_gone(&missing) && Namespace::is_gone(&file));
        assert!(!Namespace::is_gone(&unreadable) && !Namespace::is_gone(Path::new("/proc/self/ns/net")));
    }

    #[tokio::test]
    async fn work_runs_on_another_thread_in_the_namespace() {
        let here = Namespace::current().unwrap();
        let inode = |path: &str| std::fs::read_link(path).unwrap();
        let outside = inode("/proc/thread-self/ns/net");
        let caller = std::thread::current().id();
        let (inside, thread) =
            here.run(move || (inode("/proc/thread-self/ns/net"), std::thread::current().id())).await.unwrap();
        assert_eq!(inside, outside);
        assert_ne!(thread, caller);
    }

    #[tokio::test]
    async fn a_panic_in_the_namespace_is_an_error() {
        let here = Namespace::current().unwrap();
        let error = here.run(|| panic!("on purpose")).await.unwrap_err();
        assert!(matches!(error, Error::Thread { .. }), "{error}");
    }
}
