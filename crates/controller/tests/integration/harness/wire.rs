//! The way of one controller to the API server. All worlds share the server; a controller sees only its own one. Every
//! request is a moment at which the controller can die, and what it sees can be older than it is.

use super::{
    life::Life,
    view::{BoxError, Views},
};
use axum::body::{Body as Answer, to_bytes};
use futures::{StreamExt, TryStreamExt};
use http::{Method, Request, Response, Uri};
use kube::{Client, client::Body};
use serde_json::Value;

/// What an API server says whose feature WatchList is off.
const NO_STREAMS: &str = r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"ListOptions.meta.k8s.io \"\" is invalid: sendInitialEvents: Forbidden: sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled","reason":"Invalid","code":422}"#;

/// The way of one controller to the API server.
#[derive(Clone)]
pub struct Wire {
    /// Name of the world: of its namespace, and what the names of its nodes begin with.
    pub world: String,
    pub life: Life,
    pub views: Views,
}

impl Wire {
    /// A client that goes this way. `inner` must be of the runtime that the controller lives in.
    pub fn client(self, inner: Client) -> Client {
        let namespace = self.world.clone();
        let send = move |request| {
            let (wire, inner) = (self.clone(), inner.clone());
            async move { wire.send(inner, request).await }
        };
        Client::new(tower::service_fn(send), namespace)
    }

    async fn send(self, inner: Client, mut request: Request<Body>) -> Result<Response<Answer>, BoxError> {
        let target = Target::of(request.uri().path());
        self.life.heard().await;
        if request.method() != Method::GET || target.name.is_some() || target.resource == "events" {
            return self.request(inner, request, &target).await;
        }
        let query = request.uri().query().unwrap_or_default();
        let (watches, streams) = (query.contains("watch=true"), query.contains("sendInitialEvents=true"));
        if streams && self.views.version(&target.resource).is_some() {
            // An older state can't be streamed: this is an API server that lists only in pages.
            return Ok(Response::builder().status(422).body(Answer::from(NO_STREAMS))?);
        }
        *request.uri_mut() = self.scoped(request.uri(), &target, watches)?;
        self.life.looks(streams || !watches, watches);
        let response = inner.send(request).await?;
        let (world, by_name) = (self.world.clone(), !target.is_in_namespace());
        let is_ours = move |name: &str| !by_name || name.starts_with(&world);
        let (parts, body) = response.into_parts();
        if watches && parts.status.is_success() {
            let life = self.life.clone();
            let chunks = Answer::new(body).into_data_stream().map_err(BoxError::from).then(move |chunk| {
                let life = life.clone();
                async move {
                    life.heard().await;
                    chunk
                }
            });
            return Ok(Response::from_parts(
                parts,
                Answer::from_stream(self.views.watch(&target.resource, chunks, is_ours)),
            ));
        }
        let body = to_bytes(Answer::new(body), usize::MAX).await?;
        let mut list: Value = serde_json::from_slice(&body)?;
        if let Some(items) = list["items"].as_array_mut() {
            items.retain(|item| item["metadata"]["name"].as_str().is_none_or(&is_ours));
            for item in items {
                *item = self.views.spoilt(item).unwrap_or_else(|| item.take());
            }
        }
        Ok(Response::from_parts(parts, Answer::from(list.to_string())))
    }

    /// A request about one object: an event in the controller's life.
    async fn request(
        &self,
        inner: Client,
        request: Request<Body>,
        target: &Target,
    ) -> Result<Response<Answer>, BoxError> {
        let named = format!("{} {}", request.method(), target.kind());
        let nth = self.life.before(&named).await;
        let (parts, body) = inner.send(request).await?.into_parts();
        let body = to_bytes(Answer::new(body), usize::MAX).await?;
        self.life.after(&named, nth).await;
        let spoilt = serde_json::from_slice(&body).ok().and_then(|object| self.views.spoilt(&object));
        Ok(Response::from_parts(parts, spoilt.map_or(Answer::from(body), |object| Answer::from(object.to_string()))))
    }

    /// The same list, of this world and of the time that it may be seen.
    fn scoped(&self, uri: &Uri, target: &Target, watches: bool) -> Result<Uri, BoxError> {
        let mut path = uri.path().to_owned();
        if target.namespace.is_none() && target.is_in_namespace() {
            path = path
                .replace(&format!("/{}", target.resource), &format!("/namespaces/{}/{}", self.world, target.resource));
        }
        let mut query = uri.query().unwrap_or_default().to_owned();
        if let Some(version) = self.views.version(&target.resource).filter(|_| !watches) {
            let others = query.split('&').filter(|part| !part.starts_with("resourceVersion"));
            query = others.collect::<Vec<_>>().join("&");
            query = format!("{query}&resourceVersion={version}&resourceVersionMatch=Exact");
        }
        Ok(format!("{path}?{query}").parse()?)
    }
}

/// What a request is about.
struct Target {
    resource: String,
    namespace: Option<String>,
    name: Option<String>,
    part: Option<String>,
}

impl Target {
    fn of(path: &str) -> Self {
        let mut parts = path.split('/').filter(|part| !part.is_empty());
        // `api/v1/...` or `apis/GROUP/VERSION/...`
        if parts.next() == Some("apis") {
            parts.next();
        }
        parts.next();
        let mut parts = parts.peekable();
        let (of_namespace, namespace) = match parts.next_if_eq(&"namespaces") {
            Some(_) => (true, parts.next()),
            None => (false, None),
        };
        let resource = parts.next().unwrap_or(if of_namespace { "namespaces" } else { "" });
        let owned = |part: Option<&str>| part.map(ToOwned::to_owned);
        Self {
            resource: resource.to_owned(),
            namespace: owned(namespace),
            name: owned(parts.next()),
            part: owned(parts.next()),
        }
    }

    fn is_in_namespace(&self) -> bool {
        matches!(
            &*self.resource,
            "pods"
                | "kuryrports"
                | "services"
                | "endpointslices"
                | "kuryrloadbalancers"
                | "networkpolicies"
                | "kuryrnetworkpolicies"
        )
    }

    fn kind(&self) -> String {
        self.part.as_ref().map_or_else(|| self.resource.clone(), |part| format!("{}/{part}", self.resource))
    }
}
