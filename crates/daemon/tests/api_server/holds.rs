//! Free ports that are held ready, and who says that a port is ready.

use crate::{
    cluster::Cluster,
    scenarios::Rig,
    support::{call, until},
};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kuryr_api::{CONTROLLER, KuryrPort};
use kuryr_cni::Command;
use kuryr_core::names::NEUTRON_PORT_FINALIZER;
use serde_json::{Value, json};

impl Cluster {
    /// The controller has made the node's pool.
    pub async fn pool(&self, to_plug: u32) -> String {
        let name = self.named("pool");
        let object = json!({
            "apiVersion": "kuryr.openstack.org/v1alpha1", "kind": "KuryrPool", "metadata": {"name": name},
            "spec": {"nodeName": self.node, "networkId": "net", "subnetIds": ["s"]},
        });
        self.pools().create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
        self.to_plug(&name, to_plug).await;
        name
    }

    async fn to_plug(&self, pool: &str, to_plug: u32) {
        let mut status = json!({"toPlug": to_plug});
        for count in [
            "minimum",
            "maximum",
            "target",
            "free",
            "plugged",
            "coolingDown",
            "creating",
            "claimed",
            "waiting",
            "demand",
        ] {
            status[count] = json!(0);
        }
        let patch = json!({"apiVersion": "kuryr.openstack.org/v1alpha1", "kind": "KuryrPool", "metadata": {"name": pool},
                           "status": status});
        self.pools().patch_status(pool, &PatchParams::apply(CONTROLLER).force(), &Patch::Apply(&patch)).await.unwrap();
    }

    /// The controller has made a free port, which Neutron calls `id`.
    pub async fn free_port(&self, name: &str, id: &str) -> String {
        let name = self.named(name);
        let object = json!({
            "apiVersion": "kuryr.openstack.org/v1alpha1", "kind": "KuryrPoolPort",
            "metadata": {"name": name, "finalizers": [NEUTRON_PORT_FINALIZER]},
            "spec": {"nodeName": self.node, "networkId": "net", "subnetIds": ["s"]},
        });
        self.pool_ports().create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
        let status = json!({
            "apiVersion": "kuryr.openstack.org/v1alpha1", "kind": "KuryrPoolPort", "metadata": {"name": name},
            "status": {"portId": id, "macAddress": "fa:16:3e:00:00:07", "mtu": 1442,
                       "conditions": [{"type": "Created", "status": "True", "reason": "Created", "message": "",
                                       "lastTransitionTime": "2026-01-01T00:00:00Z"}]},
        });
        let params = PatchParams::apply(CONTROLLER).force();
        self.pool_ports().patch_status(&name, &params, &Patch::Apply(&status)).await.unwrap();
        name
    }

    /// The controller has given a port to a KuryrPort, or has taken it back.
    async fn claimed(&self, port: &str, claim: Option<&str>) {
        let claim = claim.map(
            |name| json!({"kind": "KuryrPort", "namespace": "shop", "name": name, "uid": "k", "interface": "eth0"}),
        );
        let patch = json!({"spec": {"claimRef": claim}});
        self.pool_ports().patch(port, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    }

    /// Waits until the port's condition `Plugged` says so.
    async fn said(&self, port: &str, status: &str, reason: &str) {
        until(&format!("Plugged={status} ({reason}) of {port}"), || async {
            let conditions = self.pool_ports().get(port).await.unwrap().status.unwrap().conditions;
            conditions.iter().any(|c| c.type_ == "Plugged" && c.status == status && c.reason == reason)
        })
        .await;
    }
}

pub async fn held(rig: &Rig, ports: &[&str]) {
    until(&format!("{ports:?} held"), || async { rig.switch.held_ports() == ports }).await;
}

pub async fn free_ports_are_held_as_the_pool_says(cluster: Cluster) {
    let rig = Rig::new(cluster.clone()).await;
    let mut ports = Vec::new();
    for id in ["a", "b", "c"] {
        ports.push(cluster.free_port(id, id).await);
    }
    let pool = cluster.pool(2).await;
    held(&rig, &["a", "b"]).await;
    cluster.said(&ports[0], "True", "Held").await;
    cluster.said(&ports[1], "True", "Held").await;
    // Neutron, or the controller, takes one away: the next takes its place.
    let merge = |patch: Value| Patch::Merge(patch);
    cluster.pool_ports().delete(&ports[0], &DeleteParams::default()).await.unwrap();
    held(&rig, &["b", "c"]).await;
    // What was never said isn't taken back.
    cluster.said(&ports[2], "True", "Held").await;
    cluster.to_plug(&pool, 1).await;
    until("one held", || async { rig.switch.held_ports().len() == 1 }).await;
    let rig = rig.killed_and_restarted().await;
    let before = rig.switch.held_ports();
    let versions = || async {
        let mut versions = Vec::new();
        for port in &ports[1..] {
            versions.push(cluster.pool_ports().get(port).await.unwrap().metadata.resource_version);
        }
        (versions, rig.switch.held_ports())
    };
    let (kept, dropped) = if before == ["b"] { (1, 2) } else { (2, 1) };
    cluster.said(&ports[dropped], "False", "NotHeld").await;
    cluster.said(&ports[kept], "True", "Held").await;
    cluster.stays(versions).await;
    cluster.pools().delete(&pool, &DeleteParams::default()).await.unwrap();
    held(&rig, &[]).await;
    let patch = merge(json!({"metadata": {"finalizers": null}}));
    cluster.pool_ports().patch(&ports[0], &PatchParams::default(), &patch).await.unwrap();
    rig.daemon.stop().await;
}

pub async fn a_pod_takes_a_held_port_and_gives_it_back(cluster: Cluster) {
    let rig = Rig::new(cluster.clone()).await;
    let (pod, uid, claim) = rig.allocated("web").await;
    let id = format!("port-of-{claim}");
    let port = cluster.free_port("p", &id).await;
    let pool = cluster.pool(1).await;
    held(&rig, &[&id]).await;
    cluster.said(&port, "True", "Held").await;
    cluster.claimed(&port, Some(&claim)).await;
    cluster.stays(|| async { rig.switch.held_ports() }).await;
    rig.daemon.call(call(Command::Add, "s1", &pod, &uid)).await.unwrap();
    held(&rig, &[]).await;
    let metrics = rig.daemon.admin("/metrics").await.1;
    assert!(metrics.contains(r#"kuryr_daemon_plugged_total{way="held"} 1"#), "{metrics}");
    cluster.condition(&claim, "Ready", "True", "DataplaneReady").await;
    rig.daemon.call(call(Command::Del, "s1", &pod, &uid)).await.unwrap();
    assert_eq!((rig.switch.held_ports(), rig.switch.sandboxes()), (vec![id.clone()], vec![]));
    // The pod's port is given back as ever, and stays held for the next.
    cluster.remove_pod(&pod).await;
    cluster.delete_claim(&claim).await;
    cluster.confirmed(&claim).await;
    cluster.claimed(&port, None).await;
    cluster.stays(|| async { rig.switch.held_ports() }).await;
    cluster.to_plug(&pool, 0).await;
    held(&rig, &[]).await;
    cluster.said(&port, "False", "NotHeld").await;
    rig.daemon.stop().await;
}

pub async fn many_dels_at_once_leave_no_more_ports_held_than_the_pool_needs(cluster: Cluster) {
    let rig = Rig::new(cluster.clone()).await;
    let mut pods = Vec::new();
    for sandbox in ["s1", "s2"] {
        let (pod, uid, claim) = rig.allocated(sandbox).await;
        let port = cluster.free_port(sandbox, &format!("port-of-{claim}")).await;
        cluster.claimed(&port, Some(&claim)).await;
        rig.daemon.call(call(Command::Add, sandbox, &pod, &uid)).await.unwrap();
        pods.push(call(Command::Del, sandbox, &pod, &uid));
    }
    // The daemon knows of all ports by the time it holds the last one, and the pool has use for one beside it, which rests.
    cluster.free_port("a", "a").await;
    cluster.pool(1).await;
    held(&rig, &["a"]).await;
    rig.switch.delay("s1");
    let (first, second) = (pods.remove(0), pods.remove(0));
    let first = rig.daemon.calling(first);
    until("the first one's port is on its way", || async { rig.switch.giving_back() == 1 }).await;
    rig.daemon.call(second).await.unwrap();
    assert_eq!(rig.switch.held_ports(), ["a"], "nobody needs a third one");
    rig.switch.hurry();
    first.await.unwrap().unwrap();
    assert_eq!(rig.switch.held_ports().len(), 2);
    rig.daemon.stop().await;
}

pub async fn holding_and_repair_wait_for_adds_that_plug(cluster: Cluster) {
    let rig = Rig::new(cluster.clone()).await;
    let (pod, uid, _) = rig.allocated("web").await;
    rig.switch.delay("s1");
    let adding = rig.daemon.calling(call(Command::Add, "s1", &pod, &uid));
    rig.adds_plugging(1).await;
    rig.switch.leave("kpod-half-made");
    cluster.free_port("a", "a").await;
    cluster.pool(1).await;
    cluster.stays(|| async { (rig.switch.held_ports(), rig.switch.left()) }).await;
    assert_eq!((rig.switch.held_ports(), rig.switch.left()), (vec![], 1));
    rig.switch.hurry();
    adding.await.unwrap().unwrap();
    held(&rig, &["a"]).await;
    until("the leftover's end", || async { rig.switch.left() == 0 }).await;
    rig.daemon.stop().await;
}

pub async fn a_pod_that_waits_for_its_port_keeps_nothing_back(cluster: Cluster) {
    let rig = Rig::new(cluster.clone()).await;
    let pod = cluster.named("web");
    let uid = cluster.pod(&pod, json!({})).await;
    let claim = cluster.claim(&pod, &uid).await;
    cluster.allocate(&claim, false, "QuotaExceeded", "No more ports.").await;
    let adding = rig.daemon.calling(call(Command::Add, "s1", &pod, &uid));
    rig.adds_in_flight(1).await;
    rig.switch.leave("kpod-of-a-crash");
    let port = cluster.free_port("a", "a").await;
    let pool = cluster.pool(1).await;
    held(&rig, &["a"]).await;
    cluster.said(&port, "True", "Held").await;
    until("the leftover's end", || async { rig.switch.left() == 0 }).await;
    cluster.to_plug(&pool, 0).await;
    held(&rig, &[]).await;
    cluster.said(&port, "False", "NotHeld").await;
    rig.adds_in_flight(1).await;
    cluster.allocate(&claim, true, "Allocated", "").await;
    adding.await.unwrap().unwrap();
    rig.daemon.stop().await;
}

pub async fn repair_does_not_wait_for_a_dataplane(cluster: Cluster) {
    let rig = Rig::new(cluster.clone()).await;
    let (pod, uid, _) = rig.allocated("web").await;
    rig.switch.set_ready(false);
    let adding = rig.daemon.calling(call(Command::Add, "s1", &pod, &uid));
    until("the interface", || async { rig.switch.sandboxes() == ["s1"] }).await;
    rig.switch.leave("kpod-of-a-crash");
    until("the leftover's end", || async { rig.switch.left() == 0 }).await;
    assert!(!adding.is_finished());
    rig.switch.set_ready(true);
    adding.await.unwrap().unwrap();
    assert_eq!(rig.switch.sandboxes(), ["s1"]);
    rig.daemon.stop().await;
}

pub async fn neutron_says_that_a_port_is_ready(cluster: Cluster) {
    let rig = Rig::new(cluster.clone()).await;
    let (pod, uid, claim) = rig.allocated("web").await;
    let patch = |active: bool| {
        let condition = |type_: &str, status: bool| {
            json!({"type": type_, "status": if status { "True" } else { "False" }, "reason": "r", "message": "",
                   "lastTransitionTime": "2026-01-01T00:00:00Z"})
        };
        json!({
            "apiVersion": "kuryr.openstack.org/v1alpha1", "kind": "KuryrPort", "metadata": {"name": claim},
            "status": {
                "conditions": [condition("Allocated", true), condition("Active", active)],
                "interfaces": [{
                    "name": "eth0", "poolPort": "p", "portId": "np", "macAddress": "fa:16:3e:00:00:07", "mtu": 1442,
                    "addresses": [{"ip": "10.244.0.7", "prefixLength": 16, "subnetId": "s"}],
                    "binding": {"kind": "OVS", "readiness": "NeutronStatus"},
                }],
            },
        })
    };
    let say = async |active| {
        let params = PatchParams::apply(CONTROLLER).force();
        let api: kube::Api<KuryrPort> = cluster.ports();
        api.patch_status(&claim, &params, &Patch::Apply(&patch(active))).await.unwrap();
    };
    say(false).await;
    // The API server has it; the daemon's cache is told of it before the next scenario's patience ends.
    until("the binding in the cache", || async {
        let version = cluster.ports().get(&claim).await.unwrap().metadata.resource_version.unwrap();
        rig.daemon.admin("/debug/state").await.1.contains(&format!(r#""resourceVersion":"{version}""#))
    })
    .await;
    let adding = rig.daemon.calling(call(Command::Add, "s1", &pod, &uid));
    until("the interface", || async { rig.switch.sandboxes() == ["s1"] }).await;
    cluster.stays(|| async { adding.is_finished() }).await;
    assert!(!adding.is_finished());
    say(true).await;
    adding.await.unwrap().unwrap();
    cluster.condition(&claim, "Ready", "True", "NeutronActive").await;
    say(false).await;
    cluster.condition(&claim, "Ready", "False", "WaitingForNeutron").await;
    rig.daemon.stop().await;
}
