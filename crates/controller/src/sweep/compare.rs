//! One look at everything: our objects beside Neutron's ports. Reads only; what follows from it is in `act` and `tell`.

use super::look;
use crate::error::Error;
use kube::{Client, ResourceExt};
use kuryr_api::{KuryrPoolPort, conditions};
use kuryr_core::{
    drift::{Actual, Drift, Expected},
    names::{self, OwnerMark},
    sweep::{self, Finding, Implausible, Ledger, Limit, Object},
};
use kuryr_openstack::{
    Neutron, Priority,
    neutron::{Port, ProjectId, VifType},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// Compares again and again, and remembers since when each port has been found not to be as it should.
pub struct Comparer {
    pub(super) client: Client,
    pub(super) neutron: Neutron,
    /// The cluster's name in owner marks.
    pub(super) cluster: String,
    pub(super) project: ProjectId,
    /// How long a port must have been found before it is removed.
    pub grace: Duration,
    /// When the objects are taken for lost.
    pub limit: Limit,
    started: Instant,
    ledger: Ledger,
}

/// A port with our mark that isn't as it should be.
#[derive(Debug, Clone)]
pub struct Found {
    /// The port.
    pub port: Port,
    /// Why.
    pub finding: Finding,
    /// For how long it has been found so.
    pub for_: Duration,
    /// It has been found so for the grace time.
    pub due: bool,
    /// The object whose uid is in its mark, where it is known.
    pub object: Option<Arc<KuryrPoolPort>>,
}

/// What one look has shown.
#[derive(Debug, Default)]
pub struct Looked {
    /// Ports with our mark that aren't as they should be, by id.
    pub found: Vec<Found>,
    /// Objects whose port isn't in the list, with the port's id.
    pub missing: Vec<(Arc<KuryrPoolPort>, String)>,
    /// Objects whose port was changed.
    pub changed: Vec<(Arc<KuryrPoolPort>, Vec<Drift>)>,
    /// Objects that say of their port that it was changed, while it is as it should be.
    pub restored: Vec<Arc<KuryrPoolPort>>,
    /// Number of ports with our mark.
    pub marked: usize,
    /// Why nothing is removed.
    pub implausible: Option<Implausible>,
}

impl Looked {
    /// How many things of each reason were found.
    pub fn counts(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::from([("missing", self.missing.len()), ("changed", self.changed.len())]);
        for found in &self.found {
            *counts.entry(found.finding.as_str()).or_default() += 1;
        }
        counts
    }
}

impl Comparer {
    /// Compares what the cluster has in the project of the login.
    ///
    /// # Errors
    /// When Keystone can't be asked which project that is.
    pub async fn new(client: Client, neutron: Neutron, cluster: String) -> Result<Self, Error> {
        let project = neutron.project_id().await;
        let project = project.map_err(Error::openstack("look up the project", "the sweep"))?;
        let (grace, limit) = (Duration::ZERO, Limit { percent: 0 });
        let (started, ledger) = (Instant::now(), Ledger::default());
        let neutron = neutron.with_priority(Priority::Background);
        Ok(Self { client, neutron, cluster, project, grace, limit, started, ledger })
    }

    /// Looks. The `objects` must have been read before: what is made while Neutron lists is then not in question, and what
    /// the list has without an object is asked for afterwards, at the API server itself.
    ///
    /// # Errors
    /// When Neutron or the API server can't be asked: nothing is decided on half of a list.
    pub async fn look(&mut self, objects: &[Arc<KuryrPoolPort>]) -> Result<Looked, Error> {
        let recorded: HashSet<&str> = objects.iter().filter_map(|object| port_id(object)).collect();
        let ports = look::ports(&self.neutron, &self.cluster, &self.project, &recorded).await?;
        let mut looked = Looked::default();
        for object in objects.iter().filter(|object| has_port(object)) {
            let Some(id) = port_id(object) else { continue };
            match ports.get(id) {
                None => looked.missing.push((object.clone(), id.to_owned())),
                Some(port) => match drift(object, port, &self.cluster) {
                    drift if !drift.is_empty() => looked.changed.push((object.clone(), drift)),
                    _ if says_changed(object) => looked.restored.push(object.clone()),
                    _ => {}
                },
            }
        }
        self.judge(objects, ports, &mut looked).await?;
        Ok(looked)
    }

    /// Which ports with our mark nobody needs.
    async fn judge(
        &mut self,
        objects: &[Arc<KuryrPoolPort>],
        ports: HashMap<String, Port>,
        looked: &mut Looked,
    ) -> Result<(), Error> {
        let by_uid: HashMap<String, &Arc<KuryrPoolPort>> =
            objects.iter().filter_map(|object| Some((object.uid()?, object))).collect();
        let marked: Vec<(OwnerMark, Port)> = ports
            .into_values()
            .filter_map(|port| Some((look::mark(&port, &self.cluster, &self.project)?, port)))
            .collect();
        looked.marked = marked.len();
        let suspected = |(mark, port): &(OwnerMark, Port)| {
            let object = by_uid.get(&mark.uid).map_or(Object::None, |object| as_object(object));
            sweep::judge(port.id.as_str(), object, false).is_some()
        };
        let suspects: Vec<_> = marked.into_iter().filter(suspected).collect();
        if suspects.is_empty() {
            self.ledger.look(self.started.elapsed(), self.grace, []);
            return Ok(());
        }
        // Only now, after Neutron's list: an object is there before its port, so that one which isn't there now never will be.
        let (uids, in_use) = tokio::try_join!(look::uids(&self.client), look::addresses_in_use(&self.client))?;
        for (mark, port) in suspects {
            let object = by_uid.get(&mark.uid).copied();
            let known = match object {
                Some(object) if uids.contains(&mark.uid) => as_object(object),
                None if uids.contains(&mark.uid) => Object::Unrecorded,
                _ => Object::None,
            };
            let in_use = port.fixed_ips.iter().any(|fixed| in_use.contains(&fixed.ip_address));
            let Some(finding) = sweep::judge(port.id.as_str(), known, in_use) else { continue };
            let object = object.cloned().filter(|_| known != Object::None);
            looked.found.push(Found { port, finding, for_: Duration::ZERO, due: false, object });
        }
        // Ports that were on their way out while Neutron listed are gone by now: an object goes only after its port.
        let there =
            look::still_there(&self.neutron, looked.found.iter().map(|found| found.port.id.clone()).collect()).await?;
        looked.found.retain(|found| there.contains(&found.port.id));
        looked.found.sort_by(|a, b| a.port.id.cmp(&b.port.id));
        let without_object = looked.found.iter().filter(|found| found.object.is_none()).count();
        looked.implausible = self.limit.check(without_object, looked.marked, uids.len()).err();
        self.age(looked);
        Ok(())
    }

    /// Since when each of them has been found so.
    fn age(&mut self, looked: &mut Looked) {
        let now = self.started.elapsed();
        let found = looked.found.iter().map(|found| (found.port.id.to_string(), found.finding));
        let due = self.ledger.look(now, self.grace, found);
        for found in &mut looked.found {
            found.due = due.contains(found.port.id.as_str());
            found.for_ = self.ledger.found_for(found.port.id.as_str(), now).unwrap_or_default();
        }
    }
}

fn as_object(object: &KuryrPoolPort) -> Object<'_> {
    port_id(object).map_or(Object::Unrecorded, Object::Recorded)
}

/// Id of the object's Neutron port.
pub fn port_id(object: &KuryrPoolPort) -> Option<&str> {
    object.status.as_ref()?.port_id.as_deref()
}

/// The object's port is said to exist, and is to.
pub fn has_port(object: &KuryrPoolPort) -> bool {
    object.metadata.deletion_timestamp.is_none()
        && object.status.as_ref().is_some_and(|status| conditions::is_true(&status.conditions, conditions::CREATED))
}

/// The object says of its port that it was changed.
fn says_changed(object: &KuryrPoolPort) -> bool {
    let mut conditions = object.status.iter().flat_map(|status| &status.conditions);
    conditions.any(|condition| condition.type_ == conditions::IN_SYNC && condition.status == "False")
}

/// What was changed of the object's port.
pub fn drift(object: &KuryrPoolPort, port: &Port, cluster: &str) -> Vec<Drift> {
    let mark = OwnerMark { cluster: cluster.to_owned(), uid: object.uid().unwrap_or_default() };
    let addresses = object.status.iter().flat_map(|status| &status.addresses);
    let expected = Expected {
        description: mark.to_string(),
        device_owner: names::DEVICE_OWNER.to_owned(),
        host: object.spec.node_name.clone(),
        addresses: addresses.map(|address| address.ip).collect(),
    };
    expected.drift(&Actual {
        description: port.description.clone(),
        device_owner: port.device_owner.clone(),
        host: port.host_id.clone(),
        binding_failed: port.vif_type == Some(VifType::BindingFailed),
        up: port.admin_state_up,
        addresses: addresses_of(port),
    })
}

/// A port's addresses.
pub fn addresses_of(port: &Port) -> BTreeSet<IpAddr> {
    port.fixed_ips.iter().map(|fixed| fixed.ip_address).collect()
}
