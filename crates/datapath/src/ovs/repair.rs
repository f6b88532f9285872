//! What is attached on this node, and what was left behind.

use super::{Inner, USERSPACE_DATAPATH, hold, holding, plug, record};
use crate::{Attached, Result, Stale, StaleReason, netlink::Link, netns::Namespace, ovsdb::View};
use kuryr_core::names::{HOST_INTERFACE_PREFIX, MAX_INTERFACE_NAME};
use std::collections::{HashMap, HashSet};

/// The attachments that stand in the OVSDB.
pub(super) async fn attachments(inner: &Inner) -> Result<Vec<Attached>> {
    Ok(inner.client.read_fresh("the attached interfaces", attached).await?)
}

fn attached(view: &View) -> Vec<Attached> {
    view.interfaces.values().filter_map(record::read).collect()
}

/// Whether a device has a name as `kuryr_core::names::host_interface` gives them.
fn is_ours(name: &str) -> bool {
    name.len() == MAX_INTERFACE_NAME
        && name
            .strip_prefix(HOST_INTERFACE_PREFIX)
            .is_some_and(|digest| digest.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

pub(super) async fn stale(inner: &Inner) -> Result<Vec<Stale>> {
    let node = inner.node_netlink().await?;
    let devices: HashSet<String> = node.links().await?.into_iter().map(|link| link.name).collect();
    let (attached, held, interfaces, userspace) = inner
        .client
        .read_fresh("the attached interfaces", |view| {
            let names = view.interfaces.values().map(|interface| interface.name.clone());
            let bridge = view.bridge(&inner.settings.bridge);
            let userspace = bridge.is_some_and(|(_, bridge)| bridge.datapath_type == USERSPACE_DATAPATH);
            (attached(view), hold::all(view), names.collect::<HashSet<_>>(), userspace)
        })
        .await?;
    renew_isolation(inner, userspace).await;
    if let Err(error) = inner.holding.keep().await {
        tracing::error!(%error, "pods with held ports lose their network when this daemon ends");
    }
    let without_port = devices.difference(&interfaces).filter(|name| is_ours(name)).map(|name| Stale {
        host_interface: name.clone(),
        attached: None,
        reason: StaleReason::NoPort,
    });
    let ends = ends(inner).await;
    let broken = attached.into_iter().filter_map(|attached| {
        let there = devices.contains(&attached.host_interface);
        // Where nobody can say it, it lives.
        let lives = ends.as_ref().is_none_or(|ends| holding::lives(ends.get(&attached.host_interface)));
        let reason = why_broken(&attached, there, there && lives)?;
        Some(Stale { host_interface: attached.host_interface.clone(), attached: Some(attached), reason })
    });
    let not_waiting = held.into_iter().filter_map(|held| {
        let name = held.host_interface;
        let waits = |ends: &HashMap<_, _>| ends.get(&name).is_some_and(|end| holding::waits(end, held.spec.mac));
        let reason = if !devices.contains(&name) {
            StaleReason::NoDevice
        } else if ends.as_ref().is_some_and(|ends| !waits(ends)) {
            StaleReason::NotWaiting
        } else {
            return None;
        };
        Some(Stale { host_interface: name, attached: None, reason })
    });
    // What somebody works on right now is half-made for a good reason.
    Ok(without_port.chain(broken).chain(not_waiting).filter(|stale| !inner.locks.busy(&stale.host_interface)).collect())
}

/// What is wrong with a pod's interface, if anything.
fn why_broken(attached: &Attached, host_end_is_there: bool, lives: bool) -> Option<StaleReason> {
    let unseen = Namespace::is_gone(&attached.netns);
    if unseen && lives {
        tracing::warn!(pod = %attached.pod, netns = %attached.netns.display(),
            "the pod's network namespace can't be seen though its interface lives: does the daemon see the node's /run/netns?");
    }
    match (unseen, host_end_is_there) {
        (true, _) if !lives => Some(StaleReason::NoNamespace),
        (false, false) => Some(StaleReason::NoDevice),
        _ => None,
    }
}

/// The ends in the holding namespace by their names. `None`: they can't be looked at now.
async fn ends(inner: &Inner) -> Option<HashMap<String, Link>> {
    match inner.holding.ends().await {
        Ok(ends) => Some(ends.into_iter().map(|end| (end.name.clone(), end)).collect()),
        Err(error) => {
            tracing::warn!(%error, "can't look at the held ports");
            None
        }
    }
}

/// Those who change the node's netfilter rules may have changed ours. Leftovers are to be found whether this succeeds or not;
/// until it does, no pod can be plugged that needs them.
async fn renew_isolation(inner: &Inner, needed: bool) {
    match inner.isolation.renew().await {
        Ok(()) => {}
        Err(error) if needed => {
            tracing::error!(%error, "pods of this node may reach the host past their security groups");
        }
        Err(error) => tracing::debug!(%error, "the rules aren't needed while interfaces are on the bridge"),
    }
}

pub(super) async fn remove(inner: &Inner, stale: &Stale) -> Result<()> {
    let name = &stale.host_interface;
    let _lock = inner.locks.lock(name).await;
    // It may have been plugged again since it was listed.
    let (attached, held) = inner
        .client
        .read_fresh(name, |view| {
            let row = view.interface(name);
            (row.and_then(record::read), row.and_then(record::read_held))
        })
        .await?;
    let there = inner.node_netlink().await?.link(name).await?.is_some();
    let end = inner.holding.end(name).await?;
    let sound = match (attached, held) {
        (Some(attached), _) => why_broken(&attached, there, there && holding::lives(end.as_ref())).is_none(),
        (None, Some(held)) => there && end.is_some_and(|end| holding::waits(&end, held.spec.mac)),
        (None, None) => false,
    };
    if sound { Ok(()) } else { plug::remove(inner, name).await }
}
