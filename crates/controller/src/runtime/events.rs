//! Events on the user's objects, for what a user can act on.

use super::Kind;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client,
    core::error_boundary::InvalidObject,
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use kuryr_api::CONTROLLER;

/// Longest note that the API server takes, in bytes (events.k8s.io/v1).
const MAX_NOTE: usize = 1024;

/// Writes Events. The same Event on the same object is counted, not written anew.
#[derive(Clone)]
pub struct Events(Recorder);

impl Events {
    /// Events in the name of this controller.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self(Recorder::new(client, Reporter::from(CONTROLLER)))
    }

    /// Tells what goes wrong with an object. An Event that can't be written is only logged: the condition on our own object
    /// says the same.
    pub async fn warn(&self, object: &ObjectReference, action: &str, reason: &str, note: &str) {
        let event = Event {
            type_: EventType::Warning,
            reason: reason.to_owned(),
            note: Some(shortened(note)),
            action: action.to_owned(),
            secondary: None,
        };
        if let Err(error) = self.0.publish(&event, object).await {
            tracing::debug!(object = object.name, reason, %error, "an Event could not be written");
        }
    }

    /// Tells that an object can't be read, without waiting for the Event to be written.
    pub fn malformed<K: Kind>(&self, object: &InvalidObject) {
        let meta = &object.metadata;
        let reference = ObjectReference {
            api_version: Some(K::api_version(&()).into_owned()),
            kind: Some(K::kind(&()).into_owned()),
            namespace: meta.namespace.clone(),
            name: meta.name.clone(),
            uid: meta.uid.clone(),
            ..ObjectReference::default()
        };
        let note = format!("this object can't be read and is left alone until it is repaired: {}", object.error);
        let events = self.clone();
        tokio::spawn(async move { events.warn(&reference, "Read", "Malformed", &note).await });
    }
}

/// The beginning of the text that fits, cut between characters.
fn shortened(text: &str) -> String {
    text.char_indices().take_while(|(at, c)| at + c.len_utf8() <= MAX_NOTE).map(|(_, c)| c).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_note_is_cut_between_characters() {
        assert_eq!(shortened("short"), "short");
        assert_eq!(shortened(&"é".repeat(600)), "é".repeat(512));
        assert_eq!(shortened(&format!("x{}", "é".repeat(600))).len(), 1023);
    }
}
