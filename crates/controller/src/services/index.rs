//! Which EndpointSlices each Service has: a label says so, and may say something else later.

use std::collections::{BTreeSet, HashMap};

/// A name, with its namespace.
type Name = (String, String);

/// The names of the EndpointSlices of each Service.
#[derive(Debug, Default)]
pub struct SliceIndex {
    by_service: HashMap<Name, BTreeSet<String>>,
    services: HashMap<Name, String>,
}

impl SliceIndex {
    /// A slice is of this Service now, or of none. The names of the Services that this concerns.
    pub fn put(&mut self, namespace: &str, slice: &str, service: Option<String>) -> BTreeSet<String> {
        let name = (namespace.to_owned(), slice.to_owned());
        let before = match &service {
            Some(service) => self.services.insert(name, service.clone()),
            None => self.services.remove(&name),
        };
        if let Some(before) = before.as_ref().filter(|before| Some(*before) != service.as_ref()) {
            let of = (namespace.to_owned(), before.clone());
            if let Some(slices) = self.by_service.get_mut(&of) {
                slices.remove(slice);
                if slices.is_empty() {
                    self.by_service.remove(&of);
                }
            }
        }
        if let Some(service) = &service {
            self.by_service.entry((namespace.to_owned(), service.clone())).or_default().insert(slice.to_owned());
        }
        before.into_iter().chain(service).collect()
    }

    /// The names of a Service's slices.
    pub fn slices_of(&self, namespace: &str, service: &str) -> BTreeSet<String> {
        self.by_service.get(&(namespace.to_owned(), service.to_owned())).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_is_of_the_service_that_its_label_names_now() {
        let mut index = SliceIndex::default();
        let names = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect::<BTreeSet<_>>();
        assert_eq!(index.put("n", "a-1", Some("a".into())), names(&["a"]));
        assert_eq!(index.put("n", "a-2", Some("a".into())), names(&["a"]));
        assert_eq!(index.slices_of("n", "a"), names(&["a-1", "a-2"]));
        assert_eq!(index.put("n", "a-1", Some("b".into())), names(&["a", "b"]), "both have to be looked at");
        assert_eq!((index.slices_of("n", "a"), index.slices_of("n", "b")), (names(&["a-2"]), names(&["a-1"])));
        assert_eq!(index.put("n", "a-2", None), names(&["a"]));
        assert_eq!((index.put("n", "a-2", None), index.slices_of("n", "a")), (names(&[]), names(&[])));
        assert_eq!(index.slices_of("m", "b"), names(&[]));
        index.put("n", "a-1", None);
        assert!(index.by_service.is_empty() && index.services.is_empty(), "{index:?}");
    }
}
