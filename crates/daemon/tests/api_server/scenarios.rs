//! What is to be seen.

use crate::{
    cluster::{Cluster, NAMESPACE},
    support::{Daemon, call, folder, quick, until},
};
use kube::{
    Client,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use kuryr_api::CONTROLLER;
use kuryr_cni::Command;
use kuryr_core::names::{NEUTRON_PORT_FINALIZER, kuryr_port};
use kuryr_daemon::Timeouts;
use kuryr_datapath_fake::FakeSwitch;
use serde_json::{Value, json};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// A node with its daemon.
pub struct Rig {
    pub cluster: Cluster,
    pub switch: Arc<FakeSwitch>,
    pub daemon: Daemon,
    /// The daemon's way to the API server.
    way: Client,
    folder: TempDir,
}

impl Rig {
    pub async fn new(cluster: Cluster) -> Self {
        Self::with(cluster, quick()).await
    }

    pub async fn with(cluster: Cluster, timeouts: Timeouts) -> Self {
        let way = cluster.client.clone();
        Self::by(cluster, way, timeouts).await
    }

    /// A daemon that has another way to the API server.
    pub async fn by(cluster: Cluster, way: Client, timeouts: Timeouts) -> Self {
        let (switch, (folder, path)) = (FakeSwitch::new(), folder());
        let daemon = Daemon::start(&cluster.node, &path, way.clone(), &switch, timeouts).await;
        let rig = Self { cluster, switch, daemon, way, folder };
        until("readiness", || async { rig.daemon.admin("/ready").await.0 == 200 }).await;
        rig
    }

    /// `kill -9`, and a start.
    pub async fn killed_and_restarted(self) -> Self {
        self.daemon.kill().await;
        let daemon =
            Daemon::start(&self.cluster.node, self.folder.path(), self.way.clone(), &self.switch, quick()).await;
        until("readiness", || async { daemon.admin("/ready").await.0 == 200 }).await;
        Self { daemon, ..self }
    }

    /// A pod with its allocated KuryrPort. Gives the pod's name and uid, and the KuryrPort's name.
    pub async fn allocated(&self, name: &str) -> (String, String, String) {
        let pod = self.cluster.named(name);
        let uid = self.cluster.pod(&pod, json!({})).await;
        let port = self.cluster.claim(&pod, &uid).await;
        self.cluster.allocate(&port, true, "Allocated", "").await;
        (pod, uid, port)
    }

    pub async fn adds_in_flight(&self, adds: u64) {
        self.adds("addsInFlight", adds).await;
    }

    /// Waits until so many ADDs have their claim and are at work on their interfaces.
    pub async fn adds_plugging(&self, adds: u64) {
        self.adds("addsPlugging", adds).await;
    }

    async fn adds(&self, which: &str, adds: u64) {
        until(&format!("{which} to be {adds}"), || async {
            let state: Value = serde_json::from_str(&self.daemon.admin("/debug/state").await.1).unwrap();
            state[which] == adds
        })
        .await;
    }
}

pub async fn a_pod_gets_its_interface_and_gives_its_port_back(cluster: Cluster) {
    let rig = Rig::new(cluster.clone()).await;
    let pod = cluster.named("web");
    let uid = cluster.pod(&pod, json!({})).await;
    let add = rig.daemon.calling(call(Command::Add, "s1", &pod, &uid));
    rig.adds_in_flight(1).await;
    let port = cluster.claim(&pod, &uid).await;
    cluster.allocate(&port, true, "Allocated", "").await;
    let result = add.await.unwrap().unwrap();
    assert_eq!(result["ips"], json!([{"address": "10.244.0.7/16", "gateway": "10.244.0.1", "interface": 1}]));
    cluster.condition(&port, "Plugged", "True", "Connected").await;
    cluster.condition(&port, "Ready", "True", "DataplaneReady").await;
    assert_eq!(rig.switch.announced(), ["s1"]);
    assert_eq!(rig.daemon.call(call(Command::Status, "", "", "")).await, Ok(Value::Null));

    let mut check = call(Command::Check, "s1", &pod, &uid);
    assert_eq!(rig.daemon.call(check.clone()).await.unwrap_err().code, 7, "CHECK needs prevResult");
    check.config["prevResult"] = result.clone();
    assert_eq!(rig.daemon.call(check.clone()).await, Ok(Value::Null));
    check.config["prevResult"]["ips"][0]["address"] = "10.244.0.8/16".into();
    assert_eq!(rig.daemon.call(check).await.unwrap_err().code, 100);

    let again = rig.daemon.call(call(Command::Add, "s1", &pod, &uid)).await;
    assert_eq!(again, Ok(result), "a repeated ADD gives the same");
    cluster.delete_claim(&port).await;
    cluster.stays(|| async { cluster.finalizers(&port).await.unwrap().len() }).await;
    assert_eq!(rig.daemon.call(call(Command::Del, "s1", &pod, &uid)).await, Ok(Value::Null));
    cluster.confirmed(&port).await;
    let late = rig.daemon.call(call(Command::Add, "s1", &pod, &uid)).await.unwrap_err();
    assert!(late.msg.contains("gives its network port back"), "{late}");
    assert_eq!(rig.switch.sandboxes().len(), 0);
    rig.daemon.stop().await;
}

pub async fn an_add_ends_when_its_pod_goes(cluster: Cluster) {
    let rig = Rig::new(cluster.clone()).await;
    let pod = cluster.named("web");
    let uid = cluster.pod(&pod, json!({})).await;
    cluster.claim(&pod, &uid).await;
    let add = rig.daemon.calling(call(Command::Add, "s1", &pod, &uid));
    rig.adds_in_flight(1).await;
    let started = Instant::now();
    cluster.remove_pod(&pod).await;
    let error = add.await.unwrap().unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    // A deletion without grace passes through one with a deletionTimestamp.
    assert_eq!(error.code, 3, "{error}");
    assert!(error.msg.contains("is gone") || error.msg.contains("is being deleted"), "{error}");
    rig.daemon.stop().await;
}

pub async fn an_add_ends_when_its_claim_goes(cluster: Cluster) {
    let rig = Rig::new(cluster.clone()).await;
    rig.switch.set_ready(false);
    let (pod, uid, port) = rig.allocated("web").await;
    let add = rig.daemon.calling(call(Command::Add, "s1", &pod, &uid));
    until("the interface", || async { rig.switch.sandboxes() == ["s1"] }).await;
    cluster.delete_claim(&port).await;
    let error = add.await.unwrap().unwrap_err();
    assert!(error.msg.contains("gives its network port back"), "{error}");
    assert_eq!(rig.switch.sandboxes().len(), 0, "taken back");
    cluster.confirmed(&port).await;
    rig.daemon.stop().await;
}

pub async fn an_add_for_an_unknown_pod_ends(cluster: Cluster) {
    let rig = Rig::new(cluster.clone()).await;
    let started = Instant::now();
    let error = rig.daemon.call(call(Command::Add, "s1", &cluster.named("ghost"), "u-ghost")).await.unwrap_err();
    assert_eq!(error.code, 3, "{error}");
    assert!(started.elapsed() < Duration::from_secs(5), "the API server was asked, not the clock");
    rig.daemon.stop().await;
}

pub async fn an_add_says_why_there_are_no_addresses(cluster: Cluster) {
    let rig = Rig::with(cluster.clone(), Timeouts { add_seconds: 2, ..quick() }).await;
    let pod = cluster.named("web");
    let uid = cluster.pod(&pod, json!({})).await;
    let error = rig.daemon.call(call(Command::Add, "s1", &pod, &uid)).await.unwrap_err();
    assert_eq!(error.code, 11, "{error}");
    assert!(error.details.contains("no KuryrPort"), "{error}");
    let port = cluster.claim(&pod, &uid).await;
    cluster.allocate(&port, false, "QuotaExceeded", "No more ports.").await;
    let error = rig.daemon.call(call(Command::Add, "s2", &pod, &uid)).await.unwrap_err();
    assert_eq!(error.code, 11, "{error}");
    assert!(error.details.contains("QuotaExceeded: No more ports."), "{error}");
    rig.switch.set_ready(false);
    cluster.allocate(&port, true, "Allocated", "").await;
    let error = rig.daemon.call(call(Command::Add, "s3", &pod, &uid)).await.unwrap_err();
    assert_eq!(error.code, 11, "{error}");
    assert!(error.details.contains("ovn-controller"), "{error}");
    assert_eq!(rig.switch.sandboxes().len(), 0);
    rig.daemon.stop().await;
}

pub async fn a_killed_daemon_confirms_nothing_too_early(cluster: Cluster) {
    let rig = Rig::new(cluster.clone()).await;
    let (pod, uid, port) = rig.allocated("web").await;
    rig.daemon.call(call(Command::Add, "s1", &pod, &uid)).await.unwrap();
    cluster.delete_claim(&port).await;
    let rig = rig.killed_and_restarted().await;
    cluster.stays(|| async { cluster.finalizers(&port).await.unwrap().len() }).await;
    rig.switch.break_sandbox("s1");
    cluster.confirmed(&port).await;
    assert_eq!(rig.switch.sandboxes().len(), 0, "the lost DEL was made up for");
    rig.daemon.stop().await;
}

pub async fn a_claim_without_an_interface_is_released_after_a_crash(cluster: Cluster) {
    let rig = Rig::new(cluster.clone()).await;
    let (pod, uid, port) = rig.allocated("web").await;
    rig.switch.delay("s1");
    let add = rig.daemon.calling(call(Command::Add, "s1", &pod, &uid));
    rig.adds_in_flight(1).await;
    cluster.delete_claim(&port).await;
    cluster.stays(|| async { cluster.finalizers(&port).await.unwrap().len() }).await;
    rig.switch.hurry();
    assert!(add.await.unwrap().is_err());
    cluster.confirmed(&port).await;
    assert_eq!(rig.switch.sandboxes().len(), 0);
    rig.daemon.stop().await;
}

pub async fn other_pods_never_wait(cluster: Cluster) {
    let rig = Rig::new(cluster.clone()).await;
    let (slow, slow_uid, _) = rig.allocated("slow").await;
    let (quick, quick_uid, _) = rig.allocated("quick").await;
    rig.switch.delay("s1");
    let waiting = rig.daemon.calling(call(Command::Add, "s1", &slow, &slow_uid));
    rig.adds_in_flight(1).await;
    assert!(rig.daemon.call(call(Command::Add, "s2", &quick, &quick_uid)).await.is_ok());
    assert!(rig.daemon.call(call(Command::Del, "s2", &quick, &quick_uid)).await.is_ok());
    assert!(!waiting.is_finished());
    rig.switch.hurry();
    assert!(waiting.await.unwrap().is_ok());
    rig.daemon.stop().await;
}

pub async fn a_newer_sandbox_replaces_an_older_one(cluster: Cluster) {
    let rig = Rig::new(cluster.clone()).await;
    let (pod, uid, _) = rig.allocated("web").await;
    rig.daemon.call(call(Command::Add, "old", &pod, &uid)).await.unwrap();
    rig.daemon.call(call(Command::Add, "new", &pod, &uid)).await.unwrap();
    assert_eq!(rig.switch.sandboxes(), ["new"]);
    rig.daemon.call(call(Command::Del, "old", &pod, &uid)).await.unwrap();
    assert_eq!(rig.switch.sandboxes(), ["new"], "the late DEL of the old sandbox takes nothing away");
    rig.daemon.stop().await;
}

/// A plug in progress is finished or undone even when its ADD was cancelled, and takes the Neutron port wherever it is.
pub async fn a_newer_sandbox_waits_for_the_end_of_an_older_ones_add(cluster: Cluster) {
    let rig = Rig::new(cluster.clone()).await;
    let (pod, uid, _) = rig.allocated("web").await;
    rig.switch.delay("old");
    let old = rig.daemon.calling(call(Command::Add, "old", &pod, &uid));
    rig.adds_in_flight(1).await;
    let new = rig.daemon.calling(call(Command::Add, "new", &pod, &uid));
    rig.adds_in_flight(2).await;
    cluster.stays(|| async { rig.switch.sandboxes() }).await;
    rig.switch.hurry();
    assert!(old.await.unwrap().unwrap_err().msg.contains("cancelled"));
    new.await.unwrap().unwrap();
    assert_eq!(rig.switch.sandboxes(), ["new"]);
    rig.daemon.stop().await;
}

pub async fn a_recreated_pod_has_its_own_claim(cluster: Cluster) {
    let rig = Rig::new(cluster.clone()).await;
    let (pod, old_uid, old_port) = rig.allocated("db-0").await;
    rig.daemon.call(call(Command::Add, "s1", &pod, &old_uid)).await.unwrap();
    cluster.remove_pod(&pod).await;
    cluster.delete_claim(&old_port).await;
    let (_, new_uid, new_port) = rig.allocated("db-0").await;
    assert_ne!(old_port, new_port);
    assert!(rig.daemon.call(call(Command::Add, "s2", &pod, &new_uid)).await.is_ok(), "it doesn't wait for the old one");
    cluster.stays(|| async { cluster.finalizers(&old_port).await.unwrap().len() }).await;
    rig.daemon.call(call(Command::Del, "s1", &pod, &old_uid)).await.unwrap();
    cluster.confirmed(&old_port).await;
    assert_eq!(rig.switch.sandboxes(), ["s2"]);
    rig.daemon.stop().await;
}

pub async fn a_static_pod_is_served_under_its_mirrors_uid(cluster: Cluster) {
    let rig = Rig::new(cluster.clone()).await;
    let pod = cluster.named("static");
    let uid = cluster.pod(&pod, json!({"kubernetes.io/config.mirror": "hash-of-the-manifest"})).await;
    let port = cluster.claim(&pod, &uid).await;
    cluster.allocate(&port, true, "Allocated", "").await;
    assert!(rig.daemon.call(call(Command::Add, "s1", &pod, "hash-of-the-manifest")).await.is_ok());
    cluster.condition(&port, "Ready", "True", "DataplaneReady").await;
    rig.daemon.stop().await;
}

pub async fn a_lost_interface_is_reported(cluster: Cluster) {
    let rig = Rig::new(cluster.clone()).await;
    let (pod, uid, port) = rig.allocated("web").await;
    rig.daemon.call(call(Command::Add, "s1", &pod, &uid)).await.unwrap();
    cluster.condition(&port, "Ready", "True", "DataplaneReady").await;
    rig.switch.set_ready(false);
    cluster.condition(&port, "Ready", "False", "WaitingForDataplane").await;
    rig.switch.lose("s1");
    cluster.condition(&port, "Plugged", "False", "InterfaceMissing").await;
    assert!(rig.daemon.admin("/metrics").await.1.contains("kuryr_daemon_missing_interfaces 1"));
    rig.switch.set_ready(true);
    rig.daemon.call(call(Command::Add, "s2", &pod, &uid)).await.unwrap();
    cluster.condition(&port, "Plugged", "True", "Connected").await;
    rig.daemon.stop().await;
}

pub async fn leftovers_are_removed(cluster: Cluster) {
    let rig = Rig::with(cluster.clone(), Timeouts { orphan_seconds: 1, ..quick() }).await;
    let (kept, kept_uid, _) = rig.allocated("kept").await;
    let (lost, lost_uid, _) = rig.allocated("lost").await;
    rig.daemon.call(call(Command::Add, "s1", &kept, &kept_uid)).await.unwrap();
    rig.daemon.call(call(Command::Add, "s2", &lost, &lost_uid)).await.unwrap();
    cluster.remove_pod(&lost).await;
    until("the orphan's end", || async { rig.switch.sandboxes() == ["s1"] }).await;
    rig.switch.break_sandbox("s1");
    until("the leftover's end", || async { rig.switch.sandboxes().is_empty() }).await;
    let metrics = rig.daemon.admin("/metrics").await.1;
    assert!(metrics.contains(r#"kuryr_daemon_repaired_total{reason="orphan"} 1"#), "{metrics}");
    assert!(metrics.contains(r#"kuryr_daemon_repaired_total{reason="no_namespace"} 1"#), "{metrics}");
    rig.daemon.stop().await;
}

/// The controller has made the node's own port. Gives its name.
pub async fn node_port(cluster: &Cluster) -> String {
    let name = cluster.named("node-port");
    let object = json!({
        "apiVersion": "kuryr.openstack.org/v1alpha1", "kind": "KuryrPoolPort",
        "metadata": {"name": name, "finalizers": [NEUTRON_PORT_FINALIZER],
                     "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": cluster.node, "uid": "n1"}]},
        "spec": {"nodeName": cluster.node, "networkId": "net", "subnetIds": ["s"],
                 "claimRef": {"kind": "Node", "name": cluster.node, "uid": "n1", "interface": "kuryr0"}},
    });
    let api = cluster.pool_ports();
    api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
    let status = json!({
        "apiVersion": "kuryr.openstack.org/v1alpha1", "kind": "KuryrPoolPort", "metadata": {"name": name},
        "status": {"portId": "np", "macAddress": "fa:16:3e:00:00:09", "mtu": 1442,
                   "addresses": [{"ip": "10.244.0.9", "prefixLength": 16, "gateway": "10.244.0.1", "subnetId": "s"}],
                   "conditions": [{"type": "Created", "status": "True", "reason": "Created", "message": "",
                                   "lastTransitionTime": "2026-01-01T00:00:00Z"}]},
    });
    api.patch_status(&name, &PatchParams::apply(CONTROLLER).force(), &Patch::Apply(&status)).await.unwrap();
    name
}

pub async fn the_node_port_follows_its_object(cluster: Cluster) {
    let rig = Rig::new(cluster.clone()).await;
    assert_eq!(rig.switch.host_port(), None);
    let (name, api) = (node_port(&cluster).await, cluster.pool_ports());
    until("the node port", || async { rig.switch.host_port().is_some() }).await;
    let spec = rig.switch.host_port().unwrap();
    assert_eq!(spec.addresses, ["10.244.0.9/16".parse().unwrap()]);
    until("its announcement", || async { rig.switch.announced_host_port().as_ref() == Some(&spec) }).await;
    let routes: Vec<_> =
        spec.routes.iter().map(|route| format!("{} via {}", route.destination, route.gateway)).collect();
    assert_eq!(routes, ["10.96.0.0/16 via 10.244.0.1"]);
    until("the condition", || async {
        let conditions = api.get(&name).await.unwrap().status.unwrap().conditions;
        conditions.iter().any(|c| c.type_ == "Plugged" && c.status == "True") && conditions.len() == 2
    })
    .await;
    api.delete(&name, &DeleteParams::default()).await.unwrap();
    until("the node port's end", || async { rig.switch.host_port().is_none() }).await;
    rig.daemon.stop().await;
}

pub async fn a_converged_node_writes_nothing(cluster: Cluster) {
    let rig = Rig::new(cluster.clone()).await;
    let (pod, uid, port) = rig.allocated("web").await;
    rig.daemon.call(call(Command::Add, "s1", &pod, &uid)).await.unwrap();
    cluster.condition(&port, "Ready", "True", "DataplaneReady").await;
    let rig = rig.killed_and_restarted().await;
    cluster.stays(|| async { cluster.ports().get(&port).await.unwrap().metadata.resource_version }).await;
    assert_eq!(port, kuryr_port(&pod, &uid));
    let state = rig.daemon.admin("/debug/state").await.1;
    assert!(state.contains(&format!("{NAMESPACE}/{pod}")), "{state}");
    rig.daemon.stop().await;
}
