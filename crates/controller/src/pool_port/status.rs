//! What Neutron says about a port.

use crate::{
    context::Context,
    error::Error,
    networks::Addressing,
    reasons,
    runtime::{apply, cache::object_ref, queue},
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{Api, ResourceExt};
use kuryr_api::{
    ClaimKind, KuryrPoolPort, KuryrPoolPortStatus,
    conditions::{self, Wanted},
};
use kuryr_openstack::neutron::Port;

/// The ids of a Neutron port's groups, sorted as they are in the spec.
pub fn groups_of(port: &Port) -> Vec<String> {
    let mut groups: Vec<_> = port.security_groups.iter().map(ToString::to_string).collect();
    groups.sort();
    groups
}

/// Our part of the status of an object whose port exists.
fn of_port(object: &KuryrPoolPort, port: &Port, addressing: Addressing, now: Timestamp) -> KuryrPoolPortStatus {
    let created = Wanted {
        type_: conditions::CREATED,
        status: Some(true),
        reason: reasons::CREATED,
        message: "the Neutron port exists".to_owned(),
    };
    let (before, groups) = (object.status.clone().unwrap_or_default(), groups_of(port));
    let regrouped = before.port_id.is_some() && before.security_group_ids != groups;
    KuryrPoolPortStatus {
        observed_generation: object.metadata.generation,
        port_id: Some(port.id.to_string()),
        mac_address: port.mac_address,
        addresses: addressing.addresses,
        routes: addressing.routes,
        name_servers: addressing.name_servers,
        mtu: Some(addressing.mtu),
        security_group_ids: groups,
        discarded_port_ids: Vec::new(),
        regrouped_at: if regrouped { Some(Time(now)) } else { before.regrouped_at },
        conditions: vec![created.onto(conditions_of(object), object.metadata.generation, now)],
    }
}

fn conditions_of(object: &KuryrPoolPort) -> &[k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition] {
    object.status.as_ref().map_or(&[], |status| &status.conditions)
}

/// Writes what Neutron says about the port.
pub async fn publish_port(context: &Context, object: &KuryrPoolPort, port: &Port) -> Result<KuryrPoolPort, Error> {
    let described = || apply::described(object);
    let fixed: Vec<_> = port.fixed_ips.iter().map(|fixed| (fixed.subnet_id.to_string(), fixed.ip_address)).collect();
    let addressing = context
        .networks
        .addressing(port.network_id.as_str(), &fixed)
        .await
        .map_err(Error::openstack("look up the subnets", described()))?;
    let lacks = match (port.mac_address, fixed.is_empty()) {
        (None, _) => Some("it has no MAC address"),
        (_, true) => Some("it has no address: somebody may have removed it; delete the pod to get another port"),
        _ => None,
    };
    if let Some(reason) = lacks {
        let (object, port, reason) = (described(), port.id.to_string(), reason.to_owned());
        return Err(Error::Unusable { object, port, reason });
    }
    write(context, object, of_port(object, port, addressing, Timestamp::now())).await
}

/// Says that the port is gone in Neutron although it is still needed.
pub async fn publish_missing(context: &Context, object: &KuryrPoolPort, port_id: &str) -> Result<(), Error> {
    let message = missing(object, port_id);
    publish_false(context, object, conditions::CREATED, reasons::PORT_MISSING, message).await
}

fn missing(object: &KuryrPoolPort, port_id: &str) -> String {
    let of_node = object.spec.claim_ref.as_ref().is_some_and(|claim| claim.kind == ClaimKind::Node);
    let remedy = if of_node { "another one is made" } else { "delete the pod to get another one" };
    format!("the Neutron port {port_id} doesn't exist: somebody deleted it; {remedy}")
}

/// Says why a step failed, where it says something new.
pub async fn publish_failure(context: &Context, object: &KuryrPoolPort, error: &Error) -> Result<(), Error> {
    let failure = match error {
        Error::OpenStack { source, .. } => {
            let key = queue::key::<KuryrPoolPort>(&object_ref(None, &object.name_any()));
            reasons::of(source, context.retries.in_a_row(&key, source.class()))
        }
        Error::Unusable { .. } => Some((reasons::UNUSABLE, error.to_string())),
        Error::Kubernetes { .. } | Error::Service { .. } => None,
    };
    let Some((reason, message)) = failure.filter(|_| object.metadata.deletion_timestamp.is_none()) else {
        return Ok(());
    };
    if !conditions::is_true(conditions_of(object), conditions::CREATED) {
        return publish_false(context, object, conditions::CREATED, reason, message).await;
    }
    // A port that exists goes on existing when a change fails.
    let groups = object.status.as_ref().map(|status| &status.security_group_ids);
    if groups == Some(&object.spec.security_group_ids) {
        return Ok(());
    }
    publish_false(context, object, conditions::GROUPS_SET, reason, message).await
}

/// Takes back that the port's groups can't be set.
pub async fn take_back(context: &Context, object: &KuryrPoolPort) -> Result<KuryrPoolPort, Error> {
    let mut status = object.status.clone().unwrap_or_default();
    status.observed_generation = object.metadata.generation;
    status.conditions.retain(|condition| condition.type_ == conditions::CREATED);
    write(context, object, status).await
}

/// Says that the Neutron ports of earlier requests aren't used. Once that is written nobody can record them any more, so they may be
/// deleted.
pub async fn publish_discarded(
    context: &Context,
    object: &KuryrPoolPort,
    ports: &[Port],
) -> Result<KuryrPoolPort, Error> {
    write(context, object, discarding(object, ports, Timestamp::now())).await
}

/// Those that were discarded before are deleted by now: where Neutron goes away again and again, the list doesn't grow.
fn discarding(object: &KuryrPoolPort, ports: &[Port], now: Timestamp) -> KuryrPoolPortStatus {
    let ids: Vec<_> = ports.iter().map(|port| port.id.to_string()).collect();
    let message = format!(
        "Neutron went away while it made the port {}, so OVN may not know of it: another one is made",
        ids.join(", ")
    );
    let created = Wanted { type_: conditions::CREATED, status: Some(false), reason: reasons::HALF_MADE, message };
    KuryrPoolPortStatus {
        observed_generation: object.metadata.generation,
        discarded_port_ids: ids,
        conditions: vec![created.onto(conditions_of(object), object.metadata.generation, now)],
        ..object.status.clone().unwrap_or_default()
    }
}

async fn publish_false(
    context: &Context,
    object: &KuryrPoolPort,
    type_: &'static str,
    reason: &'static str,
    message: String,
) -> Result<(), Error> {
    let failed = Wanted { type_, status: Some(false), reason, message };
    if failed.is_in(conditions_of(object)) {
        return Ok(());
    }
    let condition = failed.onto(conditions_of(object), object.metadata.generation, Timestamp::now());
    // That the port exists is still so when its groups can't be set.
    let created =
        conditions_of(object).iter().filter(|present| present.type_ == conditions::CREATED && type_ != present.type_);
    let conditions = created.cloned().chain([condition]).collect();
    let present = object.status.clone().unwrap_or_default();
    let status = KuryrPoolPortStatus { observed_generation: object.metadata.generation, conditions, ..present };
    write(context, object, status).await.map(drop)
}

async fn write(context: &Context, object: &KuryrPoolPort, status: KuryrPoolPortStatus) -> Result<KuryrPoolPort, Error> {
    let api: Api<KuryrPoolPort> = Api::all(context.client.clone());
    let written = apply::status(&api, object, &status).await?;
    context.pool_ports.wrote(written.clone());
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(status: &serde_json::Value) -> KuryrPoolPort {
        let object = json!({
            "apiVersion": "kuryr.openstack.org/v1alpha1", "kind": "KuryrPoolPort", "metadata": { "name": "n-1" },
            "spec": { "nodeName": "n", "networkId": "net", "subnetIds": ["four"] }, "status": status,
        });
        serde_json::from_value(object).unwrap()
    }

    /// The status after Neutron has answered with these groups.
    fn answered(before: &serde_json::Value, groups: &[&str], now: Timestamp) -> KuryrPoolPortStatus {
        let port =
            Port { id: "p".into(), security_groups: groups.iter().map(|&id| id.into()).collect(), ..Port::default() };
        let addressing = Addressing { addresses: vec![], routes: vec![], name_servers: vec![], mtu: 1442 };
        of_port(&object(before), &port, addressing, now)
    }

    #[test]
    fn only_what_is_still_to_be_deleted_is_named() {
        let port = |id: &str| Port { id: id.into(), ..Port::default() };
        let now = Timestamp::from_second(1).unwrap();
        let first = discarding(&object(&json!({})), &[port("a"), port("b")], now);
        assert_eq!(first.discarded_port_ids, ["a", "b"]);
        let second = discarding(&object(&json!(first)), &[port("c")], now);
        assert_eq!(second.discarded_port_ids, ["c"], "a Neutron that goes away again and again fills no list");
        assert_eq!((&*second.conditions[0].reason, &*second.conditions[0].status), (reasons::HALF_MADE, "False"));
    }

    #[test]
    fn the_last_change_of_the_groups_is_remembered() {
        let [first, second, third] = [1, 2, 3].map(|second| Timestamp::from_second(second).unwrap());
        let born = answered(&json!({}), &["b", "a"], first);
        assert_eq!((&*born.security_group_ids, &born.regrouped_at), (&["a".to_owned(), "b".to_owned()][..], &None));
        let changed = answered(&json!(born), &["a"], second);
        assert_eq!(changed.regrouped_at, Some(Time(second)));
        let same = answered(&json!(changed), &["a"], third);
        assert_eq!(same.regrouped_at, Some(Time(second)));
    }
}
