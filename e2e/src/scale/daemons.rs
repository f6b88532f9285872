//! The nodes' daemons: the real ones, each with a connection of its own to the API server, in one process. Only their switches are in
//! memory.

use super::site::node_name;
use anyhow::{Context, Result};
use kube::Client;
use kuryr_cni::{Call, wire};
use kuryr_daemon::{Settings, Switch};
use kuryr_datapath_fake::FakeSwitch;
use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tokio::{net::UnixStream, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// How long a daemon may take until it listens.
const PATIENCE: Duration = Duration::from_secs(60);

/// The daemon of one node, and what its container runtime sends to it.
pub struct Daemon {
    http: reqwest::Client,
    task: JoinHandle<Result<(), kuryr_daemon::Error>>,
}

impl Daemon {
    /// Starts the daemon of the node with this number, and waits until it listens.
    ///
    /// # Errors
    /// When it doesn't.
    pub async fn start(number: usize, config: &kube::Config, folder: &Path) -> Result<Self> {
        let socket = folder.join(format!("n{number}")).join("d.sock");
        let settings = Settings {
            node_name: node_name(number),
            socket: socket.clone(),
            admin_listen: ([127, 0, 0, 1], 0).into(),
            ..Settings::default()
        };
        let switch = FakeSwitch::new();
        let switch = Switch { driver: switch.clone(), host_port: switch.clone(), live: switch.live() };
        let client = Client::try_from(config.clone())?;
        let task = tokio::spawn(kuryr_daemon::run_with(settings, client, switch, CancellationToken::new()));
        listens(&socket).await?;
        let http = reqwest::Client::builder().unix_socket(socket).build().context("making a client of the daemon")?;
        Ok(Self { http, task })
    }

    /// Makes a CNI call as the executable does.
    ///
    /// # Errors
    /// When it can't be made. That it isn't done is its answer.
    pub async fn call(&self, call: &Call) -> Result<wire::Reply> {
        let answer = self.http.post(format!("http://kuryr{}", wire::PATH)).json(call).send().await;
        Ok(answer.context("calling the daemon")?.json().await?)
    }

    /// Whether it runs.
    #[must_use]
    pub fn runs(&self) -> bool {
        !self.task.is_finished()
    }
}

async fn listens(socket: &PathBuf) -> Result<()> {
    let begin = Instant::now();
    while let Err(error) = UnixStream::connect(socket).await {
        if begin.elapsed() > PATIENCE {
            return Err(error).with_context(|| format!("no daemon listens on {}", socket.display()));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}
