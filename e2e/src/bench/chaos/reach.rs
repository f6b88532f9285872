//! Whether every pod reaches every other.

use crate::{
    Cluster,
    traffic::{self, From},
    wait::{eventually, holds},
    workload::{Namespace, addresses, is_ready},
};
use anyhow::{Result, ensure};
use futures::{StreamExt, stream};
use serde::Serialize;
use std::{
    collections::BTreeSet,
    fmt,
    net::IpAddr,
    time::{Duration, Instant},
};

/// Pods that send at the same time.
const AT_ONCE: usize = 4;

/// How many failures are told in words.
const TOLD: usize = 10;

/// What came of it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Reach {
    /// Ordered pairs of pods: the first one asks.
    pub pairs: usize,
    /// Those whose second pod answered the first: on every address, an echo request and TCP.
    pub reached: usize,
    /// How many of them had already done so at the first look.
    pub reached_at_once: usize,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// What wasn't answered at the last look.
    pub missing: Vec<String>,
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pairs, reached, reached_at_once, seconds, missing } = self;
        write!(f, "{reached} of {pairs} pairs reach each other ({reached_at_once} at the first look), {seconds:.1} s")?;
        missing.iter().take(TOLD).try_for_each(|text| write!(f, "\n           {text}"))?;
        if missing.len() > TOLD { write!(f, "\n           and {} more", missing.len() - TOLD) } else { Ok(()) }
    }
}

/// A pod that serves.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Peer {
    name: String,
    ips: Vec<IpAddr>,
}

/// Lets these pods ask each other until all have answered all, or `patience` is over. (Pods whose node's containerd was killed last
/// still have to be started anew: they are Ready at first because nobody has looked.)
pub async fn among(cluster: &Cluster, space: &Namespace, names: &[String], patience: Duration) -> Reach {
    let begin = Instant::now();
    let mut reach = Reach { pairs: names.len() * names.len().saturating_sub(1), ..Reach::default() };
    let mut looks = 0;
    let outcome = eventually("every pod to reach every other", patience, async || {
        let failures = look(cluster, space, names).await.unwrap_or_else(|error| vec![Failure::of_all(&error)]);
        reach.reached = reach.pairs - pairs_of(&failures, names.len());
        reach.reached_at_once = if looks == 0 { reach.reached } else { reach.reached_at_once };
        looks += 1;
        reach.missing = failures.into_iter().map(|failure| failure.what).collect();
        holds(reach.missing.is_empty(), || format!("{} failures", reach.missing.len()))
    })
    .await;
    // What is missing says why.
    drop(outcome);
    reach.seconds = super::round(begin.elapsed().as_secs_f64());
    reach
}

/// What doesn't work, and for which pairs.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Failure {
    from: Option<String>,
    to: Option<String>,
    what: String,
}

impl Failure {
    /// Nobody could ask anybody.
    fn of_all(error: &anyhow::Error) -> Self {
        Self { from: None, to: None, what: format!("{error:#}") }
    }
}

/// How many pairs of `pods` failures are about: one of a pod that can't ask is about all of its pairs.
fn pairs_of(failures: &[Failure], pods: usize) -> usize {
    let others = pods.saturating_sub(1);
    if failures.iter().any(|failure| failure.from.is_none()) {
        return pods * others;
    }
    let mute: BTreeSet<_> = failures.iter().filter(|f| f.to.is_none()).map(|f| &f.from).collect();
    let single: BTreeSet<_> =
        failures.iter().filter(|f| f.to.is_some() && !mute.contains(&f.from)).map(|f| (&f.from, &f.to)).collect();
    mute.len() * others + single.len()
}

async fn look(cluster: &Cluster, space: &Namespace, names: &[String]) -> Result<Vec<Failure>> {
    let peers = peers(space, names).await?;
    let asking = stream::iter(&peers).map(|from| ask_others(cluster, space, from, &peers)).buffer_unordered(AT_ONCE);
    Ok(asking.concat().await)
}

/// The pods with their addresses: all are Ready, have both families, and none has another's address.
async fn peers(space: &Namespace, names: &[String]) -> Result<Vec<Peer>> {
    let (mut peers, mut seen) = (Vec::new(), BTreeSet::new());
    for name in names {
        let pod = space.pods().get(name).await?;
        ensure!(is_ready(&pod), "pod {name} isn't Ready");
        let ips = addresses(&pod);
        ensure!(ips.iter().any(IpAddr::is_ipv4) && ips.iter().any(IpAddr::is_ipv6), "pod {name} has {ips:?} only");
        for &ip in &ips {
            ensure!(seen.insert(ip), "{ip} was given to two pods");
        }
        peers.push(Peer { name: name.clone(), ips });
    }
    Ok(peers)
}

async fn ask_others(cluster: &Cluster, space: &Namespace, from: &Peer, peers: &[Peer]) -> Vec<Failure> {
    let others = peers.iter().filter(|peer| *peer != from);
    let targets: Vec<_> = others.flat_map(|peer| peer.ips.iter().map(|&ip| (ip, peer.name.clone()))).collect();
    let failure = |to: Option<&String>, what| Failure { from: Some(from.name.clone()), to: to.cloned(), what };
    match traffic::unanswered(cluster, &From::pod(&space.name, &from.name), &targets).await {
        Err(error) => vec![failure(None, format!("{} can't ask: {error:#}", from.name))],
        Ok(unanswered) => {
            let owner = |ip: IpAddr| targets.iter().find(|(theirs, _)| *theirs == ip).map(|(_, name)| name);
            let told = |(ip, protocol): (IpAddr, String)| {
                let to = owner(ip);
                let name = to.map_or("?", String::as_str);
                failure(to, format!("{} -> {name} ({ip}), {protocol}", from.name))
            };
            unanswered.into_iter().map(told).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(from: Option<&str>, to: Option<&str>) -> Failure {
        Failure { from: from.map(str::to_owned), to: to.map(str::to_owned), what: String::new() }
    }

    #[test]
    fn a_pair_counts_once_and_a_mute_pod_for_all_of_its_pairs() {
        let (ab, ac) = (failure(Some("a"), Some("b")), failure(Some("a"), Some("c")));
        assert_eq!(pairs_of(&[], 3), 0);
        assert_eq!(pairs_of(&[ab.clone(), ab.clone(), ac], 3), 2);
        assert_eq!(pairs_of(&[failure(Some("a"), None), ab.clone()], 3), 2);
        assert_eq!(pairs_of(&[failure(None, None), ab], 3), 6);
    }
}
