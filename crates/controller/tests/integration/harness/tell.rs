//! What there is, in a line each: what a failure prints, in full even where only its end is kept.

use super::world::World;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{Resource, ResourceExt, api::ListParams};
use kuryr_api::{KuryrPoolPort, KuryrPort};
use std::fmt::Write;

impl World {
    /// All claims, all their ports, and Neutron's.
    pub async fn told(&self) -> String {
        let claims = self.ports().list(&ListParams::default()).await.unwrap().items;
        let objects = self.own_pool_ports().await;
        let mut text = String::new();
        claims.iter().for_each(|claim| line(&mut text, &claim_told(claim)));
        objects.iter().for_each(|object| line(&mut text, &object_told(object)));
        for port in self.neutron_ports() {
            let (id, mark, device) = (&port.id, &port.description, &port.device_id);
            line(
                &mut text,
                &format!("Neutron port {id} \"{mark}\" device {device} on {} active: {}", port.host, port.active),
            );
        }
        text
    }
}

fn line(text: &mut String, told: &str) {
    write!(text, "\n  {told}").unwrap();
}

fn claim_told(claim: &KuryrPort) -> String {
    let status = claim.status.clone().unwrap_or_default();
    let held: Vec<_> = status.interfaces.iter().map(|i| format!("{} ({})", i.pool_port, i.port_id)).collect();
    format!("{} of the pod {} has {held:?}{}", told(claim), claim.spec.pod_uid, conditions(&status.conditions))
}

fn object_told(object: &KuryrPoolPort) -> String {
    let status = object.status.clone().unwrap_or_default();
    let claim = object.spec.claim_ref.as_ref().map(|claim| format!("{:?} {} {}", claim.kind, claim.name, claim.uid));
    let id = status.port_id.unwrap_or_default();
    format!("{} of {claim:?} is {id:?}{}", told(object), conditions(&status.conditions))
}

fn told<K: Resource<DynamicType = ()>>(object: &K) -> String {
    let meta = object.meta();
    let times = [&meta.creation_timestamp, &meta.deletion_timestamp];
    let times: Vec<_> = times.into_iter().flatten().map(|time| time.0.to_string()).collect();
    format!("{} {} {} {times:?} {:?}", K::kind(&()), object.name_any(), object.uid().unwrap(), object.finalizers())
}

fn conditions(present: &[Condition]) -> String {
    present.iter().fold(String::new(), |mut text, c| {
        write!(text, ", {}={} {} {}", c.type_, c.status, c.reason, c.message).unwrap();
        text
    })
}
