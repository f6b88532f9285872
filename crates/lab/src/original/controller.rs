//! `kuryr-k8s-controller`.

use std::time::Duration;

use anyhow::Result;

use super::config::{self, Part, file};
use super::objects;
use crate::{
    engine::{CONTROL, Component, Lab, Program, probe},
    install::Artefacts,
};

/// Name of the component.
pub(super) const NAME: &str = "original-controller";

/// The port of its health server.
const HEALTH_PORT: u16 = 8082;

/// The original's controller.
pub(super) struct Controller;

impl Component for Controller {
    fn name(&self) -> String {
        NAME.into()
    }

    fn after(&self) -> Vec<String> {
        vec![objects::NAME.into()]
    }

    fn prepare(&self, lab: &Lab) -> Result<()> {
        config::write(lab, Part::Controller)
    }

    fn program(&self, lab: &Lab) -> Result<Option<Program>> {
        let file = file(lab, Part::Controller);
        let program = Program::new(Artefacts::at(lab.cache())?.original().join("bin/kuryr-k8s-controller"))
            .args(["--config-file".to_owned(), file.display().to_string()])
            .env("KUBERNETES_NODE_NAME", CONTROL)
            // It notes in /tmp that its pools are loaded.
            .bind(lab.run().join("original/tmp"), "/tmp")
            .config(file)
            .netns(CONTROL);
        Ok(Some(program))
    }

    /// It asks Kubernetes, Keystone and Neutron in turn; with a pool it answers 404 until that is loaded.
    fn ready(&self, _lab: &Lab) -> Result<()> {
        probe::http_ok(CONTROL, &format!("http://127.0.0.1:{HEALTH_PORT}/ready"))
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(120)
    }
}
