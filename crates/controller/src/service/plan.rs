use k8s_openapi::api::core::v1::LoadBalancerIngress;
use kuryr_api::*;
use kuryr_core::service::*;
use std::sync::Arc;
pub struct Observed {
    pub service: facts::Service,
    pub ingress: Vec<LoadBalancerIngress>,
    pub object: Option<Arc<KuryrLoadBalancer>>,
}
pub enum Change {
    None,
    Create(Box<KuryrLoadBalancerSpec>),
    SetSpec(Box<KuryrLoadBalancerSpec>),
    Delete,
}
pub struct Plan {
    pub object: Change,
    pub ingress: Option<Vec<LoadBalancerIngress>>,
    pub problems: Vec<String>,
}
pub fn plan(_: &Observed, _: &Wanted, _: bool) -> Plan {
    Plan { object: Change::None, ingress: None, problems: vec![] }
}
