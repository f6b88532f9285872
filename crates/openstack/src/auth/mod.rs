//! The one token that all requests share.

mod catalogue;
mod login;
mod session;

use crate::{Cloud, error::Error};
use futures::future::{BoxFuture, FutureExt};
use std::{
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{sync::Mutex, time::Instant};
use tracing::{info, warn};

pub(crate) use session::{Session, with_root};

/// Pause between two attempts to renew a token that is still valid.
const RENEWAL_PAUSE: Duration = Duration::from_secs(10);

/// The state of the login.
#[derive(Default)]
pub(crate) struct Auth {
    current: RwLock<Option<Arc<Session>>>,
    /// Held while logging in, so that there is one login for all who wait for it.
    login: Mutex<LastLogin>,
    /// How many logins have ended, in whatever way; readable without waiting for one.
    ended: AtomicU64,
    /// Before this nobody begins to renew a token that is still valid.
    no_renewal_before: std::sync::Mutex<Option<Instant>>,
}

/// How the last login ended.
#[derive(Default)]
struct LastLogin {
    failure: Option<Error>,
}

impl Auth {
    /// The current session, unless it is over or is the one that a service has refused.
    fn usable(&self, refused: Option<u64>) -> Option<Arc<Session>> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner).clone();
        current.filter(|session| !session.has_ended() && refused.is_none_or(|refused| session.generation > refused))
    }

    /// Makes `session` the current one.
    pub(crate) fn replace(&self, session: Arc<Session>) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(session);
    }

    /// Whether the caller shall renew the token now. Says so to one caller in each pause.
    fn shall_renew(&self) -> bool {
        let now = Instant::now();
        let mut before = self.no_renewal_before.lock().unwrap_or_else(PoisonError::into_inner);
        let shall = before.is_none_or(|before| now >= before);
        if shall {
            *before = Some(now + RENEWAL_PAUSE);
        }
        shall
    }
}

impl Cloud {
    /// The session to use now: the current one, or a new one when there is none, or when the service has refused the one
    /// of generation `refused`. A token that is about to end is renewed beside the requests that use it.
    pub(crate) async fn session(&self, refused: Option<u64>) -> Result<Arc<Session>, Error> {
        let Some(session) = self.0.auth.usable(refused) else { return self.log_in_once(refused).await };
        if session.ends_within(self.0.settings.renewal_margin) && self.0.auth.shall_renew() {
            let cloud = self.clone();
            let generation = session.generation;
            tokio::spawn(async move {
                // To replace a session is to treat it as refused.
                if let Err(error) = cloud.log_in_once(Some(generation)).await {
                    warn!(cloud = cloud.0.config.name, %error, "the token can't be renewed yet; it is still valid");
                }
            });
        }
        Ok(session)
    }

    /// Logs in, or waits for the login that is under way. However many callers need a new session, one of them logs in
    /// for all. A login that failed is the answer to all who waited for it; only who comes later tries again.
    ///
    /// Boxed because the login is a request too, and requests ask for the session.
    fn log_in_once(&self, refused: Option<u64>) -> BoxFuture<'_, Result<Arc<Session>, Error>> {
        self.log_in_in_turn(refused).boxed()
    }

    async fn log_in_in_turn(&self, refused: Option<u64>) -> Result<Arc<Session>, Error> {
        let auth = &self.0.auth;
        let seen = auth.ended.load(Ordering::Acquire);
        let mut last = auth.login.lock().await;
        if let Some(session) = auth.usable(refused) {
            return Ok(session);
        }
        if auth.ended.load(Ordering::Acquire) != seen
            && let Some(failure) = &last.failure
        {
            return Err(failure.clone());
        }
        let generation = {
            let current = auth.current.read().unwrap_or_else(PoisonError::into_inner);
            current.as_ref().map_or(1, |session| session.generation + 1)
        };
        let result = self.log_in(generation).await.map(Arc::new);
        self.0.metrics.logged_in(result.is_ok());
        last.failure = result.as_ref().err().cloned();
        if let Ok(session) = &result {
            auth.replace(Arc::clone(session));
            info!(cloud = self.0.config.name, generation, "logged in to Keystone");
        }
        auth.ended.fetch_add(1, Ordering::AcqRel);
        result
    }
}
