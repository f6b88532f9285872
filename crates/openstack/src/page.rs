//! Lists: pages, and queries that are too long for one request.
//!
//! A page is asked for by the id of the last object before it, its marker. When that object is deleted in the meantime, Neutron
//! answers 404, Octavia 400, although nothing is wrong with the rest of the list. The marker is then an earlier object of the same page:
//! the order is always the same (Neutron's that of the ids, Octavia's that of their creation), so that whatever was there all the time is still found, and what comes twice is left out.

use crate::{
    endpoint::Call,
    error::{Details, Error, Kind},
};
use reqwest::Url;
use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};

/// How often a list is begun when all objects that could mark a page are deleted under it.
const MOST_BEGINNINGS: usize = 3;

/// Longest query in bytes that is sent. uWSGI's default buffer for a whole request head is 4096 bytes, the token in it
/// takes a few hundred.
const LONGEST_QUERY: usize = 2048;

/// Parameters whose values are not alternatives, so that they can't be spread over several requests.
const NEVER_SPREAD: [&str; 5] = ["fields", "fixed_ips", "limit", "marker", "tags"];

type Query = Vec<(&'static str, String)>;

/// The queries that are still to be made for one list.
#[derive(Debug)]
pub(crate) struct Queries {
    waiting: VecDeque<Query>,
    /// Ids of the last page, in its order: any of them can mark the next one.
    last: Vec<String>,
    /// How many objects before its last one the marker of the last page is.
    back: usize,
    /// Ids of the pages that another one followed.
    seen: HashSet<String>,
    /// A page may hold objects that an earlier one had.
    repeats: bool,
    beginnings: usize,
}

impl Queries {
    pub fn new(query: Query) -> Self {
        let waiting = spread(query, LONGEST_QUERY).into();
        Self { waiting, last: Vec::new(), back: 0, seen: HashSet::new(), repeats: false, beginnings: 1 }
    }

    pub fn next(&mut self) -> Option<Query> {
        self.waiting.pop_front()
    }

    /// Whether a page may hold objects that an earlier one had.
    pub fn repeats(&self) -> bool {
        self.repeats
    }

    /// Whether an earlier page had the object.
    pub fn had(&self, id: &str) -> bool {
        self.seen.contains(id)
    }

    /// The object that marks the page that `call` asked for doesn't exist any more: asks with an earlier one. Twice as far
    /// back each time, because objects are often deleted together. `false` when `call` had no marker, or it is no use.
    pub fn step_back(&mut self, call: &Call) -> bool {
        if self.last.is_empty() || !call.query.iter().any(|(key, _)| *key == "marker") {
            return false;
        }
        (self.repeats, self.back) = (true, (self.back * 2).max(1));
        let marker = self.last.len().checked_sub(self.back + 1).and_then(|at| self.last.get(at));
        if marker.is_none() {
            self.beginnings += 1;
        }
        let mut query: Query = call.query.iter().filter(|(key, _)| *key != "marker").cloned().collect();
        query.extend(marker.map(|marker| ("marker", marker.clone())));
        self.waiting.push_front(query);
        self.beginnings <= MOST_BEGINNINGS
    }

    /// Notes the next page of `call`, whose page has the objects `ids`. Only the marker is taken from the link: the link's
    /// host may be one that can't be reached from here, and the token must not go to it.
    pub fn follow(&mut self, call: &Call, next: Option<&str>, ids: Vec<String>) -> Result<(), Error> {
        let Some(next) = next else { return Ok(()) };
        let malformed = |why: &str| {
            let message = format!("the link to the next page {why}: {next}");
            Details::new(Kind::Malformed, call.method.clone(), call.display_path(), message)
        };
        let url = Url::options().base_url(Url::parse("http://service/").ok().as_ref()).parse(next);
        let url = url.map_err(|error| malformed("isn't a URL").caused_by(error))?;
        let parameter = |name| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
        let marker = parameter("marker").ok_or_else(|| malformed("has no marker"))?;
        if call.query.iter().any(|(key, value)| *key == "marker" && *value == marker) {
            return Err(malformed("leads to the same page").into());
        }
        let mut query: Query =
            call.query.iter().filter(|(key, _)| *key != "marker" && *key != "limit").cloned().collect();
        // Octavia writes `limit=None` where it has none.
        let limit = parameter("limit").filter(|limit| limit.parse::<u64>().is_ok());
        query.extend(limit.map(|limit| ("limit", limit)));
        query.push(("marker", marker));
        self.waiting.push_front(query);
        self.seen.extend(ids.iter().cloned());
        (self.last, self.back) = (ids, 0);
        Ok(())
    }
}

/// Spreads the values of the parameter with the most values over several queries, so that none is longer than `longest`
/// bytes (unless a single value makes it so). As its values are alternatives, the lists of all queries together are
/// the list that was asked for, and no object is in two of them.
fn spread(query: Query, longest: usize) -> Vec<Query> {
    // Percent-encoding makes a byte at most three times as long; colons in owner marks are the usual case.
    let length = |(key, value): &(&str, String)| key.len() + value.len() + 2 + 2 * value.matches(':').count();
    if query.iter().map(length).sum::<usize>() <= longest {
        return vec![query];
    }
    let mut values: BTreeMap<&'static str, usize> = BTreeMap::new();
    for (key, _) in query.iter().filter(|(key, _)| !NEVER_SPREAD.contains(key)) {
        *values.entry(key).or_default() += 1;
    }
    let Some((&key, _)) = values.iter().max_by_key(|(_, count)| **count) else { return vec![query] };
    let (alternatives, fixed): (Query, Query) = query.into_iter().partition(|(name, _)| *name == key);
    let alternatives: BTreeSet<(&'static str, String)> = alternatives.into_iter().collect();
    let room = longest.saturating_sub(fixed.iter().map(length).sum());
    let mut queries = Vec::new();
    let (mut part, mut used) = (Query::new(), 0);
    for alternative in alternatives {
        let size = length(&alternative);
        if !part.is_empty() && used + size > room {
            queries.push(std::mem::take(&mut part));
            used = 0;
        }
        used += size;
        part.push(alternative);
    }
    queries.push(part);
    queries.into_iter().map(|part| part.into_iter().chain(fixed.iter().cloned()).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn query_strategy() -> impl Strategy<Value = Query> {
        let parameter = (prop::sample::select(vec!["id", "description", "fields", "status"]), "[a-z:]{1,40}");
        prop::collection::vec(parameter, 0..60)
    }

    fn set(query: &[(&'static str, String)]) -> BTreeSet<(&'static str, String)> {
        query.iter().cloned().collect()
    }

    proptest! {
        #[test]
        fn all_parts_together_ask_for_the_same(query in query_strategy(), longest in 50_usize..400) {
            let parts = spread(query.clone(), longest);
            prop_assert!(!parts.is_empty());
            let together: BTreeSet<_> = parts.iter().flatten().cloned().collect();
            prop_assert_eq!(&together, &set(&query));
            if parts.len() > 1 {
                // Exactly one parameter differs from part to part, and each of its values is in one part only.
                let common = parts.iter().map(|part| set(part)).reduce(|a, b| &a & &b).unwrap();
                let spread: Vec<_> = together.difference(&common).collect();
                let names: BTreeSet<_> = spread.iter().map(|(name, _)| name).collect();
                prop_assert_eq!(names.len(), 1);
                prop_assert!(!names.contains(&"fields"));
                for value in spread {
                    prop_assert_eq!(parts.iter().filter(|part| part.contains(value)).count(), 1);
                }
            }
        }
    }

    #[test]
    fn no_part_is_longer_than_allowed() {
        let mut query: Query = (0..400).map(|i| ("description", format!("kuryr:cluster:{i:036}"))).collect();
        query.extend([("fields", "id".to_owned()), ("network_id", "n".to_owned())]);
        let parts = spread(query, LONGEST_QUERY);
        assert!(parts.len() > 10);
        for part in parts {
            let url = Url::parse_with_params("http://h/", &part).unwrap();
            let length = url.query().unwrap().len();
            assert!(length <= LONGEST_QUERY && part.contains(&("fields", "id".to_owned())), "{length}");
        }
    }
}
