//! Carries a step out.

use super::{observe::Observed, plan::Step, status};
use crate::{
    context::Context,
    error::Error,
    gather::Flow,
    pool,
    runtime::{apply, queue::Next},
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{Api, ResourceExt};
use kuryr_api::KuryrPoolPort;
use kuryr_core::{
    claim::survivor,
    names::{self, OwnerMark},
};
use kuryr_openstack::{
    Found, Priority,
    neutron::{FixedIpRequest, NewPort, Port, PortId, PortUpdate, SecurityGroupId, SubnetId},
};
use serde_json::json;
use std::{sync::Arc, time::Duration};

/// How soon to look again when the answer to a write of ours is about to come.
const ANSWER: Duration = Duration::from_millis(5);

/// How soon an object comes again that waits for its turn to be asked for, should nobody call it.
const OUTSIDE: Duration = Duration::from_secs(15);

/// What a step came to.
pub enum Acted {
    /// The object has changed: the next step follows from it at once.
    Changed(Arc<KuryrPoolPort>),
    /// Nothing more can be done now.
    Ended(Next),
}

/// Carries a step out.
pub async fn act(context: &Context, seen: &Observed, step: Step) -> Result<Acted, Error> {
    let object = &*seen.object;
    let api: Api<KuryrPoolPort> = Api::all(context.client.clone());
    match step {
        Step::Converged => Ok(Acted::Ended(Next::Converged)),
        Step::Wait(wait) => Ok(Acted::Ended(Next::NotYet(wait))),
        Step::Release { used } => release(context, object, used).await,
        Step::EnsurePool => {
            pool::ensure(context, object).await?;
            Ok(Acted::Ended(Next::Converged))
        }
        // Whoever claims it meanwhile is first.
        Step::Delete => match apply::delete_unchanged(&api, object).await? {
            Some(deleting) => changed(context, deleting),
            None => Ok(gone(context, object)),
        },
        step if takes_its_time(context, object, &step)
            && !context.queues.pool_ports.has_turn(None, &object.name_any()) =>
        {
            Ok(Acted::Ended(Next::Later))
        }
        Step::Destroy => destroy(context, seen).await,
        // The watch was quicker than the answer to our own write, which says whether a port may exist already.
        Step::Create if context.attempts.is_writing(&object.name_any()) => Ok(Acted::Ended(Next::After(ANSWER))),
        Step::Hold => {
            tracing::warn!(object = apply::described(object), "our finalizer was missing, putting it on");
            changed(context, apply::with_finalizer(&api, object, names::NEUTRON_PORT_FINALIZER).await?)
        }
        Step::Create
            if !context.gather.creator.admits(&object.name_any(), &new_port(context, object), &flow(object)) =>
        {
            Ok(Acted::Ended(Next::NotYet(OUTSIDE)))
        }
        Step::Create => create(context, object).await,
        Step::Recheck => recheck(context, object).await,
        Step::SetGroups(groups) => set_groups(context, object, groups).await,
        Step::TakeBack => changed(context, status::take_back(context, object).await?),
    }
}

/// Whether nobody waits for the step while it waits for its turn at Neutron: thousands of them must not fill all places.
fn takes_its_time(context: &Context, object: &KuryrPoolPort, step: &Step) -> bool {
    match step {
        // While pods wait for room, one of them waits for this.
        Step::Destroy => !context.gather.creator.lacks_room(&object.spec.network_id.as_str().into()),
        Step::SetGroups(_) => object.spec.claim_ref.is_none(),
        _ => false,
    }
}

/// Makes the port free, for the pool of its node and network. It gets the groups that free ports have.
async fn release(context: &Context, object: &KuryrPoolPort, used: bool) -> Result<Acted, Error> {
    let claim = object.spec.claim_ref.as_ref().map_or("", |claim| &claim.name);
    // A port that is deleted next keeps the groups that it has; so does any as long as it isn't known what it is to get.
    let kept = object.metadata.deletion_timestamp.is_none();
    let groups = context.free_groups(&object.spec.node_name).filter(|_| kept);
    let groups = groups.as_ref().unwrap_or(&object.spec.security_group_ids);
    let never_there = object.status.as_ref().is_none_or(|status| status.port_id.is_none());
    let released_at = (used && !never_there).then(|| Time(Timestamp::now()));
    let spec = json!({ "claimRef": null, "releasedAt": released_at, "securityGroupIds": groups });
    let released = apply::spec(&context.pool_ports_api(), object, spec).await?;
    // What it waits for from now on it waits for as a free port.
    context.gather.creator.withdraw(&object.name_any());
    tracing::info!(object = apply::described(object), claim, "released");
    changed(context, released)
}

fn changed(context: &Context, object: KuryrPoolPort) -> Result<Acted, Error> {
    context.pool_ports.wrote(object.clone());
    Ok(Acted::Changed(Arc::new(object)))
}

/// The object no longer exists.
fn gone(context: &Context, object: &KuryrPoolPort) -> Acted {
    let uid = object.uid().unwrap_or_default();
    context.attempts.forget(&uid);
    context.gather.creator.withdraw(&object.name_any());
    context.pool_ports.gone(None, &object.name_any(), &uid);
    Acted::Ended(Next::Converged)
}

/// The mark that makes a Neutron port ours, and this object's.
fn mark(context: &Context, object: &KuryrPoolPort) -> OwnerMark {
    OwnerMark { cluster: context.settings.cluster.clone(), uid: object.uid().unwrap_or_default() }
}

/// The Neutron ports that carry the object's mark. They are looked for by `device_id` and, as somebody may have changed that,
/// by the recorded id, and recognised by the mark.
async fn find(context: &Context, object: &KuryrPoolPort) -> Result<Vec<Port>, Error> {
    let mark = mark(context, object);
    let recorded = recorded(object).map(PortId::from);
    let found = context.gather.finder.find(&mark.uid, recorded.as_ref()).await;
    let mut ports = found.map_err(Error::openstack("look for the Neutron port", apply::described(object)))?;
    ports.retain(|port| OwnerMark::parse(&port.description).as_ref() == Some(&mark));
    Ok(ports)
}

/// Gives the object its one Neutron port: found, where a request may have been made before, else created.
async fn create(context: &Context, object: &KuryrPoolPort) -> Result<Acted, Error> {
    let uid = object.uid().unwrap_or_default();
    let first = context.attempts.first(&uid);
    let found = if first { Vec::new() } else { earlier(context, object, &uid).await? };
    if !found.is_empty() && context.attempts.may_be_half_made(&uid) {
        tracing::warn!(
            object = apply::described(object),
            ports = found.len(),
            "Neutron went away while it made the port, another one is made"
        );
        let discarded = status::publish_discarded(context, object, &found).await?;
        context.attempts.discarded(&uid);
        return changed(context, discarded);
    }
    let (kept, surplus) = sort_out(object, found);
    if !surplus.is_empty() {
        // Only once one is recorded is it certain which ones nobody uses: another controller may just record another.
        context.attempts.look_again(&uid);
    }
    let port = match kept {
        Some(port) => {
            tracing::info!(object = apply::described(object), port = %port.id, "found the Neutron port of an earlier request");
            context.metrics.adopted();
            port
        }
        None => {
            let port = request(context, object, &uid, first).await?;
            context.attempts.discarded(&uid);
            port
        }
    };
    let published = status::publish_port(context, object, &port).await;
    if published.as_ref().is_err_and(Error::is_stale) {
        yield_to_recorded(context, object, &port).await?;
    }
    changed(context, published?)
}

/// The Neutron ports of earlier requests. Those that were discarded are deleted.
async fn earlier(context: &Context, object: &KuryrPoolPort, uid: &str) -> Result<Vec<Port>, Error> {
    context.attempts.inherited(uid);
    let found = find(context, object).await?;
    let (discarded, found): (Vec<_>, _) = found.into_iter().partition(|port| is_discarded(object, port));
    for port in discarded {
        delete(context, object, &port.id).await?;
        context.metrics.surplus_deleted();
    }
    Ok(found)
}

/// Whether it is written that nobody uses this port of the object.
fn is_discarded(object: &KuryrPoolPort, port: &Port) -> bool {
    object.status.as_ref().is_some_and(|status| status.discarded_port_ids.iter().any(|id| id == port.id.as_str()))
}

/// Requests the object's port.
async fn request(context: &Context, object: &KuryrPoolPort, uid: &str, first: bool) -> Result<Port, Error> {
    let created = context.gather.creator.create(&object.name_any(), new_port(context, object), flow(object)).await;
    if let Err(error) = &created {
        if error.outcome_unknown() {
            context.attempts.lost(uid);
        } else if first {
            context.attempts.refused(uid);
        }
        if error.broke_off() {
            context.attempts.broke_off(uid);
        }
    }
    let port = created.map_err(Error::openstack("create the Neutron port", apply::described(object)))?;
    tracing::info!(object = apply::described(object), port = %port.id, "Neutron port created");
    Ok(port)
}

/// The object has changed while its port was made. Where another controller was quicker, its port is the one that a pod may
/// use already: ours, which nobody has heard of, goes.
async fn yield_to_recorded(context: &Context, object: &KuryrPoolPort, port: &Port) -> Result<(), Error> {
    let api: Api<KuryrPoolPort> = Api::all(context.client.clone());
    let current = api.get_opt(&object.name_any()).await;
    let current = current.map_err(Error::kubernetes("read again", apply::described(object)))?;
    if is_superfluous(object, &port.id, current.as_ref()) {
        tracing::warn!(object = apply::described(object), port = %port.id, "deleting a second Neutron port, another controller was quicker");
        delete(context, object, &port.id).await?;
        context.metrics.surplus_deleted();
    }
    if let Some(current) = current {
        context.pool_ports.wrote(current);
    }
    Ok(())
}

/// Whether a port that couldn't be recorded is one too many: its object is gone, or has another one.
fn is_superfluous(object: &KuryrPoolPort, port: &PortId, current: Option<&KuryrPoolPort>) -> bool {
    let Some(current) = current.filter(|current| current.uid() == object.uid()) else { return true };
    recorded(current).is_some_and(|recorded| recorded != port.as_str())
}

/// The request for the object's port. What finds it again is in the request itself.
fn new_port(context: &Context, object: &KuryrPoolPort) -> NewPort {
    let (mark, spec) = (mark(context, object), &object.spec);
    NewPort {
        name: Some(object.name_any()),
        description: Some(mark.to_string()),
        device_id: Some(mark.uid),
        device_owner: Some(names::DEVICE_OWNER.to_owned()),
        host_id: Some(spec.node_name.clone()),
        fixed_ips: Some(spec.subnet_ids.iter().map(|id| FixedIpRequest::from(SubnetId::from(id.as_str()))).collect()),
        security_groups: Some(group_ids(&spec.security_group_ids)),
        ..NewPort::on(spec.network_id.as_str().into())
    }
}

/// For whom the port is.
fn flow(object: &KuryrPoolPort) -> Flow {
    let claim = object.spec.claim_ref.as_ref();
    claim.map_or(Flow::Refill, |claim| Flow::Miss(claim.namespace.clone().unwrap_or_default()))
}

fn group_ids(ids: &[String]) -> Vec<SecurityGroupId> {
    ids.iter().map(|id| SecurityGroupId::from(id.as_str())).collect()
}

/// Of several ports that carry the object's mark one stays, the others are one too many.
fn sort_out(object: &KuryrPoolPort, ports: Vec<Port>) -> (Option<Port>, Vec<Port>) {
    let kept = {
        let ids: Vec<_> = ports.iter().map(|port| port.id.as_str()).collect();
        survivor(recorded(object), &ids).map(PortId::from)
    };
    let (mut kept, surplus): (Vec<_>, Vec<_>) = ports.into_iter().partition(|port| Some(&port.id) == kept.as_ref());
    (kept.pop(), surplus)
}

/// The port that a pod may use already. It is recorded once and stays the same.
fn recorded(object: &KuryrPoolPort) -> Option<&str> {
    object.status.as_ref()?.port_id.as_deref()
}

async fn delete(context: &Context, object: &KuryrPoolPort, id: &PortId) -> Result<(), Error> {
    let deleted = context.neutron.with_priority(Priority::Release).delete_port(id).await.found();
    deleted.map_err(Error::openstack("delete the Neutron port", apply::described(object)))?;
    context.gather.creator.room(&object.spec.network_id.as_str().into());
    Ok(())
}

/// A request whose answer was lost has been carried out by now, if it ever is: of two ports one goes.
async fn recheck(context: &Context, object: &KuryrPoolPort) -> Result<Acted, Error> {
    let (kept, surplus) = sort_out(object, find(context, object).await?);
    for port in surplus {
        tracing::warn!(object = apply::described(object), port = %port.id, "deleting a second Neutron port, left by a lost answer");
        delete(context, object, &port.id).await?;
        context.metrics.surplus_deleted();
    }
    context.attempts.settled(&object.uid().unwrap_or_default());
    let kept = kept.as_ref().map(|port| port.id.as_str());
    if let Some(id) = recorded(object).filter(|id| kept != Some(id)) {
        status::publish_missing(context, object, id).await?;
    }
    Ok(Acted::Ended(Next::Converged))
}

async fn set_groups(context: &Context, object: &KuryrPoolPort, groups: Vec<String>) -> Result<Acted, Error> {
    let Some(id) = recorded(object).map(ToOwned::to_owned) else {
        return Ok(Acted::Ended(Next::Converged));
    };
    let update = PortUpdate { security_groups: Some(group_ids(&groups)), ..PortUpdate::default() };
    let failed = |error| Error::openstack("change the groups of the Neutron port", apply::described(object))(error);
    // Nobody waits for a free port.
    let priority = if object.spec.claim_ref.is_some() { Priority::Pod } else { Priority::Background };
    match context.neutron.with_priority(priority).update_port(&PortId::from(id.as_str()), &update).await {
        Ok(port) => {
            tracing::info!(object = apply::described(object), port = id, ?groups, "security groups changed");
            changed(context, status::publish_port(context, object, &port).await?)
        }
        // The port or one of the groups doesn't exist.
        Err(error) if error.is_not_found() => {
            let port = context.neutron.get_port(&PortId::from(id.as_str())).await.found().map_err(failed)?;
            if port.is_some() {
                return Err(failed(error));
            }
            status::publish_missing(context, object, &id).await?;
            Ok(Acted::Ended(Next::Converged))
        }
        Err(error) => Err(failed(error)),
    }
}

/// Deletes what Neutron has of the object, then lets the object go. A port that no longer carries our mark stays: it was
/// given to somebody else.
async fn destroy(context: &Context, seen: &Observed) -> Result<Acted, Error> {
    let object = &*seen.object;
    let uid = object.uid().unwrap_or_default();
    if recorded(object).is_none() && !context.attempts.first(&uid) {
        context.attempts.inherited(&uid);
    }
    for port in find(context, object).await? {
        delete(context, object, &port.id).await?;
        tracing::info!(object = apply::described(object), port = %port.id, "Neutron port deleted");
    }
    // A request that is still under way would leave a port behind: the object stays until it has had its time.
    if let Some(left) = context.attempts.unsettled(&uid).filter(|left| !left.is_zero()) {
        return Ok(Acted::Ended(Next::After(left)));
    }
    let api: Api<KuryrPoolPort> = Api::all(context.client.clone());
    match apply::without_finalizer(&api, object, names::NEUTRON_PORT_FINALIZER).await {
        Ok(_) => {}
        Err(Error::Kubernetes { source, .. }) if apply::is_not_found(&source) => {}
        Err(error) => return Err(error),
    }
    Ok(gone(context, object))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(uid: &str, port: Option<&str>) -> KuryrPoolPort {
        let object = json!({
            "apiVersion": "kuryr.openstack.org/v1alpha1", "kind": "KuryrPoolPort",
            "metadata": { "name": "node1-1", "uid": uid }, "status": { "portId": port },
            "spec": { "nodeName": "node1", "networkId": "net", "subnetIds": ["four"] },
        });
        serde_json::from_value(object).unwrap()
    }

    fn port(id: &str) -> Port {
        Port { id: PortId::from(id), ..Port::default() }
    }

    #[test]
    fn the_recorded_port_stays_else_the_first() {
        let ids = |ports: &[Port]| ports.iter().map(|port| port.id.to_string()).collect::<Vec<_>>();
        let (kept, surplus) = sort_out(&object("u", Some("b")), vec![port("a"), port("b"), port("c")]);
        assert_eq!((kept.unwrap().id, ids(&surplus)), (PortId::from("b"), vec!["a".to_owned(), "c".to_owned()]));
        let (kept, surplus) = sort_out(&object("u", None), vec![port("b"), port("a")]);
        assert_eq!((kept.unwrap().id, ids(&surplus)), (PortId::from("a"), vec!["b".to_owned()]));
        assert_eq!(sort_out(&object("u", Some("b")), vec![]), (None, vec![]));
    }

    #[test]
    fn of_two_controllers_ports_the_recorded_one_stays() {
        let (ours, decided_on) = (PortId::from("ours"), object("u", None));
        for (current, superfluous) in [
            (Some(object("u", None)), false),
            (Some(object("u", Some("ours"))), false),
            (Some(object("u", Some("theirs"))), true),
            (Some(object("later", None)), true),
            (None, true),
        ] {
            assert_eq!(is_superfluous(&decided_on, &ours, current.as_ref()), superfluous, "{current:?}");
        }
    }
}
