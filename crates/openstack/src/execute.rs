//! The one place where requests are executed: token, turn, timeout, repetition, metrics, span.

use crate::{
    Cloud,
    answer::{self, Answer},
    endpoint::{Call, Repeat, Service},
    error::{Details, Error, Kind},
    limit::Turn,
    retry::Retry,
};
use reqwest::{Method, StatusCode, Url, header};
use secrecy::{ExposeSecret, SecretString};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{Instrument, Span, debug, field::Empty, info, info_span};

/// How often one request may find its token refused: once because the token ended early, once more because it was
/// revoked just after the renewal.
const MOST_REFUSALS: usize = 2;

impl Cloud {
    /// Executes a request until it succeeds or must not be repeated any more.
    pub(crate) async fn execute(&self, call: &Call) -> Result<Answer, Error> {
        let deadline = Instant::now() + self.0.settings.total_timeout;
        let mut retry = Retry::new(call.repeat, &self.0.settings);
        let mut refused = Vec::new();
        let mut maybe_done = false;
        for attempt in 1.. {
            let error = match self.attempt(call, refused.last().copied(), deadline, attempt).await {
                Ok(answer) => return Ok(answer),
                Err(Failed::BeforeSending(error)) => return Err(error.with_outcome_unknown(maybe_done)),
                Err(Failed::Sent { error, token }) if error.kind() == Kind::Unauthorized => {
                    if let Some(token) = token.filter(|_| refused.len() < MOST_REFUSALS) {
                        refused.push(token);
                        self.0.metrics.retried(call.service.catalogue_type, &call.method, call.resource);
                        continue;
                    }
                    error
                }
                Err(Failed::Sent { error, .. }) => error,
            };
            if maybe_done && call.repeat == Repeat::Delete && error.is_not_found() {
                break;
            }
            maybe_done |= error.outcome_unknown();
            let error = error.with_outcome_unknown(maybe_done);
            let room = deadline.saturating_duration_since(Instant::now());
            let Some(delay) = retry.after(&error, room) else { return Err(error) };
            info!(%error, attempt, delay_ms = delay.as_millis(), "OpenStack request is repeated");
            self.0.metrics.retried(call.service.catalogue_type, &call.method, call.resource);
            sleep(delay).await;
        }
        Ok(Answer::empty())
    }

    /// Makes one attempt: gets the token and a turn, then sends the request.
    async fn attempt(
        &self,
        call: &Call,
        refused: Option<u64>,
        deadline: Instant,
        attempt: u32,
    ) -> Result<Answer, Failed> {
        let (token, base, generation) = if call.with_token {
            let session = self.session(refused).await?;
            let base = session.base(&self.0.config, call)?;
            (Some(session.token.clone()), base, Some(session.generation))
        } else {
            (None, self.0.config.auth_url.clone(), None)
        };
        let url = url(base, call)?;
        let turn = self.turn(call, deadline).await?;
        self.check_fence(call)?;
        let span = info_span!(
            "openstack_request",
            service = call.service.catalogue_type,
            method = %call.method,
            path = call.display_path(),
            attempt,
            status = Empty,
            request_id = Empty,
        );
        let limit = self.time_limit(call).min(deadline.saturating_duration_since(Instant::now()));
        let begun = Instant::now();
        let sent = self.send(call, url, token.as_ref(), limit).instrument(span).await;
        if let Some(turn) = turn {
            let paced = call.method != Method::GET && call.paced;
            let class = paced.then(|| (call.method.clone(), call.resource, call.items > 1));
            turn.ended(class, call.items, begun.elapsed(), sent.as_ref().err());
        }
        sent.map_err(|error| Failed::Sent { error, token: generation })
    }

    /// Waits until the service may be asked. The limit is per attempt, so that a request that waits before it is
    /// repeated holds up nobody else. Keystone has no limit: there is one login at a time anyway.
    async fn turn(&self, call: &Call, deadline: Instant) -> Result<Option<Turn>, Error> {
        if call.service == Service::IDENTITY {
            return Ok(None);
        }
        match timeout_at(deadline, self.limiter(call.service).turn(call.priority)).await {
            Ok(Some(turn)) => Ok(Some(turn)),
            Ok(None) | Err(_) => {
                let message = format!(
                    "not sent: other requests kept the service busy, or it asked for silence, for all of the {} s that the \
                     request may take",
                    self.0.settings.total_timeout.as_secs()
                );
                Err(Details::new(Kind::Busy, call.method.clone(), call.display_path(), message).into())
            }
        }
    }

    /// Asks the fence, last of all before the request is sent: waiting for the token or a turn can take minutes.
    fn check_fence(&self, call: &Call) -> Result<(), Error> {
        let fence = self.0.settings.fence.as_ref().filter(|_| call.has_effect());
        fence.map_or(Ok(()), |fence| fence.check()).map_err(|why| {
            Details::new(Kind::Fenced, call.method.clone(), call.display_path(), format!("not sent: {why}")).into()
        })
    }

    /// The time for one attempt.
    fn time_limit(&self, call: &Call) -> Duration {
        let settings = &self.0.settings;
        if call.method == Method::GET {
            return settings.read_timeout;
        }
        let further = u32::try_from(call.items.saturating_sub(1)).unwrap_or(u32::MAX);
        settings.write_timeout.saturating_add(settings.item_timeout.saturating_mul(further))
    }

    /// Sends the request and reads the whole answer.
    async fn send(
        &self,
        call: &Call,
        url: Url,
        token: Option<&SecretString>,
        limit: Duration,
    ) -> Result<Answer, Error> {
        let mut request = self.0.http.request(call.method.clone(), url).timeout(limit);
        if let Some(token) = token {
            request = request.header("X-Auth-Token", sensitive(call, token)?);
        }
        if let Some(body) = call.body.as_ref().map_err(|why| unsendable(call, why))? {
            request = request.header(header::CONTENT_TYPE, "application/json").body(body.clone());
        }
        let service = call.service.catalogue_type;
        let in_flight = self.0.metrics.in_flight(service);
        let started = Instant::now();
        let answer = exchange(call, request).await;
        drop(in_flight);
        let took = started.elapsed();
        let status = match &answer {
            Ok(_) => "2xx",
            Err(error) => error.status().map_or(error.kind().as_str(), status_class),
        };
        self.0.metrics.finished(service, &call.method, call.resource, status, took);
        debug!(status, took_ms = took.as_millis(), "OpenStack request answered");
        answer
    }
}

/// An attempt that failed.
enum Failed {
    /// It didn't come to the request: no token (the login has its own repetitions), no endpoint, no turn.
    BeforeSending(Error),
    /// The request failed.
    Sent {
        error: Error,
        /// The generation of the token that it carried.
        token: Option<u64>,
    },
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::BeforeSending(error)
    }
}

/// One exchange over HTTP.
async fn exchange(call: &Call, request: reqwest::RequestBuilder) -> Result<Answer, Error> {
    let response = request.send().await.map_err(|error| lost(call, error))?;
    let (status, headers) = (response.status(), response.headers().clone());
    let span = Span::current();
    span.record("status", status.as_u16());
    if let Some(id) = answer::request_id(&headers) {
        span.record("request_id", id);
    }
    let body = response.bytes().await.map_err(|error| lost(call, error))?.to_vec();
    if status.is_success() {
        Ok(Answer { headers, status, body })
    } else {
        Err(answer::failure(call, status, &headers, &body))
    }
}

/// Makes an error of an exchange that didn't come to its end.
fn lost(call: &Call, error: reqwest::Error) -> Error {
    let kind = if error.is_connect() {
        Kind::NotConnected
    } else if error.is_timeout() {
        Kind::Timeout
    } else if error.is_builder() {
        Kind::BadRequest
    } else {
        Kind::ConnectionLost
    };
    // reqwest's text is "error sending request"; the reason is in its sources.
    let mut reasons = vec![error.to_string()];
    let mut source = std::error::Error::source(&error);
    while let Some(reason) = source {
        reasons.push(reason.to_string());
        source = reason.source();
    }
    let mut details = Details::new(kind, call.method.clone(), call.display_path(), reasons.join(": "));
    details.outcome_unknown = call.has_effect() && matches!(kind, Kind::Timeout | Kind::ConnectionLost);
    details.caused_by(error).into()
}

/// The URL of the request: the service's root and the path, each part encoded.
fn url(base: Url, call: &Call) -> Result<Url, Error> {
    // An empty identifier would make the collection of one object, and dots would climb out of it.
    if call.path.iter().any(|part| matches!(part.as_str(), "" | "." | "..")) {
        return Err(unsendable(call, "an identifier in the path is empty or only dots"));
    }
    let mut url = base;
    let mut parts = url.path_segments_mut().map_err(|()| unsendable(call, "the service's URL can't have a path"))?;
    parts.pop_if_empty().extend(&call.path);
    if call.path.is_empty() {
        // Some servers redirect from the root without a slash, and no redirect is followed.
        parts.push("");
    }
    drop(parts);
    if !call.query.is_empty() {
        url.query_pairs_mut().extend_pairs(&call.query);
    }
    Ok(url)
}

/// The token as a header value that isn't shown in any log.
fn sensitive(call: &Call, token: &SecretString) -> Result<header::HeaderValue, Error> {
    let mut value = header::HeaderValue::from_str(token.expose_secret())
        .map_err(|_| unsendable(call, "Keystone's token has characters that no header can have"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// A request that is wrong before it is sent.
fn unsendable(call: &Call, why: &str) -> Error {
    Details::new(Kind::BadRequest, call.method.clone(), call.display_path(), format!("not sent: {why}")).into()
}

/// The class of a status, for metrics.
fn status_class(status: u16) -> &'static str {
    match status / 100 {
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        5 => "5xx",
        _ => "other",
    }
}

impl Answer {
    /// The answer of a DELETE that an earlier attempt has carried out.
    fn empty() -> Self {
        Self { headers: header::HeaderMap::new(), status: StatusCode::NO_CONTENT, body: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Endpoint, Metrics, Settings, auth::Session, config::tests::config};

    #[tokio::test]
    async fn who_gets_no_turn_in_time_is_told_that_nothing_was_sent() {
        let settings = Settings { max_in_flight: 1, total_timeout: Duration::from_millis(50), ..Settings::default() };
        let _ = rustls::crypto::ring::default_provider().install_default();
        let metrics = Metrics::register(&mut prometheus_client::registry::Registry::default());
        let cloud = Cloud::new(config(""), settings, metrics).unwrap();
        cloud.0.auth.replace(Session::for_test(Duration::from_secs(3600)));
        let turn = cloud.limiter(Service::NETWORK).turn(crate::Priority::Background).await.unwrap();
        let begun = Instant::now();
        let endpoint = Endpoint::<()>::new(Service::NETWORK, Method::POST, &["ports"]);
        let error = cloud.run(&endpoint).await.unwrap_err();
        assert_eq!((error.kind(), error.outcome_unknown()), (Kind::Busy, false), "{error}");
        assert!(begun.elapsed() >= Duration::from_millis(50));
        drop(turn);
    }

    #[test]
    fn the_parts_of_a_path_are_encoded_and_never_empty() {
        let parts = |path: &[&str]| {
            let call = Endpoint::<()>::new(Service::NETWORK, Method::GET, path).call;
            url("http://h:9696/net/v2.0".parse().unwrap(), &call).map(String::from)
        };
        assert_eq!(parts(&["ports", "a b/c"]).unwrap(), "http://h:9696/net/v2.0/ports/a%20b%2Fc");
        assert_eq!(parts(&["ports", ""]).unwrap_err().kind(), Kind::BadRequest);
        assert_eq!(parts(&[]).unwrap(), "http://h:9696/net/v2.0/");
    }
}
