//! A node's kubelet.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::{DNS_SERVICE, DOMAIN, containerd::Containerd, kubeconfig_of, kubectl::kubectl, node_run, node_state, pki};
use crate::{
    engine::{Component, Lab, Program, files, node_name, node_netns, probe, shell},
    install::Artefacts,
    node::{node_address, on_node},
};

const HEALTH_PORT: u16 = 10248;

/// The folder with the manifests of a node's static pods. It goes when the lab goes down.
#[must_use]
pub fn static_pods(lab: &Lab, node: u32) -> PathBuf {
    node_run(lab, node).join("static-pods")
}

/// The kubelet of one node.
pub struct Kubelet(pub u32);

impl Kubelet {
    fn config_file(&self, lab: &Lab) -> PathBuf {
        lab.etc().join(node_name(self.0)).join("kubelet.json")
    }

    fn config(&self, lab: &Lab) -> Value {
        let state = node_state(lab, self.0);
        json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {
                "anonymous": { "enabled": false },
                "webhook": { "enabled": true },
                "x509": { "clientCAFile": pki::dir(lab).join("ca.crt") },
            },
            "authorization": { "mode": "Webhook" },
            "containerRuntimeEndpoint": format!("unix://{}", Containerd::socket(lab, self.0).display()),
            "clusterDNS": [DNS_SERVICE],
            "clusterDomain": DOMAIN,
            // The machine's own resolver can't be reached from the lab.
            "resolvConf": "",
            "healthzPort": HEALTH_PORT,
            "podLogsDir": state.join("podlogs"),
            "volumePluginDir": state.join("volume-plugins"),
            "staticPodPath": static_pods(lab, self.0),
            "maxPods": 250,
            "serializeImagePulls": false,
            // As for the controllers: the usual limits would be what bursts of pods wait for.
            "kubeAPIQPS": 200,
            "kubeAPIBurst": 400,
            "registryPullQPS": 0,
            // Several kubelets share the machine's cgroups, which may be of version 1, and its disk.
            "cgroupDriver": "cgroupfs",
            "failCgroupV1": false,
            "cgroupsPerQOS": false,
            "enforceNodeAllocatable": [],
            "localStorageCapacityIsolation": false,
            "failSwapOn": false,
            "evictionHard": { "memory.available": "0%", "nodefs.available": "0%", "imagefs.available": "0%" },
            "imageGCHighThresholdPercent": 100,
        })
    }
}

impl Component for Kubelet {
    fn name(&self) -> String {
        on_node("kubelet", self.0)
    }

    fn after(&self) -> Vec<String> {
        vec![on_node("containerd", self.0), "kube-apiserver".into()]
    }

    fn prepare(&self, lab: &Lab) -> Result<()> {
        let manifests = static_pods(lab, self.0);
        fs::create_dir_all(&manifests).with_context(|| format!("making {}", manifests.display()))?;
        let text = serde_json::to_string_pretty(&self.config(lab)).context("writing the kubelet's configuration")?;
        files::write_if_changed(&self.config_file(lab), &text).map(drop)
    }

    fn program(&self, lab: &Lab) -> Result<Option<Program>> {
        let file = self.config_file(lab);
        let name = node_name(self.0);
        let program = Program::new(Artefacts::at(lab.cache())?.kubernetes("kubelet"))
            .arg(format!("--config={}", file.display()))
            .arg(format!("--kubeconfig={}", kubeconfig_of(lab, &format!("kubelet-{name}")).display()))
            .arg(format!("--hostname-override={name}"))
            .arg(format!("--node-ip={}", node_address(self.0)))
            .arg(format!("--root-dir={}", node_state(lab, self.0).join("kubelet").display()))
            .arg(format!("--cert-dir={}", node_state(lab, self.0).join("kubelet-pki").display()))
            .config(file)
            .netns(node_netns(self.0));
        Ok(Some(program))
    }

    /// Healthy, and known to the API server. That its node is Ready takes a pod network, which may not be there.
    fn ready(&self, lab: &Lab) -> Result<()> {
        probe::http(&node_netns(self.0), &format!("http://127.0.0.1:{HEALTH_PORT}/healthz"))?;
        let name = node_name(self.0);
        let found = shell::run(kubectl(lab)?.args(["get", "node", &name, "--output=name", "--request-timeout=5s"]))?;
        if found.trim() != format!("node/{name}") {
            bail!("{name} is not registered yet")
        }
        Ok(())
    }
}
