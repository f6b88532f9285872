//! The Kubernetes API server, on all addresses of the control namespace.

use anyhow::Result;

use super::{API_PORT, etcd, kubectl, pki};
use crate::{
    engine::{CONTROL, Component, Lab, Program},
    install::Artefacts,
    node::control_address,
    openstack::{CLUSTER_IPS_V4, CLUSTER_IPS_V6},
};

/// kube-apiserver.
pub struct ApiServer;

impl Component for ApiServer {
    fn name(&self) -> String {
        "kube-apiserver".into()
    }

    fn after(&self) -> Vec<String> {
        vec!["etcd".into(), pki::Pki.name()]
    }

    fn program(&self, lab: &Lab) -> Result<Option<Program>> {
        let pki = |file: &str| pki::dir(lab).join(file).display().to_string();
        let program = Program::new(Artefacts::at(lab.cache())?.kubernetes("kube-apiserver"))
            .arg(format!("--etcd-servers={}", etcd::URL))
            .arg("--bind-address=0.0.0.0")
            .arg(format!("--secure-port={API_PORT}"))
            .arg(format!("--advertise-address={}", control_address()))
            .arg(format!("--service-cluster-ip-range={}", [CLUSTER_IPS_V4, CLUSTER_IPS_V6].join(",")))
            .arg(format!("--tls-cert-file={}", pki("kube-apiserver.crt")))
            .arg(format!("--tls-private-key-file={}", pki("kube-apiserver.key")))
            .arg(format!("--client-ca-file={}", pki("ca.crt")))
            .arg(format!("--kubelet-client-certificate={}", pki("kube-apiserver-kubelet-client.crt")))
            .arg(format!("--kubelet-client-key={}", pki("kube-apiserver-kubelet-client.key")))
            // By default the node's name comes first, which no DNS server knows here: exec and logs would fail.
            .arg("--kubelet-preferred-address-types=InternalIP")
            .arg("--service-account-issuer=https://kubernetes.default.svc")
            .arg(format!("--service-account-key-file={}", pki("service-accounts.pub")))
            .arg(format!("--service-account-signing-key-file={}", pki("service-accounts.key")))
            .args(["--authorization-mode=Node,RBAC", "--allow-privileged=true", "--profiling=false"])
            .netns(CONTROL);
        Ok(Some(program))
    }

    fn ready(&self, lab: &Lab) -> Result<()> {
        kubectl::api_server_ready(lab)
    }
}
