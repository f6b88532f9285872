//! Parts of the controller: what runs until the end, and ends the controller when it ends by itself.

use std::future::Future;
use tokio::task::JoinSet;

/// Starts a part of the controller; it answers its name when it ends.
pub fn spawn(parts: &mut JoinSet<&'static str>, name: &'static str, part: impl Future<Output = ()> + Send + 'static) {
    parts.spawn(async move {
        part.await;
        name
    });
}
