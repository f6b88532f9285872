//! Ports that are connected before any pod has them, so that their flows are installed when a pod comes.
//!
//! The host's end is a port of the bridge as any other; the other end is in the holding namespace, where it stays. An ADD makes
//! the pod's device on it, and a DEL removes that again ([`super::adopt`]). An interface that was made for a pod, because none
//! was held, is never used again: programs (XDP, tc), children and settings of a device survive its move to another
//! namespace, some of them out of sight. Where such a port is given back, a new pair replaces the old one on the bridge in one
//! transaction.

use super::{
    Inner, USERSPACE_DATAPATH,
    adopt::{Adopted, port_lock},
    holding::Opened,
    plug,
    port::NewPort,
    record,
};
use crate::{
    Error, Held, HoldSpec, Result,
    netlink::{Netlink, Veth, create_veth, no_own_ipv6_address, set_down},
    ovsdb::View,
};
use kuryr_core::{names, net::MacAddress};
use std::{future::Future, sync::Arc};
use tracing::Instrument;

/// Makes a veth pair. A device of the same name is one that an earlier attempt left.
pub(super) async fn make_veth(node: &Netlink, veth: &Veth<'_>) -> Result<()> {
    match node.execute([create_veth(veth)]).await {
        Err(error) if error.exists() && node.remove_link(veth.name).await? => node.execute([create_veth(veth)]).await,
        result => result,
    }?;
    if let Err(error) = node.execute([no_own_ipv6_address(veth.name)]).await {
        tracing::debug!(%error, "the kernel may have no IPv6");
    }
    Ok(())
}

/// The ports that are held.
pub(super) async fn held(inner: &Inner) -> Result<Vec<Held>> {
    Ok(inner.client.read("the held ports", all).await?)
}

pub(super) fn all(view: &View) -> Vec<Held> {
    view.interfaces.values().filter_map(record::read_held).collect()
}

/// Runs `work` on a task of its own: a caller that loses interest doesn't leave half of it.
async fn to_the_end(what: String, work: impl Future<Output = Result<()>> + Send + 'static) -> Result<()> {
    tokio::spawn(work.in_current_span()).await.unwrap_or(Err(Error::Interrupted { interface: what }))
}

/// Holds a port.
pub(super) async fn hold(inner: Arc<Inner>, port: HoldSpec) -> Result<()> {
    let what = format!("of port {}", port.port_id);
    to_the_end(what, async move {
        let _port = inner.locks.lock(&port_lock(&port.port_id)).await;
        let what = format!("holding port {}", port.port_id);
        let user = |view: &View| {
            let held = record::held_port(view, &port.port_id);
            (held, record::user(view, &port.port_id).map(|interface| interface.name.clone()))
        };
        match inner.client.read(&what, user).await? {
            (_, Some(interface)) => return Err(Error::InUse { port_id: port.port_id, interface }),
            (Some(held), None) if held.spec == port => return Ok(()),
            // Neutron has given the port another MAC address, or the network another MTU.
            (Some(held), None) => plug::remove_locked(&inner, &held.host_interface).await?,
            (None, None) => {}
        }
        Connecting::begin(&inner, port).await?.connect(None).await
    })
    .await
}

/// Ends holding a port.
pub(super) async fn let_go(inner: Arc<Inner>, port_id: String) -> Result<()> {
    to_the_end(format!("of port {port_id}"), async move {
        let _port = inner.locks.lock(&port_lock(&port_id)).await;
        let what = format!("letting go of port {port_id}");
        match inner.client.read(&what, |view| record::held_port(view, &port_id)).await? {
            Some(held) => plug::remove_locked(&inner, &held.host_interface).await,
            None => Ok(()),
        }
    })
    .await
}

/// Takes a pod's interface away, and goes on holding its port.
pub(super) async fn give_back(inner: Arc<Inner>, container_id: String, ifname: String) -> Result<()> {
    let interface = names::host_interface(&container_id, &ifname);
    to_the_end(interface.clone(), async move {
        let _lock = inner.locks.lock(&interface).await;
        let look = |view: &View| {
            let row = record::find(view, &container_id, &ifname)?;
            Some((record::read(row)?, record::bound(row)?))
        };
        let Some((attached, (port_id, mac))) = inner.client.read(&interface, look).await? else {
            return plug::remove(&inner, &interface).await;
        };
        let _port = inner.locks.lock(&port_lock(&port_id)).await;
        let name = attached.host_interface.clone();
        // The name of an interface that was made for the sandbox is locked already.
        let _device = if name == interface { None } else { Some(inner.locks.lock(&name).await) };
        let result = match inner.holding.end(&name).await {
            Ok(Some(end)) => match (Adopted { inner: &inner, attached, end }).take_back(mac).await {
                Ok(()) => return Ok(()),
                failed => failed,
            },
            Ok(None) => replace(&inner, port_id, mac, &name).await,
            Err(error) => Err(error),
        };
        if let Err(error) = result {
            tracing::warn!(interface = name, %error, "can't go on holding the port of a pod that ends");
        }
        plug::remove(&inner, &name).await
    })
    .await
}

/// Connects the port by a new interface in place of `old`, if that is there.
async fn replace(inner: &Inner, port_id: String, mac: MacAddress, old: &str) -> Result<()> {
    // A pod can't change the MTU of the host's end.
    let Some(link) = inner.node_netlink().await?.link(old).await? else { return Ok(()) };
    Connecting::begin(inner, HoldSpec { port_id, mac, mtu: link.mtu }).await?.connect(Some(old)).await
}

/// A port on its way to being held.
struct Connecting<'a> {
    inner: &'a Inner,
    port: HoldSpec,
    name: String,
    node: Netlink,
    holding: Arc<Opened>,
    userspace: bool,
}

impl<'a> Connecting<'a> {
    async fn begin(inner: &'a Inner, port: HoldSpec) -> Result<Self> {
        let name = names::held_interface(&port.port_id, fastrand::u64(..));
        let userspace = inner.datapath_type().await? == USERSPACE_DATAPATH;
        inner.isolation.ensure(userspace).await?;
        let (holding, node) = tokio::try_join!(inner.holding.open(), inner.node_netlink())?;
        Ok(Self { inner, port, name, node, holding, userspace })
    }

    /// All of it, or nothing.
    async fn connect(self, old: Option<&str>) -> Result<()> {
        // The repair keeps away from what is half-made.
        let _device = self.inner.locks.lock(&self.name).await;
        let result = self.steps(old).await;
        if result.is_err() {
            plug::undo(self.inner, &self.node, &self.name).await;
        }
        result
    }

    async fn steps(&self, old: Option<&str>) -> Result<()> {
        let Self { inner, port, name, node, holding, userspace } = self;
        let veth = Veth { name, peer: name, peer_namespace: &holding.namespace, peer_mac: port.mac, mtu: port.mtu };
        make_veth(node, &veth).await?;
        if *userspace {
            let what = || format!("switching off TX checksum offload of `{name}`");
            holding.control.disable_tx_checksum(name).map_err(|source| holding.failed(what(), source))?;
        }
        if let Some(old) = old {
            // Once the record of the pod is gone, nothing of the pod passes any more.
            node.execute([set_down(old)]).await?;
        }
        let new = NewPort {
            name,
            port_id: &port.port_id,
            external_ids: record::of_held(port),
            columns: Vec::new(),
            comment: format!("holding port {}", port.port_id),
        };
        inner.add_port(new).await.map(drop)
    }
}
