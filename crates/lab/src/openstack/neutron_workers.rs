//! Neutron's background workers: periodic tasks, and the repair of OVN from Neutron's database.

use std::time::Duration;

use anyhow::{Result, bail};

use super::{
    neutron_api::{config_arguments, config_files},
    python,
};
use crate::engine::{CONTROL, Component, Lab, Program};

/// One of the workers.
#[derive(Debug, Clone, Copy)]
pub(super) enum Worker {
    /// Compares OVN with Neutron's database and repairs it.
    Maintenance,
    /// Whatever plugins do from time to time.
    Periodic,
}

impl Component for Worker {
    fn name(&self) -> String {
        match self {
            Self::Maintenance => "neutron-ovn-maintenance-worker".into(),
            Self::Periodic => "neutron-periodic-workers".into(),
        }
    }

    /// After the API, so that its start has the machine for itself: these take as long and nobody waits for them.
    fn after(&self) -> Vec<String> {
        vec!["neutron-api".into()]
    }

    fn program(&self, lab: &Lab) -> Result<Option<Program>> {
        let program = python::script(lab, &self.name())?.args(config_arguments(lab)).netns(CONTROL);
        Ok(Some(config_files(lab).iter().fold(program, Program::config)))
    }

    /// It has no socket that could be asked. When everything is loaded it forks its worker, which has this title.
    fn ready(&self, lab: &Lab) -> Result<()> {
        if !lab.titles(&self.name()).iter().any(|title| title.starts_with("neutron-server: ")) {
            bail!("it has not forked its worker yet");
        }
        Ok(())
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(120)
    }
}
