//! The task that keeps the connection: connects, monitors, sends calls, hands out answers, connects again.

use super::{
    Error, Remote, View,
    client::{Call, DATABASE},
    codec::JsonCodec,
};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::{collections::HashMap, io, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    sync::{mpsc, watch},
    time::{Instant, sleep, timeout},
};
use tokio_util::codec::Framed;

/// Wait before the first and before each later attempt to connect again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// How long connecting, and the first answer to the monitor request, may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the server may be silent before it is asked for an echo, and then before it is given up.
const IDLE: Duration = Duration::from_secs(5);

/// Id of the echo request that we send. Calls have numbers.
const ECHO_ID: &str = "echo";

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

type Frames = Framed<Box<dyn Stream>, JsonCodec>;

/// Keeps the connection until all clients are gone.
pub(super) async fn run(remote: Remote, mut calls: mpsc::UnboundedReceiver<Call>, view: watch::Sender<View>) {
    let mut backoff = BACKOFF.0;
    loop {
        let problem = match open(&remote).await {
            Ok((frames, tables)) => {
                tracing::info!(%remote, "connected to the OVSDB server");
                backoff = BACKOFF.0;
                view.send_modify(|view| view.replace(&tables));
                let mut session = Session { remote: &remote, frames, pending: HashMap::new(), view: &view, idle: IDLE };
                let Err(problem) = session.serve(&mut calls).await else { return };
                session.abandon(&problem);
                tracing::warn!(%remote, %problem, "lost the connection to the OVSDB server");
                problem
            }
            Err(problem) => {
                tracing::debug!(%remote, %problem, "can't connect to the OVSDB server");
                problem
            }
        };
        view.send_modify(|view| {
            view.live = false;
            view.problem = Some(problem.to_string());
        });
        tokio::select! {
            () = sleep(backoff) => {}
            // No call is made while the view isn't live; what arrives here was sent in the moment of the break.
            call = calls.recv() => match call {
                Some(call) => drop(call),
                None => return,
            },
        }
        backoff = (backoff * 2).min(BACKOFF.1);
    }
}

/// Connects and asks for the monitor. Returns the connection and the tables as they are.
async fn open(remote: &Remote) -> io::Result<(Frames, Value)> {
    let opened = timeout(CONNECT_TIMEOUT, async {
        let stream: Box<dyn Stream> = match remote {
            Remote::Unix(path) => Box::new(UnixStream::connect(path).await?),
            Remote::Tcp(address) => Box::new(TcpStream::connect(address).await?),
        };
        let mut frames = Framed::new(stream, JsonCodec::default());
        let id = json!("monitor");
        frames
            .send(&json!({ "id": id, "method": "monitor", "params": [DATABASE, null, View::monitor_requests()] }))
            .await?;
        loop {
            let message = next(&mut frames).await?;
            match message.get("method").and_then(Value::as_str) {
                Some("echo") => frames.send(&echo(&message)).await?,
                Some(_) => {}
                None if message.get("id") == Some(&id) => {
                    return match message.get("error") {
                        None | Some(Value::Null) => Ok((frames, message.get("result").cloned().unwrap_or_default())),
                        Some(error) => Err(io::Error::other(format!("the monitor request was refused: {error}"))),
                    };
                }
                None => {}
            }
        }
    });
    opened.await.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "no answer while connecting")))
}

async fn next(frames: &mut Frames) -> io::Result<Value> {
    let closed = || io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection");
    frames.next().await.ok_or_else(closed)?
}

/// The answer to the server's echo request (RFC 7047, 4.1.11).
fn echo(request: &Value) -> Value {
    json!({ "id": request.get("id"), "result": request.get("params"), "error": null })
}

/// One connection while it lasts.
struct Session<'a> {
    remote: &'a Remote,
    frames: Frames,
    pending: HashMap<u64, Call>,
    view: &'a watch::Sender<View>,
    /// How long the server may be silent.
    idle: Duration,
}

impl Session<'_> {
    /// `Ok` when all clients are gone; `Err` when the connection broke.
    async fn serve(&mut self, calls: &mut mpsc::UnboundedReceiver<Call>) -> io::Result<()> {
        let (mut number, mut heard, mut asked) = (0_u64, Instant::now(), false);
        loop {
            tokio::select! {
                message = next(&mut self.frames) => {
                    (heard, asked) = (Instant::now(), false);
                    self.handle(message?).await?;
                }
                call = calls.recv() => {
                    let Some(call) = call else { return Ok(()) };
                    number += 1;
                    self.send(number, call).await?;
                }
                () = tokio::time::sleep_until(heard + self.idle) => {
                    if asked {
                        return Err(io::Error::new(io::ErrorKind::TimedOut, "the server doesn't answer"));
                    }
                    (heard, asked) = (Instant::now(), true);
                    self.write(&json!({ "id": ECHO_ID, "method": "echo", "params": [] })).await?;
                }
            }
        }
    }

    async fn send(&mut self, number: u64, mut call: Call) -> io::Result<()> {
        // Nobody waits for it any more, and it was not sent: the caller's undo finds nothing.
        if call.reply.is_closed() {
            return Ok(());
        }
        let request = json!({ "id": number, "method": call.method, "params": call.params.take() });
        self.pending.insert(number, call);
        self.write(&request).await
    }

    /// A server that reads nothing any more must not keep us from noticing that it is silent.
    async fn write(&mut self, message: &Value) -> io::Result<()> {
        let stuck = || io::Error::new(io::ErrorKind::TimedOut, "the server doesn't read");
        timeout(self.idle, self.frames.send(message)).await.unwrap_or_else(|_| Err(stuck()))
    }

    async fn handle(&mut self, mut message: Value) -> io::Result<()> {
        match message.get("method").and_then(Value::as_str) {
            Some("echo") => return self.write(&echo(&message)).await,
            Some("update") => {
                if let Some(tables) = message.pointer("/params/1") {
                    self.view.send_modify(|view| view.apply(tables));
                }
                return Ok(());
            }
            Some(method) => {
                tracing::debug!(method, "ignored a message of the OVSDB server");
                return Ok(());
            }
            None => {}
        }
        let call = message.get("id").and_then(Value::as_u64).and_then(|number| self.pending.remove(&number));
        let Some(call) = call else { return Ok(()) };
        let answer = match message.get("error") {
            None | Some(Value::Null) => Ok(message.get_mut("result").map(Value::take).unwrap_or_default()),
            Some(error) => {
                Err(Error::Protocol { remote: self.remote.clone(), what: call.what, answer: error.to_string() })
            }
        };
        // The caller may have been cancelled.
        drop(call.reply.send(answer));
        Ok(())
    }

    /// Tells all who wait that there will be no answer.
    fn abandon(&mut self, problem: &io::Error) {
        for (_, call) in self.pending.drain() {
            let reason = problem.to_string();
            drop(call.reply.send(Err(Error::Disconnected { remote: self.remote.clone(), what: call.what, reason })));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{
        io::{DuplexStream, duplex},
        task::JoinHandle,
    };

    /// A session with a server that the test plays.
    fn session(
        idle: Duration,
    ) -> (mpsc::UnboundedSender<Call>, Framed<DuplexStream, JsonCodec>, JoinHandle<io::Result<()>>) {
        let (ours, theirs) = duplex(1 << 16);
        let (calls, mut waiting) = mpsc::unbounded_channel();
        let serving = tokio::spawn(async move {
            let remote = Remote::Unix("/test".into());
            let view = watch::Sender::new(View::default());
            let stream: Box<dyn Stream> = Box::new(ours);
            let frames = Framed::new(stream, JsonCodec::default());
            let mut session = Session { remote: &remote, frames, pending: HashMap::new(), view: &view, idle };
            let ended = session.serve(&mut waiting).await;
            if let Err(problem) = &ended {
                session.abandon(problem);
            }
            ended
        });
        (calls, Framed::new(theirs, JsonCodec::default()), serving)
    }

    fn call(calls: &mpsc::UnboundedSender<Call>) -> tokio::sync::oneshot::Receiver<Result<Value, Error>> {
        let (reply, answer) = tokio::sync::oneshot::channel();
        calls.send(Call { method: "transact", params: json!([DATABASE]), what: "a test".to_owned(), reply }).unwrap();
        answer
    }

    #[tokio::test]
    async fn the_servers_echo_is_answered() {
        let (_calls, mut server, _serving) = session(IDLE * 100);
        server.send(&json!({ "id": "e", "method": "echo", "params": [1, "x"] })).await.unwrap();
        assert_eq!(server.next().await.unwrap().unwrap(), json!({ "id": "e", "result": [1, "x"], "error": null }));
    }

    #[tokio::test]
    async fn a_silent_server_is_asked_and_then_given_up() {
        let (calls, mut server, serving) = session(Duration::from_millis(200));
        let answer = call(&calls);
        assert_eq!(server.next().await.unwrap().unwrap()["method"], "transact");
        let asked = server.next().await.unwrap().unwrap();
        assert_eq!(asked["method"], "echo");
        server.send(&json!({ "id": asked["id"], "result": [], "error": null })).await.unwrap();
        assert_eq!(server.next().await.unwrap().unwrap()["method"], "echo");
        assert_eq!(serving.await.unwrap().unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(matches!(answer.await.unwrap(), Err(Error::Disconnected { .. })));
    }

    #[tokio::test]
    async fn a_server_that_reads_nothing_is_given_up() {
        let (calls, _server, serving) = session(Duration::from_millis(100));
        let (reply, answer) = tokio::sync::oneshot::channel();
        let params = json!("x".repeat(1 << 17));
        calls.send(Call { method: "transact", params, what: "a test".to_owned(), reply }).unwrap();
        let ended = timeout(IDLE, serving).await.unwrap().unwrap();
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(matches!(answer.await.unwrap(), Err(Error::Disconnected { .. })));
    }

    #[tokio::test]
    async fn answers_find_their_callers_in_any_order() {
        let (calls, mut server, serving) = session(IDLE * 100);
        let (one, two) = (call(&calls), call(&calls));
        let first = server.next().await.unwrap().unwrap();
        let second = server.next().await.unwrap().unwrap();
        server.send(&json!({ "id": second["id"], "result": "two", "error": null })).await.unwrap();
        server.send(&json!({ "id": first["id"], "result": null, "error": "unknown database" })).await.unwrap();
        assert_eq!(two.await.unwrap().unwrap(), "two");
        assert!(
            matches!(one.await.unwrap(), Err(Error::Protocol { answer, .. }) if answer.contains("unknown database"))
        );
        drop(calls);
        serving.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_call_that_nobody_waits_for_is_not_sent() {
        let (calls, mut server, _serving) = session(IDLE * 100);
        drop(call(&calls));
        let answer = call(&calls);
        let request = server.next().await.unwrap().unwrap();
        server.send(&json!({ "id": request["id"], "result": "second", "error": null })).await.unwrap();
        assert_eq!(answer.await.unwrap().unwrap(), "second");
    }
}
