//! When a watch last said anything.
//!
//! kube's watcher swallows what changes nothing: bookmarks, and the end and new beginning of a watch request. Both show that the
//! way to the API server works, and without them a kind that never changes would look like a dead watch. So the bytes
//! themselves are listened to.

use http::Request;
use http_body_util::BodyExt;
use kube::{Client, client::Body};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// When something was last heard. Clones are the same one.
#[derive(Clone, Default)]
pub struct Pulse(Arc<Mutex<Option<Instant>>>);

impl Pulse {
    /// Something is heard.
    fn beat(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Time since something was last heard. `None`: nothing yet.
    #[must_use]
    pub fn silence(&self) -> Option<Duration> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).map(|at| at.elapsed())
    }

    /// The same client, whose answers are listened to: that they begin, and each part of them. A refusal doesn't count.
    #[must_use]
    pub fn of(&self, client: &Client) -> Client {
        let (pulse, inner, namespace) = (self.clone(), client.clone(), client.default_namespace().to_owned());
        let send = move |request: Request<Body>| {
            let (pulse, inner) = (pulse.clone(), inner.clone());
            async move {
                let answer = inner.send(request).await?;
                let succeeded = answer.status().is_success();
                let beat = move || {
                    if succeeded {
                        pulse.beat();
                    }
                };
                beat();
                Ok::<_, kube::Error>(answer.map(|body| {
                    body.map_frame(move |frame| {
                        beat();
                        frame
                    })
                }))
            }
        };
        Client::new(tower::service_fn(send), namespace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::StreamExt;
    use http::Response;
    use k8s_openapi::api::core::v1::Pod;
    use kube::{Api, api::WatchParams};
    use std::convert::Infallible;
    use tokio::time::sleep;

    const BOOKMARK: &str = concat!(
        r#"{"type":"BOOKMARK","object":{"apiVersion":"v1","kind":"Pod","metadata":{"resourceVersion":"7","creationTimestamp":null}}}"#,
        "\n"
    );

    #[tokio::test(start_paused = true)]
    async fn a_bookmark_is_a_sign_of_life_and_a_refusal_is_none() {
        let answer = |request: Request<Body>| async move {
            let status = if request.uri().path().contains("/nodes") { 403 } else { 200 };
            let bookmarks = futures::stream::unfold((), |()| async {
                sleep(Duration::from_secs(40)).await;
                Some((Ok::<_, Infallible>(BOOKMARK), ()))
            });
            Ok::<_, Infallible>(
                Response::builder().status(status).body(axum::body::Body::from_stream(bookmarks)).unwrap(),
            )
        };
        let (pulse, refused) = (Pulse::default(), Pulse::default());
        let client = Client::new(tower::service_fn(answer), "default");
        let pods: Api<Pod> = Api::all(pulse.of(&client));
        assert_eq!(pulse.silence(), None);
        let mut watch = pods.watch(&WatchParams::default(), "1").await.unwrap().boxed();
        assert_eq!(pulse.silence(), Some(Duration::ZERO), "it has begun");
        sleep(Duration::from_secs(30)).await;
        assert_eq!(pulse.silence(), Some(Duration::from_secs(30)));
        watch.next().await.unwrap().unwrap();
        assert_eq!(pulse.silence(), Some(Duration::ZERO), "the bookmark");
        let nodes = Request::get("/api/v1/nodes").body(Body::empty()).unwrap();
        refused.of(&client).send(nodes).await.unwrap();
        assert_eq!(refused.silence(), None);
    }
}
