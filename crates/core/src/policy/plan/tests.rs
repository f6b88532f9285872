//! Plans against the model of Neutron.

use super::plan;
use crate::{
    policy::{
        apply::apply,
        clause::Ports,
        facts::Family,
        groups::{AddressGroupKey, Direction, GroupKey, Remote, Rule},
        observed::{Desired, Distance, Observed, ObservedAddressGroup, ObservedGroup, ObservedRule},
        selector::{Namespaces, Pods, Selector},
        step::Step,
    },
    service::spec::Protocol::Tcp,
};
use ipnet::IpNet;
use proptest::{
    collection::{btree_map, btree_set, vec},
    option,
    prelude::*,
    sample::select,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

fn address_group(name: &str) -> AddressGroupKey {
    let namespaces = Namespaces::Named(name.into());
    AddressGroupKey::Pods(Arc::new(Pods { namespaces, pods: Selector::everything() }))
}

fn group() -> impl Strategy<Value = GroupKey> {
    select(vec![GroupKey::OpenIngress, GroupKey::Node("n1".into()), GroupKey::Node("n2".into())])
}

fn net(last: u8) -> IpNet {
    IpAddr::from([10, 0, 0, last]).into()
}

fn members() -> impl Strategy<Value = BTreeSet<IpNet>> {
    btree_set((0u8..4).prop_map(net), 0..4)
}

fn rule() -> impl Strategy<Value = Rule> {
    let of_group = select(vec!["a", "b", "c"]).prop_map(|name| Remote::Group(address_group(name)));
    let prefix = select(vec!["10.0.0.0/31", "10.0.0.2/31"]).prop_map(|net| Remote::Prefix(net.parse().unwrap()));
    let remote = prop_oneof![6 => of_group, 2 => prefix, 1 => Just(Remote::Any)];
    let ports = select(vec![Ports::All, Ports::one(Tcp, 80), Ports::one(Tcp, 81)]);
    (select(vec![Direction::Ingress, Direction::Egress]), ports, remote).prop_map(|(direction, ports, remote)| Rule {
        direction,
        family: Family::V4,
        ports,
        remote,
    })
}

/// What there is to be, with all address groups that the rules name.
fn desired() -> impl Strategy<Value = Desired> {
    let groups = btree_map(group(), option::weighted(0.9, btree_set(rule(), 0..5)), 0..4);
    (groups, vec(members(), 3)).prop_map(|(groups, members)| {
        let named: BTreeSet<AddressGroupKey> =
            groups.values().flatten().flatten().filter_map(Rule::address_group).cloned().collect();
        let all = ["a", "b", "c"].into_iter().map(address_group).zip(members);
        Desired {
            groups,
            address_groups: all.filter(|(key, _)| named.contains(key)).map(|(key, m)| (key, Some(m))).collect(),
        }
    })
}

/// What somebody left behind.
fn observed() -> impl Strategy<Value = Observed> {
    let rule = prop_oneof![9 => rule().prop_map(ObservedRule::Rule), 1 => Just(ObservedRule::Foreign)];
    let groups = btree_map(group(), (vec(rule, 0..6), any::<bool>()), 0..4);
    (groups, vec(members(), 3)).prop_map(|(groups, members)| {
        let keys = ["a", "b", "c"].into_iter().map(address_group);
        let groups = groups.into_iter().enumerate().map(|(number, (key, (mut rules, in_use)))| {
            // Neutron has no rule twice.
            let mut seen = BTreeSet::new();
            rules.retain(|rule| rule.rule().is_none_or(|rule| seen.insert(rule.clone())));
            let rules = rules.into_iter().enumerate().map(|(of, rule)| (format!("r{number}-{of}"), rule)).collect();
            (key, ObservedGroup { id: format!("g{number}"), rules, in_use })
        });
        let address_groups = keys.zip(members).map(|(key, members)| {
            let id = key.fingerprint();
            (key, ObservedAddressGroup { id, members })
        });
        Observed { groups: groups.collect(), address_groups: address_groups.collect() }
    })
}

/// A flow that a group may let through.
type Flow = (GroupKey, Direction, IpAddr, u16);

/// What rules and members let through.
fn flows<'a>(
    groups: impl IntoIterator<Item = (&'a GroupKey, Vec<&'a Rule>)>,
    members: &BTreeMap<&AddressGroupKey, &BTreeSet<IpNet>>,
) -> BTreeSet<Flow> {
    let mut flows = BTreeSet::new();
    for (key, rules) in groups {
        for rule in rules {
            for (address, port) in (0..5u8).flat_map(|last| [80, 81, 90].map(|port| (net(last).addr(), port))) {
                let remote = match &rule.remote {
                    Remote::Any => true,
                    Remote::Prefix(net) => net.contains(&address),
                    Remote::Group(key) => members.get(key).is_some_and(|nets| nets.contains(&address.into())),
                };
                if remote && rule.ports.contains(Tcp, port) {
                    flows.insert((key.clone(), rule.direction, address, port));
                }
            }
        }
    }
    flows
}

/// What groups let through now, of those that are to stay and ports may have.
fn now(observed: &Observed, of: &BTreeSet<GroupKey>) -> BTreeSet<Flow> {
    let members = observed.address_groups.iter().map(|(key, group)| (key, &group.members)).collect();
    let groups = observed.groups.iter().filter(|(key, _)| of.contains(key));
    flows(groups.map(|(key, group)| (key, group.rules.values().filter_map(ObservedRule::rule).collect())), &members)
}

/// What they are to let through.
fn then(desired: &Desired, of: &BTreeSet<GroupKey>) -> BTreeSet<Flow> {
    let members = desired.address_groups.iter().filter_map(|(key, members)| Some((key, members.as_ref()?))).collect();
    let groups = desired.groups.iter().filter(|(key, _)| of.contains(key));
    flows(groups.filter_map(|(key, rules)| Some((key, rules.as_ref()?.iter().collect()))), &members)
}

#[derive(Default)]
struct Ids(u32);

impl Ids {
    fn next(&mut self) -> String {
        self.0 += 1;
        format!("new{:04}", self.0)
    }
}

/// Whether an address group changes in the two ways at once that the plan can't do without closing something for a moment.
pub fn crosses(steps: &[Step]) -> bool {
    let named = |rules: &BTreeSet<Rule>, key| rules.iter().any(|rule| rule.address_group() == Some(key));
    steps.iter().enumerate().any(|(at, step)| match step {
        // It lost members, and then got rules.
        Step::RemoveAddresses { key, .. } => steps[at..].iter().any(|step| match step {
            Step::CreateRules { rules, .. } => named(rules, key),
            _ => false,
        }),
        // It lost rules, and then got members.
        Step::AddAddresses { .. } => steps[..at].iter().any(|step| matches!(step, Step::DeleteRule { .. })),
        _ => false,
    })
}

/// No moment is too open, and none too closed. Returns what there is in the end.
fn carry_out(desired: &Desired, mut observed: Observed, ids: &mut Ids) -> Result<Observed, TestCaseError> {
    let stays = |key: &&GroupKey| desired.groups.get(*key).is_some_and(Option::is_some);
    let both: BTreeSet<GroupKey> = observed.groups.keys().filter(stays).cloned().collect();
    let (old, new) = (now(&observed, &both), then(desired, &both));
    let steps = plan(desired, &observed);
    let crossing = crosses(&steps);
    for step in &steps {
        apply(step, &mut observed, &mut || ids.next());
        let open = now(&observed, &both);
        let too_open: Vec<&Flow> = open.iter().filter(|flow| !old.contains(flow) && !new.contains(flow)).collect();
        prop_assert!(too_open.is_empty(), "{step} opens {too_open:?} in {steps:#?}");
        let closed: Vec<&Flow> = old.intersection(&new).filter(|flow| !open.contains(flow)).collect();
        prop_assert!(closed.is_empty() || crossing, "{step} closes {closed:?} in {steps:#?}");
    }
    prop_assert_eq!(now(&observed, &both), new);
    Ok(observed)
}

/// Neutron has what there is to be, and of what there isn't to be only what ports still have.
fn check(desired: &Desired, observed: &Observed) -> Result<(), TestCaseError> {
    for (key, rules) in &desired.groups {
        let has = observed.groups.get(key);
        match rules {
            None => prop_assert!(has.is_none_or(|has| has.in_use)),
            Some(_) => {
                prop_assert_eq!(desired.distance(key, observed), Some(Distance { missing: 0, superfluous: 0 }));
            }
        }
    }
    for (key, members) in desired.address_groups.iter().filter_map(|(key, members)| Some((key, members.as_ref()?))) {
        prop_assert_eq!(Some(members), observed.address_groups.get(key).map(|group| &group.members));
    }
    prop_assert_eq!(plan(desired, observed), vec![]);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_plan_leads_to_what_there_is_to_be(desired in desired(), observed in observed()) {
        let desired = desired.and_nothing_else(&observed);
        let mut ids = Ids::default();
        let new = desired.groups.iter().any(|(key, rules)| rules.is_some() && !observed.groups.contains_key(key));
        let mut observed = carry_out(&desired, observed, &mut ids)?;
        if new {
            observed = carry_out(&desired, observed, &mut ids)?;
        }
        check(&desired, &observed)?;
    }

    #[test]
    fn where_only_rules_or_only_members_change_nothing_closes(
        observed in observed(), desired in desired(), members in vec(members(), 3), rules_change in any::<bool>(),
    ) {
        let mut desired = desired.and_nothing_else(&observed);
        if rules_change {
            for (key, members) in &mut desired.address_groups {
                *members = observed.address_groups.get(key).map(|group| group.members.clone());
            }
        } else {
            for (key, group) in &observed.groups {
                let rules = group.rules.values().filter_map(ObservedRule::rule).cloned().collect();
                desired.groups.insert(key.clone(), Some(rules));
            }
            let all = ["a", "b", "c"].into_iter().map(address_group).zip(members.into_iter().map(Some));
            desired.address_groups = all.collect();
        }
        // Of groups that there are: what a new one's own rules let out is deleted after others' rules were.
        desired.groups.retain(|key, _| observed.groups.contains_key(key));
        prop_assert!(!crosses(&plan(&desired, &observed)));
        let observed = carry_out(&desired, observed, &mut Ids::default())?;
        check(&desired, &observed)?;
    }
}

#[test]
fn many_addresses_go_in_batches() {
    let many: BTreeSet<IpNet> = (0..250).map(net).collect();
    let key = address_group("a");
    let desired = Desired { address_groups: [(key, Some(many))].into(), ..Desired::default() };
    let steps: Vec<String> = plan(&desired, &Observed::default()).iter().map(ToString::to_string).collect();
    let pods = r#"pods (all) of namespace "a""#;
    let create = format!("create address group of {pods}: 100 addresses");
    assert_eq!(steps, [create, format!("add 100 addresses to {pods}"), format!("add 50 addresses to {pods}")]);
}

/// What ports have is in force until they have something else.
#[test]
fn a_group_that_ports_have_keeps_its_rules_until_they_have_others() {
    let rule = Rule::prefix(Direction::Ingress, Ports::All, net(1));
    let group = |in_use| {
        let rules = [("r".to_owned(), ObservedRule::Rule(rule.clone()))].into();
        Observed {
            groups: [(GroupKey::OpenIngress, ObservedGroup { id: "g".into(), rules, in_use })].into(),
            ..Observed::default()
        }
    };
    let gone = Desired::default().and_nothing_else(&group(true));
    assert_eq!(plan(&gone, &group(true)), []);
    assert_eq!(plan(&gone, &group(false)), [Step::DeleteGroup { key: GroupKey::OpenIngress, id: "g".into() }]);
}
