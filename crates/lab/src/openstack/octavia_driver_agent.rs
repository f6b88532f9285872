//! octavia-driver-agent: the OVN provider's other half, which keeps load balancers' state in Octavia's database.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result, bail};

use super::{octavia_api, python};
use crate::engine::{CONTROL, Component, Lab, Program, Stop};

fn sockets(lab: &Lab) -> impl Iterator<Item = PathBuf> {
    let dir = octavia_api::socket_dir(lab);
    octavia_api::SOCKETS.iter().map(move |socket| dir.join(socket))
}

/// The driver agent.
pub(super) struct DriverAgent;

impl Component for DriverAgent {
    fn name(&self) -> String {
        "octavia-driver-agent".into()
    }

    fn after(&self) -> Vec<String> {
        vec![octavia_api::Schema.name(), "ovsdb-nb".into(), "ovsdb-sb".into()]
    }

    fn prepare(&self, lab: &Lab) -> Result<()> {
        // Those of a killed agent would pass for its successor's.
        if lab.pid(&self.name()).is_none() {
            for path in sockets(lab).filter(|path| path.exists()) {
                std::fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
            }
        }
        Ok(())
    }

    fn program(&self, lab: &Lab) -> Result<Option<Program>> {
        let config = octavia_api::config_file(lab);
        let program = python::script(lab, "octavia-driver-agent")?
            .args(["--config-file".to_owned(), config.display().to_string()])
            .config(config)
            .netns(CONTROL);
        Ok(Some(octavia_api::with_sockets(lab, program)))
    }

    fn ready(&self, lab: &Lab) -> Result<()> {
        // Not by a connection: the agent takes an empty request for an error and fills its log.
        match sockets(lab).find(|path| !path.exists()) {
            Some(path) => bail!("{} is not there yet", path.display()),
            None => Ok(()),
        }
    }

    /// It waits for children that have ended already; there is nothing that it could lose.
    fn stop(&self) -> Stop {
        Stop { patience: Duration::from_secs(2), ..Stop::default() }
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(120)
    }
}
