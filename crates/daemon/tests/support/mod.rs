//! A daemon under test: the real one, with a switch in memory in place of Open vSwitch.

use kuryr_cni::{Call, CniError, Command, client, wire::Reply};
use kuryr_daemon::{Error, Settings, Switch, Timeouts};
use kuryr_datapath_fake::FakeSwitch;
use serde_json::{Value, json};
use std::{
    future::Future,
    io::{Read, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio::{net::TcpListener, runtime::Runtime, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// Longest time that anything awaited may take.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Limits that suit a test.
pub fn quick() -> Timeouts {
    Timeouts {
        add_seconds: 15,
        call_seconds: 5,
        api_seconds: 2,
        watch_seconds: 45,
        repair_seconds: 1,
        // A sandbox that lives is the kubelet's. Only the test of leftovers shortens this.
        orphan_seconds: 3600,
        missing_seconds: 1,
        shutdown_seconds: 5,
    }
}

/// A running daemon, on a runtime of its own: all of it can end at once, as a process does.
pub struct Daemon {
    pub settings: Settings,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), Error>>,
    runtime: Option<Runtime>,
}

impl Daemon {
    /// Starts a daemon of `node` whose files are in `folder`, and waits until it listens.
    pub async fn start(
        node: &str,
        folder: &Path,
        client: kube::Client,
        switch: &Arc<FakeSwitch>,
        timeouts: Timeouts,
    ) -> Self {
        let settings = Settings {
            node_name: node.into(),
            socket: folder.join("run/d.sock"),
            routed_networks: vec!["10.96.0.0/16".parse().unwrap()],
            admin_listen: free_address().await,
            timeouts,
            ..Settings::default()
        };
        let shutdown = CancellationToken::new();
        let fake = Switch { driver: switch.clone(), host_port: switch.clone(), live: switch.live() };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let task = runtime.spawn(kuryr_daemon::run_with(settings.clone(), client, fake, shutdown.clone()));
        let socket = settings.socket.clone();
        until("the socket", || async {
            task.is_finished() || std::os::unix::net::UnixStream::connect(&socket).is_ok()
        })
        .await;
        assert!(!task.is_finished(), "the daemon has ended: {:?}", task.await);
        Self { settings, shutdown, task, runtime: Some(runtime) }
    }

    /// Stops it as SIGTERM does.
    pub async fn stop(mut self) {
        self.shutdown.cancel();
        let ended = tokio::time::timeout(PATIENCE, &mut self.task).await;
        ended.expect("the daemon doesn't end").unwrap().unwrap();
    }

    /// Begins to stop it. It ends by itself.
    pub fn begin_to_stop(&self) {
        self.shutdown.cancel();
    }

    /// Ends it in the middle of everything.
    pub async fn kill(mut self) {
        let runtime = self.runtime.take().unwrap();
        tokio::task::spawn_blocking(move || runtime.shutdown_timeout(PATIENCE)).await.unwrap();
    }

    /// Makes a CNI call as the executable does.
    pub async fn call(&self, call: Call) -> Result<Value, CniError> {
        self.calling(call).await.unwrap()
    }

    /// Begins a CNI call.
    pub fn calling(&self, call: Call) -> JoinHandle<Result<Value, CniError>> {
        let socket = self.settings.socket.display().to_string();
        tokio::task::spawn_blocking(move || match client::send(&socket, &call).unwrap() {
            Reply::Result(result) => Ok(result),
            Reply::Error(error) => Err(error),
        })
    }

    /// The status and body of a path of the admin server.
    pub async fn admin(&self, path: &str) -> (u16, String) {
        let (address, path) = (self.settings.admin_listen, path.to_owned());
        tokio::task::spawn_blocking(move || {
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
        })
        .await
        .unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// An address that nothing listens at.
pub async fn free_address() -> SocketAddr {
    TcpListener::bind(("127.0.0.1", 0)).await.unwrap().local_addr().unwrap()
}

/// Waits until `holds`.
pub async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let give_up = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < give_up, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A CNI call for the sandbox `container` of pod `shop/name`.
pub fn call(command: Command, container: &str, name: &str, uid: &str) -> Call {
    Call {
        command,
        container_id: container.into(),
        netns: format!("/run/netns/{container}"),
        ifname: "eth0".into(),
        args: format!("K8S_POD_NAMESPACE=shop;K8S_POD_NAME={name};K8S_POD_UID={uid}"),
        path: "/opt/cni/bin".into(),
        config: json!({"cniVersion": "1.1.0", "name": "kuryr", "type": "kuryr-cni"}),
    }
}

/// A folder for a daemon's files: short, because the path of a socket is.
pub fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::Builder::new().prefix("kd").tempdir().unwrap();
    let path = folder.path().to_owned();
    (folder, path)
}
