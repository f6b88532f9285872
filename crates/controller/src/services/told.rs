//! What NetworkPolicies are told of Services: the addresses of load balancers, and the backends behind them.

use super::{Cloud, Services};
use crate::{load_balancer, policies::service_fact};
use kuryr_api::KuryrLoadBalancer;
use kuryr_core::policy::{Fact, facts::Uid};
use std::sync::Arc;

impl Services {
    /// What NetworkPolicies have to know of a load balancer: its addresses, its ports, and the backends behind them. That follows from what
    /// Kubernetes says; as long as it isn't known what Octavia can do, it is taken to do all of it.
    fn backends(&self, object: &KuryrLoadBalancer) -> Fact {
        let uid = Uid::from(object.spec.service_uid.as_str());
        let cloud = self.cloud().unwrap_or_else(|| Arc::new(Cloud::unknown(&self.settings)));
        let goes = object.metadata.deletion_timestamp.is_some();
        let desired = load_balancer::desired(self, &cloud, object).filter(|_| !goes);
        match desired {
            Some(desired) => Fact::Service(service_fact(uid, &desired.graph)),
            None => Fact::NoService(uid),
        }
    }

    /// The same of all load balancers.
    pub fn backends_of_all(&self) -> Vec<Fact> {
        self.load_balancers.all().iter().map(|object| self.backends(object)).collect()
    }

    /// Tells NetworkPolicies of what a load balancer serves now. It is looked up while nobody else tells anything: endpoints and the object itself
    /// are told by two watches.
    pub(super) fn tell_policies(&self, namespace: Option<&str>, name: &str, service: &str) {
        let Some(policies) = &self.policies else { return };
        policies.with(|state| {
            state.learn([match self.load_balancers.get(namespace, name) {
                Some(object) if object.spec.service_uid == service => self.backends(&object),
                _ => Fact::NoService(service.into()),
            }]);
        });
        policies.wake();
    }

    /// Tells NetworkPolicies of all of them: it is known now what Octavia can do.
    pub(super) fn tell_policies_of_all(&self) {
        let Some(policies) = &self.policies else { return };
        policies.with(|state| state.learn(self.backends_of_all()));
        policies.wake();
    }
}
