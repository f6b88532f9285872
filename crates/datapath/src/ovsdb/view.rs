//! The live copy of the rows that the datapath needs.

use super::value::{optional, references, text, texts};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};

/// The id of a row, as the server writes it.
pub type Uuid = String;

/// A row of the table `Bridge`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bridge {
    /// Its name, as `br-int`.
    pub name: String,
    /// `netdev` for the userspace datapath, `system` or empty for the kernel's.
    pub datapath_type: String,
    /// Its ports.
    pub ports: Vec<Uuid>,
}

/// A row of the table `Port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Its name; of a port with one interface, that interface's.
    pub name: String,
    /// Its interfaces: more than one make a bond.
    pub interfaces: Vec<Uuid>,
}

/// A row of the table `Interface`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Name of the device.
    pub name: String,
    /// `internal`, or empty for a device of the system.
    pub kind: String,
    /// What others wrote to it, as `iface-id`.
    pub external_ids: BTreeMap<String, String>,
    /// The number of its OpenFlow port; -1 where it can't be used, none as long as nobody has tried.
    pub ofport: Option<i64>,
    /// Index of the device, once it is opened.
    pub ifindex: Option<i64>,
    /// Why it can't be used.
    pub error: Option<String>,
    /// The MAC address asked for, of an internal port.
    pub mac: Option<String>,
    /// The MTU asked for, in bytes.
    pub mtu_request: Option<i64>,
}

/// The rows of all bridges, ports and interfaces as of one moment.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// Whether the copy is kept up to date now. If not, it is as old as the break of the connection.
    pub live: bool,
    /// Why it is not live.
    pub problem: Option<String>,
    /// Counts the changes that somebody waits for ovs-vswitchd to carry out.
    pub next_cfg: i64,
    /// The last `next_cfg` that ovs-vswitchd has carried out completely.
    pub cur_cfg: i64,
    /// The bridges.
    pub bridges: HashMap<Uuid, Bridge>,
    /// The ports.
    pub ports: HashMap<Uuid, Port>,
    /// The interfaces.
    pub interfaces: HashMap<Uuid, Interface>,
    interface_by_name: HashMap<String, Uuid>,
    port_by_name: HashMap<String, Uuid>,
}

impl View {
    /// The parameter of the monitor request that this view needs (RFC 7047, 4.1.5).
    pub(super) fn monitor_requests() -> Value {
        json!({
            "Open_vSwitch": { "columns": ["next_cfg", "cur_cfg"] },
            "Bridge": { "columns": ["name", "datapath_type", "ports"] },
            "Port": { "columns": ["name", "interfaces"] },
            "Interface": { "columns": [
                "name", "type", "external_ids", "ofport", "ifindex", "error", "mac", "mtu_request",
            ] },
        })
    }

    /// The bridge of that name.
    #[must_use]
    pub fn bridge(&self, name: &str) -> Option<(&Uuid, &Bridge)> {
        self.bridges.iter().find(|(_, bridge)| bridge.name == name)
    }

    /// The interface of that name.
    #[must_use]
    pub fn interface(&self, name: &str) -> Option<&Interface> {
        self.interfaces.get(self.interface_by_name.get(name)?)
    }

    /// The port that has the interface of that name, with the bridges (one) that have the port.
    #[must_use]
    pub fn port_of(&self, interface: &str) -> Option<(&Uuid, Vec<&Uuid>)> {
        let interface_id = self.interface_by_name.get(interface)?;
        let holds = |id: &Uuid| self.ports.get(id).is_some_and(|port| port.interfaces.contains(interface_id));
        let same_name = self.port_by_name.get(interface).filter(|id| holds(id));
        let port = same_name.or_else(|| self.ports.keys().find(|id| holds(id)))?;
        let bridges = self.bridges.iter().filter(|(_, bridge)| bridge.ports.contains(port)).map(|(id, _)| id);
        Some((port, bridges.collect()))
    }

    /// Replaces everything by the server's first answer to a monitor request.
    pub(super) fn replace(&mut self, tables: &Value) {
        *self = Self { live: true, ..Self::default() };
        self.apply(tables);
    }

    /// Applies a `<table-updates>` (RFC 7047, 4.1.6).
    pub(super) fn apply(&mut self, tables: &Value) {
        for (table, rows) in tables.as_object().into_iter().flatten() {
            for (id, update) in rows.as_object().into_iter().flatten() {
                let new = update.get("new");
                match table.as_str() {
                    "Open_vSwitch" => {
                        let count = |column| new.and_then(|row| number(row, column)).unwrap_or_default();
                        (self.next_cfg, self.cur_cfg) = (count("next_cfg"), count("cur_cfg"));
                    }
                    "Bridge" => put(&mut self.bridges, id, new.map(bridge)),
                    "Port" => {
                        rename(&mut self.port_by_name, id, self.ports.get(id).map(|port| &port.name), new);
                        put(&mut self.ports, id, new.map(port));
                    }
                    "Interface" => {
                        let old = self.interfaces.get(id).map(|interface| &interface.name);
                        rename(&mut self.interface_by_name, id, old, new);
                        put(&mut self.interfaces, id, new.map(interface));
                    }
                    _ => {}
                }
            }
        }
    }
}

fn put<T>(rows: &mut HashMap<Uuid, T>, id: &str, row: Option<T>) {
    match row {
        Some(row) => drop(rows.insert(id.to_owned(), row)),
        None => drop(rows.remove(id)),
    }
}

/// Keeps an index by name. A name may have passed to another row in the same update, in any order.
fn rename(index: &mut HashMap<String, Uuid>, id: &str, old: Option<&String>, new: Option<&Value>) {
    if let Some(old) = old
        && index.get(old).is_some_and(|holder| holder == id)
    {
        index.remove(old);
    }
    if let Some(new) = new {
        index.insert(text(new, "name"), id.to_owned());
    }
}

fn bridge(row: &Value) -> Bridge {
    Bridge { name: text(row, "name"), datapath_type: text(row, "datapath_type"), ports: references(row, "ports") }
}

fn port(row: &Value) -> Port {
    Port { name: text(row, "name"), interfaces: references(row, "interfaces") }
}

fn number(row: &Value, column: &str) -> Option<i64> {
    optional(row, column).and_then(|value| value.as_i64())
}

fn interface(row: &Value) -> Interface {
    let number = |column| number(row, column);
    let some_text = |column| Some(text(row, column)).filter(|text| !text.is_empty());
    Interface {
        name: text(row, "name"),
        kind: text(row, "type"),
        external_ids: texts(row, "external_ids"),
        ofport: number("ofport"),
        ifindex: number("ifindex"),
        error: some_text("error"),
        mac: some_text("mac"),
        mtu_request: number("mtu_request"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str) -> Value {
        json!({ "new": { "name": name, "type": "", "external_ids": ["map", [["iface-id", "p"]]], "ofport": 3,
                         "ifindex": ["set", []], "error": ["set", []], "mac": ["set", []], "mtu_request": ["set", []] } })
    }

    #[test]
    fn rows_come_change_and_go() {
        let mut view = View::default();
        view.replace(&json!({
            "Bridge": { "b": { "new": { "name": "br-int", "datapath_type": "netdev", "ports": ["uuid", "p"] } } },
            "Port": { "p": { "new": { "name": "tap", "interfaces": ["uuid", "i"] } } },
            "Interface": { "i": row("tap") },
        }));
        assert!(view.live);
        assert_eq!(view.interface("tap").unwrap().ofport, Some(3));
        assert_eq!(view.interface("tap").unwrap().error, None);
        assert_eq!(view.port_of("tap"), Some((&"p".to_owned(), vec![&"b".to_owned()])));
        assert_eq!(view.bridge("br-int").unwrap().1.datapath_type, "netdev");
        view.apply(&json!({ "Interface": { "i": { "old": {} } }, "Port": { "p": { "old": {} } } }));
        assert_eq!(view.interface("tap"), None);
        assert_eq!(view.port_of("tap"), None);
    }

    #[test]
    fn a_name_may_pass_to_another_row_in_one_update() {
        for (old, new) in [("1", "2"), ("2", "1")] {
            let mut view = View::default();
            view.replace(&json!({ "Interface": { old: row("tap") } }));
            view.apply(&json!({ "Interface": { old: { "old": {} }, new: row("tap") } }));
            assert!(view.interface("tap").is_some());
        }
    }
}
