//! Kuryr's controller, with the application credential of the cloud's user `kuryr`.

use anyhow::Result;

use super::{CONTROLLER_PORT, config_file, controller_url, objects};
use crate::{
    engine::{CONTROL, Component, Lab, Program, files, probe},
    install::Artefacts,
    kubernetes::kubeconfig_of,
    openstack,
};

/// Name of the component.
pub(super) const NAME: &str = "kuryr-controller";

/// kuryr controller.
pub struct Controller;

impl Component for Controller {
    fn name(&self) -> String {
        NAME.into()
    }

    fn after(&self) -> Vec<String> {
        vec![objects::NAME.into(), openstack::LOAD_BALANCERS.into()]
    }

    fn prepare(&self, lab: &Lab) -> Result<()> {
        let text = format!(
            "# The configuration of Kuryr's controller in the lab.
cluster: lab
openstack:
  cloud: kuryr-appcred
  cloudsFile: {}
pods:
  subnets: [pods-v4, pods-v6]
nodePort:
  securityGroups: [kuryr-pods]
services:
  subnets: [services-v4, services-v6]
  floatingNetwork: ext
  auditSeconds: 10
networkPolicies:
  auditSeconds: 10
controller:
  listen: 0.0.0.0:{CONTROLLER_PORT}
",
            openstack::clouds_file(lab).display()
        );
        files::write_if_changed(&config_file(lab), &text).map(drop)
    }

    fn program(&self, lab: &Lab) -> Result<Option<Program>> {
        let artefacts = Artefacts::at(lab.cache())?;
        let program = Program::new(artefacts.kuryr("kuryr"))
            .args(["controller", "--config"])
            .arg(config_file(lab).display().to_string())
            .env("KUBECONFIG", kubeconfig_of(lab, "kuryr-controller").display().to_string())
            .config(config_file(lab))
            .config(artefacts.kuryr("kuryr.sha256"))
            .netns(CONTROL);
        Ok(Some(program))
    }

    fn ready(&self, lab: &Lab) -> Result<()> {
        probe::http(CONTROL, &controller_url(lab, "/ready"))
    }
}
