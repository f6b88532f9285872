//! The controller's process: started, looked at from outside, stopped.

use crate::bench::usage::{self, Usage};
use anyhow::{Context, Result, bail, ensure};
use nix::{
    sys::signal::{self, Signal},
    unistd::Pid,
};
use serde_json::Value;
use std::{
    fs::File,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};
use tokio::process::{Child, Command};

/// Where it serves `/debug/state`.
const ADMIN: &str = "127.0.0.1:9805";

/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// A running controller. It ends with this value.
pub struct Controller {
    child: Child,
    started: Instant,
    http: reqwest::Client,
}

impl Controller {
    /// Starts it with the files of `folder`.
    ///
    /// # Errors
    /// When the program can't be started.
    pub fn start(program: &Path, folder: &Path) -> Result<Self> {
        let log = File::options().create(true).append(true).open(folder.join("controller.log"));
        let log = log.context("making the controller's log")?;
        // It ends with us, however we end.
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "TERM", "--"])
            .arg(program)
            .args(["controller", "--listen", ADMIN, "--config"])
            .arg(folder.join("kuryr.yaml"));
        command.env("KUBECONFIG", folder.join("kubeconfig")).stdin(Stdio::null());
        let child = command.stdout(log.try_clone()?).stderr(log).kill_on_drop(true).spawn();
        let child = child.with_context(|| format!("starting {}", program.display()))?;
        Ok(Self { child, started: Instant::now(), http: reqwest::Client::builder().no_proxy().build()? })
    }

    /// Stops it as SIGTERM does: it gives the Lease back, so that the next one needn't wait for its end.
    ///
    /// # Errors
    /// When it had ended before, or doesn't end well.
    pub async fn stop(mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("the controller had ended by itself: {status}");
        }
        let pid = self.child.id().context("the controller has no process")?;
        signal::kill(Pid::from_raw(i32::try_from(pid)?), Signal::SIGTERM).context("stopping the controller")?;
        let status = self.child.wait().await?;
        ensure!(status.success(), "the controller didn't end well: {status}");
        Ok(())
    }

    /// Waits until it holds the Lease, has looked at everything and has nothing to do. The time since it was started.
    ///
    /// # Errors
    /// When it ends, or takes longer than `patience`.
    pub async fn converged(&mut self, patience: Duration) -> Result<Duration> {
        let end = Instant::now() + patience;
        let mut idle_since = None;
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("the controller has ended: {status}");
            }
            match self.is_idle().await {
                // Twice in a row: between two steps of one object nothing is queued for a moment.
                true if idle_since.is_some_and(|since: Instant| since.elapsed() > 4 * LOOK) => {
                    return Ok(idle_since.unwrap_or_else(Instant::now) - self.started);
                }
                true => idle_since = idle_since.or_else(|| Some(Instant::now())),
                false => idle_since = None,
            }
            if Instant::now() > end {
                bail!("the controller isn't idle after {} s", patience.as_secs());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Where its metrics are.
    #[must_use]
    pub fn metrics_url() -> String {
        format!("http://{ADMIN}/metrics")
    }

    /// Memory and processor time so far.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        usage::process(i32::try_from(self.child.id()?).ok()?)
    }

    async fn is_idle(&self) -> bool {
        let state = async {
            let answer = self.http.get(format!("http://{ADMIN}/debug/state")).send().await.ok()?;
            answer.json::<Value>().await.ok()
        };
        let Some(state) = state.await else { return false };
        let queued = |kind: &Value| kind["queued"].as_u64().unwrap_or(1);
        let running = state["runningMilliseconds"].as_object().map_or(1, serde_json::Map::len);
        let kinds = state["kinds"].as_object();
        // A standby has nothing to do, either.
        state["ready"] == true
            && state["election"]["role"] == "leader"
            && running == 0
            && kinds.is_some_and(|kinds| kinds.values().all(|kind| queued(kind) == 0))
    }
}
