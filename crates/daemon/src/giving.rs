//! The ports that DELs are giving back: of many DELs at once each counts what the others bring.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The Neutron ports on their way from a pod to being held, with the number of DELs at work on each. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct Giving(Arc<Mutex<BTreeMap<String, usize>>>);

/// A port on its way, until this is dropped.
#[derive(Debug)]
pub struct Given {
    all: Giving,
    port_id: String,
}

impl Giving {
    /// A DEL begins to decide on a port. Also gives the other ports that are on their way.
    ///
    /// What is held is to be counted after this: whatever isn't on its way any more is held by then.
    pub fn begin(&self, port_id: &str) -> (Given, Vec<String>) {
        let mut ports = self.ports();
        let others = ports.keys().filter(|other| *other != port_id).cloned().collect();
        *ports.entry(port_id.to_owned()).or_default() += 1;
        drop(ports);
        (Given { all: self.clone(), port_id: port_id.to_owned() }, others)
    }

    fn ports(&self) -> MutexGuard<'_, BTreeMap<String, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Given {
    fn drop(&mut self) {
        let mut ports = self.all.ports();
        if let Some(count) = ports.get_mut(&self.port_id) {
            *count -= 1;
            if *count == 0 {
                ports.remove(&self.port_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sees_the_others_that_came_before_and_are_not_done() {
        let giving = Giving::default();
        let (first, others) = giving.begin("a");
        assert_eq!(others, Vec::<String>::new());
        let (second, others) = giving.begin("b");
        assert_eq!(others, ["a"]);
        let (again, others) = giving.begin("a");
        assert_eq!(others, ["b"], "a repeated DEL isn't another port");
        drop(first);
        drop(second);
        assert_eq!(giving.begin("c").1, ["a"], "one of its two DELs is at work");
        drop(again);
        assert_eq!(giving.begin("c").1, Vec::<String>::new());
    }
}
