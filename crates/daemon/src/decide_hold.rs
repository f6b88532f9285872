//! Which of the node's free ports are held ready, without any IO.

use std::{collections::BTreeSet, time::Duration};

/// For how long a released port rests: it is no use to the next pods yet. One that is still held stays so, but it doesn't
/// take the place of one that can be claimed.
pub const REST: Duration = Duration::from_secs(30);

/// Whose a port is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// A pod's, that is coming, there or going. Its ADD takes it as it is.
    Claimed,
    /// Nobody's, for so long. `None`: it was never used.
    Free(Option<Duration>),
    /// It isn't in Neutron yet, or it is being deleted.
    Nothing,
}

/// A port of one pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortFacts {
    /// The Neutron port's id.
    pub id: String,
    /// Whose it is.
    pub owner: Owner,
    /// The node holds it.
    pub held: bool,
}

/// The ports of one pool that are to be held: the first `to_plug` of those that can be claimed, the held ones first, then the
/// longest unused; of those that are held already, the claimed ones and as many again that rest.
#[must_use]
pub fn wanted(ports: &[PortFacts], to_plug: usize) -> BTreeSet<&str> {
    let (mut usable, mut resting, mut claimed) = (Vec::new(), Vec::new(), Vec::new());
    for port in ports {
        let rank =
            |unused: Option<Duration>| (!port.held, unused.is_some(), std::cmp::Reverse(unused), port.id.as_str());
        match port.owner {
            Owner::Free(unused) if unused.is_none_or(|unused| unused >= REST) => usable.push(rank(unused)),
            Owner::Free(unused) if port.held => resting.push(rank(unused)),
            Owner::Claimed if port.held => claimed.push(port.id.as_str()),
            _ => {}
        }
    }
    let first = |mut ranked: Vec<(_, _, _, _)>| {
        ranked.sort_unstable();
        ranked.into_iter().take(to_plug).map(|(_, _, _, id)| id)
    };
    first(usable).chain(first(resting)).chain(claimed).collect()
}

/// Whether the port of a pod that ends goes on being held, where `held` ports of its pool are already: as many again as are
/// to be plugged, because it has to rest before it can take the place of one of them.
#[must_use]
pub const fn gives_back(held: usize, to_plug: usize) -> bool {
    held < to_plug.saturating_mul(2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn port(id: &str, owner: Owner, held: bool) -> PortFacts {
        PortFacts { id: id.into(), owner, held }
    }

    fn free(seconds: u64) -> Owner {
        Owner::Free(Some(Duration::from_secs(seconds)))
    }

    #[test]
    fn held_ports_come_first_then_unused_ones_then_the_longest_free() {
        let all = [
            port("late", free(40), false),
            port("early", free(400), false),
            port("new", Owner::Free(None), false),
            port("held", free(31), true),
        ];
        for (to_plug, expected) in [(0, &[][..]), (1, &["held"]), (2, &["held", "new"]), (3, &["early", "held", "new"])]
        {
            assert_eq!(wanted(&all, to_plug), expected.iter().copied().collect(), "{to_plug}");
        }
    }

    #[test]
    fn resting_ports_stay_held_beside_those_that_can_be_claimed() {
        let all =
            [port("resting", free(2), true), port("unheld", free(2), false), port("new", Owner::Free(None), false)];
        assert_eq!(wanted(&all, 1), ["new", "resting"].into());
        assert_eq!(wanted(&all, 0), [].into());
    }

    #[test]
    fn a_claimed_port_stays_held_until_its_pod_takes_it_and_is_never_begun_with() {
        assert_eq!(wanted(&[port("a", Owner::Claimed, true), port("b", Owner::Claimed, false)], 0), ["a"].into());
        assert_eq!(wanted(&[port("a", Owner::Nothing, true)], 9), [].into());
    }

    fn owner() -> impl Strategy<Value = Owner> {
        prop_oneof![Just(Owner::Claimed), Just(Owner::Nothing), Just(Owner::Free(None)), (0_u64..100).prop_map(free),]
    }

    proptest! {
        #[test]
        fn holding_settles(owners in prop::collection::vec((owner(), any::<bool>()), 0..20), to_plug in 0_usize..8) {
            let mut ports: Vec<_> = owners
                .into_iter()
                .enumerate()
                .map(|(index, (owner, held))| port(&index.to_string(), owner, held))
                .collect();
            let first: BTreeSet<String> = wanted(&ports, to_plug).into_iter().map(str::to_owned).collect();
            let new = ports.iter().filter(|port| first.contains(&port.id) && !port.held);
            prop_assert!(new.count() <= to_plug);
            for port in &mut ports {
                prop_assert!(port.owner != Owner::Nothing || !first.contains(&port.id));
                port.held = first.contains(&port.id);
            }
            let second: BTreeSet<String> = wanted(&ports, to_plug).into_iter().map(str::to_owned).collect();
            prop_assert_eq!(first, second, "what was done is done");
        }
    }
}
