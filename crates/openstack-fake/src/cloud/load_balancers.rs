//! The handle on the load balancers of a fake cloud.

use crate::{
    LoadBalancerView, Operating, Settle,
    pipeline::{Cloud, lock},
};
use serde_json::Value;

/// The load balancers of a cloud as a test sees and spoils them, without asking over HTTP: see
/// [`FakeCloud::octavia`](crate::FakeCloud::octavia). What takes an identifier says whether there is such an object.
#[derive(Clone, Copy)]
pub struct LoadBalancers<'a>(&'a Cloud);

impl<'a> LoadBalancers<'a> {
    pub(crate) const fn new(cloud: &'a Cloud) -> Self {
        Self(cloud)
    }

    /// All load balancers of all projects, in the order of their names.
    #[must_use]
    pub fn all(self) -> Vec<LoadBalancerView> {
        self.0.advance();
        lock(&self.0.octavia).views()
    }

    /// Identifiers of the listeners and pools whose load balancer is gone. Nobody can delete them.
    #[must_use]
    pub fn left_parts(self) -> Vec<String> {
        self.0.advance();
        lock(&self.0.octavia).left_parts()
    }

    /// The load balancer with this name or identifier.
    #[must_use]
    pub fn get(self, name: &str) -> Option<LoadBalancerView> {
        self.all().into_iter().find(|view| view.name == name || view.id == name)
    }

    /// Everything that was asked for is done now, but not to load balancers that are stuck.
    pub fn settle(self) {
        let mut octavia = lock(&self.0.octavia);
        octavia.settle_all(&mut lock(&self.0.neutron));
    }

    /// When what is asked for is done from now on, and what was asked for and isn't yet.
    pub fn set_settle(self, settle: Settle) {
        lock(&self.0.octavia).set_settle(settle);
    }

    /// An object of any kind is in ERROR from now on; for a load balancer, what was to be done is never done.
    pub fn fail(self, id: &str) -> bool {
        lock(&self.0.octavia).break_object(id)
    }

    /// The next changes that are accepted fail afterwards: a new load balancer ends in ERROR without its port, as does one
    /// that was to be deleted; of other changes only the object that is changed does.
    pub fn fail_next(self, changes: usize) {
        lock(&self.0.octavia).fail_next(changes);
    }

    /// A load balancer is pending from now on, and stays so until [`Self::unstick`].
    pub fn stick(self, id: &str) -> bool {
        lock(&self.0.octavia).stick(id)
    }

    /// A load balancer that was stuck goes on.
    pub fn unstick(self, id: &str) -> bool {
        lock(&self.0.octavia).unstick(id)
    }

    /// An object of any kind and all that belongs to it are gone, as if somebody had deleted them by hand; a load balancer's
    /// ports as well.
    pub fn delete_behind(self, id: &str) -> bool {
        let mut octavia = lock(&self.0.octavia);
        octavia.delete_behind(&mut lock(&self.0.neutron), id)
    }

    /// An attribute of an object of any kind is another, as if somebody had changed it by hand. Nothing is checked.
    pub fn alter_behind(self, id: &str, attribute: &str, value: impl Into<Value>) -> bool {
        lock(&self.0.octavia).alter_behind(id, attribute, value.into())
    }

    /// A health monitor has found out how a member is; its pool's, listener's and load balancer's statuses follow.
    pub fn member_is(self, id: &str, status: Operating) -> bool {
        lock(&self.0.octavia).set_member_status(id, status)
    }
}
