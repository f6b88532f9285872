//! The interface to the host's own port.

use crate::{
    Result,
    ovs::{NodePort, NodePortSpec, NodePortStatus},
};
use futures::{FutureExt, future::BoxFuture};

/// The host's own port on the integration bridge.
pub trait HostPort: Send + Sync {
    /// Makes it as `spec` says. Writes nothing where it is so already.
    ///
    /// # Errors
    /// When it can't be made now.
    fn ensure<'a>(&'a self, spec: &'a NodePortSpec) -> BoxFuture<'a, Result<NodePortStatus>>;

    /// Tells the network that the addresses have this MAC address, once packets pass.
    ///
    /// # Errors
    /// When it can't send now.
    fn announce<'a>(&'a self, spec: &'a NodePortSpec) -> BoxFuture<'a, Result<()>>;

    /// Removes it. That it isn't there is no error.
    ///
    /// # Errors
    /// When it can't be removed now.
    fn remove(&self) -> BoxFuture<'_, Result<()>>;

    /// How it is now. `None`: it isn't there.
    ///
    /// # Errors
    /// When that can't be read now.
    fn status(&self) -> BoxFuture<'_, Result<Option<NodePortStatus>>>;
}

impl HostPort for NodePort {
    fn ensure<'a>(&'a self, spec: &'a NodePortSpec) -> BoxFuture<'a, Result<NodePortStatus>> {
        self.ensure(spec).boxed()
    }

    fn announce<'a>(&'a self, spec: &'a NodePortSpec) -> BoxFuture<'a, Result<()>> {
        self.announce(spec).boxed()
    }

    fn remove(&self) -> BoxFuture<'_, Result<()>> {
        self.remove().boxed()
    }

    fn status(&self) -> BoxFuture<'_, Result<Option<NodePortStatus>>> {
        self.status().boxed()
    }
}
