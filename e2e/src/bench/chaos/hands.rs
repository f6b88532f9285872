//! What kills and starts components, outside of the asynchronous world: one thing at a time.

use anyhow::Result;
use kuryr_lab::{
    Lab,
    engine::{self, Outcome, Progress},
    registry,
};
use std::sync::{Arc, Mutex, PoisonError};

/// How often a component is started that doesn't become ready on a busy machine.
const TRIES: usize = 3;

/// The only one that touches components. What it has begun it carries through, also when nobody waits for it any more; whoever
/// comes next waits until then, so that nothing is started twice.
#[derive(Clone)]
pub struct Hands {
    lab: Lab,
    busy: Arc<Mutex<()>>,
}

impl Hands {
    /// For this lab.
    pub fn of(lab: &Lab) -> Self {
        Self { lab: lab.clone(), busy: Arc::default() }
    }

    /// Kills a component with SIGKILL.
    pub async fn kill(&self, part: &str) -> Result<()> {
        let part = part.to_owned();
        self.work(move |lab| lab.kill(&part)).await
    }

    /// Starts a component and waits until it is ready. Returns how often it had to be tried.
    pub async fn start(&self, part: &str) -> Result<usize> {
        let part = part.to_owned();
        self.work(move |lab| tried(|| lab.start(&part))).await
    }

    /// Which of these components don't run.
    pub async fn ended(&self, parts: &[String]) -> Result<Vec<String>> {
        let parts = parts.to_vec();
        self.work(move |lab| Ok(parts.into_iter().filter(|part| lab.pid(part).is_none()).collect())).await
    }

    /// Starts whatever doesn't run, in the order in which a lab comes up, and waits until all is ready.
    pub async fn start_all(&self) -> Result<()> {
        let tell = |progress: &Progress| {
            if !matches!(progress.outcome, Outcome::Kept | Outcome::Done) {
                println!("    {progress}");
            }
        };
        self.work(move |lab| tried(|| engine::up(lab, &registry::all(lab), &tell)).map(drop)).await
    }

    async fn work<T: Send + 'static>(&self, work: impl FnOnce(&Lab) -> Result<T> + Send + 'static) -> Result<T> {
        let hands = self.clone();
        tokio::task::spawn_blocking(move || {
            let _busy = hands.busy.lock().unwrap_or_else(PoisonError::into_inner);
            work(&hands.lab)
        })
        .await?
    }
}

/// Does it again when it fails; returns how often it was done.
fn tried(mut work: impl FnMut() -> Result<()>) -> Result<usize> {
    for time in 1..TRIES {
        match work() {
            Ok(()) => return Ok(time),
            Err(error) => println!("    try {time} of {TRIES}: {error:#}"),
        }
    }
    work().map(|()| TRIES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::bail;

    #[test]
    fn what_fails_is_tried_again_but_not_for_ever() {
        let mut failures = 1;
        let once = tried(|| {
            failures -= 1;
            if failures < 0 { Ok(()) } else { bail!("busy") }
        });
        assert_eq!(once.unwrap(), 2);
        let mut tries = 0;
        let never = tried(|| {
            tries += 1;
            bail!("broken")
        });
        assert_eq!((never.unwrap_err().to_string().as_str(), tries), ("broken", TRIES));
    }
}
