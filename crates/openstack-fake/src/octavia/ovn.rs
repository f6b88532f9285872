//! What the OVN driver reports of each step, with all its habits. What one wouldn't expect was seen at the real one.

use super::{
    Octavia, Operating, Provisioning,
    object::{Kind, Object},
    operating::online_if,
    settle::{Deed, Given},
};
use crate::{neutron::Neutron, uuid::Uuid};

impl Octavia {
    /// When a listener's pool is taken away from it, the driver reports a pool without an identifier, and Octavia refuses
    /// the whole report: the load balancer is pending for ever.
    pub(super) fn is_lost_on_ovn(&self, deed: &Deed) -> bool {
        let Deed::Changed(id, Given { default_pool: true, .. }) = deed else { return false };
        self.store.get(*id).is_some_and(|listener| listener.uuid("default_pool_id").is_none())
    }

    pub(super) fn report_of_ovn(&mut self, neutron: &mut Neutron, load_balancer: Uuid, deed: Deed) {
        match deed {
            Deed::Created(id) => self.created_by_ovn(neutron, load_balancer, id),
            Deed::Changed(id, given) if self.kind(id) == Some(Kind::Member) => {
                let Some(pool) = self.store.get(id).and_then(|member| member.parent) else { return };
                // A change that doesn't say whether the member is enabled says that nobody watches it.
                let status = if given.up { self.member_status(neutron, pool, id) } else { Operating::NoMonitor };
                self.set(id, Provisioning::Active, Some(status));
                self.report_all(load_balancer, pool);
            }
            Deed::Changed(id, given) => self.changed_by_ovn(load_balancer, id, given),
            Deed::Deleted(id) => self.deleted_by_ovn(neutron, load_balancer, id),
            Deed::Emptied(_) => {}
            Deed::Members { pool, created, changed, deleted } => {
                self.remove_members(neutron, &deleted);
                for id in created.into_iter().chain(changed) {
                    let status = self.member_status(neutron, pool, id);
                    self.set(id, Provisioning::Active, Some(status));
                }
                self.report_all(load_balancer, pool);
            }
        }
    }

    /// What the driver says of a member by itself.
    fn member_status(&self, neutron: &mut Neutron, pool: Uuid, member: Uuid) -> Operating {
        match self.store.get(member) {
            Some(member) if !member.is_up() => Operating::Offline,
            Some(member) if self.store.monitor_of(pool).is_some_and(|hm| hm.provisioning == Provisioning::Active) => {
                if member.operating == Operating::Error {
                    Operating::Error
                } else {
                    self.watch(neutron, member)
                }
            }
            _ => Operating::NoMonitor,
        }
    }

    fn created_by_ovn(&mut self, neutron: &mut Neutron, load_balancer: Uuid, id: Uuid) {
        let up = self.is_up(id);
        match self.kind(id) {
            Some(Kind::Pool) => {
                let listeners = self.store.listeners_of(id, Some(load_balancer));
                self.set(id, Provisioning::Active, Some(online_if(!listeners.is_empty())));
                if let Some(first) = listeners.first() {
                    self.set(*first, Provisioning::Active, None);
                }
            }
            Some(Kind::HealthMonitor) => {
                self.set(id, Provisioning::Active, Some(online_if(up)));
                let Some(pool) = self.store.get(id).and_then(|object| object.parent) else { return };
                for member in self.store.child_ids(pool, Kind::Member) {
                    let status = self.member_status(neutron, pool, member);
                    self.set(member, Provisioning::Active, Some(status));
                }
                self.report_all(load_balancer, pool);
            }
            _ => self.set(id, Provisioning::Active, Some(online_if(up))),
        }
    }

    fn changed_by_ovn(&mut self, load_balancer: Uuid, id: Uuid, given: Given) {
        let up = self.is_up(id);
        match self.kind(id) {
            Some(Kind::Pool) if given.persistence && !given.up => {
                // The driver looks for `admin_state_up` and stumbles when it isn't there: the pool ends in ERROR.
                self.set(id, Provisioning::Error, None);
                self.listeners_done(load_balancer, id);
            }
            Some(Kind::Pool) if given.up => {
                self.set(id, Provisioning::Active, Some(online_if(up)));
                self.listeners_done(load_balancer, id);
            }
            Some(Kind::Listener) if given.default_pool => {
                let pool = self.store.get(id).and_then(|listener| listener.uuid("default_pool_id"));
                if let Some(pool) = pool {
                    self.set(pool, Provisioning::Active, None);
                }
                self.set(id, Provisioning::Active, given.up.then(|| online_if(up)));
            }
            Some(Kind::Listener | Kind::LoadBalancer) => {
                self.set(id, Provisioning::Active, given.up.then(|| online_if(up)));
            }
            Some(Kind::HealthMonitor) => {
                self.set(id, Provisioning::Active, Some(online_if(up || !given.up)));
                if let Some(pool) = self.store.get(id).and_then(|object| object.parent) {
                    self.set(pool, Provisioning::Active, None);
                }
            }
            // Nothing that the driver cares for. It doesn't report the pool's listeners: they stay PENDING_UPDATE.
            _ => self.set(id, Provisioning::Active, None),
        }
    }

    fn deleted_by_ovn(&mut self, neutron: &mut Neutron, load_balancer: Uuid, id: Uuid) {
        let Some(object) = self.store.get(id) else { return };
        let (kind, parent) = (object.kind, object.parent);
        match (kind, parent) {
            (Kind::Pool, _) => self.listeners_done(load_balancer, id),
            (Kind::HealthMonitor, Some(pool)) => {
                for member in self.store.child_ids(pool, Kind::Member) {
                    self.set(member, Provisioning::Active, Some(Operating::NoMonitor));
                }
                self.set(pool, Provisioning::Active, None);
                self.listeners_done(load_balancer, pool);
                self.store.remove(id);
                return self.unwatch(neutron, &self.store.child_ids(pool, Kind::Member));
            }
            _ => {}
        }
        self.store.remove(id);
    }

    /// The statuses of everything that shares the protocol of a pool: OVN has a load balancer of its own for each. What is
    /// still to be created there is not yet known to the driver.
    pub(super) fn report_all(&mut self, load_balancer: Uuid, pool: Uuid) {
        let protocol = self.store.get(pool).map(|pool| pool.text("protocol").to_owned()).unwrap_or_default();
        let of_protocol = |object: &&Object| {
            object.text("protocol") == protocol && object.provisioning != Provisioning::PendingCreate
        };
        let ids = |kind| {
            let objects = self.store.children(load_balancer, kind).filter(of_protocol);
            objects.map(|object| object.id).collect::<Vec<Uuid>>()
        };
        let (pools, listeners) = (ids(Kind::Pool), ids(Kind::Listener));
        let any_member = pools.iter().any(|pool| self.store.children(*pool, Kind::Member).next().is_some());
        for pool in pools {
            self.members_done(pool);
            let status = if any_member && self.is_up(pool) { self.pool_status(pool) } else { Operating::Offline };
            self.set(pool, Provisioning::Active, Some(status));
        }
        let mut worst = Operating::Online;
        for listener in listeners {
            let status = self.listener_status(listener);
            self.set(listener, Provisioning::Active, Some(status));
            worst = worse(worst, status);
        }
        let status = if self.is_up(load_balancer) { worst } else { Operating::Offline };
        self.set(load_balancer, Provisioning::Active, Some(status));
    }

    /// The driver says of all members that it has that they are done, also of those that the same request has still to
    /// change or to delete.
    fn members_done(&mut self, pool: Uuid) {
        let known = self.store.children(pool, Kind::Member).filter(|m| m.provisioning != Provisioning::PendingCreate);
        let known: Vec<Uuid> = known.map(|member| member.id).collect();
        self.store.mark(&known, Provisioning::Active);
    }

    pub(super) fn pool_status(&self, pool: Uuid) -> Operating {
        let members: Vec<Operating> = self.store.children(pool, Kind::Member).map(|member| member.operating).collect();
        let failed = members.iter().filter(|status| **status == Operating::Error).count();
        match failed {
            0 => Operating::Online,
            all if all == members.len() => Operating::Error,
            _ => Operating::Degraded,
        }
    }

    fn listener_status(&self, listener: Uuid) -> Operating {
        let Some(listener) = self.store.get(listener).filter(|listener| listener.is_up()) else {
            return Operating::Offline;
        };
        let pool = listener.uuid("default_pool_id").and_then(|pool| self.store.get(pool));
        match pool.map(|pool| pool.operating) {
            Some(status @ (Operating::Error | Operating::Degraded)) => status,
            _ => Operating::Online,
        }
    }
}

fn worse(a: Operating, b: Operating) -> Operating {
    let rank = |status| match status {
        Operating::Error => 2,
        Operating::Degraded => 1,
        _ => 0,
    };
    if rank(b) > rank(a) { b } else { a }
}
