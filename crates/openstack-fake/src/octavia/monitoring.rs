//! What OVN needs to look after members: a port in each of their subnets, from whose address the checks come.

use super::{
    Octavia, Operating, Provider, Provisioning,
    object::{Kind, Object},
};
use crate::{keystone::Caller, neutron::Neutron, uuid::Uuid};
use hyper::Method;
use serde_json::json;
use std::collections::BTreeSet;

/// Name and device of the port in a subnet.
fn name(subnet: Uuid) -> String {
    format!("ovn-lb-hm-{subnet}")
}

impl Octavia {
    /// The subnet of a member; the load balancer's, if it was given none.
    fn subnet_of(&self, member: &Object) -> Option<Uuid> {
        let own = member.uuid("subnet_id");
        own.or_else(|| self.owner(member.id).ok().and_then(|owner| owner.uuid("vip_subnet_id")))
    }

    /// Begins to look after a member. One whose address no port has is in ERROR at once.
    pub(super) fn watch(&self, neutron: &mut Neutron, member: &Object) -> Operating {
        let Some(subnet) = self.subnet_of(member) else { return Operating::Error };
        let address = super::provider::address(&member.attributes);
        let port = address.and_then(|address| neutron.port_with(subnet, address));
        let Some((network, project)) = port else { return Operating::Error };
        if neutron.port_of_device(&name(subnet)).is_none() {
            let new = json!({
                "name": name(subnet), "device_id": name(subnet), "device_owner": "ovn-lb-hm:distributed",
                "network_id": network.to_string(), "fixed_ips": [{ "subnet_id": subnet.to_string() }],
                "port_security_enabled": false, "security_groups": [],
            });
            let caller = Caller::of_the_cloud(&project);
            let (status, _) = neutron.ask(&caller, Method::POST, "ports", Some(json!({ "port": new })));
            if status != 201 {
                return Operating::Error;
            }
        }
        Operating::Online
    }

    /// Takes members out, and what is needed for nobody else any more.
    pub(super) fn remove_members(&mut self, neutron: &mut Neutron, members: &[Uuid]) {
        let subnets = self.subnets_of(members);
        members.iter().for_each(|id| drop(self.store.remove(*id)));
        self.free_monitors(neutron, subnets);
    }

    /// Ends looking after members.
    pub(super) fn unwatch(&self, neutron: &mut Neutron, members: &[Uuid]) {
        self.free_monitors(neutron, self.subnets_of(members));
    }

    /// The subnets of those of these objects that are members.
    pub(super) fn subnets_of(&self, objects: &[Uuid]) -> BTreeSet<Uuid> {
        let members = objects.iter().filter_map(|id| self.store.get(*id)).filter(|object| object.kind == Kind::Member);
        members.filter_map(|member| self.subnet_of(member)).collect()
    }

    /// Deletes the ports of subnets in which no member is looked after any more.
    pub(super) fn free_monitors(&self, neutron: &mut Neutron, mut subnets: BTreeSet<Uuid>) {
        subnets.retain(|subnet| neutron.port_of_device(&name(*subnet)).is_some());
        if subnets.is_empty() {
            return;
        }
        for monitor in self.store.of_kind(Kind::HealthMonitor).filter(|hm| hm.provisioning == Provisioning::Active) {
            let Some(pool) = monitor.parent else { continue };
            if self.store.load_balancer_of(pool).is_some_and(|owner| self.provider_of(owner) == Provider::Ovn) {
                let used = self.subnets_of(&self.store.child_ids(pool, Kind::Member));
                subnets.retain(|subnet| !used.contains(subnet));
            }
        }
        let caller = Caller::of_the_cloud(&"".into());
        for subnet in subnets {
            let Some(port) = neutron.port_of_device(&name(subnet)) else { continue };
            neutron.ask(&caller, Method::DELETE, &format!("ports/{port}"), None);
        }
    }
}
