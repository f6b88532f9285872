//! What the drivers report when a step is done: the statuses of the load balancer and of everything that belongs to it.

use super::{
    Octavia, Operating, Provider, Provisioning,
    object::{Kind, Object},
    settle::Deed,
};
use crate::{neutron::Neutron, uuid::Uuid};

/// Online if it is enabled.
pub(super) const fn online_if(up: bool) -> Operating {
    if up { Operating::Online } else { Operating::Offline }
}

impl Octavia {
    /// A step is done.
    pub(super) fn report(&mut self, neutron: &mut Neutron, load_balancer: Uuid, provider: Provider, deed: Deed) {
        match provider {
            Provider::Ovn if self.is_lost_on_ovn(&deed) => return,
            Provider::Ovn => self.report_of_ovn(neutron, load_balancer, deed),
            Provider::Amphora => self.report_of_amphora(load_balancer, &deed),
        }
        self.set(load_balancer, Provisioning::Active, None);
    }

    pub(super) fn set(&mut self, id: Uuid, provisioning: Provisioning, operating: Option<Operating>) {
        if let Some(object) = self.store.get_mut(id) {
            object.set(provisioning, operating);
        }
    }

    pub(super) fn kind(&self, id: Uuid) -> Option<Kind> {
        self.store.get(id).map(|object| object.kind)
    }

    pub(super) fn is_up(&self, id: Uuid) -> bool {
        self.store.get(id).is_some_and(Object::is_up)
    }

    pub(super) fn listeners_done(&mut self, load_balancer: Uuid, pool: Uuid) {
        let listeners = self.store.listeners_of(pool, Some(load_balancer));
        self.store.mark(&listeners, Provisioning::Active);
    }

    /// A worker does all of a change in one go.
    fn report_of_amphora(&mut self, load_balancer: Uuid, deed: &Deed) {
        match deed {
            Deed::Deleted(id) => drop(self.store.remove(*id)),
            Deed::Members { deleted, .. } => deleted.iter().for_each(|id| drop(self.store.remove(*id))),
            Deed::Created(_) | Deed::Changed(..) | Deed::Emptied(_) => {}
        }
        let up = self.is_up(load_balancer);
        self.set(load_balancer, Provisioning::Active, Some(online_if(up)));
        for id in self.store.descendants(load_balancer) {
            let Some(object) = self.store.get(id) else { continue };
            let monitored = object.parent.is_some_and(|pool| self.store.monitor_of(pool).is_some());
            let status = match object.kind {
                Kind::Member if object.is_up() && !monitored => Operating::NoMonitor,
                Kind::Member if object.operating == Operating::Error => Operating::Error,
                _ => online_if(object.is_up()),
            };
            self.set(id, Provisioning::Active, Some(status));
        }
    }

    /// A step has failed. What the load balancer itself was to become is in ERROR; if it was a part of it, only that is.
    pub(super) fn fail(&mut self, neutron: &mut Neutron, load_balancer: Uuid, provider: Provider, deed: &Deed) {
        let failed = match deed {
            Deed::Created(id) | Deed::Changed(id, _) | Deed::Deleted(id) | Deed::Emptied(id) => vec![*id],
            Deed::Members { created, changed, deleted, .. } => [&created[..], changed, deleted].concat(),
        };
        if failed.contains(&load_balancer) {
            self.set(load_balancer, Provisioning::Error, Some(Operating::Error));
            if provider == Provider::Ovn && matches!(deed, Deed::Created(_)) {
                self.free_vips(neutron, load_balancer);
            }
            return;
        }
        let pool = match deed {
            Deed::Members { pool, .. } => Some(*pool),
            _ => failed.first().and_then(|id| self.store.get(*id)).and_then(|object| match object.kind {
                Kind::Pool => Some(object.id),
                _ => object.parent.filter(|parent| *parent != load_balancer),
            }),
        };
        if let Some(pool) = pool {
            self.set(pool, Provisioning::Active, None);
            self.listeners_done(load_balancer, pool);
        }
        for id in failed {
            let status = (self.kind(id) == Some(Kind::Listener)).then_some(Operating::Error);
            self.set(id, Provisioning::Error, status);
        }
        self.set(load_balancer, Provisioning::Active, None);
    }

    /// A health monitor has found something out about a member.
    pub(super) fn member_found(&mut self, member: Uuid, status: Operating) {
        let Some(pool) = self.store.get(member).and_then(|object| object.parent) else { return };
        let Some(load_balancer) = self.store.load_balancer_of(pool) else { return };
        self.set(member, Provisioning::Active, Some(status));
        match self.provider_of(load_balancer) {
            Provider::Ovn => self.report_all(load_balancer, pool),
            Provider::Amphora => {
                let status = self.pool_status(pool);
                if let Some(pool) = self.store.get_mut(pool) {
                    pool.operating = status;
                }
            }
        }
    }
}
