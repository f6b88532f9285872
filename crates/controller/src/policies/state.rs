//! What is to be in Neutron, what is there, and what is still to be done about the difference.

use super::{failures::Failures, ports::ports_of};
use crate::{context::Context, port};
use kuryr_core::policy::{
    AddressGroupKey, Changes, Component, Desired, Fact, GroupKey, Key, Observed, Remote, Rule, Target, World,
    cluster::Meant,
    components,
    facts::{Name as ClusterName, Uid},
    meanwhile,
    observed::{ObservedAddressGroup, ObservedGroup, ObservedRule},
    target,
};
use kuryr_openstack::neutron::{AddressGroupId, SecurityGroupId};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// The name of an object with its namespace.
pub type Name = (String, String);

/// Groups with the cluster's mark that nobody wants: their policies went while no controller worked, or they are there twice.
#[derive(Debug, Default)]
pub struct Strangers {
    /// Security groups.
    pub groups: BTreeSet<SecurityGroupId>,
    /// Address groups.
    pub address_groups: BTreeSet<AddressGroupId>,
}

impl Strangers {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty() && self.address_groups.is_empty()
    }
}

/// All that is known of policies.
pub struct State {
    /// What is to be.
    pub world: World,
    /// What is there.
    pub observed: Observed,
    /// What has been changed since an audit began: the audit's own reading of it may be older.
    pub changed: BTreeSet<Key>,
    /// What is to be looked at.
    pub pending: BTreeSet<Key>,
    /// Of which it isn't known what Neutron has.
    pub doubtful: BTreeSet<Key>,
    /// When it is to be looked up once more, because a request whose answer was lost may be carried out late.
    pub recheck: BTreeMap<Key, Instant>,
    /// What is being changed.
    pub busy: BTreeSet<Key>,
    /// What went wrong.
    pub failures: Failures,
    /// Pods whose ports may not have the groups that they are to have.
    pub unsettled: BTreeSet<Uid>,
    /// Those of them that something has become of.
    pub look: BTreeSet<Uid>,
    /// Those of them that have no port yet, because their groups aren't there.
    pub waiting: BTreeSet<Uid>,
    /// Those of them whose ports have to change before the groups may, and what these are.
    pub moving: BTreeMap<Uid, BTreeSet<Key>>,
    /// Policies that may not be in force as they are now.
    pub unprogrammed: BTreeMap<Uid, Instant>,
    /// The same of ClusterNetworkPolicies.
    pub cluster_unprogrammed: BTreeMap<ClusterName, Instant>,
    /// The names of pods.
    pub pods: HashMap<Uid, Name>,
    /// The names of policies.
    pub policies: HashMap<Uid, Name>,
    /// It is known what Neutron has.
    pub is_loaded: bool,
    /// What nobody wants and couldn't be deleted yet.
    pub strangers: Strangers,
    /// Which group has which Neutron id.
    ids: HashMap<String, GroupKey>,
}

impl State {
    /// What there is to be. What Neutron has isn't known yet.
    pub fn new(world: World) -> Self {
        Self {
            pending: Desired::all(&world).keys(),
            world,
            observed: Observed::default(),
            changed: BTreeSet::new(),
            doubtful: BTreeSet::new(),
            recheck: BTreeMap::new(),
            busy: BTreeSet::new(),
            failures: Failures::default(),
            unsettled: BTreeSet::new(),
            look: BTreeSet::new(),
            waiting: BTreeSet::new(),
            moving: BTreeMap::new(),
            unprogrammed: BTreeMap::new(),
            cluster_unprogrammed: BTreeMap::new(),
            pods: HashMap::new(),
            policies: HashMap::new(),
            is_loaded: false,
            strangers: Strangers::default(),
            ids: HashMap::new(),
        }
    }

    /// Takes in what Neutron has now.
    pub fn see(&mut self, observed: Observed) {
        self.ids = observed.groups.iter().map(|(key, group)| (group.id.clone(), key.clone())).collect();
        self.observed = observed;
        self.is_loaded = true;
        // Nothing could be done before.
        let waiting = self.unprogrammed.values_mut().chain(self.cluster_unprogrammed.values_mut());
        waiting.for_each(|since| *since = Instant::now());
    }

    /// Takes in what has come, gone or changed.
    pub fn learn(&mut self, facts: impl IntoIterator<Item = Fact>) {
        let changes = self.world.learn(facts);
        for key in changes.keys() {
            self.failures.renew(&key);
            self.pending.insert(key);
        }
        let Changes { pods, policies, cluster_policies, .. } = changes;
        self.look.extend(pods.iter().cloned());
        self.unsettled.extend(pods);
        for uid in policies {
            self.touch(uid);
        }
        for name in cluster_policies {
            self.touch_cluster(name);
        }
    }

    /// A pod's port, or its claim, has changed.
    pub fn port_changed(&mut self, uid: &Uid) {
        if self.unsettled.contains(uid) {
            self.look.insert(uid.clone());
        }
    }

    /// Something has become of these groups: so it may have of the pods that have or want them.
    pub fn groups_changed(&mut self, keys: &BTreeSet<Key>) {
        let groups: BTreeSet<&GroupKey> = keys.iter().filter_map(Key::group).collect();
        let wants = |uid: &&Uid| {
            let wants = self.world.groups_of_pod(uid);
            wants.is_none_or(|wants| wants.iter().any(|key| groups.contains(key)))
        };
        let mut look: Vec<Uid> = self.moving.keys().cloned().collect();
        if !groups.is_empty() {
            look.extend(self.unsettled.iter().filter(wants).cloned());
        }
        self.look.extend(look);
    }

    /// What there is of a policy may not be in force yet.
    pub fn touch(&mut self, policy: Uid) {
        if self.policies.contains_key(&policy) {
            self.unprogrammed.entry(policy).or_insert_with(Instant::now);
        }
    }

    /// What there is of a ClusterNetworkPolicy may not be in force yet.
    pub fn touch_cluster(&mut self, policy: ClusterName) {
        if self.world.subjects_of(&policy).is_some() {
            self.cluster_unprogrammed.entry(policy).or_insert_with(Instant::now);
        }
    }

    /// What there is of the policies whose groups these are may not be in force yet.
    pub fn touch_policies_of(&mut self, key: &Key) {
        let all: Vec<Arc<Meant>> = match key {
            Key::Group(GroupKey::Policy { uid, .. }) => return self.touch(uid.clone()),
            Key::Group(GroupKey::Together(policies)) | Key::AddressGroup(AddressGroupKey::Vips { policies, .. }) => {
                return policies.iter().for_each(|uid| self.touch(uid.clone()));
            }
            Key::Group(GroupKey::Decided(meant)) | Key::AddressGroup(AddressGroupKey::DecidedVips { meant, .. }) => {
                vec![meant.clone()]
            }
            Key::AddressGroup(AddressGroupKey::Decision(decision)) => {
                self.world.meant_with(decision).cloned().collect()
            }
            Key::Group(_) | Key::AddressGroup(_) => return,
        };
        for meant in all {
            meant.policies.iter().for_each(|uid| self.touch(uid.clone()));
            meant.cluster.iter().for_each(|name| self.touch_cluster(name.clone()));
        }
    }

    /// Has what is due looked up once more. Answers when the next one is.
    pub fn recheck(&mut self) -> Option<Duration> {
        let now = Instant::now();
        let due: Vec<Key> = self.recheck.iter().filter(|(_, at)| **at <= now).map(|(key, _)| key.clone()).collect();
        for key in due {
            self.recheck.remove(&key);
            self.doubt(key);
        }
        self.recheck.values().min().map(|at| at.saturating_duration_since(now))
    }

    /// The parts of what is to be done that can be done now.
    pub fn parts(&self) -> Vec<Component> {
        let parts = components(&self.pending, &self.world, &self.observed);
        parts.into_iter().filter(|part| !part.meets(&self.busy)).collect()
    }

    /// What a part is to be. What failed isn't made before its time: only what closes is done meanwhile, and the rest of the part.
    pub fn desired(&self, part: &Component) -> Desired {
        let mut desired = part.desired(&self.world);
        desired.groups.retain(|key, wanted| {
            if self.failures.remaining(&Key::Group(key.clone())).is_none() {
                return true;
            }
            let Some(has) = self.observed.groups.get(key) else { return false };
            let has: BTreeSet<_> = has.rules.values().filter_map(ObservedRule::rule).collect();
            wanted.iter_mut().for_each(|rules| rules.retain(|rule| has.contains(rule)));
            true
        });
        desired.address_groups.retain(|key, wanted| {
            if self.failures.remaining(&Key::AddressGroup(key.clone())).is_none() {
                return true;
            }
            let Some(has) = self.observed.address_groups.get(key) else { return false };
            wanted.iter_mut().for_each(|members| members.retain(|member| has.members.contains(member)));
            true
        });
        desired
    }

    /// Whether Neutron has what there is to be.
    pub fn is_done(&self, key: &Key) -> bool {
        match key {
            Key::Group(key) => match (self.world.rules(key), self.observed.groups.get(key)) {
                (None, has) => has.is_none(),
                (Some(_), None) => false,
                (Some(wanted), Some(has)) => {
                    let rules: Option<BTreeSet<_>> = has.rules.values().map(ObservedRule::rule).collect();
                    rules.is_some_and(|rules| {
                        rules.len() == wanted.len() && rules.into_iter().all(|rule| wanted.contains(rule))
                    })
                }
            },
            Key::AddressGroup(key) => {
                self.world.members(key).as_ref() == self.observed.address_groups.get(key).map(|has| &has.members)
            }
        }
    }

    /// Nobody waits for a group any longer: it fails, or an address group that its rules name does.
    fn is_hopeless(&self, key: &GroupKey) -> bool {
        let fails = |key: Key| self.failures.is_hopeless(&key);
        let named = || self.world.rules(key).into_iter().flatten().filter_map(|rule| rule.address_group());
        fails(Key::Group(key.clone())) || named().any(|key| fails(Key::AddressGroup(key.clone())))
    }

    /// It isn't known what Neutron has of this.
    pub fn doubt(&mut self, key: Key) {
        self.pending.insert(key.clone());
        self.doubtful.insert(key);
    }

    /// The groups of a port, by their Neutron ids.
    pub fn keys_of(&self, ids: &[String]) -> BTreeSet<GroupKey> {
        ids.iter().filter_map(|id| self.ids.get(id)).cloned().collect()
    }

    /// The Neutron ids of groups, sorted. Groups that aren't there are left out.
    pub fn ids_of<'a>(&self, keys: impl IntoIterator<Item = &'a GroupKey>) -> Vec<String> {
        let groups = keys.into_iter().filter_map(|key| self.observed.groups.get(key));
        let mut ids: Vec<String> = groups.map(|group| group.id.clone()).collect();
        ids.sort_unstable();
        ids
    }

    /// The groups that a pod's port may have now, from those that it has. `None`: policies don't mean the pod.
    pub fn target(&self, uid: &Uid, has: &BTreeSet<GroupKey>) -> Option<Target> {
        let wants = self.world.groups_of_pod(uid)?;
        let hopeless = |key: &GroupKey| self.is_hopeless(key);
        let otherwise = || {
            let all: BTreeSet<&GroupKey> = has.union(wants).collect();
            let named = has.iter().filter_map(|key| self.observed.groups.get(key));
            let rules = named.flat_map(|group| group.rules.values()).filter_map(ObservedRule::rule);
            let named: Vec<&AddressGroupKey> = rules.filter_map(|rule| rule.address_group()).collect();
            let desired = Desired::of_keys(&self.world, all.into_iter(), named.into_iter());
            meanwhile(&desired, &self.observed, has, wants)
        };
        Some(target(|key| self.world.rules(key), &self.observed, (has, wants), hopeless, otherwise))
    }

    /// Whether a pod has a port in Neutron. One without is closed.
    pub fn is_connected(&self, context: &Context, uid: &Uid) -> bool {
        let ports = self.pods.get(uid).map(|name| ports_of(context, uid, name)).unwrap_or_default();
        ports.iter().any(|port| port::is_created(port))
    }

    /// What must not change before a port does that has these groups and wants those.
    pub fn touched_by(&self, has: &BTreeSet<GroupKey>, wants: &BTreeSet<GroupKey>) -> BTreeSet<Key> {
        let rules = has.iter().filter_map(|key| self.observed.groups.get(key)).flat_map(|group| group.rules.values());
        let named = rules.filter_map(ObservedRule::rule).filter_map(|rule| rule.address_group());
        let groups = has.union(wants).cloned().map(Key::Group);
        groups.chain(named.cloned().map(Key::AddressGroup)).collect()
    }

    /// Whether an address is still in an address group for somebody who had it before this pod.
    pub fn is_somebody_elses(&self, uid: &Uid, address: IpAddr) -> bool {
        let is_of_pods = |key: &AddressGroupKey| key.pods().is_some() || matches!(key, AddressGroupKey::Decision(_));
        let groups = self.observed.address_groups.iter().filter(|(key, _)| is_of_pods(key));
        let mut has = groups.filter(|(_, group)| group.members.contains(&address.into()));
        if self.world.settings().abilities.address_groups {
            return has.any(|(key, _)| !self.world.has_member(key, uid));
        }
        // There, members are rules: of those that are to go, none may mean the address.
        self.observed.groups.iter().any(|(key, group)| {
            let wanted = self.world.rules(key);
            let goes = |rule: &&Rule| wanted.is_none_or(|wanted| !wanted.contains(rule));
            let means = |rule: &Rule| matches!(rule.remote, Remote::Prefix(net) if net.contains(&address));
            group.rules.values().filter_map(ObservedRule::rule).filter(goes).any(means)
        })
    }

    /// The ids of the address groups that are known.
    pub fn address_group_ids(&self) -> HashMap<AddressGroupId, AddressGroupKey> {
        let groups = self.observed.address_groups.iter();
        groups.map(|(key, group)| (AddressGroupId::from(group.id.as_str()), key.clone())).collect()
    }

    /// The ids of the security groups that are known.
    pub fn group_ids(&self) -> HashSet<String> {
        self.ids.keys().cloned().collect()
    }

    /// The address groups that a policy's groups name.
    pub fn address_groups_of(&self, groups: &[GroupKey]) -> BTreeSet<&AddressGroupKey> {
        let rules = groups.iter().filter_map(|key| self.world.rules(key)).flatten();
        rules.filter_map(|rule| rule.address_group()).collect()
    }

    /// Neutron has this group now.
    pub fn put_group(&mut self, key: &GroupKey, group: ObservedGroup) {
        self.changed.insert(Key::Group(key.clone()));
        self.ids.insert(group.id.clone(), key.clone());
        let before = self.observed.groups.insert(key.clone(), group);
        if let Some(before) = before
            && self.observed.groups.get(key).is_some_and(|group| group.id != before.id)
        {
            // Ports that have that one have another group from now on.
            self.ids.remove(&before.id);
        }
    }

    /// Neutron doesn't have this group any more.
    pub fn drop_group(&mut self, key: &GroupKey) {
        self.changed.insert(Key::Group(key.clone()));
        if let Some(group) = self.observed.groups.remove(key) {
            self.ids.remove(&group.id);
        }
    }

    /// Neutron's rules of a group are others now.
    pub fn change_rules(&mut self, key: &GroupKey, change: impl FnOnce(&mut BTreeMap<String, ObservedRule>)) {
        self.changed.insert(Key::Group(key.clone()));
        if let Some(group) = self.observed.groups.get_mut(key) {
            change(&mut group.rules);
        }
    }

    /// Neutron has this address group now, or doesn't have it any more.
    pub fn put_address_group(&mut self, key: &AddressGroupKey, group: Option<ObservedAddressGroup>) {
        self.changed.insert(Key::AddressGroup(key.clone()));
        match group {
            Some(group) => drop(self.observed.address_groups.insert(key.clone(), group)),
            None => drop(self.observed.address_groups.remove(key)),
        }
    }
}
