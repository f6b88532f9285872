//! Held ports on a real OVN: what its controller makes of them, and what its databases (so Neutron) get to see.

use crate::{
    fixture::{Daemon, Node, PATIENCE, Pod, eventually, run},
    packets::ping,
};
use kuryr_datapath::Driver;
use std::{
    fs::{self, File},
    process::Stdio,
    time::{Duration, Instant},
};
use tokio::time::timeout;

/// OVN's databases, its northd and the node's controller.
struct Ovn {
    node: Node,
    _processes: Vec<Daemon>,
}

impl Ovn {
    async fn new(pods: &[&Pod]) -> Self {
        let node = Node::new();
        let mut processes = Vec::new();
        for (name, schema) in [("nb", "ovn-nb"), ("sb", "ovn-sb")] {
            run(
                "ovsdb-tool",
                &["create", &node.file(&format!("{name}.db")), &format!("/usr/share/ovn/{schema}.ovsschema")],
            );
            let mut server = node.daemon("ovsdb-server");
            server
                .arg(node.file(&format!("{name}.db")))
                .arg(format!("--remote=punix:{}", node.file(&format!("{name}.sock"))));
            server.arg(format!("--unixctl={}", node.file(&format!("{name}.ctl"))));
            processes.push(Daemon(server.spawn().unwrap()));
        }
        let socket = |name: &str| format!("unix:{}", node.file(&format!("{name}.sock")));
        eventually("OVN's databases", || {
            ["nb.sock", "sb.sock"].iter().all(|name| fs::exists(node.file(name)).unwrap()).then_some(())
        })
        .await;
        let mut northd = node.daemon("ovn-northd");
        northd.arg(format!("--ovnnb-db={}", socket("nb"))).arg(format!("--ovnsb-db={}", socket("sb")));
        processes.push(Daemon(northd.spawn().unwrap()));
        let settings = [
            "system-id=node".to_owned(),
            format!("ovn-remote={}", socket("sb")),
            "ovn-encap-type=geneve".into(),
            "ovn-encap-ip=127.0.0.1".into(),
            "ovn-bridge-datapath-type=netdev".into(),
            format!("rundir={}", node.file("")),
        ]
        .map(|setting| format!("external-ids:{setting}"));
        let mut args = vec!["set", "open_vswitch", "."];
        args.extend(settings.iter().map(String::as_str));
        node.vsctl(&args);
        let mut controller = node.daemon_without_files("ovn-controller");
        controller.arg(format!("unix:{}", node.file("db.sock"))).env("OVN_RUNDIR", node.file(""));
        controller.arg(format!("--log-file={}", node.file("ovn-controller.log")));
        processes.push(Daemon(controller.spawn().unwrap()));
        let ovn = Self { node, _processes: processes };
        ovn.nbctl(&["ls-add", "net"]);
        for pod in pods {
            let spec = pod.held();
            let ips = pod.attachment.addresses.iter().map(|address| address.addr().to_string());
            let addresses = format!("{} {}", spec.mac, ips.collect::<Vec<_>>().join(" "));
            ovn.nbctl(&["lsp-add", "net", &spec.port_id, "--", "lsp-set-addresses", &spec.port_id, &addresses]);
        }
        ovn
    }

    fn nbctl(&self, args: &[&str]) -> String {
        let database = format!("--db=unix:{}", self.node.file("nb.sock"));
        run("ovn-nbctl", &[&["--timeout=30", database.as_str()], args].concat()).trim().to_owned()
    }

    /// Whether OVN tells Neutron that the port is up.
    fn is_up(&self, pod: &Pod) -> bool {
        self.nbctl(&["lsp-get-up", &pod.attachment.port_id]) == "up"
    }

    async fn up(&self, pod: &Pod) {
        eventually("the port is up", || self.is_up(pod).then_some(())).await;
    }

    async fn ready(&self, pod: &Pod) {
        let ready = self.node.ovs.wait_ready(&pod.attachment.container_id, "eth0");
        assert!(matches!(timeout(PATIENCE, ready).await, Ok(Ok(()))), "OVN installs no flows");
    }

    async fn held(&self, pod: &Pod) {
        self.node.ovs.hold(&pod.held()).await.unwrap();
        let (ovs, port) = (&self.node.ovs, &pod.attachment.port_id);
        let limit = Instant::now() + PATIENCE;
        while !ovs.held().await.unwrap().iter().any(|held| held.spec.port_id == *port && held.ready) {
            let log = || fs::read_to_string(self.node.file("ovn-controller.log")).unwrap_or_default();
            assert!(Instant::now() < limit, "OVN installs no flows for a held port: {}", log());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.up(pod).await;
    }

    /// Writes all changes of the port bindings into a file from now on.
    async fn watch_bindings(&self) -> (Daemon, String) {
        let file = self.node.file("bindings");
        let mut monitor = self.node.daemon_without_files("ovsdb-client");
        let remote = format!("unix:{}", self.node.file("sb.sock"));
        monitor.args(["monitor", &remote, "OVN_Southbound", "Port_Binding", "logical_port,chassis,up"]);
        let child = Daemon(monitor.stdout(File::create(&file).unwrap()).stderr(Stdio::null()).spawn().unwrap());
        eventually("the first rows", || fs::read_to_string(&file).unwrap().contains("initial").then_some(())).await;
        (child, file)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_port_is_ready_before_its_pod_and_again_after_it() {
    let (one, two) = (Pod::new(11), Pod::new(12));
    let ovn = Ovn::new(&[&one, &two]).await;
    let ovs = &ovn.node.ovs;
    assert!(!ovn.is_up(&one));
    ovn.held(&one).await;
    let (_monitor, bindings) = ovn.watch_bindings().await;
    let seen = || fs::read_to_string(&bindings).unwrap();
    for _ in 0..3 {
        let before = seen();
        assert!(ovs.plug(&one.attachment).await.unwrap().was_held);
        let [attached] = ovs.attachments().await.unwrap().try_into().unwrap();
        assert!(attached.ready, "OVN had something to do");
        assert_eq!(seen(), before, "OVN's southbound database, and with it Neutron, noticed the pod");
        ovs.give_back(&one.attachment.container_id, "eth0").await.unwrap();
        let again = Instant::now();
        ovn.held(&one).await;
        println!("ready for the next pod after {:?}", again.elapsed());
    }
    assert!(ovs.plug(&one.attachment).await.unwrap().was_held);
    ovs.plug(&two.attachment).await.unwrap();
    ovn.ready(&two).await;
    ping(&one.netns, "10.244.0.12");
    ping(&two.netns, "fd00:244::b");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_long_until_packets_pass() {
    let pods: Vec<Pod> = (11..21).map(Pod::new).collect();
    let ovn = Ovn::new(&pods.iter().collect::<Vec<_>>()).await;
    let (made, held) = pods.split_at(5);
    for pod in held {
        ovn.held(pod).await;
    }
    let mut medians = Vec::new();
    for (what, pods) in [("made", made), ("held", held)] {
        let mut times = Vec::new();
        for pod in pods {
            let start = Instant::now();
            let plugged = ovn.node.ovs.plug(&pod.attachment).await.unwrap();
            let connected = start.elapsed();
            ovn.ready(pod).await;
            assert_eq!(plugged.was_held, what == "held");
            times.push((start.elapsed(), connected));
        }
        times.sort();
        println!("{what}: ready after {:?}, of it plugging {:?}", times[2].0, times[2].1);
        medians.push(times[2].0);
    }
    println!("a held port takes {:.2} of the time", medians[1].as_secs_f64() / medians[0].as_secs_f64());
}
