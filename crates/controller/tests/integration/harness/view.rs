//! What a controller gets to see of each kind of objects: the present, or an older state of it.

use axum::body::Bytes;
use futures::{Stream, StreamExt, stream::BoxStream};
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashMap;
use tokio::sync::watch;

/// An error of a connection, of whatever kind.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What happens to the changes that were held back, when the view is thawed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Thaw {
    /// They come one after another.
    Late,
    /// They never come: the API server has forgotten them (410), and the new list shows their result only.
    Never,
}

/// A view of one kind that stands still.
#[derive(Debug, Clone)]
struct Frozen {
    /// The version that lists show.
    version: String,
}

/// What controllers see, by resource (`kuryrports`). Shared by all of a world.
#[derive(Clone)]
pub struct Views(watch::Sender<State>);

#[derive(Clone, Default)]
struct State {
    frozen: HashMap<String, Frozen>,
    /// What happens to what was held back, by resource, when it is no longer frozen.
    thaws: HashMap<String, Thaw>,
    /// Name of an object that can't be read: as if a schema that knows other addresses had let it in.
    unreadable: Option<String>,
}

impl State {
    fn spoilt(&self, object: &Value) -> Option<Value> {
        let name = object["metadata"]["name"].as_str().filter(|name| self.unreadable.as_deref() == Some(name));
        name.and_then(|_| object.pointer("/status/interfaces/0/addresses/0/ip"))?;
        let mut spoilt = object.clone();
        spoilt["status"]["interfaces"][0]["addresses"][0]["ip"] = "nonsense".into();
        Some(spoilt)
    }

    /// The same for a line of a watch.
    fn spoilt_event(&self, line: &[u8]) -> Option<Vec<u8>> {
        self.unreadable.as_ref()?;
        let mut event: Value = serde_json::from_slice(line).ok()?;
        event["object"] = self.spoilt(&event["object"])?;
        Some(format!("{event}\n").into_bytes())
    }
}

impl Default for Views {
    fn default() -> Self {
        Self(watch::Sender::new(State::default()))
    }
}

impl Views {
    /// From now on lists of these resources show this version, and watches bring nothing.
    pub fn freeze(&self, resources: &[&str], version: &str, thaw: Thaw) {
        self.0.send_modify(|state| {
            for resource in resources {
                state.frozen.insert((*resource).to_owned(), Frozen { version: version.to_owned() });
                state.thaws.insert((*resource).to_owned(), thaw);
            }
        });
    }

    /// Shows the present again.
    pub fn thaw(&self) {
        self.0.send_modify(|state| state.frozen.clear());
    }

    /// From now on the KuryrPort of this name has an address that is none.
    pub fn spoil(&self, name: &str) {
        self.0.send_modify(|state| state.unreadable = Some(name.to_owned()));
    }

    /// The object as it may be seen. `None`: as it is.
    pub fn spoilt(&self, object: &Value) -> Option<Value> {
        self.0.borrow().spoilt(object)
    }

    /// The version that lists of this resource show. `None`: the present.
    pub fn version(&self, resource: &str) -> Option<String> {
        self.0.borrow().frozen.get(resource).map(|frozen| frozen.version.clone())
    }

    /// Passes the answer to a watch on, as far as it may be seen.
    pub fn watch(
        &self,
        resource: &str,
        chunks: impl Stream<Item = Result<Bytes, BoxError>> + Send + 'static,
        is_ours: impl Fn(&str) -> bool + Send + 'static,
    ) -> BoxStream<'static, Result<Bytes, BoxError>> {
        let watched = Watched {
            resource: resource.to_owned(),
            chunks: chunks.boxed(),
            is_ours: Box::new(is_ours),
            rest: Vec::new(),
            held: Vec::new(),
            was_frozen: false,
            state: self.0.subscribe(),
        };
        futures::stream::unfold(watched, |mut watched| async { Some((watched.next().await?, watched)) }).boxed()
    }
}

/// What the API server says when it no longer knows what has happened since.
const EXPIRED: &str = r#"{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"too old resource version","reason":"Expired","code":410}}"#;

/// The answer to one watch request.
struct Watched {
    resource: String,
    chunks: BoxStream<'static, Result<Bytes, BoxError>>,
    is_ours: Box<dyn Fn(&str) -> bool + Send>,
    /// The beginning of a line whose end has not come yet.
    rest: Vec<u8>,
    /// Lines that the controller doesn't get to see yet.
    held: Vec<u8>,
    was_frozen: bool,
    state: watch::Receiver<State>,
}

impl Watched {
    async fn next(&mut self) -> Option<Result<Bytes, BoxError>> {
        loop {
            let (frozen, thaw) = {
                let state = self.state.borrow_and_update();
                (state.frozen.contains_key(&self.resource), state.thaws.get(&self.resource).copied())
            };
            if !frozen && std::mem::take(&mut self.was_frozen) {
                if thaw == Some(Thaw::Never) {
                    return Some(Ok(Bytes::from(format!("{EXPIRED}\n"))));
                }
                if !self.held.is_empty() {
                    return Some(Ok(std::mem::take(&mut self.held).into()));
                }
            }
            self.was_frozen = frozen;
            let chunk = tokio::select! {
                // The views outlive their watches.
                Ok(()) = self.state.changed() => continue,
                chunk = self.chunks.next() => chunk,
            };
            let lines = match chunk {
                Some(Ok(chunk)) => self.lines(&chunk),
                // A held back watch that ends is begun anew, from where the controller was.
                other => return other,
            };
            if frozen {
                self.held.extend(lines);
            } else if !lines.is_empty() {
                return Some(Ok(lines.into()));
            }
        }
    }

    /// The whole lines of what has come, as far as they are about this world.
    fn lines(&mut self, chunk: &[u8]) -> Vec<u8> {
        self.rest.extend(chunk);
        let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else { return Vec::new() };
        let rest = self.rest.split_off(end + 1);
        let whole = std::mem::replace(&mut self.rest, rest);
        let state = self.state.borrow();
        let lines = whole.split_inclusive(|byte| *byte == b'\n').filter(|line| self.is_for_us(line));
        lines.flat_map(|line| state.spoilt_event(line).unwrap_or_else(|| line.to_vec())).collect()
    }

    fn is_for_us(&self, line: &[u8]) -> bool {
        let Ok(event) = serde_json::from_slice::<Event>(line) else { return true };
        // Bookmarks and errors have no name.
        event.object.metadata.name.is_none_or(|name| (self.is_ours)(&name))
    }
}

#[derive(Deserialize)]
struct Event {
    object: Named,
}

#[derive(Deserialize)]
struct Named {
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Default, Deserialize)]
struct Metadata {
    name: Option<String>,
}
