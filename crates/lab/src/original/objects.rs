//! The kinds of the original Kuryr.

use anyhow::{Context, Result};

use crate::{
    engine::{Component, Lab, shell},
    kubernetes,
};

/// Name of the component.
pub(super) const NAME: &str = "original-objects";

/// The definitions of its kinds.
pub(super) const CRDS: &str = include_str!("crds.yaml");

/// Defines the kinds.
pub(super) struct Objects;

impl Component for Objects {
    fn name(&self) -> String {
        NAME.into()
    }

    fn after(&self) -> Vec<String> {
        vec![kubernetes::api_ready()]
    }

    fn prepare(&self, lab: &Lab) -> Result<()> {
        kubernetes::apply_text(lab, CRDS)
    }

    fn ready(&self, lab: &Lab) -> Result<()> {
        let mut command = kubernetes::kubectl(lab)?;
        command.args(["get", "kuryrports.openstack.org", "--all-namespaces", "--output=name", "--request-timeout=5s"]);
        shell::run(&mut command).map(drop).context("the original Kuryr's kinds are not served yet")
    }
}
