//! One sweep for an operator (`kuryr sweep`), from outside the cluster: everything is read afresh from the API server.

use super::{
    act::Removal,
    compare::{Comparer, Looked, addresses_of, port_id},
    look,
};
use crate::error::Error;
use jiff::Timestamp;
use kube::{Client, ResourceExt};
use kuryr_core::sweep::{Implausible, Limit};
use kuryr_openstack::{Cloud, CloudConfig, neutron::Port};
use prometheus_client::registry::Registry;
use std::{net::IpAddr, sync::Arc, time::Duration};

/// How an operator's sweep goes.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Only show what is found.
    pub dry_run: bool,
    /// Time between the two looks; zero: one look is enough.
    pub grace: Duration,
    /// Largest share of the ports that may be without an object, in percent.
    pub most_percent: u8,
}

/// A port that isn't as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Id of the Neutron port.
    pub port: String,
    /// Its name, which is that of its object unless somebody changed it.
    pub name: String,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// The host that it is bound to.
    pub host: String,
    /// Time since Neutron made it.
    pub age: Option<Duration>,
    /// What is the matter with it.
    pub reason: String,
    /// A sweep removes it.
    pub removable: bool,
}

/// How far the sweep is.
#[derive(Debug)]
pub enum Progress {
    /// A look at everything has ended.
    Looked {
        /// What isn't as it should be.
        rows: Vec<Row>,
        /// Number of ports with the cluster's mark.
        marked: usize,
        /// Why nothing is removed.
        implausible: Option<Implausible>,
    },
    /// The second look comes after this time.
    Waiting(Duration),
    /// A port was removed, or was no longer what it was found to be.
    Done {
        /// Its id.
        port: String,
        /// It was removed.
        removed: bool,
    },
    /// A port could not be removed.
    Failed {
        /// Its id.
        port: String,
        /// Why.
        error: Error,
    },
}

/// Why an operator's sweep ended early.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// OpenStack doesn't accept the login.
    #[error("OpenStack: {0}")]
    Login(#[source] kuryr_openstack::Error),
    /// Something could not be read.
    #[error(transparent)]
    Failed(#[from] Error),
}

/// Sweeps once: looks, and unless it is a dry run waits for the grace time, looks again, and removes what was found both
/// times. A controller that runs does the same by itself; both at once do no harm.
///
/// # Errors
/// When OpenStack or the API server can't be asked.
pub async fn sweep(
    cluster: String,
    cloud: &CloudConfig,
    openstack: &kuryr_openstack::Settings,
    client: Client,
    options: Options,
    mut tell: impl FnMut(Progress),
) -> Result<(), SweepError> {
    let metrics = kuryr_openstack::Metrics::register(&mut Registry::default());
    let cloud = Cloud::connect(cloud.clone(), openstack.clone(), metrics).await.map_err(SweepError::Login)?;
    let mut comparer = Comparer::new(client.clone(), cloud.neutron(), cluster).await?;
    comparer.grace = options.grace;
    comparer.limit = Limit { percent: options.most_percent };
    let mut looked = look(&mut comparer, &client, &mut tell).await?;
    if options.dry_run {
        return Ok(());
    }
    if !options.grace.is_zero()
        && looked.implausible.is_none()
        && looked.found.iter().any(|found| found.finding.removable())
    {
        tell(Progress::Waiting(options.grace));
        tokio::time::sleep(options.grace).await;
        looked = look(&mut comparer, &client, &mut tell).await?;
    }
    if looked.implausible.is_some() {
        return Ok(());
    }
    for found in looked.found.iter().filter(|found| found.due) {
        let port = found.port.id.to_string();
        tell(match comparer.remove(found).await {
            Ok(removal) => Progress::Done { port, removed: removal == Removal::Removed },
            Err(error) => Progress::Failed { port, error },
        });
    }
    Ok(())
}

async fn look(comparer: &mut Comparer, client: &Client, tell: &mut impl FnMut(Progress)) -> Result<Looked, Error> {
    let objects: Vec<_> = look::objects(client).await?.into_iter().map(Arc::new).collect();
    let looked = comparer.look(&objects).await?;
    let (rows, marked, implausible) = (rows(&looked, Timestamp::now()), looked.marked, looked.implausible);
    tell(Progress::Looked { rows, marked, implausible });
    Ok(looked)
}

/// What a look has shown, those that are removed first.
fn rows(looked: &Looked, now: Timestamp) -> Vec<Row> {
    let found = looked.found.iter().map(|found| Row {
        port: found.port.id.to_string(),
        name: found.port.name.clone(),
        addresses: addresses_of(&found.port).into_iter().collect(),
        host: found.port.host_id.clone().unwrap_or_default(),
        age: age(&found.port, now),
        reason: found.finding.to_string(),
        removable: found.finding.removable(),
    });
    let changed = looked
        .changed
        .iter()
        .map(|(object, drift)| (object, drift.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")));
    let missing = looked.missing.iter().map(|(object, _)| (object, "it isn't in Neutron's list".to_owned()));
    let told = changed.chain(missing).map(|(object, reason)| Row {
        port: port_id(object).unwrap_or_default().to_owned(),
        name: object.name_any(),
        addresses: object.status.iter().flat_map(|status| &status.addresses).map(|address| address.ip).collect(),
        host: object.spec.node_name.clone(),
        age: object
            .metadata
            .creation_timestamp
            .as_ref()
            .and_then(|time| Duration::try_from(now.duration_since(time.0)).ok()),
        reason,
        removable: false,
    });
    let mut rows: Vec<_> = found.chain(told).collect();
    rows.sort_by(|a, b| (!a.removable, &a.name, &a.port).cmp(&(!b.removable, &b.name, &b.port)));
    rows
}

/// Time since Neutron made the port.
fn age(port: &Port, now: Timestamp) -> Option<Duration> {
    let created: Timestamp = port.created_at.as_deref()?.parse().ok()?;
    Duration::try_from(now.duration_since(created)).ok()
}

#[cfg(test)]
mod tests {
    use super::{super::compare::Found, *};
    use kuryr_core::sweep::Finding;

    #[test]
    fn what_is_removed_comes_first_with_its_age() {
        let found = |id: &str, finding| Found {
            port: Port {
                id: id.into(),
                name: id.into(),
                created_at: Some("2026-11-23T10:00:00Z".into()),
                ..Port::default()
            },
            finding,
            for_: Duration::ZERO,
            due: false,
            object: None,
        };
        let looked =
            Looked { found: vec![found("a", Finding::InUse), found("b", Finding::Orphan)], ..Looked::default() };
        let rows = rows(&looked, "2026-11-23T10:01:00Z".parse().unwrap());
        let told: Vec<_> =
            rows.iter().map(|row| (row.port.as_str(), row.removable, row.age.unwrap().as_secs())).collect();
        assert_eq!(told, [("b", true, 60), ("a", false, 60)]);
    }
}
