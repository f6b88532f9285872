//! The step from what a Service has to what it is to have. Pure.

mod ingress;

use k8s_openapi::api::core::v1::LoadBalancerIngress;
use kube::ResourceExt;
use kuryr_api::{KuryrLoadBalancer, KuryrLoadBalancerSpec};
use kuryr_core::service::{Wanted, facts::Service, spec::LoadBalancerSpec};
use std::sync::Arc;

/// What there is of a Service.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// What it says.
    pub service: Service,
    /// Its `status.loadBalancer.ingress`.
    pub ingress: Vec<LoadBalancerIngress>,
    /// Its KuryrLoadBalancer.
    pub object: Option<Arc<KuryrLoadBalancer>>,
}

/// What is to be done. `ingress` comes first: what is no longer the Service's is taken back while its object still says that it was.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    /// What becomes of its KuryrLoadBalancer.
    pub object: Change,
    /// The `status.loadBalancer.ingress` to write. None: it stays as it is.
    pub ingress: Option<Vec<LoadBalancerIngress>>,
    /// What is wrong with the Service's words: to be told by Events.
    pub problems: Vec<String>,
}

/// What becomes of a Service's KuryrLoadBalancer.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Change {
    /// Nothing: it is as it is to be, or has to be waited for.
    #[default]
    None,
    /// It is made.
    Create(Box<KuryrLoadBalancerSpec>),
    /// Its spec becomes this one.
    SetSpec(Box<KuryrLoadBalancerSpec>),
    /// It is deleted.
    Delete,
}

impl Observed {
    /// The Service's KuryrLoadBalancer. One that names another Service, as only a person can have made it, isn't touched.
    fn own(&self) -> Option<&KuryrLoadBalancer> {
        self.object.as_deref().filter(|object| object.spec.service_uid == self.service.uid)
    }

    /// The object that names another Service.
    fn foreign(&self) -> Option<&KuryrLoadBalancer> {
        self.object.as_deref().filter(|object| object.spec.service_uid != self.service.uid)
    }
}

/// Plans what is to be done. `is_ours` is what `kuryr_core::service::wanted::is_ours` says: that what makes the Service reachable from outside is
/// Kuryr's business.
#[must_use]
pub fn plan(seen: &Observed, wanted: &Wanted, is_ours: bool) -> Plan {
    let mut problems = match wanted {
        Wanted::LoadBalancer(ask) => ask.problems.iter().map(ToString::to_string).collect(),
        Wanted::Impossible(problem) => vec![problem.to_string()],
        Wanted::Nothing(_) => Vec::new(),
    };
    if let (Wanted::LoadBalancer(_), Some(foreign)) = (wanted, seen.foreign()) {
        problems.push(format!(
            "the KuryrLoadBalancer {} is in the way, because it names another Service ({}, uid {}): delete it",
            foreign.name_any(),
            foreign.spec.service_name,
            foreign.spec.service_uid
        ));
    }
    Plan { object: change(seen, wanted), ingress: ingress::to_write(seen, wanted, is_ours), problems }
}

/// What becomes of the KuryrLoadBalancer. One that is being deleted is waited for: it has the Service's address until Octavia has let go of
/// it.
fn change(seen: &Observed, wanted: &Wanted) -> Change {
    let is_going = |object: &KuryrLoadBalancer| object.metadata.deletion_timestamp.is_some();
    if seen.foreign().is_some() || seen.own().is_some_and(is_going) {
        return Change::None;
    }
    match (wanted, seen.own()) {
        // What the Service said before may still be right, and is better than nothing.
        (Wanted::Impossible(_), _) | (Wanted::Nothing(_), None) => Change::None,
        (Wanted::Nothing(_), Some(_)) => Change::Delete,
        (Wanted::LoadBalancer(ask), None) => Change::Create(spec(&seen.service, &ask.spec)),
        (Wanted::LoadBalancer(ask), Some(object)) => {
            let spec = spec(&seen.service, &ask.spec);
            if object.spec == *spec { Change::None } else { Change::SetSpec(spec) }
        }
    }
}

fn spec(service: &Service, asked: &LoadBalancerSpec) -> Box<KuryrLoadBalancerSpec> {
    Box::new(KuryrLoadBalancerSpec {
        service_name: service.name.clone(),
        service_uid: service.uid.clone(),
        load_balancer: asked.clone(),
    })
}

#[cfg(test)]
mod tests;
