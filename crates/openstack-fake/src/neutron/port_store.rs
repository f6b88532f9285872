//! All ports, with the indexes that keep requests quick when there are tens of thousands.

use super::{Object, port::Port};
use crate::uuid::Uuid;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    hash::Hash,
    sync::Arc,
};

/// Ports in the order of their identifiers.
#[derive(Debug, Default)]
pub(super) struct Ports {
    all: BTreeMap<Uuid, Port>,
    by_network: HashMap<Uuid, BTreeSet<Uuid>>,
    by_device: HashMap<Box<str>, BTreeSet<Uuid>>,
    by_description: HashMap<Box<str>, BTreeSet<Uuid>>,
    by_group: HashMap<Uuid, BTreeSet<Uuid>>,
    by_project: HashMap<Arc<str>, usize>,
    in_subnet: HashMap<Uuid, usize>,
    macs: HashSet<(Uuid, [u8; 6])>,
}

/// Takes an identifier out of an index, and the index's entry with its last one.
fn drop_from<K: Hash + Eq + ?Sized>(
    index: &mut HashMap<impl std::borrow::Borrow<K> + Hash + Eq, BTreeSet<Uuid>>,
    key: &K,
    id: Uuid,
) {
    if let Some(ids) = index.get_mut(key) {
        ids.remove(&id);
        if ids.is_empty() {
            index.remove(key);
        }
    }
}

impl Ports {
    pub fn get(&self, id: Uuid) -> Option<&Port> {
        self.all.get(&id)
    }

    /// A port whose indexed values won't change.
    pub fn get_mut(&mut self, id: Uuid) -> Option<&mut Port> {
        self.all.get_mut(&id)
    }

    pub fn values(&self) -> impl Iterator<Item = &Port> {
        self.all.values()
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    pub fn of_network(&self, network: Uuid) -> impl Iterator<Item = Uuid> {
        self.by_network.get(&network).into_iter().flatten().copied()
    }

    pub fn any_in_subnet(&self, subnet: Uuid) -> bool {
        self.in_subnet.contains_key(&subnet)
    }

    pub fn any_in_group(&self, group: Uuid) -> bool {
        self.by_group.contains_key(&group)
    }

    pub fn has_mac(&self, network: Uuid, mac: [u8; 6]) -> bool {
        self.macs.contains(&(network, mac))
    }

    pub fn count_of(&self, project: &str) -> usize {
        self.by_project.get(project).copied().unwrap_or(0)
    }

    pub fn insert(&mut self, port: Port) {
        let id = port.meta().id;
        self.by_network.entry(port.network).or_default().insert(id);
        // Most ports have one or neither; the empty text would be an index of nearly everything.
        if !port.device_id.is_empty() {
            self.by_device.entry(port.device_id.clone()).or_default().insert(id);
        }
        if !port.meta().description.is_empty() {
            self.by_description.entry(port.meta().description.clone()).or_default().insert(id);
        }
        for group in &port.groups {
            self.by_group.entry(*group).or_default().insert(id);
        }
        for fixed in &port.fixed_ips {
            *self.in_subnet.entry(fixed.subnet).or_default() += 1;
        }
        *self.by_project.entry(Arc::clone(&port.meta().project)).or_default() += 1;
        self.macs.insert((port.network, port.mac));
        self.all.insert(id, port);
    }

    pub fn remove(&mut self, id: Uuid) -> Option<Port> {
        let port = self.all.remove(&id)?;
        drop_from(&mut self.by_network, &port.network, id);
        drop_from(&mut self.by_device, &*port.device_id, id);
        drop_from(&mut self.by_description, &*port.meta().description, id);
        for group in &port.groups {
            drop_from(&mut self.by_group, group, id);
        }
        for fixed in &port.fixed_ips {
            if let Some(count) = self.in_subnet.get_mut(&fixed.subnet) {
                *count -= 1;
                if *count == 0 {
                    self.in_subnet.remove(&fixed.subnet);
                }
            }
        }
        if let Some(count) = self.by_project.get_mut(&port.meta().project) {
            *count -= 1;
        }
        self.macs.remove(&(port.network, port.mac));
        Some(port)
    }

    /// The ports that a list request can be about, by the narrowest index that its filters allow, in the order of their
    /// identifiers and after `after`.
    pub fn candidates<'a>(
        &'a self,
        filter: impl Fn(&str) -> Option<&'a [String]>,
        after: Option<Uuid>,
    ) -> Box<dyn Iterator<Item = &'a Port> + 'a> {
        let ids = self.indexed(&filter);
        let later = move |id: &Uuid| after.is_none_or(|after| *id > after);
        match (ids, after) {
            (Some(ids), _) => Box::new(ids.into_iter().filter(later).filter_map(|id| self.all.get(&id))),
            (None, Some(after)) => {
                let range = (std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded);
                Box::new(self.all.range(range).map(|(_, port)| port))
            }
            (None, None) => Box::new(self.all.values()),
        }
    }

    fn indexed<'a>(&'a self, filter: &impl Fn(&str) -> Option<&'a [String]>) -> Option<BTreeSet<Uuid>> {
        let given = |name: &str| filter(name).filter(|values| values.iter().all(|value| !value.is_empty()));
        if let Some(ids) = given("id") {
            return Some(ids.iter().filter_map(|id| id.parse().ok()).collect());
        }
        for (name, index) in [("device_id", &self.by_device), ("description", &self.by_description)] {
            if let Some(values) = given(name) {
                return Some(values.iter().filter_map(|value| index.get(value.as_str())).flatten().copied().collect());
            }
        }
        for (name, index) in [("network_id", &self.by_network), ("security_groups", &self.by_group)] {
            if let Some(values) = given(name) {
                let ids = values.iter().filter_map(|value| value.parse::<Uuid>().ok());
                return Some(ids.filter_map(|id| index.get(&id)).flatten().copied().collect());
            }
        }
        None
    }
}
