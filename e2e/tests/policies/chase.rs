//! Somebody knocks at the pods of a namespace from the moment on in which their addresses are known, which is before they start.

use anyhow::{Result, ensure};
use futures::StreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kuryr_api::KuryrPort;
use kuryr_e2e::{
    Cluster,
    inside::Inside,
    policies::{knock::Knocker, measure::ENFORCED},
    wait::{eventually, holds},
};
use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio_util::task::AbortOnDropHandle;

/// So many knocks at an address are enough: some seconds of them.
const ENOUGH: usize = 100;

/// It ends when it is dropped.
pub struct Chase {
    knocker: Arc<Mutex<Knocker>>,
    _watch: AbortOnDropHandle<()>,
}

impl Chase {
    /// Begins to knock at a port of all pods of a namespace, from inside of another pod.
    pub fn begin(cluster: &Cluster, namespace: &str, inside: Arc<Inside>, port: u16) -> Self {
        let knocker = Arc::new(Mutex::new(Knocker::new(port)));
        let (ports, by_watch) = (watcher(cluster.api(namespace), watcher::Config::default()), knocker.clone());
        let watch = ports.for_each(move |event| {
            follow(&mut lock(&by_watch), &inside, event);
            std::future::ready(())
        });
        Self { knocker, _watch: AbortOnDropHandle::new(tokio::spawn(watch)) }
    }

    /// Waits until there were enough knocks at these addresses.
    pub async fn has_knocked(&self, addresses: &[IpAddr]) -> Result<()> {
        eventually("enough knocks", ENFORCED, async || {
            let heard = lock(&self.knocker).heard();
            let lacks = addresses.iter().find(|ip| heard.get(ip).is_none_or(|heard| heard.knocks < ENOUGH));
            holds(lacks.is_none(), || format!("at {lacks:?}: {:?}", lacks.and_then(|ip| heard.get(ip))))
        })
        .await
    }

    /// How often packets got through to an address.
    pub fn through(&self, ip: IpAddr) -> usize {
        lock(&self.knocker).heard().get(&ip).map(|heard| heard.through).unwrap_or_default()
    }

    /// Fails if packets got through to one of these addresses.
    pub async fn was_silent(&self, addresses: &[IpAddr]) -> Result<()> {
        self.has_knocked(addresses).await?;
        let open: Vec<_> = addresses.iter().map(|ip| (ip, self.through(*ip))).filter(|(_, times)| *times > 0).collect();
        ensure!(open.is_empty(), "packets got through to {open:?}");
        Ok(())
    }
}

fn follow(knocker: &mut Knocker, inside: &Inside, event: Result<Event<KuryrPort>, watcher::Error>) {
    match event {
        Ok(Event::Apply(port) | Event::InitApply(port)) => addresses(&port).for_each(|ip| knocker.begin(inside, ip)),
        Ok(Event::Delete(port)) => addresses(&port).for_each(|ip| knocker.end(ip)),
        Ok(Event::Init | Event::InitDone) | Err(_) => {}
    }
}

fn addresses(port: &KuryrPort) -> impl Iterator<Item = IpAddr> {
    let interfaces = port.status.iter().flat_map(|status| &status.interfaces);
    interfaces.flat_map(|interface| interface.addresses.iter().map(|address| address.ip))
}

fn lock(knocker: &Mutex<Knocker>) -> MutexGuard<'_, Knocker> {
    knocker.lock().unwrap_or_else(PoisonError::into_inner)
}
