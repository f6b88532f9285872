//! Runs work in the order of its dependencies, in parallel where they allow it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Condvar, Mutex, PoisonError},
    thread,
};

use anyhow::{Error, Result, anyhow, bail};

/// Which names wait for which others. Names that are waited for but are not in it count as done: they belong to a
/// part of the lab that is up already.
#[derive(Debug, Clone, Default)]
pub(crate) struct Graph(BTreeMap<String, BTreeSet<String>>);

impl Graph {
    /// A graph of `(name, names it waits for)`.
    ///
    /// # Errors
    /// When a name comes twice, or names wait for each other in a circle.
    pub fn new(nodes: impl IntoIterator<Item = (String, Vec<String>)>) -> Result<Self> {
        let mut graph = BTreeMap::new();
        for (name, after) in nodes {
            if graph.insert(name.clone(), BTreeSet::from_iter(after)).is_some() {
                bail!("two components have the name {name}");
            }
        }
        let names: BTreeSet<String> = graph.keys().cloned().collect();
        for after in graph.values_mut() {
            after.retain(|name| names.contains(name));
        }
        let graph = Self(graph);
        graph.order()?;
        Ok(graph)
    }

    /// The graph in which everything waits for what waited for it.
    #[must_use]
    pub fn reversed(&self) -> Self {
        let mut turned: BTreeMap<String, BTreeSet<String>> =
            self.0.keys().map(|name| (name.clone(), BTreeSet::new())).collect();
        for (name, after) in &self.0 {
            for earlier in after {
                turned.entry(earlier.clone()).or_default().insert(name.clone());
            }
        }
        Self(turned)
    }

    /// The names, each after those that it waits for.
    ///
    /// # Errors
    /// When names wait for each other in a circle.
    pub fn order(&self) -> Result<Vec<&str>> {
        let mut left: BTreeSet<&str> = self.0.keys().map(String::as_str).collect();
        let mut order = Vec::new();
        while !left.is_empty() {
            let free: Vec<&str> = left
                .iter()
                .copied()
                .filter(|name| self.0[*name].iter().all(|earlier| !left.contains(earlier.as_str())))
                .collect();
            if free.is_empty() {
                bail!("these components wait for each other: {}", Vec::from_iter(left).join(", "));
            }
            for name in free {
                left.remove(name);
                order.push(name);
            }
        }
        Ok(order)
    }

    /// Does the work of every name on a thread of its own, once the names that it waits for are done. When one fails,
    /// those that wait for it are left out if `stop_at_failure` is set, and all others still run. Returns the errors.
    pub fn run(&self, stop_at_failure: bool, work: impl Fn(&str) -> Result<()> + Sync) -> Vec<(String, Error)> {
        let state = Mutex::new(BTreeMap::<&str, bool>::new());
        let changed = Condvar::new();
        let errors = Mutex::new(Vec::new());
        let one = |name: &str, after: &BTreeSet<String>| {
            let mut done = state.lock().unwrap_or_else(PoisonError::into_inner);
            while !after.iter().all(|earlier| done.contains_key(earlier.as_str())) {
                done = changed.wait(done).unwrap_or_else(PoisonError::into_inner);
            }
            let failed = after.iter().find(|earlier| !done[earlier.as_str()]);
            drop(done);
            match failed {
                Some(earlier) if stop_at_failure => Err(anyhow!("not started, because {earlier} is not up")),
                _ => work(name),
            }
        };
        thread::scope(|scope| {
            for (name, after) in &self.0 {
                let (one, state, changed, errors) = (&one, &state, &changed, &errors);
                scope.spawn(move || {
                    // A panic must not leave the others waiting for ever.
                    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| one(name, after)))
                        .unwrap_or_else(|_| Err(anyhow!("its thread panicked")));
                    let succeeded = result.is_ok();
                    if let Err(e) = result {
                        errors.lock().unwrap_or_else(PoisonError::into_inner).push((name.clone(), e));
                    }
                    state.lock().unwrap_or_else(PoisonError::into_inner).insert(name, succeeded);
                    changed.notify_all();
                });
            }
        });
        errors.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(nodes: &[(&str, &[&str])]) -> Result<Graph> {
        Graph::new(nodes.iter().map(|(n, after)| ((*n).to_owned(), after.iter().map(|a| (*a).to_owned()).collect())))
    }

    const CHAIN: &[(&str, &[&str])] =
        &[("api", &["keystone", "database"]), ("keystone", &["database"]), ("database", &[])];

    #[test]
    fn order_follows_the_dependencies_and_reversed_turns_them() {
        let graph = graph(CHAIN).unwrap();
        assert_eq!(graph.order().unwrap(), ["database", "keystone", "api"]);
        assert_eq!(graph.reversed().order().unwrap(), ["api", "keystone", "database"]);
    }

    #[test]
    fn circles_and_doubles_are_refused_by_name() {
        let circle = graph(&[("a", &["b"]), ("b", &["a"]), ("c", &[])]).unwrap_err();
        assert_eq!(circle.to_string(), "these components wait for each other: a, b");
        assert!(graph(&[("a", &[]), ("a", &[])]).unwrap_err().to_string().contains("the name a"));
    }

    #[test]
    fn a_dependency_outside_the_graph_counts_as_done() {
        assert_eq!(graph(&[("kuryr", &["kube-apiserver"])]).unwrap().order().unwrap(), ["kuryr"]);
    }

    #[test]
    fn work_runs_after_its_dependencies_and_a_failure_stops_only_what_waits_for_it() {
        let graph = graph(&[("a", &[]), ("b", &["a"]), ("c", &["b"]), ("d", &["a"])]).unwrap();
        let ran = Mutex::new(Vec::new());
        let errors = graph.run(true, |name| {
            ran.lock().unwrap().push(name.to_owned());
            if name == "b" { bail!("broken") } else { Ok(()) }
        });
        let ran = ran.into_inner().unwrap();
        assert_eq!(ran[0], "a");
        assert_eq!(BTreeSet::from_iter(ran), ["a", "b", "d"].map(str::to_owned).into());
        let errors: BTreeMap<_, _> = errors.into_iter().map(|(n, e)| (n, e.to_string())).collect();
        assert_eq!(errors["b"], "broken");
        assert_eq!(errors["c"], "not started, because b is not up");
    }

    #[test]
    fn without_stopping_all_work_runs() {
        let ran = Mutex::new(0);
        let errors = graph(CHAIN).unwrap().run(false, |_| {
            *ran.lock().unwrap() += 1;
            bail!("broken")
        });
        assert_eq!((errors.len(), *ran.lock().unwrap()), (3, 3));
    }
}
