//! All objects, with the indexes that keep requests quick when there are many.

use super::object::{Kind, Object, Provisioning};
use crate::uuid::Uuid;
use std::collections::{BTreeSet, HashMap};

/// Objects in the order in which Octavia lists them: by the second of their creation, then by identifier.
type Ordered = BTreeSet<(i64, Uuid)>;

#[derive(Debug, Default)]
pub(super) struct Store {
    objects: HashMap<Uuid, Object>,
    by_kind: HashMap<Kind, Ordered>,
    children: HashMap<Uuid, Ordered>,
}

impl Store {
    pub fn get(&self, id: Uuid) -> Option<&Object> {
        self.objects.get(&id)
    }

    /// An object whose place in the tree won't change.
    pub fn get_mut(&mut self, id: Uuid) -> Option<&mut Object> {
        self.objects.get_mut(&id)
    }

    pub fn insert(&mut self, object: Object) -> Uuid {
        let key = (object.created, object.id);
        self.by_kind.entry(object.kind).or_default().insert(key);
        if let Some(parent) = object.parent {
            self.children.entry(parent).or_default().insert(key);
        }
        self.objects.insert(key.1, object);
        key.1
    }

    /// Takes an object out, with everything that belongs to it.
    pub fn remove(&mut self, id: Uuid) -> Option<Object> {
        for (_, child) in self.children.remove(&id).unwrap_or_default() {
            self.remove(child);
        }
        let object = self.objects.remove(&id)?;
        let key = (object.created, id);
        if let Some(ids) = self.by_kind.get_mut(&object.kind) {
            ids.remove(&key);
        }
        if let Some(siblings) = object.parent.and_then(|parent| self.children.get_mut(&parent)) {
            siblings.remove(&key);
        }
        if object.kind == Kind::Pool {
            self.forget_pool(&object);
        }
        Some(object)
    }

    /// An object that stays when what it belongs to is removed.
    pub fn orphan(&mut self, id: Uuid) {
        let place = self.objects.get(&id).and_then(|object| Some((object.parent?, (object.created, id))));
        if let Some((parent, key)) = place
            && let Some(siblings) = self.children.get_mut(&parent)
        {
            siblings.remove(&key);
        }
    }

    /// No listener has this pool any more.
    fn forget_pool(&mut self, pool: &Object) {
        for listener in self.listeners_of(pool.id, pool.parent) {
            if let Some(listener) = self.objects.get_mut(&listener) {
                listener.attributes.insert("default_pool_id".to_owned(), serde_json::Value::Null);
            }
        }
    }

    pub fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Object> {
        self.by_kind.get(&kind).into_iter().flatten().filter_map(|(_, id)| self.objects.get(id))
    }

    pub fn children(&self, parent: Uuid, kind: Kind) -> impl Iterator<Item = &Object> {
        let all = self.children.get(&parent).into_iter().flatten().filter_map(|(_, id)| self.objects.get(id));
        all.filter(move |object| object.kind == kind)
    }

    pub fn child_ids(&self, parent: Uuid, kind: Kind) -> Vec<Uuid> {
        self.children(parent, kind).map(|object| object.id).collect()
    }

    /// Everything below an object.
    pub fn descendants(&self, id: Uuid) -> Vec<Uuid> {
        let mut all: Vec<Uuid> = self.children.get(&id).into_iter().flatten().map(|(_, id)| *id).collect();
        let deeper: Vec<Uuid> = all.iter().flat_map(|child| self.descendants(*child)).collect();
        all.extend(deeper);
        all
    }

    pub fn monitor_of(&self, pool: Uuid) -> Option<&Object> {
        self.children(pool, Kind::HealthMonitor).next()
    }

    /// The listeners that have this pool as their default.
    pub fn listeners_of(&self, pool: Uuid, load_balancer: Option<Uuid>) -> Vec<Uuid> {
        let Some(load_balancer) = load_balancer else { return Vec::new() };
        let listeners = self.children(load_balancer, Kind::Listener);
        listeners
            .filter(|listener| listener.uuid("default_pool_id") == Some(pool))
            .map(|listener| listener.id)
            .collect()
    }

    /// The load balancer that an object belongs to, or is.
    pub fn load_balancer_of(&self, id: Uuid) -> Option<Uuid> {
        let object = self.objects.get(&id)?;
        match object.parent {
            Some(parent) => self.load_balancer_of(parent),
            None => Some(id),
        }
    }

    pub fn count(&self, kind: Kind, project: &str) -> usize {
        self.of_kind(kind).filter(|object| *object.project == *project).count()
    }

    /// Sets the provisioning status of objects; of those that are there.
    pub fn mark(&mut self, ids: &[Uuid], provisioning: Provisioning) {
        for id in ids {
            if let Some(object) = self.objects.get_mut(id) {
                object.set(provisioning, None);
            }
        }
    }
}
