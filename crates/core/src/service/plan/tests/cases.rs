//! What the plan does in single cases.

use super::{
    super::super::{
        abilities::{Abilities, ApiVersion, Provider},
        graph::{
            Graph, Key, Listener, ListenerProtocol, ListenerSettings, Member, MemberKey, Persistence, Pool,
            PoolProtocol, PoolSettings,
        },
        observed::{Observed, Provisioning},
        spec::{Algorithm, Protocol, Vip},
        step::{Attribute, Reason, Step},
    },
    Ids, converge, identity, one, turn,
};
use std::collections::BTreeSet;

const KEY: Key = Key { protocol: Protocol::Tcp, port: 80 };

fn listener(key: Key, members: &[u8]) -> Listener {
    let name = format!("{}:{key}", identity().name);
    let settings = ListenerSettings {
        name: name.clone(),
        admin_state_up: true,
        connection_limit: None,
        timeouts: None,
        allowed_cidrs: BTreeSet::new(),
        x_forwarded_for: false,
        tls_container_ref: None,
    };
    let pool_settings =
        PoolSettings { name, admin_state_up: true, algorithm: Algorithm::SourceIpPort, persistence: None };
    let member =
        |last: &u8| (MemberKey { address: [10, 0, 0, *last].into(), port: 8080 }, Member::on(Some("pods".into())));
    let members = members.iter().map(member).collect();
    let pool = Pool { protocol: PoolProtocol::Tcp, settings: pool_settings, members, monitor: None };
    Listener { protocol: ListenerProtocol::Tcp, settings, pool }
}

fn graph(members: &[u8]) -> Graph {
    Graph {
        name: identity().name,
        description: identity().mark,
        provider: Some("ovn".into()),
        flavor_id: None,
        availability_zone: None,
        vip: Vip { address: [10, 9, 0, 1].into(), subnet_id: "services".into() },
        additional_vips: BTreeSet::new(),
        listeners: one(KEY, listener(KEY, members)),
    }
}

fn ovn() -> Abilities {
    Abilities::new(Provider::Ovn, ApiVersion::v2(30))
}

/// What Octavia has after a graph was made.
fn made(graph: &Graph) -> (Observed, Ids) {
    let (mut observed, mut ids) = (Observed::default(), Ids::default());
    converge(Some(graph), &mut observed, &ovn(), &mut ids);
    (observed, ids)
}

#[test]
fn only_new_members_are_sent_and_all_where_some_go() {
    for (after, sent, additive) in [(&[1, 2, 3][..], &[3][..], true), (&[2, 3], &[2, 3], false), (&[], &[], false)] {
        let (mut observed, mut ids) = made(&graph(&[1, 2]));
        let (step, _) = turn(Some(&graph(after)), &mut observed, &ovn(), &mut ids);
        let Step::SetMembers { members, additive: is, .. } = &step else { unreachable!("{step:?}") };
        assert_eq!((members, *is), (&graph(sent).listeners[&KEY].pool.members, additive));
    }
}

#[test]
fn a_member_on_another_subnet_goes_before_it_comes_again() {
    let (mut observed, mut ids) = made(&graph(&[1, 2]));
    let mut wanted = graph(&[1, 2]);
    let pool = &mut wanted.listeners.get_mut(&KEY).unwrap().pool;
    pool.members.values_mut().next().unwrap().subnet_id = Some("others".into());
    let steps = converge(Some(&wanted), &mut observed, &ovn(), &mut ids);
    let additive = |step: &Step| matches!(step, Step::SetMembers { additive: true, .. });
    assert_eq!(steps.iter().map(additive).collect::<Vec<_>>(), [false, true, false], "{steps:?}");
}

#[test]
fn a_new_port_gets_its_members_before_it_answers_and_an_old_one_goes_last() {
    let (mut observed, mut ids) = made(&graph(&[1]));
    let key = Key { port: 81, ..KEY };
    let wanted = Graph { listeners: one(key, listener(key, &[1])), ..graph(&[]) };
    let steps = converge(Some(&wanted), &mut observed, &ovn(), &mut ids);
    assert!(
        matches!(
            steps[..],
            [
                Step::CreatePool { listener: None, .. },
                Step::SetMembers { .. },
                Step::CreateListener { .. },
                Step::DeleteListener { why: Reason::Unwanted, .. },
                Step::DeletePool { why: Reason::Unwanted, .. },
                Step::Converged
            ]
        ),
        "{steps:#?}"
    );
}

#[test]
fn ovn_pools_are_replaced_where_ovn_would_not_notice_the_change() {
    let mut sticky = graph(&[1]);
    let settings = &mut sticky.listeners.get_mut(&KEY).unwrap().pool.settings;
    settings.persistence = Some(Persistence { timeout: None });
    let (mut observed, mut ids) = made(&graph(&[1]));
    let steps = converge(Some(&sticky), &mut observed, &ovn(), &mut ids);
    assert!(matches!(steps[..], [Step::UpdatePool { .. }, Step::Converged]), "{steps:#?}");
    let steps = converge(Some(&graph(&[1])), &mut observed, &ovn(), &mut ids);
    assert!(
        matches!(
            steps[..],
            [
                Step::DeletePool { why: Reason::Immutable(Attribute::Balancing), .. },
                Step::CreatePool { listener: Some(_), .. },
                Step::SetMembers { .. },
                Step::Converged
            ]
        ),
        "{steps:#?}"
    );
}

#[test]
fn a_change_waits_for_the_one_before() {
    let (mut observed, mut ids) = made(&graph(&[1]));
    observed.load_balancers[0].provisioning = Provisioning::PendingUpdate;
    let (step, _) = turn(Some(&graph(&[2])), &mut observed, &ovn(), &mut ids);
    assert!(matches!(step, Step::Wait { provisioning: Provisioning::PendingUpdate, .. }));
    // OVN's provider says so of the load balancer before all of its parts are done.
    observed.load_balancers[0].pools[0].provisioning = Provisioning::PendingCreate;
    let (step, _) = turn(Some(&graph(&[2])), &mut observed, &ovn(), &mut ids);
    assert!(matches!(step, Step::Wait { provisioning: Provisioning::PendingCreate, .. }));
}

#[test]
fn a_load_balancer_goes_when_nothing_of_it_comes_or_goes() {
    let (made, _) = made(&graph(&[1]));
    let step_of = |change: &dyn Fn(&mut Observed)| {
        let mut observed = made.clone();
        change(&mut observed);
        super::plan(&identity(), None, &observed, &ovn())
    };
    let is_whole = |step: &Step| matches!(step, Step::Delete { why: Reason::Unwanted, .. });
    let coming =
        |observed: &mut Observed| observed.load_balancers[0].pools[0].provisioning = Provisioning::PendingCreate;
    assert!(matches!(step_of(&coming), Step::Wait { provisioning: Provisioning::PendingCreate, .. }));
    let member = |observed: &mut Observed| {
        let members = &mut observed.load_balancers[0].pools[0].members;
        members.values_mut().for_each(|member| member.provisioning = Provisioning::PendingDelete);
    };
    assert!(matches!(step_of(&member), Step::Wait { provisioning: Provisioning::PendingDelete, .. }));
    let changed = |observed: &mut Observed| {
        observed.load_balancers[0].listeners[0].provisioning = Provisioning::PendingUpdate;
    };
    assert!(is_whole(&step_of(&changed)), "it may be so for ever");
    let broken = |observed: &mut Observed| {
        coming(observed);
        observed.load_balancers[0].provisioning = Provisioning::Error;
    };
    assert!(is_whole(&step_of(&broken)), "nothing else can be done with it");
    let stuck = |repairs: u32| {
        step_of(&|observed: &mut Observed| {
            coming(observed);
            (observed.stuck, observed.repairs) = (true, repairs);
        })
    };
    assert!(matches!(stuck(0), Step::DeletePool { why: Reason::Failed, .. }));
    assert!(is_whole(&stuck(4)), "whatever it leaves: nobody has to edit a finalizer");
}

#[test]
fn a_part_that_takes_too_long_is_sent_again() {
    let (mut observed, _) = made(&graph(&[1]));
    observed.load_balancers[0].pools[0].provisioning = Provisioning::PendingUpdate;
    observed.stuck = true;
    assert!(matches!(super::plan(&identity(), Some(&graph(&[1])), &observed, &ovn()), Step::UpdatePool { .. }));
    observed.load_balancers[0].provisioning = Provisioning::PendingUpdate;
    let step = super::plan(&identity(), Some(&graph(&[1])), &observed, &ovn());
    assert!(matches!(step, Step::Wait { .. }), "nothing can be done while Octavia has it: {step:?}");
}

#[test]
fn a_failed_load_balancer_is_mended_where_that_can_be_and_else_made_anew_with_its_address() {
    let amphora = Abilities::new(Provider::Amphora, ApiVersion::v2(30));
    for (abilities, repairs, first_is_failover) in [(&ovn(), 0, false), (&amphora, 0, true), (&amphora, 1, false)] {
        let wanted = Graph { provider: None, ..graph(&[1]) };
        let (mut observed, mut ids) = made(&wanted);
        observed.load_balancers[0].provisioning = Provisioning::Error;
        observed.repairs = repairs;
        let (step, _) = turn(Some(&wanted), &mut observed, abilities, &mut ids);
        assert_eq!(matches!(step, Step::Failover { .. }), first_is_failover, "{step:?}");
        converge(Some(&wanted), &mut observed, abilities, &mut ids);
        assert_eq!(observed.load_balancers[0].vip, wanted.vip);
    }
}

#[test]
fn what_fails_again_and_again_is_repaired_ever_further() {
    let (mut observed, mut ids) = made(&graph(&[1]));
    let mut seen = Vec::new();
    for _ in 0..12 {
        for one in &mut observed.load_balancers {
            one.pools.iter_mut().for_each(|pool| pool.provisioning = Provisioning::Error);
        }
        seen.push(turn(Some(&graph(&[1])), &mut observed, &ovn(), &mut ids).0);
    }
    let at = |is: fn(&Step) -> bool| seen.iter().position(is).unwrap_or(usize::MAX);
    let resent = at(|step| matches!(step, Step::UpdatePool { .. }));
    let replaced = at(|step| matches!(step, Step::DeletePool { why: Reason::Failed, .. }));
    let rebuilt = at(|step| matches!(step, Step::Delete { why: Reason::Failed, .. }));
    assert!(resent < replaced && replaced < rebuilt && rebuilt < usize::MAX, "{seen:#?}");
}

#[test]
fn a_member_that_fails_for_good_keeps_nothing_from_others() {
    let both = graph(&[1, 2]);
    let (mut observed, mut ids) = made(&both);
    let one = &mut observed.load_balancers[0];
    let gone = one.listeners.pop().unwrap();
    let fail = |observed: &mut Observed| {
        observed.repairs = 9;
        let members = observed.load_balancers[0].pools.iter_mut().flat_map(|pool| pool.members.iter_mut());
        members.filter(|(key, _)| key.address.to_string().ends_with(".1")).for_each(|(_, member)| {
            member.provisioning = Provisioning::Error;
        });
    };
    fail(&mut observed);
    let (step, _) = turn(Some(&both), &mut observed, &ovn(), &mut ids);
    assert!(matches!(step, Step::CreateListener { .. }), "{step:?}");
    assert!(observed.load_balancers[0].listeners.iter().any(|listener| listener.port == gone.port));
    for _ in 0..20 {
        fail(&mut observed);
        let (step, _) = turn(Some(&both), &mut observed, &ovn(), &mut ids);
        assert!(matches!(step, Step::SetMembers { .. }), "{step:?}");
    }
}

#[test]
fn a_port_that_fails_for_good_keeps_nothing_from_others() {
    let two = |members: &[u8]| {
        let mut two = graph(members);
        let other = Key { port: 81, ..KEY };
        two.listeners.insert(other, listener(other, members));
        two
    };
    let (mut observed, mut ids) = made(&two(&[1]));
    let bad = observed.load_balancers[0].pools[0].settings.name.clone();
    let mut seen = Vec::new();
    for nth in 0..20 {
        for pool in observed.load_balancers.iter_mut().flat_map(|one| &mut one.pools) {
            if pool.settings.name == bad {
                pool.provisioning = Provisioning::Error;
            }
        }
        // Endpoints of all ports change all the time.
        let wanted = two(if nth < 10 { &[1] } else { &[2] });
        seen.push(turn(Some(&wanted), &mut observed, &ovn(), &mut ids).0);
    }
    let rebuilt = seen.iter().filter(|step| matches!(step, Step::Delete { .. })).count();
    assert_eq!(rebuilt, 1, "{seen:#?}");
    let others = observed.load_balancers[0].pools.iter().filter(|pool| pool.settings.name != bad);
    let mut members = others.flat_map(|pool| pool.members.keys());
    assert!(members.all(|member| member.address.to_string().ends_with(".2")), "{:#?}", observed.load_balancers);
}

#[test]
fn an_address_of_another_family_needs_another_load_balancer() {
    let (mut observed, mut ids) = made(&graph(&[1]));
    let second = Vip { address: "fd09::1".parse().unwrap(), subnet_id: "services6".into() };
    let wanted = Graph { additional_vips: BTreeSet::from([second]), ..graph(&[1]) };
    let steps = converge(Some(&wanted), &mut observed, &ovn(), &mut ids);
    let why = Reason::Immutable(Attribute::Vips);
    assert!(
        matches!(&steps[..], [Step::Delete { why: is, .. }, Step::Create { .. }, Step::Converged] if *is == why),
        "{steps:#?}"
    );
}

#[test]
fn an_old_octavia_gets_everything_piece_by_piece() {
    let old = Abilities::new(Provider::Ovn, ApiVersion::v2(13));
    let mut observed = Observed::default();
    let steps = converge(Some(&graph(&[1])), &mut observed, &old, &mut Ids::default());
    assert!(matches!(&steps[0], Step::Create { graph } if graph.listeners.is_empty()));
    assert_eq!(steps.len(), 5, "{steps:#?}");
}

#[test]
fn who_may_connect_comes_before_endpoints_that_never_rest() {
    let (mut observed, mut ids) = made(&graph(&[1]));
    let mut wanted = graph(&[2]);
    let settings = &mut wanted.listeners.get_mut(&KEY).unwrap().settings;
    settings.allowed_cidrs = BTreeSet::from(["192.0.2.0/24".parse().unwrap()]);
    let steps = converge(Some(&wanted), &mut observed, &ovn(), &mut ids);
    assert!(
        matches!(steps[..], [Step::UpdateListener { pool: None, .. }, Step::SetMembers { .. }, Step::Converged]),
        "{steps:#?}"
    );
}

#[test]
fn a_listener_is_given_its_pool_after_the_pool_has_its_members() {
    let key = Key { port: 81, ..KEY };
    let wanted = Graph { listeners: [(KEY, listener(KEY, &[1])), (key, listener(key, &[1]))].into(), ..graph(&[]) };
    let (mut observed, mut ids) = made(&wanted);
    // Somebody gives both listeners one pool.
    let one = &mut observed.load_balancers[0];
    let pool = one.listeners[0].pool_id.clone();
    let lost = std::mem::replace(&mut one.listeners[1].pool_id, pool);
    one.pools.retain(|pool| Some(&pool.id) != lost.as_ref());
    let steps = converge(Some(&wanted), &mut observed, &ovn(), &mut ids);
    assert!(
        matches!(
            steps[..],
            [
                Step::CreatePool { listener: None, .. },
                Step::SetMembers { .. },
                Step::UpdateListener { pool: Some(_), .. },
                Step::Converged
            ]
        ),
        "{steps:#?}"
    );
}
