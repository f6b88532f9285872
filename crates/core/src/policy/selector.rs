//! Label selectors: matching, and a form that is the same for all selectors that say the same.

use super::facts::{Labels, Name};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// Which values of one label match. Each of the API's requirements is such a set, and all requirements for one label together are, too:
/// their intersection. So two selectors that match the same labels are equal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Allowed {
    /// An object without the label matches.
    absent: bool,
    /// An object with the label matches if its value is one of these.
    values: Values,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Values {
    Only(BTreeSet<String>),
    AllBut(BTreeSet<String>),
}

impl Allowed {
    /// `In`, and an entry of `matchLabels`. The empty value is a value.
    #[must_use]
    pub const fn only(values: BTreeSet<String>) -> Self {
        Self { absent: false, values: Values::Only(values) }
    }

    /// `NotIn`: an object without the label matches.
    #[must_use]
    pub const fn not(values: BTreeSet<String>) -> Self {
        Self { absent: true, values: Values::AllBut(values) }
    }

    /// `Exists`.
    #[must_use]
    pub const fn present() -> Self {
        Self { absent: false, values: Values::AllBut(BTreeSet::new()) }
    }

    /// `DoesNotExist`.
    #[must_use]
    pub const fn missing() -> Self {
        Self { absent: true, values: Values::Only(BTreeSet::new()) }
    }

    fn and(&self, other: &Self) -> Self {
        let values = match (&self.values, &other.values) {
            (Values::Only(a), Values::Only(b)) => Values::Only(a & b),
            (Values::Only(only), Values::AllBut(not)) | (Values::AllBut(not), Values::Only(only)) => {
                Values::Only(only - not)
            }
            (Values::AllBut(a), Values::AllBut(b)) => Values::AllBut(a | b),
        };
        Self { absent: self.absent && other.absent, values }
    }

    fn is_nothing(&self) -> bool {
        !self.absent && matches!(&self.values, Values::Only(values) if values.is_empty())
    }

    fn matches(&self, value: Option<&String>) -> bool {
        match (value, &self.values) {
            (None, _) => self.absent,
            (Some(value), Values::Only(values)) => values.contains(value),
            (Some(value), Values::AllBut(values)) => !values.contains(value),
        }
    }
}

/// A label selector in canonical form.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Selector {
    /// Nothing matches, because what it asks for contradicts itself.
    Nothing,
    /// Everything matches that has, for each of these labels, one of its values. `{}`: everything.
    All(BTreeMap<String, Allowed>),
}

impl Selector {
    /// `{}`.
    #[must_use]
    pub const fn everything() -> Self {
        Self::All(BTreeMap::new())
    }

    /// What asks for all of these at once.
    #[must_use]
    pub fn of(requirements: impl IntoIterator<Item = (String, Allowed)>) -> Self {
        let mut all: BTreeMap<String, Allowed> = BTreeMap::new();
        for (key, allowed) in requirements {
            let both = all.get(&key).map_or_else(|| allowed.clone(), |other| other.and(&allowed));
            all.insert(key, both);
        }
        if all.values().any(Allowed::is_nothing) { Self::Nothing } else { Self::All(all) }
    }

    /// Whether an object with these labels matches.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        match self {
            Self::Nothing => false,
            Self::All(all) => all.iter().all(|(key, allowed)| allowed.matches(labels.get(key))),
        }
    }
}

/// Which pods a peer means. Equal ones in any number of policies share one address group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pods {
    /// The namespaces.
    pub namespaces: Namespaces,
    /// The pods of these.
    pub pods: Selector,
}

/// Which namespaces a peer means.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Namespaces {
    /// The policy's own: there is no `namespaceSelector`.
    Named(Name),
    /// Those that `namespaceSelector` matches.
    Matching(Selector),
}

impl Pods {
    /// All pods of all namespaces.
    #[must_use]
    pub const fn everywhere() -> Self {
        Self { namespaces: Namespaces::Matching(Selector::everything()), pods: Selector::everything() }
    }

    /// Whether pods of this namespace can be meant. `labels` are None while the namespace isn't known: no selector matches it then.
    #[must_use]
    pub fn in_namespace(&self, name: &str, labels: Option<&Labels>) -> bool {
        match &self.namespaces {
            Namespaces::Named(named) => **named == *name,
            Namespaces::Matching(selector) => labels.is_some_and(|labels| selector.matches(labels)),
        }
    }
}

/// A label's key and value, quoted: no two different ones have the same text, whatever is in them.
struct Term<'a>(&'a str, &'a Allowed);

impl fmt::Display for Term<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(key, Allowed { absent, values }) = self;
        match (values, absent) {
            (Values::Only(values), true) if values.is_empty() => write!(f, "!{key:?}"),
            (Values::AllBut(values), false) if values.is_empty() => write!(f, "{key:?}"),
            (Values::Only(values), false) => write!(f, "{key:?} in {values:?}"),
            (Values::AllBut(values), true) => write!(f, "{key:?} notin {values:?}"),
            // No single requirement says so, but two together do.
            (Values::Only(values), true) => write!(f, "{key:?} absent or in {values:?}"),
            (Values::AllBut(values), false) => write!(f, "{key:?} but not in {values:?}"),
        }
    }
}

impl fmt::Display for Selector {
    /// Equal selectors have equal texts, and others have others. The texts don't change from one version of Kuryr to the next: names are
    /// made of them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing"),
            Self::All(all) if all.is_empty() => f.write_str("all"),
            Self::All(all) => {
                let mut first = true;
                all.iter().try_for_each(|(key, allowed)| {
                    let separator = if std::mem::take(&mut first) { "" } else { ", " };
                    write!(f, "{separator}{}", Term(key, allowed))
                })
            }
        }
    }
}

impl fmt::Display for Pods {
    /// As of [`Selector`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespaces {
            Namespaces::Named(name) => write!(f, "pods ({}) of namespace {name:?}", self.pods),
            Namespaces::Matching(selector) => write!(f, "pods ({}) of namespaces ({selector})", self.pods),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{prelude::*, sample::select};

    fn set(values: &[&str]) -> BTreeSet<String> {
        values.iter().map(|&value| value.to_owned()).collect()
    }

    fn requirement() -> impl Strategy<Value = (String, Allowed)> {
        let values = prop::collection::btree_set(select(vec!["", "1", "2", "3"]).prop_map(str::to_owned), 1..4);
        let allowed = prop_oneof![
            values.clone().prop_map(Allowed::only),
            values.prop_map(Allowed::not),
            Just(Allowed::present()),
            Just(Allowed::missing()),
        ];
        (select(vec!["a", "b"]).prop_map(str::to_owned), allowed)
    }

    /// All labels that the requirements above can tell apart.
    fn all_labels() -> Vec<Labels> {
        let values = [None, Some(""), Some("1"), Some("2"), Some("3"), Some("other")];
        let label = |key: &str, value: Option<&str>| value.map(|value| (key.to_owned(), value.to_owned()));
        let pairs = values.iter().flat_map(|a| values.iter().map(move |b| (*a, *b)));
        pairs.map(|(a, b)| label("a", a).into_iter().chain(label("b", b)).collect()).collect()
    }

    proptest! {
        #[test]
        fn a_selector_asks_for_all_that_it_is_made_of(requirements in prop::collection::vec(requirement(), 0..5)) {
            let selector = Selector::of(requirements.clone());
            for labels in all_labels() {
                let each = requirements.iter().all(|(key, allowed)| allowed.matches(labels.get(key)));
                prop_assert_eq!(selector.matches(&labels), each);
            }
        }

        #[test]
        fn selectors_that_match_the_same_are_equal(
            a in prop::collection::vec(requirement(), 0..4), b in prop::collection::vec(requirement(), 0..4),
        ) {
            let (a, b) = (Selector::of(a), Selector::of(b));
            let same = all_labels().iter().all(|labels| a.matches(labels) == b.matches(labels));
            prop_assert_eq!(same, a == b);
            prop_assert_eq!(same, a.to_string() == b.to_string());
        }
    }

    #[test]
    fn an_empty_value_is_a_value() {
        let selector = Selector::of([("a".into(), Allowed::only(set(&[""])))]);
        assert!(selector.matches(&[("a".to_owned(), String::new())].into()));
        assert!(!selector.matches(&Labels::new()));
        assert!(!selector.matches(&[("a".to_owned(), "1".to_owned())].into()));
    }

    #[test]
    fn a_namespace_that_is_not_known_is_matched_by_name_only() {
        assert!(!Pods::everywhere().in_namespace("shop", None));
        assert!(Pods::everywhere().in_namespace("shop", Some(&Labels::new())));
        let named = Pods { namespaces: Namespaces::Named("shop".into()), pods: Selector::everything() };
        assert!(named.in_namespace("shop", None));
        assert!(!named.in_namespace("bank", Some(&Labels::new())));
    }
}
