//! The fence: whether this process may change anything now. Asked before every write, to Kubernetes and to OpenStack, so that
//! a leader that lost its Lease, by standing still for example, stops at once and not only when its own tasks notice.
//!
//! It can't call back what was sent a moment before: that is what makes creation idempotent for (docs/design, rule 7).

use super::{identity::Identity, metrics::Metrics};
use http::{Method, Request};
use kube::{Client, client::Body};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Reads a clock that never goes back and goes on while the machine sleeps.
pub type Clock = Arc<dyn Fn() -> Duration + Send + Sync>;

/// `CLOCK_BOOTTIME` (`clock_gettime(2)`): time since the machine was started. Unlike `CLOCK_MONOTONIC`, which tokio's timers
/// read, it counts the time that the machine was suspended.
#[must_use]
pub fn boot_time() -> Clock {
    Arc::new(|| {
        let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME);
        // Linux has had this clock since 2.6.39. A time far ahead would close the fence.
        time.map_or(Duration::MAX, Duration::from)
    })
}

/// Why a write was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this controller isn't the leader (any more), so it writes nothing")]
pub struct NotLeader;

/// The fence. Clones are the same one.
#[derive(Clone)]
pub struct Fence(Arc<State>);

struct State {
    /// Open until this reading of the clock, in milliseconds.
    until: AtomicU64,
    clock: Clock,
    metrics: Metrics,
    /// Held as long as anything could write: nobody else has our identity before that.
    identity: Identity,
}

impl fmt::Debug for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fence").field("open", &self.is_open()).finish_non_exhaustive()
    }
}

impl Fence {
    /// A closed fence around the process of this identity.
    #[must_use]
    pub fn new(identity: Identity, clock: Clock, metrics: Metrics) -> Self {
        Self(Arc::new(State { until: AtomicU64::new(0), clock, metrics, identity }))
    }

    /// Now, by the clock that the fence reads.
    #[must_use]
    pub fn now(&self) -> Duration {
        (self.0.clock)()
    }

    /// Whose fence it is.
    #[must_use]
    pub fn identity(&self) -> &str {
        self.0.identity.name()
    }

    /// Opens it until then.
    pub fn open_until(&self, until: Duration) {
        self.0.until.store(u64::try_from(until.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }

    /// Closes it.
    pub fn close(&self) {
        self.open_until(Duration::ZERO);
    }

    /// Whether anything may be changed now.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.now().as_millis() < u128::from(self.0.until.load(Ordering::SeqCst))
    }

    /// # Errors
    /// When nothing may be changed now.
    pub fn check(&self) -> Result<(), NotLeader> {
        if self.is_open() {
            return Ok(());
        }
        self.0.metrics.fenced();
        Err(NotLeader)
    }

    /// The same client behind the fence: it reads always, and changes things only while the fence is open. The client below
    /// must not repeat requests by itself.
    #[must_use]
    pub fn around(&self, client: &Client) -> Client {
        let (fence, inner, namespace) = (self.clone(), client.clone(), client.default_namespace().to_owned());
        let send = move |request: Request<Body>| {
            let (fence, inner) = (fence.clone(), inner.clone());
            async move {
                if !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
                    fence.check().map_err(|why| kube::Error::Service(Box::new(why)))?;
                }
                inner.send(request).await
            }
        };
        Client::new(tower::service_fn(send), namespace)
    }
}

impl kuryr_openstack::Fence for Fence {
    fn check(&self) -> Result<(), String> {
        Fence::check(self).map_err(|why| why.to_string())
    }
}
