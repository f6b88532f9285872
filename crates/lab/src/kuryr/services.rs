//! The last step beside the nodes: pods reach the API server and the cluster's DNS by their Services.

use anyhow::{Result, bail};

use super::controller;
use crate::{
    engine::{Component, Lab, shell},
    kubernetes::kubectl,
};

/// The Services that every cluster has.
const SERVICES: [&str; 2] = ["default/kubernetes", "kube-system/kube-dns"];

/// Waits until Octavia serves them.
pub struct ServicesReady;

impl Component for ServicesReady {
    fn name(&self) -> String {
        "services-ready".into()
    }

    fn after(&self) -> Vec<String> {
        vec![controller::NAME.into()]
    }

    fn ready(&self, lab: &Lab) -> Result<()> {
        let ready = r#"jsonpath={range .items[*]}{.metadata.namespace}/{.spec.serviceName}={.status.conditions[?(@.type=="Ready")].status}{"\n"}{end}"#;
        let arguments = ["get", "kuryrloadbalancers", "--all-namespaces", "--request-timeout=5s", "--output", ready];
        let states = shell::run(kubectl(lab)?.args(arguments))?;
        for service in SERVICES {
            if !states.lines().any(|line| line == format!("{service}=True")) {
                bail!("the Service {service} is not served yet")
            }
        }
        Ok(())
    }
}
