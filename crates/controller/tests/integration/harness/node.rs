//! The nodes of a world: what their daemons and kubelets do.

use super::cloud::Cloud;
use futures::TryStreamExt;
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, Patch, PatchParams},
    runtime::{WatchStreamExt, watcher},
};
use kuryr_api::{DAEMON, KuryrPort, conditions};
use kuryr_core::names;
use serde_json::json;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::{Arc, Mutex},
};
use tokio::sync::Notify;

/// All nodes of a world, and the network that they share.
#[derive(Clone, Default)]
pub struct Nodes {
    state: Arc<Mutex<State>>,
    /// A node has come back.
    found: Arc<Notify>,
}

#[derive(Default)]
struct State {
    /// Which claim answers to an address, on whatever node.
    addresses: BTreeMap<IpAddr, String>,
    /// Nodes that say nothing.
    silent: BTreeSet<String>,
    /// What must never have happened.
    wrongs: Vec<String>,
}

impl Nodes {
    /// Has the nodes do their work for as long as this is polled.
    pub async fn work(self, client: Client, namespace: String, cloud: Cloud) {
        let ports: Api<KuryrPort> = Api::namespaced(client, &namespace);
        let watch = watcher(ports.clone(), watcher::Config::default()).default_backoff().applied_objects();
        let mut watch = std::pin::pin!(watch);
        loop {
            tokio::select! {
                event = watch.try_next() => match event {
                    Ok(Some(port)) => self.serve(&ports, port, &cloud).await,
                    Ok(None) => return,
                    // Malformed objects are the controller's matter.
                    Err(_) => {}
                },
                () = self.found.notified() => self.look_over(&ports, &cloud).await,
            }
        }
    }

    /// As a daemon that starts: what was deleted while it was away is confirmed, because nothing of it is there any more.
    async fn look_over(&self, ports: &Api<KuryrPort>, cloud: &Cloud) {
        match ports.list(&ListParams::default()).await {
            Ok(all) => {
                for port in all {
                    self.serve(ports, port, cloud).await;
                }
            }
            Err(_) => self.found.notify_one(),
        }
    }

    async fn serve(&self, ports: &Api<KuryrPort>, port: KuryrPort, cloud: &Cloud) {
        let uid = port.uid().unwrap();
        if self.is_silent(&port.spec.node_name) {
            return;
        }
        if port.metadata.deletion_timestamp.is_some() {
            self.unplug(&uid);
            cloud.unplug(&uid);
            confirm(ports, &port).await;
        } else if let Some(status) =
            port.status.as_ref().filter(|s| conditions::is_true(&s.conditions, conditions::ALLOCATED))
        {
            for interface in &status.interfaces {
                cloud.plug(&interface.port_id, &uid);
                interface.addresses.iter().for_each(|address| self.plug(address.ip, &uid));
            }
            // Lost meanwhile, and with it what it has just plugged.
            if self.is_silent(&port.spec.node_name) {
                self.unplug(&uid);
                return cloud.unplug(&uid);
            }
            if !conditions::is_true(&status.conditions, conditions::PLUGGED) {
                tell_plugged(ports, &port).await;
            }
        }
    }

    fn is_silent(&self, node: &str) -> bool {
        self.state.lock().unwrap().silent.contains(node)
    }

    /// A claim answers to an address.
    fn plug(&self, address: IpAddr, claim: &str) {
        let mut state = self.state.lock().unwrap();
        let before = state.addresses.insert(address, claim.to_owned());
        if let Some(before) = before.filter(|before| before != claim) {
            state.wrongs.push(format!("{address} is plugged for the KuryrPorts {before} and {claim} at a time"));
        }
    }

    fn unplug(&self, claim: &str) {
        self.state.lock().unwrap().addresses.retain(|_, holder| holder != claim);
    }

    /// A node is gone, and what it had plugged for these claims with it.
    pub fn lose(&self, node: &str, claims: &[String]) {
        self.state.lock().unwrap().silent.insert(node.to_owned());
        claims.iter().for_each(|claim| self.unplug(claim));
    }

    /// There is a node of this name again.
    pub fn find(&self, node: &str) {
        self.state.lock().unwrap().silent.remove(node);
        self.found.notify_one();
    }

    /// What must never have happened and did.
    pub fn wrongs(&self) -> Vec<String> {
        self.state.lock().unwrap().wrongs.clone()
    }
}

/// The interface is gone, says the daemon.
async fn confirm(ports: &Api<KuryrPort>, port: &KuryrPort) {
    let rest: Vec<_> = port.finalizers().iter().filter(|held| *held != names::INTERFACE_FINALIZER).collect();
    let version = port.resource_version();
    let patch = json!({ "metadata": { "resourceVersion": version, "finalizers": rest } });
    // Refused, it comes again with the change that was first.
    let _ = ports.patch_metadata(&port.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await;
}

async fn tell_plugged(ports: &Api<KuryrPort>, port: &KuryrPort) {
    let now = jiff::Timestamp::now();
    let condition = |type_: &str| json!({ "type": type_, "status": "True", "reason": "Connected", "message": "", "lastTransitionTime": now });
    let patch = json!({
        "apiVersion": "kuryr.openstack.org/v1alpha1", "kind": "KuryrPort",
        "metadata": { "name": port.name_any(), "uid": port.uid() },
        "status": { "conditions": [condition(conditions::PLUGGED), condition(conditions::READY)] },
    });
    // It may be gone by now.
    let _ = ports.patch_status(&port.name_any(), &PatchParams::apply(DAEMON).force(), &Patch::Apply(&patch)).await;
}
