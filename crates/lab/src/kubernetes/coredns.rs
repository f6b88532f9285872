//! The cluster's DNS: CoreDNS as a process of the control namespace.
//!
//! It listens where pods reach it through the external network and where nodes reach it through the underlay; the load
//! balancer of the Service `kube-system/kube-dns` sends there.

use std::path::PathBuf;

use anyhow::Result;

use super::{DOMAIN, etc, kubeconfig_of, services};
use crate::{
    engine::{CONTROL, Component, Lab, Program, files, probe},
    install::Artefacts,
    node::{EXTERNAL_GATEWAY, control_address},
};

/// Where it says that it is ready.
const READY: &str = "127.0.0.1:8053";

/// CoreDNS.
pub struct CoreDns;

impl CoreDns {
    fn file(lab: &Lab) -> PathBuf {
        etc(lab).join("Corefile")
    }
}

impl Component for CoreDns {
    fn name(&self) -> String {
        "coredns".into()
    }

    fn after(&self) -> Vec<String> {
        vec![services::NAME.into()]
    }

    fn prepare(&self, lab: &Lab) -> Result<()> {
        let corefile = format!(
            ".:53 {{
    bind {EXTERNAL_GATEWAY} {}
    errors
    ready {READY}
    kubernetes {DOMAIN} in-addr.arpa ip6.arpa {{
        kubeconfig {} lab
        pods insecure
    }}
    cache 5
}}
",
            control_address(),
            kubeconfig_of(lab, "coredns").display()
        );
        files::write_if_changed(&Self::file(lab), &corefile).map(drop)
    }

    fn program(&self, lab: &Lab) -> Result<Option<Program>> {
        let file = Self::file(lab);
        let program = Program::new(Artefacts::at(lab.cache())?.coredns())
            .arg(format!("-conf={}", file.display()))
            .config(file)
            .netns(CONTROL);
        Ok(Some(program))
    }

    fn ready(&self, _lab: &Lab) -> Result<()> {
        probe::http(CONTROL, &format!("http://{READY}/ready"))
    }
}
