//! Everything that happened to the claims and ports of a world, in the order in which it happened.
//!
//! One etcd counts the versions of all kinds, so the changes of several watches have one order, and a promise can be
//! checked for every moment between two of them: nothing is left to when somebody looked.

use futures::{StreamExt, TryStreamExt};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{ListParams, WatchEvent, WatchParams},
};
use kuryr_api::{KuryrPoolPort, KuryrPort};
use serde::de::DeserializeOwned;
use std::{
    collections::BTreeMap,
    fmt::Debug,
    sync::{Arc, Mutex},
};

/// The changes since the beginning, by version.
#[derive(Clone, Default)]
pub struct History(Arc<Mutex<BTreeMap<u64, Change>>>);

enum Change {
    Port(Box<KuryrPort>, bool),
    PoolPort(Box<KuryrPoolPort>, bool),
}

impl History {
    /// Writes what happens, for as long as this is polled.
    pub async fn record(self, client: Client, world: String) {
        let ports: Api<KuryrPort> = Api::namespaced(client.clone(), &world);
        let pool_ports: Api<KuryrPoolPort> = Api::all(client);
        let of_world = move |port: &KuryrPoolPort| port.name_any().starts_with(&world);
        let (one, other) = (self.clone(), self.clone());
        tokio::join!(
            follow(ports, move |version, port, gone| one.add(version, Change::Port(Box::new(port), gone))),
            follow(pool_ports, move |version, port, gone| {
                if of_world(&port) {
                    other.add(version, Change::PoolPort(Box::new(port), gone));
                }
            }),
        );
    }

    fn add(&self, version: u64, change: Change) {
        self.0.lock().unwrap().insert(version, change);
    }

    /// What was wrong at any moment: a pod with two claims (P1), an address with two claims that live, or a claim without
    /// the port that it was told to have (P2).
    pub fn wrongs(&self) -> Vec<String> {
        let changes = self.0.lock().unwrap();
        let (mut ports, mut pool_ports, mut wrongs) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        for (version, change) in &*changes {
            match change {
                Change::Port(port, true) => drop(ports.remove(&port.uid().unwrap())),
                Change::Port(port, false) => drop(ports.insert(port.uid().unwrap(), &**port)),
                Change::PoolPort(port, true) => drop(pool_ports.remove(&port.name_any())),
                Change::PoolPort(port, false) => drop(pool_ports.insert(port.name_any(), &**port)),
            }
            wrongs.extend(wrong(&ports, &pool_ports).into_iter().map(|wrong| format!("at version {version}: {wrong}")));
        }
        wrongs
    }
}

/// What is wrong at one moment.
fn wrong(ports: &BTreeMap<String, &KuryrPort>, pool_ports: &BTreeMap<String, &KuryrPoolPort>) -> Vec<String> {
    let (mut wrongs, mut by_pod, mut by_address) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
    for (uid, port) in ports {
        let name = port.name_any();
        if let Some(other) = by_pod.insert(&port.spec.pod_uid, name.clone()) {
            wrongs.push(format!("the pod of {name} has {other}, too"));
        }
        for interface in port.status.iter().flat_map(|status| &status.interfaces) {
            for address in &interface.addresses {
                if let Some(other) = by_address.insert(address.ip, name.clone()) {
                    wrongs.push(format!("{} is the address of {name} and of {other}", address.ip));
                }
            }
            let held = pool_ports.get(&interface.pool_port);
            let claimed = held.is_some_and(|held| {
                let claim = held.spec.claim_ref.as_ref();
                claim.is_some_and(|claim| claim.uid == *uid)
                    && held.status.as_ref().and_then(|status| status.port_id.as_ref()) == Some(&interface.port_id)
            });
            if !claimed {
                let held = held.map(|held| (&held.spec.claim_ref, held.status.as_ref().map(|status| &status.port_id)));
                wrongs.push(format!("{name} was told to have {}, which is {held:?}", interface.pool_port));
            }
        }
    }
    wrongs
}

/// Tells every change of a kind, none left out.
async fn follow<K>(api: Api<K>, tell: impl Fn(u64, K, bool))
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    let list = api.list(&ListParams::default()).await.unwrap();
    let mut version = list.metadata.resource_version.unwrap();
    for object in list.items {
        tell(number(&object), object, false);
    }
    loop {
        let watch = api.watch(&WatchParams::default().timeout(290), &version).await.unwrap();
        let mut watch = watch.boxed();
        while let Ok(Some(event)) = watch.try_next().await {
            let (object, gone) = match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => (object, false),
                WatchEvent::Deleted(object) => (object, true),
                WatchEvent::Bookmark(bookmark) => {
                    version = bookmark.metadata.resource_version;
                    continue;
                }
                WatchEvent::Error(error) => panic!("the history has a gap: {error}"),
            };
            version = object.resource_version().unwrap();
            tell(number(&object), object, gone);
        }
    }
}

fn number<K: Resource>(object: &K) -> u64 {
    object.meta().resource_version.as_ref().unwrap().parse().unwrap()
}
