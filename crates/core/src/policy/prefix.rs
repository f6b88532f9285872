//! Sets of addresses, as prefixes.

use super::facts::Family;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::{
    collections::BTreeSet,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// A set of addresses: disjoint prefixes, as few as can be. Equal sets are equal.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PrefixSet(BTreeSet<IpNet>);

impl PrefixSet {
    /// All addresses of a family.
    #[must_use]
    pub fn all(family: Family) -> Self {
        Self(BTreeSet::from([match family {
            Family::V4 => IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0)),
            Family::V6 => IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0)),
        }]))
    }

    /// What is in this set and in none of `others`. Each prefix of `others` is taken away from what the ones before it left, so that all
    /// of them are out.
    #[must_use]
    pub fn without<'a>(&self, others: impl IntoIterator<Item = &'a IpNet>) -> Self {
        others.into_iter().fold(self.clone(), |rest, other| rest.without_one(other))
    }

    fn without_one(&self, other: &IpNet) -> Self {
        self.0.iter().flat_map(|net| difference(*net, other)).collect()
    }

    /// What of it is of one family.
    #[must_use]
    pub fn of_family(&self, family: Family) -> Self {
        Self(self.0.iter().filter(|net| Family::of(net) == family).copied().collect())
    }

    /// Whether it has an address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|net| net.contains(&address))
    }

    /// The prefixes.
    #[must_use]
    pub const fn prefixes(&self) -> &BTreeSet<IpNet> {
        &self.0
    }
}

impl FromIterator<IpNet> for PrefixSet {
    fn from_iter<T: IntoIterator<Item = IpNet>>(nets: T) -> Self {
        let nets: Vec<IpNet> = nets.into_iter().map(|net| net.trunc()).collect();
        Self(IpNet::aggregate(&nets).into_iter().collect())
    }
}

impl FromIterator<IpAddr> for PrefixSet {
    fn from_iter<T: IntoIterator<Item = IpAddr>>(addresses: T) -> Self {
        addresses.into_iter().map(IpNet::from).collect()
    }
}

impl fmt::Display for PrefixSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        self.0.iter().try_for_each(|net| write!(f, "{}{net}", std::mem::replace(&mut separator, " ")))
    }
}

/// What is in `net` and not in `other`: the sibling of each prefix between the two.
fn difference(net: IpNet, other: &IpNet) -> Vec<IpNet> {
    let other = other.trunc();
    if other.contains(&net) {
        return Vec::new();
    }
    if !net.contains(&other) {
        return vec![net];
    }
    let mut rest = Vec::new();
    let mut inner = other;
    while inner != net {
        let Some(outer) = inner.supernet() else { break };
        rest.extend(outer.subnets(outer.prefix_len() + 1).into_iter().flatten().filter(|half| *half != inner));
        inner = outer;
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    fn set(texts: &[&str]) -> PrefixSet {
        texts.iter().map(|text| net(text)).collect()
    }

    /// Small networks of both families, so that many of them meet.
    fn some_net() -> impl Strategy<Value = IpNet> {
        (any::<bool>(), 0u8..32, 0u8..=5).prop_map(|(v4, bits, length)| {
            let address: IpAddr =
                if v4 { [10, 0, 0, bits].into() } else { [0xfd, 0, 0, 0, 0, 0, 0, u16::from(bits)].into() };
            IpNet::new(address, if v4 { 27 } else { 123 } + length).unwrap().trunc()
        })
    }

    fn addresses() -> impl Iterator<Item = IpAddr> {
        let v6 = (0u16..40).map(|last| IpAddr::from([0xfd, 0, 0, 0, 0, 0, 0, last]));
        (0u8..40).map(|last| IpAddr::from([10, 0, 0, last])).chain(v6)
    }

    proptest! {
        #[test]
        fn a_difference_has_what_is_in_the_one_and_in_none_of_the_others(
            ours in prop::collection::vec(some_net(), 0..5), others in prop::collection::vec(some_net(), 0..5),
        ) {
            let whole: PrefixSet = ours.iter().copied().collect();
            let rest = whole.without(&others);
            for address in addresses() {
                let has = |nets: &[IpNet]| nets.iter().any(|net| net.contains(&address));
                prop_assert_eq!(whole.contains(address), has(&ours));
                prop_assert_eq!(rest.contains(address), has(&ours) && !has(&others));
            }
        }

        #[test]
        fn equal_sets_are_equal(nets in prop::collection::vec(some_net(), 0..6)) {
            let merged: PrefixSet = nets.iter().copied().collect();
            let single: PrefixSet = addresses().filter(|address| merged.contains(*address)).collect();
            prop_assert_eq!(merged, single);
        }
    }

    #[test]
    fn all_exceptions_count() {
        let rest = set(&["10.0.0.0/24"]).without(&[net("10.0.0.0/26"), net("10.0.0.64/26")]);
        assert_eq!(rest, set(&["10.0.0.128/25"]));
    }

    #[test]
    fn whole_families_can_be_cut() {
        let outside = PrefixSet::all(Family::V4).without(&[net("10.96.0.0/16")]);
        assert_eq!(outside.prefixes().len(), 16);
        assert!(outside.contains([10, 95, 255, 255].into()) && !outside.contains([10, 96, 0, 1].into()));
        assert_eq!(PrefixSet::all(Family::V6).without(&[net("::/0")]), PrefixSet::default());
        assert_eq!(PrefixSet::all(Family::V6).without(&[net("10.0.0.0/8")]), PrefixSet::all(Family::V6));
    }
}
