//! The node's own port on the integration bridge: through it the host, kubelet's probes and hostNetwork pods reach pods.

use super::{Inner, interface, port::NewPort, record};
use crate::{
    Error, Result, Route, neighbours,
    netlink::{Link, Netlink},
    netns,
    ovsdb::{Interface, Op, View, map},
};
use ipnet::IpNet;
use kuryr_core::net::MacAddress;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::time::timeout;

/// How the node port should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodePortSpec {
    /// Id of its Neutron port.
    pub port_id: String,
    /// Its MAC address, the Neutron port's.
    pub mac: MacAddress,
    /// The network's MTU, in bytes.
    pub mtu: u32,
    /// Its addresses with the prefixes of their subnets.
    pub addresses: Vec<IpNet>,
    /// Routes to the other pod subnets and to the service subnets.
    pub routes: Vec<Route>,
}

/// How the node port is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodePortStatus {
    /// Index of the device in the node's namespace. A restart of ovs-vswitchd with the userspace datapath makes a new one.
    pub ifindex: Option<i64>,
    /// Whether the dataplane has the port's flows.
    pub ready: bool,
    /// What the switch says is wrong with it.
    pub error: Option<String>,
}

/// The node port of one name. The calls of one node port must not overlap; they wait for each other.
#[derive(Debug, Clone)]
pub struct NodePort {
    inner: Arc<Inner>,
    name: String,
}

impl NodePort {
    pub(super) fn new(inner: Arc<Inner>, name: String) -> Self {
        Self { inner, name }
    }

    /// Makes it as it should be, whatever it was before. Writes nothing where it is.
    ///
    /// # Errors
    /// When the bridge isn't there, when the switch doesn't make the device in time, or when it can't be configured. When
    /// another's interface has the name, nothing is changed.
    /// It may be called again at any time.
    pub async fn ensure(&self, spec: &NodePortSpec) -> Result<NodePortStatus> {
        let _lock = self.inner.locks.lock(&self.name).await;
        self.ensure_row(spec).await?;
        let ifindex = self.wait_device().await?;
        self.configure(spec, ifindex).await?;
        self.status().await?.ok_or_else(|| Error::Gone { interface: self.name.clone() })
    }

    /// Removes it. That it isn't there is no error, and what isn't Kuryr's stays.
    ///
    /// # Errors
    /// When the OVSDB server refuses it or can't be reached.
    pub async fn remove(&self) -> Result<()> {
        let _lock = self.inner.locks.lock(&self.name).await;
        if self.status().await?.is_none() {
            return Ok(());
        }
        // The device is the switch's: it goes with the port.
        self.inner.remove_port(&self.name).await.map(drop)
    }

    /// How it is now. `None`: it isn't there.
    ///
    /// # Errors
    /// When the OVSDB server can't be reached.
    pub async fn status(&self) -> Result<Option<NodePortStatus>> {
        Ok(self.inner.client.read(&self.name, |view| self.find(view)).await?)
    }

    /// Waits until the port differs from `last`: its device was made anew without addresses, it was removed, the switch
    /// has an error, or the dataplane is ready. Then [`NodePort::ensure`] is to be called again.
    ///
    /// # Errors
    /// When the runtime is shutting down.
    pub async fn changed(&self, last: Option<&NodePortStatus>) -> Result<()> {
        let mut watch = self.inner.client.watch();
        let differs = |view: &View| view.live && self.find(view).as_ref() != last;
        watch.wait_for(differs).await.map(drop).map_err(|_| Error::Interrupted { interface: self.name.clone() })
    }

    /// Waits until packets of the node port pass. There is no time limit: drop the future to stop waiting.
    ///
    /// # Errors
    /// As [`crate::Driver::wait_ready`].
    pub async fn wait_ready(&self) -> Result<()> {
        self.inner.wait_installed(&self.name, |view| view.interface(&self.name)).await
    }

    /// Tells the network that the addresses have this MAC address, once packets pass.
    ///
    /// # Errors
    /// When the device isn't there, or can't send.
    pub async fn announce(&self, spec: &NodePortSpec) -> Result<()> {
        let addresses = spec.addresses.iter().map(IpNet::addr);
        neighbours::announce(&self.inner.settings.namespace, &self.name, spec.mac, addresses).await
    }

    fn find(&self, view: &View) -> Option<NodePortStatus> {
        view.interface(&self.name).filter(|interface| is_ours(interface)).map(status)
    }

    /// Adds or corrects the rows in the OVSDB.
    async fn ensure_row(&self, spec: &NodePortSpec) -> Result<()> {
        let name = &self.name;
        let bridge = &self.inner.settings.bridge;
        let found = self.inner.client.read_fresh(name, |view| {
            let (port, _) = view.port_of(name)?;
            let on_bridge = view.bridge(bridge).is_some_and(|(_, bridge)| bridge.ports.contains(port));
            Some((view.interface(name)?.clone(), on_bridge))
        });
        match found.await? {
            Some((row, _)) if !is_ours(&row) => return Err(Error::Foreign { interface: name.clone() }),
            Some((row, true)) if row.kind == "internal" => return self.correct_row(&row, spec).await,
            Some(_) => drop(self.inner.remove_port(name).await?),
            None => {}
        }
        let mut columns = columns(spec);
        columns.push(("type", json!("internal")));
        let new = NewPort {
            name,
            port_id: &spec.port_id,
            external_ids: external_ids(spec),
            columns,
            comment: format!("node port {name}"),
        };
        let replaced = self.inner.add_port(new).await?;
        if !replaced.is_empty() {
            tracing::warn!(interface = %name, ?replaced, "replaced ports with the node's Neutron port");
        }
        Ok(())
    }

    /// Updates the row where it differs. Keys of others, as OVN's own, are kept.
    async fn correct_row(&self, row: &Interface, spec: &NodePortSpec) -> Result<()> {
        let wanted = external_ids(spec);
        let same_ids = wanted.iter().all(|(key, value)| row.external_ids.get(*key) == Some(value));
        let same = same_ids
            && row.mac.as_deref() == Some(&spec.mac.to_string())
            && row.mtu_request == Some(i64::from(spec.mtu));
        if same {
            return Ok(());
        }
        let conditions = vec![json!(["name", "==", self.name])];
        let keys: Vec<Value> = wanted.iter().map(|(key, _)| json!(key)).collect();
        let what = format!("correcting port `{}`", self.name);
        let update: serde_json::Map<String, Value> =
            columns(spec).into_iter().map(|(column, value)| (column.to_owned(), value)).collect();
        let ops = vec![
            Op::Comment(format!("kuryr: {what}")),
            Op::Update { table: "Interface", conditions: conditions.clone(), row: Value::Object(update) },
            Op::Mutate {
                table: "Interface",
                conditions,
                mutations: vec![
                    json!(["external_ids", "delete", ["set", keys]]),
                    json!(["external_ids", "insert", map(wanted)]),
                ],
            },
        ];
        self.inner.client.transact(&what, ops).await?;
        Ok(())
    }

    /// Waits until the switch has made the device: a moment after the transaction, or when ovs-vswitchd starts.
    async fn wait_device(&self) -> Result<i64> {
        let limit = self.inner.settings.timeout;
        let mut watch = self.inner.client.watch();
        let mut found = None;
        let settled = |view: &View| {
            let row = view.interface(&self.name);
            found = match row {
                Some(Interface { error: Some(reason), .. }) => Some(Err(reason.clone())),
                Some(Interface { ofport: Some(1..), ifindex: Some(ifindex @ 1..), .. }) => Some(Ok(*ifindex)),
                _ => None,
            };
            found.is_some()
        };
        let interface = || self.name.clone();
        if timeout(limit, watch.wait_for(settled)).await.is_err() {
            return Err(Error::NoDevice { interface: interface(), seconds: limit.as_secs() });
        }
        match found {
            Some(Ok(ifindex)) => Ok(ifindex),
            Some(Err(reason)) => Err(Error::Rejected { interface: interface(), reason }),
            None => Err(Error::Interrupted { interface: interface() }),
        }
    }

    async fn configure(&self, spec: &NodePortSpec, ifindex: i64) -> Result<()> {
        let namespace = &self.inner.settings.namespace;
        let netlink = Netlink::open(namespace).await?;
        let link = self.link(&netlink, ifindex).await?;
        let (name, has_ipv6) = (self.name.clone(), spec.addresses.iter().any(|address| address.addr().is_ipv6()));
        let enter = |source| netns::Error::Enter { namespace: namespace.to_string(), source };
        namespace.run(move || interface::set_ipv6(&name, has_ipv6)).await?.map_err(enter)?;
        let requests = interface::repair(&netlink, &link, spec.mtu, &spec.addresses, &spec.routes).await?;
        Ok(netlink.execute(requests).await?)
    }

    async fn link(&self, netlink: &Netlink, ifindex: i64) -> Result<Link> {
        let found = netlink.link(&self.name).await?.filter(|link| i64::from(link.index) == ifindex);
        // The switch was restarted between its word and our look: the caller tries again.
        found.ok_or_else(|| Error::Gone { interface: self.name.clone() })
    }
}

/// Every row that this driver has ever made says so.
fn is_ours(interface: &Interface) -> bool {
    interface.external_ids.contains_key(record::NODE_PORT)
}

fn status(interface: &Interface) -> NodePortStatus {
    NodePortStatus { ifindex: interface.ifindex, ready: record::installed(interface), error: interface.error.clone() }
}

fn external_ids(spec: &NodePortSpec) -> Vec<(&'static str, String)> {
    let mut ids = record::binding(&spec.port_id, spec.mac);
    ids.push((record::NODE_PORT, "true".to_owned()));
    ids
}

fn columns(spec: &NodePortSpec) -> Vec<(&'static str, Value)> {
    vec![("mac", json!(spec.mac.to_string())), ("mtu_request", json!(spec.mtu))]
}
