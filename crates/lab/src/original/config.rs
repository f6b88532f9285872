//! `kuryr.conf`: one for the controller, one for the daemon of each node and its `kuryr-cni`.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::{Pool, Settings, cloud, dir};
use crate::{
    engine::{CONTROL, Lab, files, node_name},
    install::Artefacts,
    kubernetes::{API_PORT, pki_dir},
    node::{control_address, database_socket},
    openstack::{Cloud, Ini, KURYR, PASSWORD, keystone_url},
};

/// Whose configuration it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// The controller.
    Controller,
    /// The daemon of a node.
    Node(u32),
}

/// The configuration file of a part.
pub(crate) fn file(lab: &Lab, part: Part) -> PathBuf {
    dir(lab).join(format!("{}.conf", name(part)))
}

fn name(part: Part) -> String {
    match part {
        Part::Controller => CONTROL.to_owned(),
        Part::Node(node) => node_name(node),
    }
}

/// Writes the configuration file of a part.
pub(super) fn write(lab: &Lab, part: Part) -> Result<()> {
    let settings = Settings::read(lab)?;
    let locks = lab.run().join("original").join(name(part));
    std::fs::create_dir_all(&locks).with_context(|| format!("making {}", locks.display()))?;
    let ini = Ini::new()
        .section("DEFAULT", [("use_stderr", "true")])
        .section("oslo_concurrency", [("lock_path", locks.display().to_string())])
        .section("kubernetes", kubernetes(lab, settings.pool))
        .section("vif_pool", pool(settings.pool))
        .section("neutron_defaults", defaults(lab, &settings)?);
    let ini = match part {
        Part::Controller => ini.section("neutron", neutron()),
        Part::Node(node) => {
            let helper = Artefacts::at(lab.cache())?.original().join("bin/privsep-helper");
            ini.section("os_vif_ovs", [("ovsdb_connection", format!("unix:{}", database_socket(lab, node).display()))])
                .section("vif_plug_ovs_privileged", [("helper_command", helper.display().to_string())])
        }
    };
    files::write_if_changed(&file(lab, part), ini.text()).map(drop)
}

/// Only what pods need is enabled: no Services, whose load balancers the lab has already.
fn kubernetes(lab: &Lab, pool: Pool) -> Vec<(&'static str, String)> {
    let certificate = |kind: &str| pki_dir(lab).join(format!("admin.{kind}")).display().to_string();
    let driver = match pool {
        Pool::Noop => "noop",
        Pool::Neutron { .. } => "neutron",
    };
    vec![
        ("api_root", format!("https://{}:{API_PORT}", control_address())),
        ("ssl_client_crt_file", certificate("crt")),
        ("ssl_client_key_file", certificate("key")),
        ("ssl_ca_crt_file", pki_dir(lab).join("ca.crt").display().to_string()),
        // Its default is a file that only a pod has.
        ("token_file", String::new()),
        ("enabled_handlers", "vif,kuryrport".to_owned()),
        ("pod_vif_driver", "neutron-vif".to_owned()),
        ("vif_pool_driver", driver.to_owned()),
    ]
}

/// Its defaults but for the batch: a pool is filled beyond what the benchmark takes, so that it isn't refilled meanwhile.
fn pool(pool: Pool) -> Vec<(&'static str, String)> {
    match pool {
        Pool::Noop => Vec::new(),
        Pool::Neutron { batch } => vec![("ports_pool_batch", batch.to_string())],
    }
}

fn defaults(lab: &Lab, settings: &Settings) -> Result<Vec<(&'static str, String)>> {
    let cloud = Cloud::read(lab)?;
    Ok(vec![
        ("project", cloud.project),
        ("pod_subnet", settings.cloud.subnet.clone()),
        ("pod_security_groups", cloud.pod_security_group),
        ("ovs_bridge", "br-int".to_owned()),
    ])
}

fn neutron() -> Vec<(&'static str, String)> {
    vec![
        ("auth_type", "password".to_owned()),
        ("auth_url", keystone_url()),
        ("username", KURYR.user.to_owned()),
        ("password", PASSWORD.to_owned()),
        ("project_name", KURYR.project.to_owned()),
        ("user_domain_id", "default".to_owned()),
        ("project_domain_id", "default".to_owned()),
        ("region_name", cloud::NAME.to_owned()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::engine::{Directories, Options};
    use serde_json::json;

    /// A lab whose cloud has ids that are told apart by their names.
    fn mk_lab(dir: &std::path::Path, pool: Pool) -> Lab {
        let path = |name: &str| dir.join(name);
        let directories = Directories { state: path("state"), run: path("run"), cache: path("cache") };
        let lab = Lab::create_at(directories, Options::default()).unwrap();
        let cloud = json!({"project": "a-project", "pod_network": "", "pod_subnets": [], "service_network": "",
            "service_subnets": [], "external_network": "", "external_subnet": "", "router": "",
            "pod_security_group": "a-group", "closed_security_group": ""});
        std::fs::write(crate::openstack::cloud_file(&lab), cloud.to_string()).unwrap();
        let cloud = cloud::Made { network: "a-network".into(), subnet: "a-subnet".into() };
        Settings { pool, cloud }.write(&lab).unwrap();
        lab
    }

    fn written(pool: Pool, part: Part) -> String {
        let dir = tempfile::tempdir().unwrap();
        let lab = mk_lab(dir.path(), pool);
        write(&lab, part).unwrap();
        std::fs::read_to_string(file(&lab, part)).unwrap()
    }

    #[test]
    fn the_controller_has_credentials_and_its_own_network_and_region() {
        let text = written(Pool::Noop, Part::Controller);
        for line in ["pod_subnet = a-subnet", "project = a-project", "region_name = original", "vif_pool_driver = noop"]
        {
            assert!(text.lines().any(|l| l == line), "{line} is missing:\n{text}");
        }
        assert!(!text.contains("ports_pool_batch"), "{text}");
    }

    #[test]
    fn a_node_has_no_credentials_but_its_own_database() {
        let text = written(Pool::Neutron { batch: 25 }, Part::Node(2));
        assert!(!text.contains(PASSWORD), "{text}");
        assert!(text.contains("ports_pool_batch = 25") && text.contains("/node2/db.sock"), "{text}");
    }
}
