//! Removes ports that nobody needs. Each one is looked at once more immediately before.

use super::{
    compare::{Comparer, Found, port_id},
    look,
};
use crate::{error::Error, runtime::apply};
use kube::{Api, ResourceExt};
use kuryr_api::KuryrPoolPort;
use kuryr_core::sweep::Finding;
use kuryr_openstack::Found as _;

/// What became of a port that was to be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// It is gone.
    Removed,
    /// It has changed since it was found: somebody else's, or needed again. It stays.
    Kept,
}

impl Comparer {
    /// Removes the port, if it is still what it was found to be.
    ///
    /// # Errors
    /// When Neutron or the API server can't be asked, or Neutron doesn't delete the port.
    pub async fn remove(&self, found: &Found) -> Result<Removal, Error> {
        let (id, described) = (&found.port.id, || format!("port {}", found.port.id));
        let port = self.neutron.get_port(id).await.found();
        let Some(port) = port.map_err(Error::openstack("look again", described()))? else {
            return Ok(Removal::Removed);
        };
        let mark = look::mark(&port, &self.cluster, &self.project);
        if mark.is_none() || port.description != found.port.description || !self.is_surplus_still(found).await? {
            return Ok(Removal::Kept);
        }
        let deleted = self.neutron.delete_port(id).await.found();
        deleted.map_err(Error::openstack("delete the Neutron port", described()))?;
        Ok(Removal::Removed)
    }

    /// The object of a second port still has another one. (An object that was gone stays gone.)
    async fn is_surplus_still(&self, found: &Found) -> Result<bool, Error> {
        let Some(object) = found.object.as_ref().filter(|_| found.finding == Finding::Surplus) else {
            return Ok(found.finding == Finding::Orphan);
        };
        let api: Api<KuryrPoolPort> = Api::all(self.client.clone());
        let current = api.get_opt(&object.name_any()).await;
        let current = current.map_err(Error::kubernetes("read again", apply::described(&**object)))?;
        let same = current.filter(|current| current.uid() == object.uid());
        Ok(same.is_some_and(|current| port_id(&current).is_some_and(|recorded| recorded != found.port.id.as_str())))
    }
}
