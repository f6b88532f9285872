//! What earlier versions of the lab made for Kuryr, and Kuryr makes itself now: load balancers at the addresses of `default/kubernetes` and
//! `kube-system/kube-dns`. A kept state may hold them, and with them the addresses.

use std::{thread, time::Duration};

use anyhow::{Result, bail};

use super::{
    accounts::KURYR,
    octavia_api,
    rest::{Session, id},
};
use crate::engine::{CONTROL, Component, Lab, netns};

/// Name of the component.
pub const NAME: &str = "cloud-load-balancers";

/// Takes the old load balancers away.
pub(super) struct LoadBalancers;

impl Component for LoadBalancers {
    fn name(&self) -> String {
        NAME.into()
    }

    fn after(&self) -> Vec<String> {
        vec!["cloud-networks".into(), "octavia-api".into()]
    }

    fn prepare(&self, _: &Lab) -> Result<()> {
        netns::enter(CONTROL, || {
            let session = Session::open(KURYR)?;
            ["lab-kube-apiserver", "lab-dns"].iter().try_for_each(|name| remove(&session, name))
        })?
    }
}

/// Deletes the load balancer of this name, if there is one, and waits until it is gone.
fn remove(session: &Session, name: &str) -> Result<()> {
    let url = format!("{}/v2/lbaas/loadbalancers", octavia_api::url());
    let find = || session.first(&format!("{url}?name={name}"), "loadbalancers");
    let Some(there) = find()? else { return Ok(()) };
    session.delete(&format!("{url}/{}?cascade=true", id(&there)?))?;
    for _ in 0..300 {
        if find()?.is_none() {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(200));
    }
    bail!(
        "the load balancer {name} of an earlier lab doesn't go: take the lab down with its state (`cargo xtask lab down --purge`)"
    )
}
