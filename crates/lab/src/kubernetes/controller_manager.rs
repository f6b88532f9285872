//! The Kubernetes controllers: ReplicaSets, StatefulSets, EndpointSlices, service accounts, garbage collection.

use anyhow::{Context, Result};

use super::{kubeconfig_of, kubectl::kubectl, pki};
use crate::{
    engine::{CONTROL, Component, Lab, Program, shell},
    install::Artefacts,
};

/// kube-controller-manager.
pub struct ControllerManager;

impl Component for ControllerManager {
    fn name(&self) -> String {
        "kube-controller-manager".into()
    }

    fn after(&self) -> Vec<String> {
        vec!["kube-apiserver".into()]
    }

    fn program(&self, lab: &Lab) -> Result<Option<Program>> {
        let pki = |file: &str| pki::dir(lab).join(file).display().to_string();
        let program = Program::new(Artefacts::at(lab.cache())?.kubernetes("kube-controller-manager"))
            .arg(format!("--kubeconfig={}", kubeconfig_of(lab, "kube-controller-manager").display()))
            .args(["--bind-address=127.0.0.1", "--leader-elect=false", "--use-service-account-credentials=true"])
            .arg(format!("--service-account-private-key-file={}", pki("service-accounts.key")))
            .arg(format!("--root-ca-file={}", pki("ca.crt")))
            // The usual limits would make bursts of pods wait for this process rather than for what is measured.
            .args(["--kube-api-qps=200", "--kube-api-burst=400", "--profiling=false"])
            .netns(CONTROL);
        Ok(Some(program))
    }

    /// Pods can't be made before their namespace has its service account: when it is there, the controllers work.
    fn ready(&self, lab: &Lab) -> Result<()> {
        shell::run(kubectl(lab)?.args(["get", "serviceaccount", "default", "--request-timeout=5s"]))
            .map(drop)
            .context("the controllers have not made the default service account yet")
    }
}
