//! Pieces of ports, between which nothing that policies say changes.

use crate::{policy::clause::Ports, service::spec::Protocol};
use std::collections::{BTreeMap, BTreeSet};

/// Where something goes: a protocol with its port, or what has no ports.
pub type At = Option<(Protocol, u16)>;

/// The protocols that have ports.
pub const TRANSPORTS: [Protocol; 3] = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];

/// What is the same at all ports of a piece, for all pieces: they don't overlap, and together they are everything.
pub type Pieces<T> = BTreeMap<Ports, T>;

/// Whether ports are about this.
#[must_use]
pub fn contains(ports: Ports, at: At) -> bool {
    match at {
        Some((protocol, port)) => ports.contains(protocol, port),
        None => matches!(ports, Ports::All | Ports::Icmp),
    }
}

/// Ports at which something may begin to be otherwise.
#[derive(Debug, Clone, Default)]
pub struct Cuts(BTreeSet<(Protocol, u16)>);

impl Cuts {
    /// Before and behind these ports.
    pub fn around(&mut self, ports: Ports) {
        let Ports::Range { protocol, first, last } = ports else { return };
        self.0.insert((protocol, first));
        self.0.extend(last.checked_add(1).map(|next| (protocol, next)));
    }

    /// What `value` says of each piece; ICMP stands for all that has no ports. Neighbours that are the same are one, as far as a rule can say so.
    pub fn pieces<T: Eq>(&self, value: impl Fn(At) -> T) -> Pieces<T> {
        let mut all = Pieces::from([(Ports::Icmp, value(None))]);
        for protocol in TRANSPORTS {
            all.extend(self.of_protocol(protocol, &value));
        }
        let whole = all.len() == TRANSPORTS.len() + 1;
        let same = all.values().zip(all.values().skip(1)).all(|(a, b)| a == b);
        match all.pop_first() {
            Some((_, it)) if whole && same => Pieces::from([(Ports::All, it)]),
            first => all.into_iter().chain(first).collect(),
        }
    }

    fn of_protocol<T: Eq>(&self, protocol: Protocol, value: &impl Fn(At) -> T) -> Vec<(Ports, T)> {
        let cuts = self.0.range((protocol, 2)..=(protocol, u16::MAX)).map(|(_, port)| *port);
        let mut starts: Vec<(u16, T)> = Vec::new();
        for first in std::iter::once(1).chain(cuts) {
            let it = value(Some((protocol, first)));
            if starts.last().is_none_or(|(_, before)| *before != it) {
                starts.push((first, it));
            }
        }
        let ends: Vec<u16> = starts.iter().skip(1).map(|(next, _)| next - 1).chain([u16::MAX]).collect();
        let pieces = starts.into_iter().zip(ends).map(|((first, it), last)| match (first, last) {
            (1, u16::MAX) => (Ports::Protocol(protocol), it),
            _ => (Ports::Range { protocol, first, last }, it),
        });
        pieces.collect()
    }
}
