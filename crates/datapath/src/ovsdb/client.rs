//! What the rest of the datapath sees of the connection.

use super::{Error, Op, Remote, View, op::refusal, session};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};

/// The database that all of this is about.
pub(super) const DATABASE: &str = "Open_vSwitch";

/// A request on its way to the server.
#[derive(Debug)]
pub(super) struct Call {
    pub method: &'static str,
    pub params: Value,
    /// What it is for, as error messages have it.
    pub what: String,
    pub reply: oneshot::Sender<Result<Value, Error>>,
}

/// A connection to the OVSDB server that is made again whenever it breaks. Cheap to clone; it ends with its last clone.
#[derive(Debug, Clone)]
pub struct Client {
    remote: Remote,
    timeout: Duration,
    calls: mpsc::UnboundedSender<Call>,
    view: watch::Receiver<View>,
}

impl Client {
    /// Starts to connect, and returns at once. `timeout` is how long each call waits, for the connection too.
    #[must_use]
    pub fn connect(remote: Remote, timeout: Duration) -> Self {
        let (calls, waiting) = mpsc::unbounded_channel();
        let (publish, view) = watch::channel(View::default());
        tokio::spawn(session::run(remote.clone(), waiting, publish));
        Self { remote, timeout, calls, view }
    }

    /// Where the server is.
    #[must_use]
    pub fn remote(&self) -> &Remote {
        &self.remote
    }

    /// The live copy of the database. While the connection is broken it says so, and keeps its last content.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<View> {
        self.view.clone()
    }

    /// Reads from the copy when it is live. It shows what this client changed; of others' changes, the last may be missing.
    ///
    /// # Errors
    /// When the server can't be reached within the client's timeout.
    pub async fn read<T>(&self, what: &str, look: impl FnOnce(&View) -> T) -> Result<T, Error> {
        let mut view = self.view.clone();
        if let Ok(Ok(view)) = timeout(self.timeout, view.wait_for(|view| view.live)).await {
            return Ok(look(&view));
        }
        Err(self.unreachable(what))
    }

    /// Does all operations, or none. Returns their results. Afterwards [`Client::watch`] shows what they changed.
    ///
    /// # Errors
    /// [`Error::Operation`] when the server refuses one of them; nothing is changed then. [`Error::Disconnected`] or
    /// [`Error::Timeout`] when it is not known whether they were done: look before trying again.
    pub async fn transact(&self, what: &str, ops: Vec<Op>) -> Result<Vec<Value>, Error> {
        let names: Vec<String> = ops.iter().map(Op::name).collect();
        let params = std::iter::once(json!(DATABASE)).chain(ops.into_iter().map(Value::from)).collect();
        let answer = self.call("transact", params, what).await?;
        let Value::Array(results) = answer else {
            return Err(Error::Protocol {
                remote: self.remote.clone(),
                what: what.to_owned(),
                answer: answer.to_string(),
            });
        };
        match refusal(&results) {
            None => Ok(results),
            Some((index, error, details)) => {
                // An error after the last operation is about the transaction as a whole, as a broken reference.
                let operation = names.get(index).cloned().unwrap_or_else(|| "commit".to_owned());
                Err(Error::Operation { what: what.to_owned(), operation, error, details })
            }
        }
    }

    /// Reads from the copy when it shows everything that anybody changed before this call.
    ///
    /// # Errors
    /// When the server doesn't answer.
    pub async fn read_fresh<T>(&self, what: &str, look: impl FnOnce(&View) -> T) -> Result<T, Error> {
        self.barrier(what).await?;
        self.read(what, look).await
    }

    /// Waits until the server has dealt with everything that was sent before, also by callers that were cancelled.
    ///
    /// # Errors
    /// When the server doesn't answer.
    pub async fn barrier(&self, what: &str) -> Result<(), Error> {
        let nothing =
            Op::Select { table: "Bridge", conditions: vec![json!(["name", "==", ""])], columns: vec!["name"] };
        self.transact(what, vec![nothing]).await.map(drop)
    }

    async fn call(&self, method: &'static str, params: Value, what: &str) -> Result<Value, Error> {
        // A request that can't be sent now would be sent whenever the server comes back, for nobody.
        self.read(what, |_| ()).await?;
        let (reply, answer) = oneshot::channel();
        let call = Call { method, params, what: what.to_owned(), reply };
        if self.calls.send(call).is_err() {
            return Err(self.unreachable(what));
        }
        match timeout(self.timeout, answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(self.unreachable(what)),
            Err(_) => Err(Error::Timeout {
                remote: self.remote.clone(),
                what: what.to_owned(),
                seconds: self.timeout.as_secs(),
            }),
        }
    }

    fn unreachable(&self, what: &str) -> Error {
        let reason = self.view.borrow().problem.clone().unwrap_or_else(|| "no answer yet".to_owned());
        Error::Unreachable { remote: self.remote.clone(), what: what.to_owned(), reason }
    }
}
