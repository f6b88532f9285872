//! How long requests take.

mod lab;
mod sharing;

use crate::{Call, Service};
use hyper::Method;
use sharing::Processor;
use std::time::Duration;
use tokio::sync::Semaphore;

/// How long requests take.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Latency {
    /// No longer than the fake needs.
    #[default]
    None,
    /// As long as the lab's Keystone and Neutron need on two cores, and longer the more requests are in flight.
    Lab,
    /// As [`Latency::Lab`], times a factor.
    Scaled(f64),
}

impl Latency {
    const fn factor(self) -> f64 {
        match self {
            Self::None => 0.0,
            Self::Lab => 1.0,
            Self::Scaled(factor) => factor,
        }
    }
}

/// Kinds of requests that take differently long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Login,
    /// Creation of so many ports, bound to a host or not.
    CreatePorts {
        items: usize,
        bound: bool,
    },
    UpdatePort,
    DeletePort,
    /// Creation of so many rules.
    CreateRules {
        items: usize,
    },
    /// So many addresses that an address group with so many members gets or loses.
    ChangeAddresses {
        items: usize,
        members: usize,
    },
    /// Creation of a load balancer: Octavia lets Neutron make a port in it.
    CreateLoadBalancer,
    /// Any other change, by object.
    Write {
        items: usize,
    },
    Read,
}

impl Operation {
    /// `members`: how many addresses the address group has that the request is about.
    fn of(call: &Call, members: usize) -> Self {
        let (items, resource) = (call.items(), call.resource());
        match (call.service, &call.method) {
            (Service::Identity, _) => Self::Login,
            (_, &Method::GET) => Self::Read,
            (Service::LoadBalancer, &Method::POST) if resource == "loadbalancers" => Self::CreateLoadBalancer,
            // Whatever is in a batch is written at once.
            (Service::LoadBalancer, _) => Self::Write { items: 1 },
            (_, &Method::POST) if resource == "ports" => Self::CreatePorts { items, bound: binds(call) },
            (_, &Method::PUT) if resource == "ports" => Self::UpdatePort,
            (_, &Method::DELETE) if resource == "ports" => Self::DeletePort,
            (_, &Method::POST) if resource == "security-group-rules" => Self::CreateRules { items },
            (_, &Method::POST | &Method::PUT) if resource == "address-groups" => {
                Self::ChangeAddresses { items: addresses(call), members }
            }
            _ => Self::Write { items },
        }
    }
}

fn binds(call: &Call) -> bool {
    let Some(body) = call.body.as_deref() else { return false };
    let ports = body.get("ports").and_then(|ports| ports.get(0)).or_else(|| body.get("port"));
    ports.is_some_and(|port| port.get("binding:host_id").is_some())
}

/// How many addresses a request about an address group names.
fn addresses(call: &Call) -> usize {
    let Some(body) = call.body.as_deref() else { return 0 };
    let list = body.get("addresses").or_else(|| body.get("address_group")?.get("addresses"));
    list.and_then(serde_json::Value::as_array).map_or(0, Vec::len)
}

/// One service's worker threads and the processors that they share.
pub(crate) struct Server {
    factor: std::sync::Mutex<f64>,
    threads: Semaphore,
    processor: Processor,
}

impl Server {
    pub fn new(latency: Latency) -> Self {
        Self {
            factor: latency.factor().into(),
            threads: Semaphore::new(lab::THREADS),
            processor: Processor::new(lab::CAPACITY),
        }
    }

    pub fn set(&self, latency: Latency) {
        *self.factor.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = latency.factor();
    }

    /// Waits as long as the request takes: for a thread, then for its share of the processors. `members` are the addresses of the
    /// address group that it is about.
    pub async fn work(&self, call: &Call, members: usize) {
        let factor = *self.factor.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if factor <= 0.0 {
            return;
        }
        let Ok(_thread) = self.threads.acquire().await else { return };
        let need = lab::sample(Operation::of(call, members), fastrand::f64());
        self.processor.use_for(Duration::from_secs_f64(need.seconds * factor), need.processors).await;
    }
}
