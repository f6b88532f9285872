//! Addresses of a subnet: which are taken, which is given out next.

use std::{
    collections::{BTreeSet, HashSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// A range of addresses, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub first: IpAddr,
    pub last: IpAddr,
}

/// The addresses of a subnet as numbers. The lowest address that was given back is given out first: nothing tests better
/// whether somebody still uses it.
#[derive(Debug)]
pub(super) struct Addresses {
    v4: bool,
    pools: Vec<(u128, u128)>,
    taken: HashSet<u128>,
    given_back: BTreeSet<u128>,
    /// Pool and number of the first address that was never given out.
    next: (usize, u128),
}

impl Addresses {
    pub fn new(pools: &[Range]) -> Self {
        let numbers: Vec<(u128, u128)> = pools.iter().map(|range| (number(range.first), number(range.last))).collect();
        Self {
            v4: pools.first().is_some_and(|range| range.first.is_ipv4()),
            next: (0, numbers.first().map_or(0, |pool| pool.0)),
            pools: numbers,
            taken: HashSet::new(),
            given_back: BTreeSet::new(),
        }
    }

    /// Takes any free address of the pools.
    pub fn take_any(&mut self) -> Option<IpAddr> {
        let address = self.given_back.pop_first().or_else(|| self.never_given())?;
        self.taken.insert(address);
        Some(self.address(address))
    }

    /// Takes this address, which needn't be in a pool. False: somebody has it.
    pub fn take(&mut self, address: IpAddr) -> bool {
        let address = number(address);
        self.given_back.remove(&address);
        self.taken.insert(address)
    }

    pub fn is_taken(&self, address: IpAddr) -> bool {
        self.taken.contains(&number(address))
    }

    pub fn give_back(&mut self, address: IpAddr) {
        let address = number(address);
        if self.taken.remove(&address) && self.was_given(address) {
            self.given_back.insert(address);
        }
    }

    /// Moves on to the next address that nobody has asked for by name.
    fn never_given(&mut self) -> Option<u128> {
        loop {
            let &(_, last) = self.pools.get(self.next.0)?;
            let address = self.next.1;
            if address > last {
                let pool = self.next.0 + 1;
                self.next = (pool, self.pools.get(pool)?.0);
                continue;
            }
            self.next.1 += 1;
            if !self.taken.contains(&address) {
                return Some(address);
            }
        }
    }

    /// Whether an address is of a pool, before the next one.
    fn was_given(&self, address: u128) -> bool {
        let pool = self.pools.iter().position(|(first, last)| (first..=last).contains(&&address));
        pool.is_some_and(|pool| (pool, address) < self.next)
    }

    fn address(&self, number: u128) -> IpAddr {
        match u32::try_from(number) {
            Ok(short) if self.v4 => Ipv4Addr::from(short).into(),
            _ => Ipv6Addr::from(number).into(),
        }
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => address.into(),
    }
}

/// The address `steps` after `address`, or before it where that is negative.
pub(super) fn step(address: IpAddr, steps: i8) -> IpAddr {
    let number = number(address).saturating_add_signed(steps.into());
    match (address, u32::try_from(number)) {
        (IpAddr::V4(_), Ok(short)) => Ipv4Addr::from(short).into(),
        _ => Ipv6Addr::from(number).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn range(first: &str, last: &str) -> Range {
        Range { first: first.parse().unwrap(), last: last.parse().unwrap() }
    }

    #[test]
    fn all_pools_are_used_up_and_what_comes_back_goes_out_first() {
        let mut addresses = Addresses::new(&[range("10.0.0.2", "10.0.0.3"), range("10.0.0.9", "10.0.0.9")]);
        assert!(addresses.take("10.0.0.3".parse().unwrap()));
        assert!(!addresses.take("10.0.0.3".parse().unwrap()));
        let all: Vec<String> = std::iter::from_fn(|| addresses.take_any()).map(|a| a.to_string()).collect();
        assert_eq!(all, ["10.0.0.2", "10.0.0.9"]);
        addresses.give_back("10.0.0.3".parse().unwrap());
        assert_eq!(addresses.take_any().unwrap().to_string(), "10.0.0.3");
        assert_eq!(addresses.take_any(), None);
    }

    proptest! {
        #[test]
        fn no_address_is_given_twice(steps in prop::collection::vec((0_u8..3, 0_u8..20), 0..200)) {
            let mut addresses = Addresses::new(&[range("fd00::1", "fd00::10")]);
            let mut held = HashSet::new();
            for (what, which) in steps {
                let named: IpAddr = format!("fd00::{which:x}").parse().unwrap();
                match what {
                    0 => if let Some(address) = addresses.take_any() {
                        prop_assert!(held.insert(address));
                    } else {
                        prop_assert_eq!(held.iter().filter(|a| number(**a) & 0xff >= 1 && number(**a) & 0xff <= 16).count(), 16);
                    },
                    1 => prop_assert_eq!(addresses.take(named), held.insert(named)),
                    _ => if held.remove(&named) { addresses.give_back(named) },
                }
            }
        }
    }
}
