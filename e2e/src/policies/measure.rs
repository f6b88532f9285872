//! Who reaches whom in the mesh, measured from inside of all pods at the same time: a whole table takes little more than the patience
//! with one way that is closed.

use super::{
    Mesh, probe,
    table::{Cell, Difference, Expected, Measured, Way, count_open, describe, differences, is_as},
    text::{World, address},
};
use anyhow::{Context, Result, bail};
use futures::{StreamExt, future::join_all, stream::FuturesUnordered};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// How long policies may take until packets tell, on a busy machine.
pub const ENFORCED: Duration = Duration::from_secs(40);

/// From one look at a way that isn't as it must be to the next.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long an answer is waited for on a first look at one way.
const GLANCE: Duration = Duration::from_millis(150);

impl Mesh {
    /// Waits until exactly those ways are open that the text of the API opens, with the policies and labels that there are.
    ///
    /// # Errors
    /// When it doesn't come to that; the error tells the ways that differ.
    pub async fn agrees(&self) -> Result<Agreement> {
        let world = self.world().await?;
        let expected = Arc::new(world.table());
        let begin = Instant::now();
        // Where these are as they must be, the whole table is most probably.
        let before = lock(&self.agreed).clone();
        for cell in changed(&before, &expected) {
            self.await_one(&world, &cell, expected[&cell], begin + ENFORCED).await?;
        }
        loop {
            // The last time all of it is measured, to be told.
            let hasty = begin.elapsed() < ENFORCED;
            let looked = Instant::now();
            let differences = self.measure(&world, &expected, hasty).await?;
            if differences.is_empty() {
                let (open, of) = (count_open(&expected), expected.len());
                *lock(&self.agreed) = expected;
                return Ok(Agreement { open, of, after: looked - begin, measured_in: looked.elapsed() });
            }
            if !hasty {
                bail!("after {} s {}", ENFORCED.as_secs(), describe(&differences, expected.len()));
            }
            let Difference { cell, open, .. } = &differences[0];
            self.await_one(&world, cell, *open, begin + ENFORCED).await?;
        }
    }

    /// Looks at one way until it is as it must be, or it is too late: whole tables in a row would keep a small machine from doing
    /// what is waited for.
    async fn await_one(&self, world: &World, cell: &Cell, open: bool, until: Instant) -> Result<()> {
        let (Cell { from, way, .. }, to) = (cell, target(world, cell)?);
        let inside = self.inside.get(from).with_context(|| format!("{from} isn't entered"))?;
        loop {
            let outcome = inside.spawn(probe::once(way.protocol, to, GLANCE)).await.context("trying one way")?;
            if is_as(outcome, open) || Instant::now() > until {
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Measures the table. Whoever is `hasty` learns of one way that is open and must not be as soon as it is seen, and of no others.
    ///
    /// # Errors
    /// When a pod has no address.
    pub async fn measure(&self, world: &World, expected: &Expected, hasty: bool) -> Result<Vec<Difference>> {
        let (tell, mut told) = unbounded_channel();
        let mut trying = Vec::new();
        for (from, inside) in &self.inside {
            let mut targets = Vec::new();
            for to in world.pods.keys() {
                for way in Way::all() {
                    let cell = Cell { from: from.clone(), to: to.clone(), way };
                    let at = target(world, &cell)?;
                    targets.push((cell, at));
                }
            }
            trying.push(inside.spawn(try_all(targets, tell.clone())));
        }
        drop(tell);
        let mut measured = Measured::new();
        while let Some((cell, outcome)) = told.recv().await {
            let open = expected.get(&cell).copied().unwrap_or_default();
            // Silence is certain in the end only.
            if hasty && !open && !is_as(outcome, open) {
                return Ok(vec![Difference { cell, outcome: Some(outcome), open }]);
            }
            measured.insert(cell, outcome);
        }
        for ended in join_all(trying).await {
            ended.context("trying all ways from a pod")?;
        }
        Ok(differences(expected, &measured))
    }
}

/// A way that opens and one that closes, if there are such. Pods that have come since have none of them.
fn changed(before: &Expected, now: &Expected) -> Vec<Cell> {
    let first = |open: bool| {
        let mut changes = now.iter().filter(|(cell, is)| **is == open && before.get(cell) == Some(&!open));
        changes.next().map(|(cell, _)| cell.clone())
    };
    [true, false].into_iter().filter_map(first).collect()
}

/// Where a way leads.
fn target(world: &World, cell: &Cell) -> Result<SocketAddr> {
    let pod = world.pods.get(&cell.to).with_context(|| format!("there is no pod {}", cell.to))?;
    let ip = address(pod, cell.way.family).with_context(|| format!("{} has no address for {}", cell.to, cell.way))?;
    Ok(SocketAddr::new(ip, cell.way.port))
}

/// Tries all targets at the same time.
async fn try_all(targets: Vec<(Cell, SocketAddr)>, tell: UnboundedSender<(Cell, probe::Outcome)>) {
    let try_one = async |(cell, to): (Cell, SocketAddr)| {
        let outcome = probe::reach(cell.way.protocol, to).await;
        // Who asked may have seen enough.
        drop(tell.send((cell, outcome)));
    };
    let mut tries: FuturesUnordered<_> = targets.into_iter().map(try_one).collect();
    while tries.next().await.is_some() {}
}

/// A table that was as expected.
#[derive(Debug, Clone, Copy)]
pub struct Agreement {
    /// How many ways are open.
    pub open: usize,
    /// How many ways there are.
    pub of: usize,
    /// After how long the measurement that agreed was begun.
    pub after: Duration,
    /// How long it took.
    pub measured_in: Duration,
}

fn lock(agreed: &Mutex<Arc<Expected>>) -> MutexGuard<'_, Arc<Expected>> {
    agreed.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_way_of_each_change_is_looked_at_first() {
        let before = World::of_mesh().map(|world| world.table()).unwrap();
        assert_eq!(changed(&before, &before), []);
        assert_eq!(changed(&Expected::new(), &before), [], "nothing is known of before");
        let now: Expected = before.keys().map(|cell| (cell.clone(), &*cell.to != "x/a")).collect();
        assert_eq!(changed(&before, &now).len(), 1);
        assert_eq!(&*changed(&now, &before)[0].to, "x/a");
    }
}
