//! A test's own code in the middle of a request.

use crate::Call;
use futures::future::BoxFuture;
use std::sync::{Arc, Mutex, PoisonError};

/// Where in its life a request is. A request that a fault ends before its commit comes to neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// It has arrived and will now be carried out.
    BeforeCommit,
    /// It has been carried out and will now be answered. Also called for requests that the service has refused.
    AfterCommit,
}

/// What happens after a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Next {
    /// The request goes on.
    #[default]
    Continue,
    /// The request ends here and its connection is closed: before the commit nothing is carried out, after it the
    /// answer is lost.
    Close,
}

/// What a hook gets: the request and where it is.
#[derive(Debug, Clone)]
pub struct Event {
    /// Where the request is.
    pub moment: Moment,
    /// The request.
    pub call: Arc<Call>,
}

/// A test's own code. The request waits until the future is done.
pub type Hook = Arc<dyn Fn(Event) -> BoxFuture<'static, Next> + Send + Sync>;

/// The hook of a cloud.
#[derive(Default)]
pub(crate) struct Hooks(Mutex<Option<Hook>>);

impl Hooks {
    pub fn set(&self, hook: Option<Hook>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = hook;
    }

    pub async fn call(&self, moment: Moment, call: &Arc<Call>) -> Next {
        let hook = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match hook {
            Some(hook) => hook(Event { moment, call: Arc::clone(call) }).await,
            None => Next::Continue,
        }
    }
}
