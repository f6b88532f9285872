//! Nodes come, go, and change.

use super::{Dirty, World};
use crate::policy::{
    facts::{Name, Node},
    groups::GroupKey,
};
use std::{collections::BTreeSet, net::IpAddr};

impl World {
    pub(super) fn put_node(&mut self, name: &Name, now: Option<&Node>, dirty: &mut Dirty) {
        let before = match now {
            Some(node) => self.nodes.insert(name.clone(), node.clone()),
            None => self.nodes.remove(name),
        };
        let (had, has) = (self.inside(before.as_ref()), self.inside(now));
        for address in had.difference(&has) {
            if let Some(count) = self.hosts.get_mut(address) {
                *count = count.saturating_sub(1);
            }
        }
        for address in has.difference(&had) {
            *self.hosts.entry(*address).or_default() += 1;
        }
        for address in had.symmetric_difference(&has) {
            if self.hosts.get(address) == Some(&0) {
                self.hosts.remove(address);
            }
            if !self.decisions.is_empty() {
                dirty.addresses.insert(*address);
            }
            // Services may have it as a backend.
            self.dirty_backends_at(*address, dirty);
        }
        dirty.groups.insert(GroupKey::Node(name.clone()));
    }

    /// The addresses of a node in the pods' networks.
    fn inside(&self, node: Option<&Node>) -> BTreeSet<IpAddr> {
        let is_inside = |address: &IpAddr| self.settings.pod_networks.iter().any(|net| net.contains(address));
        node.into_iter().flat_map(|node| &node.addresses).copied().filter(is_inside).collect()
    }
}
