//! Octavia's Load Balancer API v2, as far as `crates/openstack` has a call for it, with the providers `ovn` and `amphora`.
//! What is said and refused, and with which words, was read in the sources of Octavia 19 and its OVN provider 11, and
//! compared with the lab's by some 210 requests that were sent to both; the contract tests hold it to that.
//!
//! What it knows nothing of: L7 policies (in a request they are ignored), flavors, availability zones, amphorae, certificates
//! behind references, statistics (all are zero), and the rows that OVN really has: members that nobody can reach are served
//! as well. Amphorae are from the sources alone; the lab has none. In messages the order of a set or of a body's members
//! may differ, and Octavia's database says more when it fails.
//!
//! A request changes what Octavia knows and leaves *steps* behind, as the real one leaves them to its driver: see
//! [`settle`]. They are done when their time has come, which is looked after before every request and every look from
//! outside.

mod attributes;
mod batch;
mod control;
mod create;
mod failure;
mod graph;
mod health_monitor;
mod list;
mod listener;
mod load_balancer;
mod member;
mod monitoring;
mod object;
mod operating;
mod ovn;
mod pool;
mod protocol;
mod provider;
mod quota;
mod render;
mod schema;
mod settle;
mod statuses;
mod store;
#[cfg(test)]
mod tests;
mod value;
mod versions;
mod view;
mod vip;
mod vip_port;

use crate::{
    OctaviaConfig,
    call::{Answer, Call},
    keystone::Caller,
    neutron::Neutron,
    uuid::Uuid,
};
use failure::{Failure, Outcome};
use object::{Kind, Object, Provisioning};
use serde_json::json;
use std::collections::{BTreeMap, HashMap};
use store::Store;

pub(crate) use failure::fault;
pub use object::{Operating, Provisioning as ProvisioningStatus};
pub use provider::Provider;
pub use settle::Settle;
pub(crate) use versions::versions;
pub use view::{HealthMonitorView, ListenerView, LoadBalancerView, MemberView, PoolView, VipView};

/// Everything that Octavia knows.
pub(crate) struct Octavia {
    options: OctaviaConfig,
    store: Store,
    work: settle::Work,
    quotas: HashMap<String, BTreeMap<&'static str, i64>>,
}

/// One request in the course of being carried out.
struct Request<'a> {
    caller: &'a Caller,
    call: &'a Call,
    /// The collection's URL, for links to pages.
    url: String,
}

impl Octavia {
    pub fn new(options: OctaviaConfig) -> Self {
        let work = settle::Work::new(options.settle);
        Self { options, store: Store::default(), work, quotas: HashMap::new() }
    }

    /// Carries out a request of somebody who is logged in. `base` is the service's URL.
    pub fn handle(&mut self, neutron: &mut Neutron, caller: &Caller, call: &Call, base: &str) -> Answer {
        self.advance(neutron);
        let request = Request { caller, call, url: format!("{base}/v2.0/{}", call.path) };
        self.dispatch(neutron, &request).unwrap_or_else(Failure::into_answer)
    }

    fn dispatch(&mut self, neutron: &mut Neutron, request: &Request<'_>) -> Outcome {
        let segments = request.call.segments();
        let segments = segments.strip_prefix(&["lbaas"]).unwrap_or(&segments);
        match (request.call.method.as_str(), segments) {
            (_, ["quotas", rest @ ..]) => self.quota(request, rest),
            ("GET", ["providers"]) => Ok(self.providers()),
            ("GET", ["l7policies"]) => Ok(Answer::json(200, &json!({ "l7policies": [], "l7policies_links": [] }))),
            ("GET", ["flavors"]) => Ok(Answer::json(200, &json!({ "flavors": [], "flavors_links": [] }))),
            (_, ["loadbalancers", id, "status" | "statuses"]) => self.status_tree(request, id),
            (_, ["loadbalancers" | "listeners", id, "stats"]) => self.stats(request, id),
            (_, ["loadbalancers", id, "failover"]) => self.failover(request, id),
            (_, ["pools", pool, "members", rest @ ..]) => {
                let pool = self.pool_on_the_way(pool)?;
                self.members(neutron, request, pool, rest)
            }
            (_, ["members", ..]) => Err(Failure::no_such_path()),
            (method, [path, rest @ ..]) => {
                let kind = Kind::of_path(path).ok_or_else(Failure::no_such_path)?;
                self.resource(neutron, request, kind, method, rest)
            }
            _ => Err(Failure::no_such_path()),
        }
    }

    /// What can be done with every kind of object but members.
    fn resource(
        &mut self,
        neutron: &mut Neutron,
        request: &Request<'_>,
        kind: Kind,
        method: &str,
        rest: &[&str],
    ) -> Outcome {
        match (method, rest) {
            ("GET", []) => self.list(request, kind, None),
            ("POST", []) => match kind {
                Kind::LoadBalancer => self.create_load_balancer(neutron, request),
                Kind::Listener => self.create_listener(request),
                Kind::Pool => self.create_pool(request),
                Kind::HealthMonitor | Kind::Member => self.create_monitor(request),
            },
            ("GET", [id]) => {
                let object = self.readable(request, kind, id)?;
                Ok(self.answer_one(200, object, &list::fields(&request.call.query)))
            }
            ("PUT", [id]) => {
                let id = self.changeable(request, kind, id)?;
                match kind {
                    Kind::LoadBalancer => self.update_load_balancer(neutron, request, id),
                    Kind::Listener => self.update_listener(request, id),
                    Kind::Pool => self.update_pool(request, id),
                    Kind::HealthMonitor | Kind::Member => self.update_monitor(request, id),
                }
            }
            ("DELETE", [id]) => {
                let id = self.changeable(request, kind, id)?;
                match kind {
                    Kind::LoadBalancer => self.delete_load_balancer(request, id)?,
                    Kind::Listener => self.delete_listener(id)?,
                    Kind::Pool => self.delete_pool(neutron, id)?,
                    Kind::HealthMonitor | Kind::Member => self.delete_monitor(id)?,
                }
                Ok(Answer::empty(204))
            }
            _ => Err(Failure::no_such_path()),
        }
    }

    fn providers(&self) -> Answer {
        let one = |provider: &Provider| json!({ "name": provider.name(), "description": provider.description() });
        let all: Vec<_> = self.options.providers.iter().map(one).collect();
        Answer::json(200, &json!({ "providers": all }))
    }

    /// The object with this identifier, of whatever project.
    fn find(&self, kind: Kind, id: &str) -> Result<&Object, Failure> {
        let object = id.parse().ok().and_then(|id| self.store.get(id));
        object.filter(|object| object.kind == kind).ok_or_else(|| Failure::not_found(kind, id))
    }

    /// The object, if the caller may see it. Octavia says that others' objects are there.
    fn readable(&self, request: &Request<'_>, kind: Kind, id: &str) -> Result<&Object, Failure> {
        let object = self.find(kind, id)?;
        request.may_touch(&object.project)?;
        Ok(object)
    }

    /// The identifier of an object that the caller may change.
    fn changeable(&self, request: &Request<'_>, kind: Kind, id: &str) -> Result<Uuid, Failure> {
        self.readable(request, kind, id).map(|object| object.id)
    }

    /// An object that was found before in the same request.
    fn stored(&self, kind: Kind, id: Uuid) -> Result<&Object, Failure> {
        self.store.get(id).ok_or_else(|| Failure::not_found(kind, &id.to_string()))
    }

    /// The load balancer that an object belongs to.
    fn owner(&self, id: Uuid) -> Result<&Object, Failure> {
        let owner = self.store.load_balancer_of(id).and_then(|id| self.store.get(id));
        // What stays of one that is gone can't be changed.
        let parent = self.store.get(id).and_then(|object| object.parent);
        let immutable = || parent.map(|parent| Failure::immutable(Kind::LoadBalancer, parent));
        owner.ok_or_else(|| immutable().unwrap_or_else(|| Failure::not_found(Kind::LoadBalancer, &id.to_string())))
    }

    fn provider_of(&self, load_balancer: Uuid) -> Provider {
        let named = self.store.get(load_balancer).map(|object| object.text("provider"));
        if named == Some(Provider::Amphora.name()) { Provider::Amphora } else { Provider::Ovn }
    }

    /// Takes the load balancer for a change to something that belongs to it. Nobody else can change it until the provider
    /// has said that it is done.
    fn take(&mut self, load_balancer: Uuid, also: &[Uuid]) -> Result<(), Failure> {
        let object = self.store.get_mut(load_balancer);
        let object = object.filter(|object| object.provisioning == Provisioning::Active);
        let object = object.ok_or_else(|| Failure::immutable(Kind::LoadBalancer, load_balancer))?;
        object.set(Provisioning::PendingUpdate, None);
        self.store.mark(also, Provisioning::PendingUpdate);
        Ok(())
    }

    /// As [`Self::take`], for changes of what belongs to a pool.
    fn take_pool(&mut self, pool: Uuid) -> Result<(), Failure> {
        let found = self.stored(Kind::Pool, pool)?;
        if found.provisioning != Provisioning::Active {
            return Err(Failure::immutable(Kind::Pool, pool));
        }
        let load_balancer = found.parent.unwrap_or(pool);
        let mut also = self.store.listeners_of(pool, found.parent);
        also.push(pool);
        self.take(load_balancer, &also)
    }
}

impl Request<'_> {
    fn may_touch(&self, project: &str) -> Result<(), Failure> {
        if self.caller.admin || *self.caller.project == *project { Ok(()) } else { Err(Failure::forbidden()) }
    }
}
