//! What is to be there: one port per interface.

use super::observe::{Interface, Observed};
use crate::{networks::Defaults, policies::Groups};
use kuryr_api::KuryrPoolPortSpec;

/// What is to be there of a claim.
#[derive(Debug, Clone, PartialEq)]
pub struct Desired {
    /// The claim itself.
    pub exists: bool,
    /// The port of each interface, in the claim's order. `None`: nothing is done about it before its security groups are there.
    pub pool_ports: Vec<Option<KuryrPoolPortSpec>>,
}

/// A claim is to exist as long as its pod does, with a port of the configured networks per interface.
pub fn desire(seen: &Observed, defaults: &Defaults) -> Desired {
    let pool_port = |interface: &Interface| {
        let Groups::Given(groups) = &interface.groups else { return None };
        Some(KuryrPoolPortSpec {
            node_name: seen.port.spec.node_name.clone(),
            network_id: defaults.network.clone(),
            subnet_ids: defaults.subnets.clone(),
            security_group_ids: groups.clone(),
            claim_ref: Some(interface.claim.clone()),
            released_at: None,
        })
    };
    Desired { exists: seen.pod_lives, pool_ports: seen.interfaces.iter().map(pool_port).collect() }
}
