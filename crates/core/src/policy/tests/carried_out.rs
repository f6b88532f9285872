//! The whole way: something happens, the world tells what it touched, plans are made of that alone, Neutron carries them out. In the end
//! Neutron has what a world made anew asks for.

use super::{
    cluster::random::with_policies,
    incremental::{event, happen},
    random::{outside, v4, v6, vip4},
    simulation::{settings, world},
};
use crate::{
    policy::{
        AddressGroupKey, Changes, Desired, Direction, GroupKey, Observed, Remote, Rule, World,
        apply::apply,
        components,
        facts::{Family, Uid},
        meanwhile,
        observed::{ObservedAddressGroup, ObservedGroup, ObservedRule},
        oracle::Cluster,
        plan,
        plan::{parts::Change, tests::crosses},
    },
    service::spec::Protocol,
};
use ipnet::IpNet;
use proptest::{collection::vec, prelude::*};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

/// Neutron: what carries the mark, and which groups ports have.
#[derive(Default)]
struct Neutron {
    observed: Observed,
    ports: BTreeMap<Uid, BTreeSet<GroupKey>>,
    ids: u32,
}

/// What a pod's port lets through: which way, from or to whom, at which port.
type Flows = BTreeSet<(Direction, IpAddr, Protocol, u16)>;

impl Neutron {
    /// Makes the requests of a plan, and looks after each of them whether ports are too open.
    fn carry_out(&mut self, desired: &Desired, sides: &Sides) -> Result<usize, TestCaseError> {
        let steps = plan(desired, &self.observed);
        for step in &steps {
            apply(step, &mut self.observed, &mut || {
                self.ids += 1;
                format!("id{:06}", self.ids)
            });
            self.check(desired, sides, &step.to_string())?;
        }
        Ok(steps.len())
    }

    /// Ports get groups, or are gone.
    fn plug(&mut self, pods: &BTreeSet<Uid>, groups: impl Fn(&Uid, &BTreeSet<GroupKey>) -> Option<BTreeSet<GroupKey>>) {
        for uid in pods {
            let has = self.ports.remove(uid).unwrap_or_default();
            if let Some(groups) = groups(uid, &has) {
                self.ports.insert(uid.clone(), groups);
            }
        }
        let used: BTreeSet<&GroupKey> = self.ports.values().flatten().collect();
        for (key, group) in &mut self.observed.groups {
            group.in_use = used.contains(key);
        }
    }

    /// What the controller does about a change: ports leave what they are to leave and what grows; then groups, then ports, then what no port
    /// has any more.
    /// In parts, or all at once.
    fn follow(&mut self, world: &World, changes: &Changes, in_parts: bool) -> Result<(), TestCaseError> {
        let desired = Desired::of(world, changes);
        let observed = self.observed.clone();
        let mut sides = Sides { old: self.flows(), new: flows_of(world), steady: BTreeSet::new() };
        let groups =
            |uid: &Uid, has: &BTreeSet<GroupKey>| Some(meanwhile(&desired, &observed, has, world.groups_of_pod(uid)?));
        // What a group loses that a port has, another one may have that the port gets only after the plan, because it isn't there yet.
        let keeps = |(uid, has): (&Uid, &BTreeSet<GroupKey>)| {
            let now = if changes.pods.contains(uid) { groups(uid, has) } else { Some(has.clone()) }?;
            let loses = has.iter().any(|key| Change::of(&desired, &observed, key).loses);
            let ready = world.groups_of_pod(uid).is_some_and(|wants| wants.is_subset(&now));
            (has.is_subset(&now) && (ready || !loses)).then(|| uid.clone())
        };
        if !crosses(&plan(&desired, &observed)) {
            sides.steady = self.ports.iter().filter_map(keeps).collect();
        }
        self.plug(&changes.pods, groups);
        if in_parts {
            for part in components(&changes.keys().collect(), world, &self.observed) {
                let part = part.desired(world);
                self.carry_out(&part, &sides)?;
                self.carry_out(&part, &sides)?;
            }
        } else {
            self.carry_out(&desired, &sides)?;
            self.carry_out(&desired, &sides)?;
        }
        for key in changes.pods.iter().filter_map(|uid| world.groups_of_pod(uid)).flatten() {
            let ready = desired.distance(key, &self.observed).is_some_and(|distance| distance.superfluous == 0);
            prop_assert!(ready || !desired.groups.contains_key(key), "{key} isn't ready");
            prop_assert!(self.observed.groups.contains_key(key), "{key} isn't there");
        }
        self.plug(&changes.pods, |uid, _| world.groups_of_pod(uid).cloned());
        self.check(&desired, &sides, "ports")?;
        self.carry_out(&desired, &sides)?;
        prop_assert_eq!(self.carry_out(&desired, &sides)?, 0);
        prop_assert_eq!(self.flows(), sides.new);
        Ok(())
    }

    /// No port lets anything through that it didn't before the change and isn't to let through after it. Only groups that change can.
    fn check(&self, desired: &Desired, sides: &Sides, after: &str) -> Result<(), TestCaseError> {
        let members = |key: &AddressGroupKey| self.observed.address_groups.get(key).map(|group| &group.members);
        let touched = |key: &GroupKey| {
            let named = self.observed.groups[key].rules.values().filter_map(ObservedRule::rule);
            let mut named = named.filter_map(Rule::address_group);
            desired.groups.contains_key(key) || named.any(|key| desired.address_groups.contains_key(key))
        };
        let none = Flows::new();
        for (uid, groups) in &self.ports {
            let (old, new) = (sides.old.get(uid).unwrap_or(&none), sides.new.get(uid).unwrap_or(&none));
            for key in groups.iter().filter(|key| touched(key)) {
                let rules = self.observed.groups[key].rules.values().filter_map(ObservedRule::rule);
                let now = flows(rules, members);
                let open = now.iter().find(|flow| !old.contains(flow) && !new.contains(flow));
                prop_assert!(open.is_none(), "{uid} has {open:?} of {key} after {after}");
            }
            if sides.steady.contains(uid) && groups.iter().any(touched) {
                let now = self.flows_of_port(groups);
                let closed = old.intersection(new).find(|flow| !now.contains(flow));
                prop_assert!(closed.is_none(), "{uid} hasn't {closed:?} after {after}");
            }
        }
        Ok(())
    }

    fn flows_of_port(&self, groups: &BTreeSet<GroupKey>) -> Flows {
        let members = |key: &AddressGroupKey| self.observed.address_groups.get(key).map(|group| &group.members);
        let rules = |key| self.observed.groups[key].rules.values().filter_map(ObservedRule::rule);
        flows(groups.iter().flat_map(rules), members)
    }

    fn flows(&self) -> BTreeMap<Uid, Flows> {
        self.ports.iter().map(|(uid, groups)| (uid.clone(), self.flows_of_port(groups))).collect()
    }

    /// What there is, as it would be asked for.
    fn as_desired(&self) -> Desired {
        let rules =
            |group: &ObservedGroup| Some(group.rules.values().filter_map(ObservedRule::rule).cloned().collect());
        let members = |group: &ObservedAddressGroup| Some(group.members.clone());
        Desired {
            groups: self.observed.groups.iter().map(|(key, group)| (key.clone(), rules(group))).collect(),
            address_groups: self.observed.address_groups.iter().map(|(key, has)| (key.clone(), members(has))).collect(),
        }
    }
}

/// What ports let through before a change, and are to let through after it.
struct Sides {
    old: BTreeMap<Uid, Flows>,
    new: BTreeMap<Uid, Flows>,
    /// Ports that lose nothing before the plan, if no address group changes in two ways at once: what both sides have stays.
    steady: BTreeSet<Uid>,
}

fn flows<'a>(
    rules: impl Iterator<Item = &'a Rule>,
    members: impl Fn(&AddressGroupKey) -> Option<&'a BTreeSet<IpNet>>,
) -> Flows {
    let mut flows = Flows::new();
    let addresses: Vec<IpAddr> = (1..6).map(v4).chain([v6(1), v6(2), vip4(1), vip4(2), outside()[0]]).collect();
    for rule in rules {
        for &address in &addresses {
            let remote = match &rule.remote {
                Remote::Any => true,
                Remote::Prefix(net) => net.contains(&address),
                Remote::Group(key) => members(key).is_some_and(|nets| nets.iter().any(|net| net.contains(&address))),
            };
            if remote && rule.family == Family::of(&address.into()) {
                let ports = [(Protocol::Tcp, 80), (Protocol::Tcp, 81), (Protocol::Udp, 53), (Protocol::Sctp, 7)];
                let ports = ports.into_iter().filter(|(protocol, port)| rule.ports.contains(*protocol, *port));
                flows.extend(ports.map(|(protocol, port)| (rule.direction, address, protocol, port)));
            }
        }
    }
    flows
}

fn flows_of(world: &World) -> BTreeMap<Uid, Flows> {
    let members: BTreeMap<&AddressGroupKey, BTreeSet<IpNet>> =
        world.address_groups().map(|key| (key, world.members(key).unwrap())).collect();
    let uids = (0..8).map(|number| Uid::from(format!("pod{number}")));
    let known = uids.filter_map(|uid| Some((world.groups_of_pod(&uid)?, uid.clone())));
    let rules = |key| world.rules(key).unwrap();
    known.map(|(groups, uid)| (uid, flows(groups.iter().flat_map(rules), |key| members.get(key)))).collect()
}

/// All that there is in a world is new.
fn everything(world: &World, cluster: &Cluster) -> Changes {
    Changes {
        pods: cluster.pods.iter().map(|pod| pod.uid.clone()).collect(),
        groups: world.groups().cloned().collect(),
        address_groups: world.address_groups().cloned().collect(),
        policies: BTreeSet::new(),
        cluster_policies: BTreeSet::new(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn what_a_change_has_touched_is_enough_to_follow_it(
        start in with_policies(), events in vec(event(), 1..12), address_groups in any::<bool>(), in_parts in any::<bool>(),
    ) {
        let mut cluster = start;
        let mut changing = world(&cluster, settings(address_groups));
        let mut neutron = Neutron::default();
        neutron.follow(&changing, &everything(&changing, &cluster), in_parts)?;
        // Some changes are followed one by one, some together.
        let mut pending = Changes::default();
        for (number, event) in events.iter().enumerate() {
            pending.merge(changing.learn(happen(event, &mut cluster)));
            if number % 3 != 0 {
                neutron.follow(&changing, &std::mem::take(&mut pending), in_parts)?;
                prop_assert_eq!(neutron.as_desired(), Desired::all(&changing), "after {:?}", event);
            }
        }
        neutron.follow(&changing, &pending, in_parts)?;
        prop_assert_eq!(neutron.as_desired(), Desired::all(&world(&cluster, settings(address_groups))));
    }
}
