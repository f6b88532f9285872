//! What goes wrong, for which requests, how often.

use crate::{Call, Service};
use hyper::Method;
use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// What happens to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// It is carried out after this time, beside its latency.
    Slow(Duration),
    /// Nothing is carried out and no answer comes; the connection stays open until the client closes it.
    Hang,
    /// It is carried out, but no answer comes.
    HangAfterCommit,
    /// Nothing is carried out and the connection is closed.
    LostBeforeCommit,
    /// It is carried out and the connection is closed without an answer.
    LostAfterCommit,
    /// Nothing is carried out; the answer is this status, with `Retry-After` if given. 401 is given out as Keystone's
    /// middleware does, and the token of the request ends.
    Status(u16, Option<Duration>),
    /// It is carried out, but the answer is this status: what a proxy says (502, 504) that has waited for too long.
    StatusAfterCommit(u16),
}

/// A test's own condition.
type Predicate = Arc<dyn Fn(&Call) -> bool + Send + Sync>;

/// A fault: what happens, to which requests, how often. Each request meets the first fault that fits.
///
/// ```
/// use kuryr_openstack_fake::{Effect, Fault, Method};
/// // The answers to the second and third creation of ports are lost.
/// let fault = Fault::new(Effect::LostAfterCommit).on(Method::POST, "ports").skip(1).times(2);
/// assert_eq!(fault.hits(), 0);
/// ```
#[derive(Clone)]
pub struct Fault {
    effect: Effect,
    service: Option<Service>,
    method: Option<Method>,
    resource: Option<String>,
    predicate: Option<Predicate>,
    skip: usize,
    times: usize,
    /// Requests that fitted; shared by all clones, so that a test can ask the one that it has kept.
    fitting: Arc<AtomicUsize>,
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { effect, service, method, resource, skip, times, .. } = self;
        write!(f, "{effect:?} for {service:?} {method:?} {resource:?}, {skip} skipped, then {times} times")
    }
}

impl Fault {
    /// A fault of every request, for ever.
    #[must_use]
    pub fn new(effect: Effect) -> Self {
        Self {
            effect,
            service: None,
            method: None,
            resource: None,
            predicate: None,
            skip: 0,
            times: usize::MAX,
            fitting: Arc::default(),
        }
    }

    /// Only for this method and collection, as `POST` and `ports`, or `POST` and `tokens` for logins.
    #[must_use]
    pub fn on(self, method: Method, resource: &str) -> Self {
        Self { method: Some(method), resource: Some(resource.to_owned()), ..self }
    }

    /// Only for this service.
    #[must_use]
    pub fn of(self, service: Service) -> Self {
        Self { service: Some(service), ..self }
    }

    /// Only for this method.
    #[must_use]
    pub fn method(self, method: Method) -> Self {
        Self { method: Some(method), ..self }
    }

    /// Only for requests for which `predicate` says yes.
    #[must_use]
    pub fn when(self, predicate: impl Fn(&Call) -> bool + Send + Sync + 'static) -> Self {
        Self { predicate: Some(Arc::new(predicate)), ..self }
    }

    /// Not for the first `skip` requests that fit.
    #[must_use]
    pub fn skip(self, skip: usize) -> Self {
        Self { skip, ..self }
    }

    /// Only this often.
    #[must_use]
    pub fn times(self, times: usize) -> Self {
        Self { times, ..self }
    }

    /// Only once.
    #[must_use]
    pub fn once(self) -> Self {
        self.times(1)
    }

    /// How many requests it has hit.
    #[must_use]
    pub fn hits(&self) -> usize {
        self.fitting.load(Ordering::SeqCst).saturating_sub(self.skip).min(self.times)
    }

    fn fits(&self, call: &Call) -> bool {
        self.service.is_none_or(|service| service == call.service)
            && self.method.as_ref().is_none_or(|method| *method == call.method)
            && self.resource.as_deref().is_none_or(|resource| resource == call.resource())
            && self.predicate.as_ref().is_none_or(|predicate| predicate(call))
    }

    /// Whether it hits this request. Counts it.
    fn hit(&self, call: &Call) -> bool {
        if !self.fits(call) {
            return false;
        }
        let earlier = self.fitting.fetch_add(1, Ordering::SeqCst);
        earlier >= self.skip && earlier - self.skip < self.times
    }
}

/// The faults of a cloud.
#[derive(Default)]
pub(crate) struct Faults(Mutex<Vec<Fault>>);

impl Faults {
    pub fn add(&self, fault: Fault) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(fault);
    }

    pub fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// What happens to this request.
    pub fn effect(&self, call: &Call) -> Option<Effect> {
        let faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        faults.iter().find(|fault| fault.hit(call)).map(|fault| fault.effect.clone())
    }
}
