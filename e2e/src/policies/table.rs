//! Who reaches whom: what is expected, what was measured, and how they differ.

use super::probe::Outcome;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Write as _},
    net::IpAddr,
    sync::Arc,
};

/// The ports that each pod of the mesh serves, over both protocols.
pub const PORTS: [u16; 2] = [80, 81];

/// So many lines of differences are shown; they all follow from few causes.
const LINES: usize = 30;

/// What pods serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// As the Kubernetes API writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        }
    }
}

/// An address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address.
    #[must_use]
    pub const fn of(ip: IpAddr) -> Self {
        if ip.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

/// How a pod is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Way {
    /// Over which protocol.
    pub protocol: Protocol,
    /// At which port.
    pub port: u16,
    /// At which of its addresses.
    pub family: Family,
}

impl Way {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        [Protocol::Tcp, Protocol::Udp].into_iter().flat_map(|protocol| {
            PORTS.into_iter().flat_map(move |port| {
                [Family::V4, Family::V6].into_iter().map(move |family| Self { protocol, port, family })
            })
        })
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = if self.family == Family::V4 { "v4" } else { "v6" };
        write!(f, "{}{}/{family}", self.protocol.as_str(), self.port)
    }
}

/// A pod of the mesh by its short name: `x/a`.
pub type Name = Arc<str>;

/// One pod, another one or itself, and a way from the one to the other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cell {
    /// Who sends.
    pub from: Name,
    /// Whom it is sent to.
    pub to: Name,
    /// How.
    pub way: Way,
}

/// Which ways are open.
pub type Expected = BTreeMap<Cell, bool>;

/// How many ways are open.
#[must_use]
pub fn count_open(table: &Expected) -> usize {
    table.values().filter(|open| **open).count()
}

/// What came of each way.
pub type Measured = BTreeMap<Cell, Outcome>;

/// Whether an outcome is what a way must be like.
#[must_use]
pub fn is_as(outcome: Outcome, open: bool) -> bool {
    outcome == if open { Outcome::Open } else { Outcome::Silent }
}

/// A way that isn't as it must be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// Which.
    pub cell: Cell,
    /// What came of it. `None`: nothing was tried.
    pub outcome: Option<Outcome>,
    /// Whether it must be open.
    pub open: bool,
}

/// Every way that isn't as it must be.
#[must_use]
pub fn differences(expected: &Expected, measured: &Measured) -> Vec<Difference> {
    let differ = |(cell, open): (&Cell, &bool)| {
        let outcome = measured.get(cell).copied();
        let agrees = outcome.is_some_and(|outcome| is_as(outcome, *open));
        (!agrees).then(|| Difference { cell: cell.clone(), outcome, open: *open })
    };
    expected.iter().filter_map(differ).collect()
}

/// Differences in few lines: one for all destinations of a pod that differ in the same ways.
#[must_use]
pub fn describe(differences: &[Difference], of: usize) -> String {
    let mut pairs: BTreeMap<(&Name, &Name), BTreeMap<String, Vec<String>>> = BTreeMap::new();
    for Difference { cell, outcome, open } in differences {
        let must = if *open { "open" } else { "closed" };
        let is = outcome.map_or_else(|| "untried".to_owned(), |outcome| outcome.to_string());
        let ways = pairs.entry((&cell.from, &cell.to)).or_default();
        ways.entry(format!("{is}, must be {must}")).or_default().push(cell.way.to_string());
    }
    let mut lines: BTreeMap<(&Name, String), BTreeSet<&Name>> = BTreeMap::new();
    for ((from, to), kinds) in pairs {
        for (kind, ways) in kinds {
            lines.entry((from, format!("{kind}: {}", ways.join(" ")))).or_default().insert(to);
        }
    }
    let mut text = format!("{} of {of} ways differ", differences.len());
    for ((from, how), to) in lines.iter().take(LINES) {
        let to: Vec<&str> = to.iter().map(|name| &***name).collect();
        // Writing to a String can't fail.
        let _ = write!(text, "\n  {from} -> {}: {how}", to.join(" "));
    }
    if lines.len() > LINES {
        let _ = write!(text, "\n  and {} more lines", lines.len() - LINES);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const TCP_80: Way = Way { protocol: Protocol::Tcp, port: 80, family: Family::V4 };

    fn cell(from: &str, to: &str, way: Way) -> Cell {
        Cell { from: from.into(), to: to.into(), way }
    }

    #[test]
    fn there_are_eight_ways() {
        let ways: BTreeSet<_> = Way::all().collect();
        assert_eq!(ways.len(), 8);
        assert_eq!(TCP_80.to_string(), "TCP80/v4");
    }

    #[test]
    fn closed_means_silence_and_nothing_else() {
        let closed: Expected = [(cell("x/a", "x/b", TCP_80), false)].into();
        let differ = |outcome| {
            let measured = [(cell("x/a", "x/b", TCP_80), outcome)].into();
            !differences(&closed, &measured).is_empty()
        };
        assert!(!differ(Outcome::Silent));
        for outcome in [Outcome::Open, Outcome::Refused, Outcome::Failed(std::io::ErrorKind::NetworkUnreachable)] {
            assert!(differ(outcome), "{outcome}");
        }
        assert_eq!(differences(&closed, &Measured::new()).len(), 1, "what isn't tried isn't closed");
    }

    #[test]
    fn differences_are_told_in_few_lines() {
        let udp = Way { protocol: Protocol::Udp, port: 81, family: Family::V6 };
        let mut expected = Expected::new();
        let mut measured = Measured::new();
        for to in ["y/a", "y/b"] {
            for way in [TCP_80, udp] {
                expected.insert(cell("x/a", to, way), false);
                measured.insert(cell("x/a", to, way), Outcome::Open);
            }
        }
        expected.insert(cell("x/b", "y/a", udp), true);
        measured.insert(cell("x/b", "y/a", udp), Outcome::Silent);
        let text = describe(&differences(&expected, &measured), expected.len());
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "5 of 5 ways differ",
                "  x/a -> y/a y/b: open, must be closed: TCP80/v4 UDP81/v6",
                "  x/b -> y/a: silent, must be open: UDP81/v6",
            ]
        );
    }
}
