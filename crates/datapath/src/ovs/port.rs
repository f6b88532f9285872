//! Ports of the bridge: the transactions.

use super::{Inner, record};
use crate::{
    Error, Result,
    ovsdb::{self, Op, Uuid, View, map, named_uuid, set, uuid},
};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};
use tokio::time::timeout;

/// A port to be added, with its one interface.
pub(super) struct NewPort<'a> {
    /// Name of the port, its interface and the device.
    pub name: &'a str,
    pub port_id: &'a str,
    pub external_ids: Vec<(&'static str, String)>,
    /// Other columns of the interface, as `type`.
    pub columns: Vec<(&'static str, Value)>,
    /// Told in the database's log.
    pub comment: String,
}

/// A port on a bridge, as it has to be known to take it off.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Placed {
    interface: String,
    port: Uuid,
    bridges: Vec<Uuid>,
}

impl Placed {
    fn find(view: &View, interface: &str) -> Option<Self> {
        let (port, bridges) = view.port_of(interface)?;
        Some(Self {
            interface: interface.to_owned(),
            port: port.clone(),
            bridges: bridges.into_iter().cloned().collect(),
        })
    }

    /// Takes the port off. The server then removes its row and its interface's, because nothing refers to them any more.
    fn removal(&self) -> impl Iterator<Item = Op> {
        self.bridges.iter().map(|bridge| Op::Mutate {
            table: "Bridge",
            conditions: vec![json!(["_uuid", "==", uuid(bridge)])],
            mutations: vec![json!(["ports", "delete", set([uuid(&self.port)])])],
        })
    }
}

/// The ports that were removed, with the `next_cfg` of their removal, until the switch has carried it out.
#[derive(Debug, Default)]
pub(super) struct Removals(Mutex<HashMap<String, i64>>);

impl Removals {
    fn note(&self, name: &str, next_cfg: i64, cur_cfg: i64) {
        let mut removals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        removals.retain(|_, next_cfg| *next_cfg > cur_cfg);
        removals.insert(name.to_owned(), next_cfg);
    }

    fn of(&self, name: &str) -> Option<i64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).copied()
    }
}

/// Asks the switch to count this transaction in `cur_cfg` once it has carried it out (ovs-vswitchd.conf.db(5)), and for the
/// number that it will have.
fn count_removal() -> [Op; 2] {
    [
        Op::Mutate { table: "Open_vSwitch", conditions: vec![], mutations: vec![json!(["next_cfg", "+=", 1])] },
        Op::Select { table: "Open_vSwitch", conditions: vec![], columns: vec!["next_cfg"] },
    ]
}

impl Inner {
    /// `datapath_type` of the bridge.
    pub(super) async fn datapath_type(&self) -> Result<String> {
        let bridge = &self.settings.bridge;
        let look = |view: &View| view.bridge(bridge).map(|(_, row)| row.datapath_type.clone());
        self.client
            .read(&format!("bridge `{bridge}`"), look)
            .await?
            .ok_or_else(|| Error::NoBridge { bridge: bridge.clone() })
    }

    /// Adds the port in one transaction, which also takes off all other ports with the same Neutron port.
    /// Returns the interfaces that were taken off.
    pub(super) async fn add_port(&self, new: NewPort<'_>) -> Result<Vec<String>> {
        let bridge = &self.settings.bridge;
        let what = format!("adding port `{}` to bridge `{bridge}`", new.name);
        let earlier = self.client.read(&what, |view| same_neutron_port(view, new.port_id, new.name)).await?;
        let (interface, port) = ("interface", "port");
        let mut row = json!({ "name": new.name, "external_ids": map(new.external_ids) });
        for (column, value) in new.columns {
            row[column] = value;
        }
        let named = vec![json!(["name", "==", bridge])];
        let mut ops = vec![
            Op::Comment(format!("kuryr: {}", new.comment)),
            // Without the bridge the mutation below would quietly match nothing.
            Op::Wait {
                table: "Bridge",
                conditions: named.clone(),
                columns: vec!["name"],
                rows: vec![json!({ "name": bridge })],
            },
        ];
        ops.extend(earlier.iter().flat_map(Placed::removal));
        ops.extend([
            Op::Insert { table: "Interface", row, uuid_name: interface.to_owned() },
            Op::Insert {
                table: "Port",
                row: json!({ "name": new.name, "interfaces": named_uuid(interface) }),
                uuid_name: port.to_owned(),
            },
            Op::Mutate {
                table: "Bridge",
                conditions: named,
                mutations: vec![json!(["ports", "insert", set([named_uuid(port)])])],
            },
        ]);
        if !earlier.is_empty() {
            ops.extend(count_removal());
        }
        match self.client.transact(&what, ops).await {
            Ok(results) => {
                let earlier: Vec<_> = earlier.into_iter().map(|placed| placed.interface).collect();
                self.note_removals(&earlier, &results);
                Ok(earlier)
            }
            Err(error) if ovsdb::Error::wait_failed(&error) => Err(Error::NoBridge { bridge: bridge.clone() }),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes the port with the interface of that name off its bridge. Returns whether there was one.
    pub(super) async fn remove_port(&self, name: &str) -> Result<bool> {
        let what = format!("removing port `{name}`");
        let Some(placed) = self.client.read(&what, |view| Placed::find(view, name)).await? else { return Ok(false) };
        let mut ops = vec![Op::Comment(format!("kuryr: {what}"))];
        ops.extend(placed.removal().chain(count_removal()));
        let results = self.client.transact(&what, ops).await?;
        self.note_removals(&[placed.interface], &results);
        Ok(true)
    }

    /// Notes what was removed in a transaction that ended with [`count_removal`].
    fn note_removals(&self, names: &[String], results: &[Value]) {
        let next_cfg = results.last().and_then(|result| result.pointer("/rows/0/next_cfg")).and_then(Value::as_i64);
        let cur_cfg = self.client.watch().borrow().cur_cfg;
        for name in names {
            self.removals.note(name, next_cfg.unwrap_or_default(), cur_cfg);
        }
    }

    /// Waits until the switch has let go of the device of that name, if a port with it was removed a moment ago.
    ///
    /// A new device of the same name must not exist earlier: the switch knows devices by their names, takes it for the
    /// one that it has still open, and sets it down when it closes that.
    pub(super) async fn wait_released(&self, name: &str) -> Result<()> {
        let Some(next_cfg) = self.removals.of(name) else { return Ok(()) };
        let mut watch = self.client.watch();
        let limit = self.settings.timeout;
        // A database that was made anew counts from 0: what it has not counted, it doesn't wait for.
        let done = |view: &View| view.cur_cfg >= next_cfg.min(view.next_cfg);
        match timeout(limit, watch.wait_for(done)).await {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::NotReleased { interface: name.to_owned(), seconds: limit.as_secs() }),
        }
    }
}

/// The ports beside `except` that have the Neutron port `port_id`.
fn same_neutron_port(view: &View, port_id: &str, except: &str) -> Vec<Placed> {
    let same = view.interfaces.values().filter(|interface| {
        interface.name != except && interface.external_ids.get(record::IFACE_ID).is_some_and(|id| id == port_id)
    });
    same.filter_map(|interface| Placed::find(view, &interface.name)).collect()
}
