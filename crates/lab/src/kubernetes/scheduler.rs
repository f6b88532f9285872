//! The Kubernetes scheduler.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Result;

use super::kubeconfig_of;
use crate::{
    engine::{CONTROL, Component, Lab, Program, probe},
    install::Artefacts,
};

const PORT: u16 = 10259;

/// kube-scheduler.
pub struct Scheduler;

impl Component for Scheduler {
    fn name(&self) -> String {
        "kube-scheduler".into()
    }

    fn after(&self) -> Vec<String> {
        vec!["kube-apiserver".into()]
    }

    fn program(&self, lab: &Lab) -> Result<Option<Program>> {
        let program = Program::new(Artefacts::at(lab.cache())?.kubernetes("kube-scheduler"))
            .arg(format!("--kubeconfig={}", kubeconfig_of(lab, "kube-scheduler").display()))
            .args(["--bind-address=127.0.0.1", "--leader-elect=false", "--profiling=false"])
            .arg(format!("--secure-port={PORT}"))
            .args(["--kube-api-qps=200", "--kube-api-burst=400"])
            .netns(CONTROL);
        Ok(Some(program))
    }

    fn ready(&self, _lab: &Lab) -> Result<()> {
        probe::tcp(CONTROL, SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)))
    }
}
