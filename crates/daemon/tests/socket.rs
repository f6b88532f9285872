//! The socket for `kuryr-cni`: only root gets to it, whatever others have put in its place.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "the support is shared with the tests that make calls")]

mod support;

use kuryr_daemon::{Error, Settings, Switch};
use kuryr_datapath_fake::FakeSwitch;
use std::{
    fs::{self, Permissions},
    io,
    os::unix::{
        fs::{FileTypeExt, MetadataExt, PermissionsExt, chown, symlink},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
};
use support::{Daemon, free_address, quick};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// Any user that isn't root.
const NOBODY: u32 = 65534;

/// A client of an API server that refuses connections: the socket needs none.
fn no_api() -> kube::Client {
    // The libraries agree on one provider of cryptography per process, whichever test comes first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    kube::Client::try_from(kube::Config::new("http://127.0.0.1:9".parse().unwrap())).unwrap()
}

/// A folder that everybody can enter, and the path of the socket that [`Daemon::start`] makes below it.
fn open_folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let socket = folder.path().join("run/d.sock");
    (folder, socket)
}

/// Connects as this user. Linux keeps the identity that files are opened with for each thread.
fn connect_as(uid: u32, socket: &Path) -> io::Result<()> {
    let socket = socket.to_owned();
    let connecting = std::thread::spawn(move || {
        nix::unistd::setfsuid(uid.into());
        // The answer is the identity before the call, also when the call was refused.
        assert_eq!(nix::unistd::setfsuid(uid.into()).as_raw(), uid, "the test needs root");
        UnixStream::connect(socket).map(drop)
    });
    connecting.join().unwrap()
}

async fn start(folder: &TempDir) -> Daemon {
    Daemon::start("node1", folder.path(), no_api(), &FakeSwitch::new(), quick()).await
}

/// Why the daemon doesn't start with this socket.
async fn refusal(socket: &Path) -> String {
    let (switch, stop) = (FakeSwitch::new(), CancellationToken::new());
    let fake = Switch { driver: switch.clone(), host_port: switch.clone(), live: switch.live() };
    let socket = socket.to_owned();
    let settings =
        Settings { node_name: "n".into(), socket, admin_listen: free_address().await, ..Settings::default() };
    let running = kuryr_daemon::run_with(settings, no_api(), fake, stop);
    match tokio::time::timeout(support::PATIENCE, running).await.expect("the daemon runs on") {
        Err(Error::Socket(error)) => error.to_string(),
        other => panic!("not refused for its socket: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_user_gets_to_neither_socket_nor_lock() {
    let (folder, socket) = open_folder();
    let daemon = start(&folder).await;
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
    assert!(fs::metadata(&socket).unwrap().file_type().is_socket());
    assert_eq!(mode(&socket), 0o600);
    assert_eq!(mode(&socket.with_extension("lock")), 0o600);
    assert_eq!(mode(socket.parent().unwrap()), 0o700);
    connect_as(0, &socket).unwrap();
    assert_eq!(connect_as(NOBODY, &socket).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    daemon.stop().await;
}

/// A folder that was there before, and that others may enter, is left as it is: the socket's own mode keeps them out.
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_others_may_enter_opens_nothing() {
    let (folder, socket) = open_folder();
    fs::create_dir(socket.parent().unwrap()).unwrap();
    fs::set_permissions(socket.parent().unwrap(), Permissions::from_mode(0o755)).unwrap();
    let daemon = start(&folder).await;
    connect_as(0, &socket).unwrap();
    assert_eq!(connect_as(NOBODY, &socket).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_others_can_write_to_is_refused() {
    let (_folder, socket) = open_folder();
    let run = socket.parent().unwrap();
    fs::create_dir(run).unwrap();
    for mode in [0o777, 0o1777, 0o775, 0o722] {
        fs::set_permissions(run, Permissions::from_mode(mode)).unwrap();
        let said = refusal(&socket).await;
        assert!(said.contains("chmod go-w") && said.contains(run.to_str().unwrap()), "{said}");
    }
    fs::set_permissions(run, Permissions::from_mode(0o700)).unwrap();
    chown(run, Some(NOBODY), None).unwrap();
    let said = refusal(&socket).await;
    assert!(said.contains("belongs to user 65534"), "{said}");
    assert_eq!(fs::read_dir(run).unwrap().count(), 0, "nothing was made there");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_a_stale_socket_is_left_alone() {
    let (_folder, socket) = open_folder();
    let run = socket.parent().unwrap();
    fs::create_dir(run).unwrap();
    let precious = run.join("precious");
    fs::write(&precious, "mine").unwrap();
    for place in [socket.clone(), socket.with_extension("new")] {
        fs::write(&place, "also mine").unwrap();
        assert!(refusal(&socket).await.contains("isn't a socket"));
        assert_eq!(fs::read_to_string(&place).unwrap(), "also mine");
        fs::remove_file(&place).unwrap();

        symlink(&precious, &place).unwrap();
        assert!(refusal(&socket).await.contains("isn't a socket"));
        assert_eq!(fs::read_link(&place).unwrap(), precious);
        fs::remove_file(&place).unwrap();

        fs::create_dir(&place).unwrap();
        assert!(refusal(&socket).await.contains("isn't a socket"));
        fs::remove_dir(&place).unwrap();
    }
    assert_eq!(fs::read_to_string(&precious).unwrap(), "mine");

    let others = UnixListener::bind(&socket).unwrap();
    assert!(refusal(&socket).await.contains("another program listens"));
    UnixStream::connect(&socket).expect("the other program still has its socket");
    drop(others);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_socket_is_replaced() {
    let (folder, socket) = open_folder();
    fs::create_dir(socket.parent().unwrap()).unwrap();
    for place in [socket.clone(), socket.with_extension("new")] {
        drop(UnixListener::bind(&place).unwrap());
        let daemon = start(&folder).await;
        connect_as(0, &socket).unwrap();
        daemon.stop().await;
    }
}
