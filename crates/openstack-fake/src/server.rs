//! HTTP: listening, reading requests, writing answers, and closing connections when that is what shall happen.

use crate::{
    Call, Service,
    call::{Answer, Headers},
    octavia,
    pipeline::{Cloud, Fate},
};
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use std::{io, net::SocketAddr, sync::Arc};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;

/// A service's address, kept for it also while nobody listens there.
pub(crate) struct Place {
    pub service: Service,
    pub address: SocketAddr,
    /// Bound, but not listening: nobody else gets the port, and connections are refused.
    _holder: TcpSocket,
}

impl Place {
    pub fn reserve(service: Service, address: SocketAddr) -> io::Result<Self> {
        let holder = socket(address)?;
        let address = holder.local_addr()?;
        Ok(Self { service, address, _holder: holder })
    }

    pub fn listen(&self) -> io::Result<TcpListener> {
        socket(self.address)?.listen(BACKLOG)
    }
}

/// A socket that can share its address with the one that holds it.
fn socket(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// A service that listens.
#[derive(Clone)]
pub(crate) struct Running {
    pub stop: CancellationToken,
    /// Whoever holds one of its sockets.
    pub tasks: TaskTracker,
}

/// Accepts connections until it is stopped; then they are closed.
pub(crate) async fn serve(cloud: Arc<Cloud>, service: Service, listener: TcpListener, running: Running) {
    while let Some(accepted) = running.stop.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((stream, _)) => {
                let stop = running.stop.clone();
                running.tasks.spawn(connection(Arc::clone(&cloud), service, stream, stop));
            }
            // Too many open files, or a client that was gone at once: there will be others.
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
        }
    }
}

async fn connection(cloud: Arc<Cloud>, service: Service, stream: TcpStream, stop: CancellationToken) {
    // Answers are small and the client waits for each.
    let _ = stream.set_nodelay(true);
    let handler = service_fn(|request| answer(Arc::clone(&cloud), service, request));
    let serving = http1::Builder::new().serve_connection(TokioIo::new(stream), handler);
    // An error is a client that is gone, or a connection that shall be closed.
    let _ = stop.run_until_cancelled(serving).await;
}

/// The connection is to be closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("closed without an answer, as asked for")]
struct Closed;

async fn answer(
    cloud: Arc<Cloud>,
    service: Service,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Closed> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Closed)?.to_bytes();
    let path = head.uri.path().trim_start_matches('/');
    let Some(path) = service.below_version(path) else { return Ok(response(versions(service, &cloud))) };
    let decoded = percent_encoding::percent_decode_str(path.trim_matches('/')).decode_utf8_lossy();
    let call = Call {
        number: 0,
        service,
        method: head.method,
        path: decoded.into_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        body: serde_json::from_slice(&body).ok().map(Arc::new),
    };
    let headers = read_headers(&head.headers);
    // On a task of its own, because a service goes on with its work also when the client is gone.
    match tokio::spawn(async move { cloud.handle(call, headers).await }).await {
        Ok(Fate::Answered(answer)) => Ok(response(answer)),
        Ok(Fate::Hangs) => std::future::pending().await,
        Ok(Fate::Closed) | Err(_) => Err(Closed),
    }
}

fn read_headers(headers: &HeaderMap) -> Headers {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    Headers {
        token: text("X-Auth-Token").map(ToOwned::to_owned),
        subject: text("X-Subject-Token").map(ToOwned::to_owned),
        // An entity tag, usually in quotes.
        revision: text("If-Match").and_then(|tag| tag.trim_matches('"').strip_prefix("revision_number=")?.parse().ok()),
    }
}

/// What a service says about itself at its root.
fn versions(service: Service, cloud: &Cloud) -> Answer {
    let url = &cloud.urls[service as usize];
    if service == Service::LoadBalancer {
        return Answer::json(200, &octavia::versions(url));
    }
    let link = serde_json::json!({ "rel": "self", "href": format!("{url}/") });
    let version = serde_json::json!({ "id": service.version(), "status": "CURRENT", "links": [link] });
    Answer::json(200, &serde_json::json!({ "versions": [version] }))
}

fn response(answer: Answer) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(answer.body)));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in answer.headers {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(&value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
