//! Waiting for conditions, never for time.

use anyhow::{Context, Result, anyhow};
use std::time::{Duration, Instant};

/// How often a condition is looked at that nothing can be watched for.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Looks again and again until `look` succeeds; after `patience` fails with its last error and `what` was awaited.
///
/// # Errors
/// When the condition doesn't come true in time.
pub async fn eventually<T>(what: &str, patience: Duration, mut look: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    loop {
        match look().await {
            Ok(found) => return Ok(found),
            Err(error) if start.elapsed() > patience => {
                return Err(error).with_context(|| format!("{what}: not within {} s", patience.as_secs()));
            }
            Err(_) => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}

/// Makes a request again until it is taken or there is already such an object: an API server that is killed may have done what it
/// didn't answer.
///
/// # Errors
/// When it isn't taken after `patience`.
pub async fn again(patience: Duration, mut attempt: impl AsyncFnMut() -> Result<()>) -> Result<()> {
    eventually("the API server to take a request", patience, async || match attempt().await {
        Err(error) if format!("{error:#}").contains("AlreadyExists") => Ok(()),
        outcome => outcome,
    })
    .await
}

/// `Ok` if the condition holds, otherwise an error for [`eventually`] to report.
///
/// # Errors
/// When it doesn't hold.
pub fn holds(condition: bool, otherwise: impl FnOnce() -> String) -> Result<()> {
    if condition { Ok(()) } else { Err(anyhow!(otherwise())) }
}
