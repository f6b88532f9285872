//! The kills: one component after another, in rounds.

use super::{hands::Hands, moment, order::Order};
use anyhow::{Context, Result};
use fastrand::Rng;
use kuryr_lab::{Lab, registry};
use std::{
    collections::BTreeMap,
    ops::RangeInclusive,
    time::{Duration, Instant},
};

/// Seconds for which a killed component stays away.
const AWAY: RangeInclusive<f64> = 0.0..=5.0;

/// Seconds from a component's return until the next kill.
const PAUSE: RangeInclusive<f64> = 0.5..=5.0;

/// Components of the lab that can't survive a kill for a reason outside of Kuryr: name (without the node) and reason. None is known.
pub const EXCLUDED: &[(&str, &str)] = &[];

/// What was done.
#[derive(Debug, Default)]
pub struct Kills {
    /// How often each component was killed.
    pub killed: BTreeMap<String, usize>,
    /// Components that ended though nobody killed them, and were started again as a service manager would.
    pub ended: BTreeMap<String, usize>,
    /// Components that didn't become ready at the first try.
    pub retried: BTreeMap<String, usize>,
    /// Longest time from a start until the component was ready.
    pub longest: Duration,
}

/// The components that are killed.
///
/// # Errors
/// When they can't be told.
pub fn parts(lab: &Lab) -> Result<Vec<String>> {
    Ok(without(registry::processes(lab)?, EXCLUDED))
}

fn without(mut parts: Vec<String>, excluded: &[(&str, &str)]) -> Vec<String> {
    parts.retain(|part| !excluded.iter().any(|(name, _)| part.split('@').next() == Some(name)));
    parts
}

/// Kills and starts one component after another until `end`, and each at least once.
///
/// # Errors
/// When one can't be killed or doesn't start any more.
pub async fn run(hands: &Hands, mut order: Order, end: Instant, tell: impl Fn(&str)) -> Result<Kills> {
    let (mut kills, mut rng) = (Kills::default(), Rng::new());
    loop {
        for part in order.next_round() {
            if Instant::now() >= end && kills.killed.len() == order.parts().len() {
                return Ok(kills);
            }
            kills.mend(hands, order.parts(), &tell).await?;
            kills.kill(hands, &part, moment(&mut rng, AWAY), &tell).await?;
            tokio::time::sleep(moment(&mut rng, PAUSE)).await;
        }
    }
}

impl Kills {
    /// Starts what has ended by itself since the last kill.
    async fn mend(&mut self, hands: &Hands, parts: &[String], tell: &impl Fn(&str)) -> Result<()> {
        for part in hands.ended(parts).await? {
            tell(&format!("{part} has ended by itself"));
            *self.ended.entry(part.clone()).or_default() += 1;
            self.start(hands, &part, tell).await?;
        }
        Ok(())
    }

    async fn kill(&mut self, hands: &Hands, part: &str, away: Duration, tell: &impl Fn(&str)) -> Result<()> {
        hands.kill(part).await?;
        tell(&format!("killed {part}"));
        *self.killed.entry(part.to_owned()).or_default() += 1;
        tokio::time::sleep(away).await;
        self.start(hands, part, tell).await
    }

    async fn start(&mut self, hands: &Hands, part: &str, tell: &impl Fn(&str)) -> Result<()> {
        let begin = Instant::now();
        let tries = hands.start(part).await.with_context(|| format!("{part} doesn't come back"))?;
        self.longest = self.longest.max(begin.elapsed());
        if tries > 1 {
            *self.retried.entry(part.to_owned()).or_default() += tries - 1;
        }
        tell(&format!("{part} is back, after {:.1} s", begin.elapsed().as_secs_f64()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_excluded_is_so_on_every_node() {
        let parts = ["etcd", "etcd-other", "kubelet@node1", "kubelet@node2"].map(str::to_owned).to_vec();
        assert_eq!(without(parts.clone(), &[("kubelet", "for a test")]), ["etcd", "etcd-other"]);
        assert_eq!(without(parts.clone(), &[("etcd", "for a test")]), parts[1..]);
        assert_eq!(without(parts.clone(), &[]), parts);
    }
}
