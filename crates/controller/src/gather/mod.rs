//! Requests to Neutron that are gathered: the creation of ports, and the look for ports that may exist already.
//!
//! A Neutron creates a few ports a second whatever the number of requests, and a request costs time of its own. So what is
//! asked for within a few milliseconds goes into one request, and what comes while others are on their way into the next.
//!
//! Every caller gets an answer of its own. One that no longer waits (its future was dropped) cancels nothing for the
//! others: what wasn't sent yet isn't sent for it, and a port that was is found by its mark, because
//! [`Attempts`](crate::attempts::Attempts) knows since before the request that there may be one.

mod creator;
mod finder;
mod gate;
mod lane;
mod room;
#[cfg(test)]
mod tests;

pub use creator::Creator;
pub use finder::Finder;
pub use lane::Flow;
pub use room::Woken;

use kuryr_openstack::{
    Error, Neutron, Priority,
    neutron::{NewPort, Port, PortQuery},
};
use lane::Rank;
use std::{future::Future, time::Duration};

/// The requests to Neutron that are gathered.
pub trait Ports: Clone + Send + Sync + 'static {
    /// Creates all of the ports or none.
    fn create(&self, ports: Vec<NewPort>, rank: Rank) -> impl Future<Output = Result<Vec<Port>, Error>> + Send;

    /// Lists the ports that match.
    fn list(&self, query: PortQuery) -> impl Future<Output = Result<Vec<Port>, Error>> + Send;
}

impl Ports for Neutron {
    async fn create(&self, ports: Vec<NewPort>, rank: Rank) -> Result<Vec<Port>, Error> {
        let neutron = self.with_priority(match rank {
            Rank::Miss => Priority::Pod,
            Rank::Refill => Priority::Background,
        });
        match ports.as_slice() {
            [one] => neutron.create_port(one).await.map(|port| vec![port]),
            many => neutron.create_ports(many).await,
        }
    }

    async fn list(&self, query: PortQuery) -> Result<Vec<Port>, Error> {
        self.list_ports(&query).await
    }
}

/// What is gathered on the way to one Neutron.
pub struct Gather<P = Neutron> {
    /// Creates ports.
    pub creator: Creator<P>,
    /// Finds ports.
    pub finder: Finder<P>,
}

impl<P: Ports> Gather<P> {
    /// Gathers for `window` at a time. The second value tells whose turn has come because there is room again.
    pub fn new(ports: &P, window: Duration) -> (Self, Woken) {
        let (creator, woken) = Creator::new(ports.clone(), window);
        (Self { creator, finder: Finder::new(ports.clone(), window) }, woken)
    }
}
