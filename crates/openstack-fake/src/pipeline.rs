//! The way of every request: journal, faults, hooks, latency, login, service.

use crate::{
    Call, Effect, Moment, Next, Service,
    call::{Answer, Headers},
    fault::Faults,
    hook::Hooks,
    journal::Journal,
    keystone::Keystone,
    latency::Server,
    neutron::Neutron,
    octavia::{self, Octavia},
    uuid::Uuid,
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Everything that the services share.
pub(crate) struct Cloud {
    pub keystone: Mutex<Keystone>,
    pub neutron: Mutex<Neutron>,
    /// Whoever locks Neutron as well locks this first.
    pub octavia: Mutex<Octavia>,
    pub journal: Journal,
    pub faults: Faults,
    pub hooks: Hooks,
    /// How long each service takes, in the order of [`Service::ALL`].
    pub servers: [Server; Service::ALL.len()],
    /// URLs with version, in the order of [`Service::ALL`].
    pub urls: [String; Service::ALL.len()],
}

/// What becomes of a request.
pub(crate) enum Fate {
    Answered(Answer),
    /// The connection is closed without an answer.
    Closed,
    /// No answer comes.
    Hangs,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Cloud {
    /// Handles a request from its arrival to its end.
    pub async fn handle(&self, mut call: Call, headers: Headers) -> Fate {
        self.journal.begin(&mut call);
        let call = Arc::new(call);
        let fate = self.fate(&call, &headers).await;
        let status = if let Fate::Answered(answer) = &fate { Some(answer.status) } else { None };
        self.journal.end(call.number, status);
        match fate {
            Fate::Answered(answer) => {
                Fate::Answered(answer.header("x-openstack-request-id", format!("req-{}", Uuid::random())))
            }
            other => other,
        }
    }

    async fn fate(&self, call: &Arc<Call>, headers: &Headers) -> Fate {
        let effect = self.faults.effect(call);
        match &effect {
            Some(Effect::Hang) => return Fate::Hangs,
            Some(Effect::LostBeforeCommit) => return Fate::Closed,
            Some(Effect::Status(status, retry_after)) => {
                let answer = self.refuse(*status, call.service, headers);
                return Fate::Answered(match retry_after {
                    Some(delay) => answer.header("Retry-After", delay.as_secs().to_string()),
                    None => answer,
                });
            }
            Some(Effect::Slow(delay)) => tokio::time::sleep(*delay).await,
            _ => {}
        }
        let members = lock(&self.neutron).members(call);
        self.servers[call.service as usize].work(call, members).await;
        if self.hooks.call(Moment::BeforeCommit, call).await == Next::Close {
            return Fate::Closed;
        }
        let answer = self.carry_out(call, headers);
        if answer.status < 400 {
            self.journal.carried_out(call.number);
        }
        let next = self.hooks.call(Moment::AfterCommit, call).await;
        match (effect, next) {
            (Some(Effect::HangAfterCommit), _) => Fate::Hangs,
            (Some(Effect::LostAfterCommit), _) | (_, Next::Close) => Fate::Closed,
            (Some(Effect::StatusAfterCommit(status)), _) => Fate::Answered(proxy_page(status)),
            _ => Fate::Answered(answer),
        }
    }

    /// Lets the service do what it is asked for.
    fn carry_out(&self, call: &Call, headers: &Headers) -> Answer {
        if call.service == Service::Identity {
            return lock(&self.keystone).handle(call, headers);
        }
        let caller = headers.token.as_deref().and_then(|token| lock(&self.keystone).caller(token));
        let Some(caller) = caller else { return unauthorized() };
        let url = &self.urls[call.service as usize];
        if call.service == Service::LoadBalancer {
            let mut octavia = lock(&self.octavia);
            return octavia.handle(&mut lock(&self.neutron), &caller, call, url);
        }
        self.advance();
        lock(&self.neutron).handle(&caller, call, headers, url)
    }

    /// Does what Octavia's drivers have to do by now: load balancers that are gone have no ports any more.
    pub fn advance(&self) {
        let mut octavia = lock(&self.octavia);
        if octavia.is_due() {
            octavia.advance(&mut lock(&self.neutron));
        }
    }

    /// The answer of a service that carries out nothing.
    fn refuse(&self, status: u16, service: Service, headers: &Headers) -> Answer {
        match status {
            401 => {
                headers.token.iter().for_each(|token| lock(&self.keystone).revoke(token));
                unauthorized()
            }
            502..=504 => proxy_page(status),
            other if service == Service::LoadBalancer => octavia::fault(other, "The fake cloud was told to say so."),
            409 => Answer::neutron_error(409, "Conflict", "The fake cloud was told to say so."),
            429 => Answer::neutron_error(429, "HTTPTooManyRequests", "The fake cloud was told to say so."),
            500 => {
                let message = "Request Failed: internal server error while processing your request.";
                Answer::neutron_error(500, "HTTPInternalServerError", message)
            }
            other => Answer::neutron_error(other, "FakeFault", "The fake cloud was told to say so."),
        }
    }
}

/// What the middleware says that checks tokens.
fn unauthorized() -> Answer {
    Answer::keystone_error(401, "Unauthorized", "The request you have made requires authentication.")
        .header("WWW-Authenticate", "Keystone uri=\"fake\"")
}

/// What a load balancer says in front of a service that doesn't answer.
fn proxy_page(status: u16) -> Answer {
    Answer::text(status, format!("<html><body><h1>{status}</h1>\nfrom a proxy\n</body></html>\n").into_bytes())
        .header("Content-Type", "text/html")
}
