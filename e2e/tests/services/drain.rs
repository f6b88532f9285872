//! A connection outlives the time in which its pod is an endpoint.

use super::scene::{Scene, http};
use anyhow::{Context, Result, bail, ensure};
use kuryr_e2e::{
    inside::Inside,
    policies::objects::label_pod,
    services::{self, answered_by},
};
use serde_json::json;
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{mpsc, oneshot},
    time::timeout,
};
use tokio_util::task::AbortOnDropHandle;

/// How long an answer may take on a connection that is there.
const PATIENCE: Duration = Duration::from_secs(10);

/// One connection from inside of a pod, on which it is asked again and again who is at its other end.
struct Line {
    ask: mpsc::Sender<oneshot::Sender<Result<String>>>,
    _held: AbortOnDropHandle<()>,
}

impl Line {
    fn open(inside: &Inside, at: SocketAddr) -> Self {
        let (ask, mut asked) = mpsc::channel::<oneshot::Sender<Result<String>>>(1);
        let held = inside.spawn(async move {
            let mut stream = timeout(PATIENCE, TcpStream::connect(at)).await;
            while let Some(answer) = asked.recv().await {
                let name = match &mut stream {
                    Ok(Ok(stream)) => timeout(PATIENCE, name(stream)).await.context("no answer").flatten(),
                    other => Err(anyhow::anyhow!("connecting to {at}: {other:?}")),
                };
                drop(answer.send(name));
            }
        });
        Self { ask, _held: held }
    }

    async fn name(&self) -> Result<String> {
        let (answer, name) = oneshot::channel();
        self.ask.send(answer).await.context("the connection's task has ended")?;
        name.await.context("the connection's task has ended")?
    }
}

/// Asks a pod for its name over HTTP/1.1, whose connections stay.
async fn name(stream: &mut TcpStream) -> Result<String> {
    stream.write_all(b"GET /hostname HTTP/1.1\r\nHost: web\r\n\r\n").await.context("asking")?;
    let (mut answer, mut part) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut part).await.context("reading the answer")? {
            0 => bail!("the connection was closed"),
            count => answer.extend_from_slice(&part[..count]),
        }
        let text = String::from_utf8_lossy(&answer).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
        if body.len() >= length.unwrap_or(usize::MAX) {
            return Ok(body.trim().to_owned());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_connected_stays_so_when_a_pod_is_no_endpoint_any_more() -> Result<()> {
    let scene = Scene::begin("drain").await?;
    let client = scene.client().await?;
    scene.web(&[("one", "node2")]).await?;
    let service = scene.service("web", json!({ "ports": http() })).await?;
    let at = services::at(&service, 80)?;
    answered_by(&scene.cluster, &client, at, &["one"]).await?;
    let inside = Inside::of(&scene.cluster, &client).await?;
    let line = Line::open(&inside, at);
    ensure!(line.name().await? == "one");
    // Another pod takes its place, and it goes on to live.
    scene.web(&[("two", "node1")]).await?;
    answered_by(&scene.cluster, &client, at, &["one", "two"]).await?;
    label_pod(&scene.cluster, &scene.space.name, "one", "service", None).await?;
    answered_by(&scene.cluster, &client, at, &["two"]).await?;
    for nth in 0..5 {
        let name = line.name().await.with_context(|| format!("on the old connection, for the time {nth}"))?;
        ensure!(name == "one", "the old connection leads to {name}");
    }
    scene.end().await
}
