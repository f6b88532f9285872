//! A node in a network namespace of its own, with its own Open vSwitch, and sandboxes for pods. All ends with its value.

use kuryr_core::names::HOST_INTERFACE_PREFIX;
use kuryr_datapath::{
    Attachment, HoldSpec, PodRef, Route,
    netns::Namespace,
    ovs::{Ovs, Settings},
    ovsdb::Remote,
};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// How long a condition may take to become true, on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub const BRIDGE: &str = "br-int";

/// Runs a program to its end, and returns what it says. It must succeed.
pub fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(
        output.status.success(),
        "{program} {}: {}{}",
        args.join(" "),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Waits until `condition` gives something.
pub async fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let limit = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < limit, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A named network namespace.
pub struct Netns(String);

impl Netns {
    pub fn new(kind: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("kdp{}-{kind}{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        run("ip", &["netns", "add", &name]);
        Self(name)
    }

    pub fn path(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.0)
    }

    pub fn open(&self) -> Namespace {
        Namespace::open(&self.path()).unwrap()
    }

    /// A command inside the namespace.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path().display())).arg(program);
        command
    }

    /// Runs a program inside the namespace.
    pub fn run(&self, program: &str, args: &[&str]) -> String {
        let net = format!("--net={}", self.path().display());
        run("nsenter", &[&[net.as_str(), program], args].concat())
    }

    /// What `ip -j` says inside the namespace.
    pub fn ip(&self, args: &[&str]) -> Vec<Value> {
        let text = self.run("ip", &[&["-j", "-d"], args].concat());
        if text.trim().is_empty() { Vec::new() } else { serde_json::from_str(&text).unwrap() }
    }

    /// The names of all devices, without the loopback.
    pub fn devices(&self) -> Vec<String> {
        let names = self.ip(&["link", "show"]).into_iter().map(|link| link["ifname"].as_str().unwrap().to_owned());
        names.filter(|name| name != "lo").collect()
    }

    pub fn remove(&self) {
        run("ip", &["netns", "del", &self.0]);
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        if self.path().exists() {
            Command::new("ip").args(["netns", "del", &self.0]).status().ok();
        }
    }
}

/// A program that ends with its value.
pub struct Daemon(pub Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// A node.
pub struct Node {
    pub ovs: Ovs,
    pub netns: Netns,
    vswitchd: Option<Daemon>,
    server: Option<Daemon>,
    dir: TempDir,
}

impl Node {
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("kdp").tempdir_in("/tmp").unwrap();
        let netns = Netns::new("node");
        run("ovsdb-tool", &["create", &text(&dir, "conf.db"), "/usr/share/openvswitch/vswitch.ovsschema"]);
        let ovs = Ovs::new(settings(&dir, &netns));
        let mut node = Self { ovs, netns, vswitchd: None, server: None, dir };
        node.start_server();
        node.start_switch();
        let datapath = ["--", "set", "bridge", BRIDGE, "datapath_type=netdev", "fail_mode=secure"];
        node.vsctl(&[&["add-br", BRIDGE][..], &datapath].concat());
        let management = text(&node.dir, &format!("{BRIDGE}.mgmt"));
        node.netns.run("ovs-ofctl", &["add-flow", &format!("unix:{management}"), "actions=NORMAL"]);
        node
    }

    /// The driver of another life of the daemon.
    pub fn another_life(&self) -> Ovs {
        Ovs::new(settings(&self.dir, &self.netns))
    }

    /// The names of the devices that wait for a pod in the holding namespace.
    pub fn waiting(&self) -> Vec<String> {
        if !self.dir.path().join("holding").exists() {
            return Vec::new();
        }
        let links: Vec<Value> = serde_json::from_str(&self.in_holding("ip", &["-j", "link", "show"])).unwrap();
        let waiting = links.iter().filter(|link| link["operstate"] == "DOWN" && link["ifname"] != "lo");
        waiting.map(|link| link["ifname"].as_str().unwrap().to_owned()).collect()
    }

    /// Runs a program inside the holding namespace.
    pub fn in_holding(&self, program: &str, args: &[&str]) -> String {
        run("nsenter", &[&[&format!("--net={}", self.file("holding")), program], args].concat())
    }

    /// OVN installs the flows of an interface.
    pub fn install(&self, interface: &str) {
        self.vsctl(&["set", "interface", interface, "external_ids:ovn-installed=true"]);
    }

    pub fn start_server(&mut self) {
        let mut command = self.daemon("ovsdb-server");
        command.arg(self.file("conf.db")).arg(format!("--remote=punix:{}", self.file("db.sock")));
        self.server = Some(Daemon(command.spawn().unwrap()));
        let socket = self.dir.path().join("db.sock");
        let limit = Instant::now() + PATIENCE;
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            assert!(Instant::now() < limit, "ovsdb-server did not start");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// `kill -9`.
    pub fn kill_server(&mut self) {
        self.server = None;
    }

    /// Stops (`-STOP`) or continues (`-CONT`) it.
    pub fn signal_server(&self, signal: &str) {
        let server = self.server.as_ref().unwrap().0.id().to_string();
        run("kill", &[signal, &server]);
    }

    /// Stops (`-STOP`) or continues (`-CONT`) it.
    pub fn signal_switch(&self, signal: &str) {
        let switch = self.vswitchd.as_ref().unwrap().0.id().to_string();
        run("kill", &[signal, &switch]);
    }

    pub fn start_switch(&mut self) {
        let mut command = self.daemon("ovs-vswitchd");
        command.arg(format!("unix:{}", self.file("db.sock")));
        self.vswitchd = Some(Daemon(command.spawn().unwrap()));
    }

    /// `kill -9`.
    pub fn kill_switch(&mut self) {
        self.vswitchd = None;
    }

    /// An orderly end that leaves no devices.
    pub fn exit_switch(&mut self) {
        run("ovs-appctl", &["-t", &self.file("ovs-vswitchd.ctl"), "exit", "--cleanup"]);
        if let Some(mut switch) = self.vswitchd.take() {
            switch.0.wait().unwrap();
        }
    }

    /// A program of Open vSwitch or OVN.
    pub fn daemon(&self, program: &str) -> Command {
        let mut command = self.daemon_without_files(program);
        command
            .arg(format!("--unixctl={}", self.file(&format!("{program}.ctl"))))
            .arg(format!("--log-file={}", self.file(&format!("{program}.log"))));
        command
    }

    /// The same without a control socket and a log.
    pub fn daemon_without_files(&self, program: &str) -> Command {
        let mut command = self.netns.command(program);
        let dir = self.dir.path();
        command
            .arg("-vconsole:off")
            .envs([("OVS_RUNDIR", dir), ("OVS_LOGDIR", dir), ("OVS_DBDIR", dir), ("OVS_SYSCONFDIR", dir)])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    pub fn file(&self, name: &str) -> String {
        text(&self.dir, name)
    }

    /// Runs `ovs-vsctl`, which waits for the switch to follow.
    pub fn vsctl(&self, args: &[&str]) -> String {
        let db = format!("--db=unix:{}", self.file("db.sock"));
        run("ovs-vsctl", &[&["--timeout=30", db.as_str()], args].concat()).trim().to_owned()
    }

    /// The ports of the bridge.
    pub fn ports(&self) -> Vec<String> {
        self.vsctl(&["list-ports", BRIDGE]).lines().map(str::to_owned).collect()
    }

    /// One of an interface's external ids.
    pub fn external_id(&self, interface: &str, key: &str) -> String {
        self.vsctl(&["--if-exists", "get", "interface", interface, &format!("external_ids:{key}")])
            .trim_matches('"')
            .to_owned()
    }

    /// The devices that pods' interfaces have on the node.
    pub fn veths(&self) -> Vec<String> {
        self.netns.devices().into_iter().filter(|name| name.starts_with(HOST_INTERFACE_PREFIX)).collect()
    }

    /// Says that nothing of any pod is left on the node: no device, no port, no row.
    pub fn assert_empty(&self) {
        assert_eq!(self.veths(), Vec::<String>::new());
        assert_eq!(self.ports(), Vec::<String>::new());
        let rows = self.vsctl(&["--bare", "--columns=name", "list", "interface"]);
        assert_eq!(rows, BRIDGE, "rows of the table Interface");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It is bound below the folder, which can't be removed before, and the driver still has it open.
        if self.dir.path().join("holding").exists() {
            Command::new("umount").arg("--lazy").arg(self.file("holding")).stderr(Stdio::null()).status().ok();
        }
    }
}

fn settings(dir: &TempDir, netns: &Netns) -> Settings {
    Settings {
        remote: Remote::Unix(dir.path().join("db.sock")),
        bridge: BRIDGE.to_owned(),
        namespace: netns.open(),
        holding: dir.path().join("holding"),
        timeout: PATIENCE,
    }
}

fn text(dir: &TempDir, name: &str) -> String {
    dir.path().join(name).display().to_string()
}

/// A pod's sandbox, number `number` of its network.
pub struct Pod {
    pub netns: Netns,
    pub attachment: Attachment,
}

pub const MTU: u32 = 1442;

impl Pod {
    pub fn new(number: u8) -> Self {
        let netns = Netns::new("pod");
        let addresses = [format!("10.244.0.{number}/16"), format!("fd00:244::{number:x}/64")];
        let attachment = Attachment {
            pod: PodRef {
                namespace: "default".to_owned(),
                name: format!("pod-{number}"),
                uid: format!("00000000-0000-0000-0000-0000000000{number:02x}"),
            },
            container_id: format!("container-{}", netns.0),
            netns: netns.path(),
            ifname: "eth0".to_owned(),
            port_id: format!("11111111-1111-1111-1111-1111111111{number:02x}"),
            mac: format!("fa:16:3e:00:00:{number:02x}").parse().unwrap(),
            mtu: MTU,
            addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
            routes: vec![route("0.0.0.0/0", "10.244.0.1"), route("::/0", "fd00:244::1")],
        };
        Self { netns, attachment }
    }

    pub fn host(&self) -> String {
        self.attachment.host_interface()
    }

    /// What the node holds before the pod has it.
    pub fn held(&self) -> HoldSpec {
        let Attachment { port_id, mac, mtu, .. } = self.attachment.clone();
        HoldSpec { port_id, mac, mtu }
    }
}

pub fn route(destination: &str, gateway: &str) -> Route {
    Route { destination: destination.parse().unwrap(), gateway: gateway.parse().unwrap() }
}
