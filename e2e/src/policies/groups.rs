//! The security groups and address groups that Kuryr has in Neutron.

use crate::{
    Cluster,
    inventory::{CLUSTER, SETTLING},
    wait::{eventually, holds},
};
use anyhow::{Context, Result};
use kuryr_core::names::OwnerMark;
use kuryr_openstack::neutron::{AddressGroupQuery, SecurityGroupQuery};
use std::collections::BTreeMap;

/// Those that carry the mark of the lab's Kuryr, with their names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Groups {
    security: BTreeMap<String, String>,
    address: BTreeMap<String, String>,
}

impl Groups {
    /// Takes the lists of Neutron.
    ///
    /// # Errors
    /// When one of them can't be had.
    pub async fn take(cluster: &Cluster) -> Result<Self> {
        let ours = |description: &str| OwnerMark::parse(description).is_some_and(|mark| mark.cluster == CLUSTER);
        let neutron = cluster.cloud.neutron();
        let security = neutron.list_security_groups(&SecurityGroupQuery::default()).await;
        let address = neutron.list_address_groups(&AddressGroupQuery::default()).await;
        let security = security.context("listing security groups")?.into_iter().filter(|one| ours(&one.description));
        let address = address.context("listing address groups")?.into_iter().filter(|one| ours(&one.description));
        Ok(Self {
            security: security.map(|one| (one.id.to_string(), one.name)).collect(),
            address: address.map(|one| (one.id.to_string(), one.name)).collect(),
        })
    }

    /// Waits until there are no more of them than there were. Groups that all pods have may have been made anew.
    ///
    /// # Errors
    /// When it doesn't come to that.
    pub async fn are_back(&self, cluster: &Cluster) -> Result<()> {
        eventually("Neutron to have no more groups than before", SETTLING, async || {
            let now = Self::take(cluster).await?;
            let kinds =
                [("security groups", &self.security, &now.security), ("address groups", &self.address, &now.address)];
            for (kind, before, now) in kinds {
                holds(now.len() <= before.len(), || left(kind, before, now))?;
            }
            Ok(())
        })
        .await
    }
}

fn left(kind: &str, before: &BTreeMap<String, String>, now: &BTreeMap<String, String>) -> String {
    let new = now.iter().filter(|(id, _)| !before.contains_key(*id));
    let new: Vec<_> = new.map(|(id, name)| format!("{id} ({name})")).collect();
    format!("{kind}: there were {}, there are {}; new are {}", before.len(), now.len(), new.join(", "))
}
