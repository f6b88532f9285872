//! neutron-api: ML2 with the OVN mechanism driver, routers by OVN, trunks, QoS.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result};

use super::{
    config::{Ini, service_credentials, unlimited},
    python, schema,
    uwsgi::{self, Application},
};
use crate::{
    engine::{CONTROL, Component, Lab, Program, Stop, files, probe},
    node::control_address,
};

const PORT: u16 = 9696;

/// neutron-api for uwsgi, with the policy engine loaded before the first request: neutron's `policy.init()` publishes
/// its enforcer before the rules are in it, so a fresh worker with several threads would answer 403 to an
/// administrator's first concurrent requests.
const ENTRY: &str = "from neutron.wsgi.api import application  # noqa: F401
from neutron import policy

policy.init()
";

/// Where Neutron is served.
pub fn url() -> String {
    format!("http://{}:{PORT}", control_address())
}

fn dir(lab: &Lab) -> PathBuf {
    lab.etc().join("neutron")
}

/// The two files that each of Neutron's programs reads.
pub(super) fn config_files(lab: &Lab) -> [PathBuf; 2] {
    [dir(lab).join("neutron.conf"), dir(lab).join("ml2_conf.ini")]
}

/// The arguments that name them.
pub(super) fn config_arguments(lab: &Lab) -> Vec<String> {
    config_files(lab).iter().flat_map(|file| ["--config-file".into(), file.display().to_string()]).collect()
}

fn neutron_conf(lab: &Lab) -> Ini {
    let state = lab.state().join("neutron").display().to_string();
    Ini::new()
        .section(
            "DEFAULT",
            [
                ("core_plugin", "ml2"),
                ("service_plugins", "ovn-router,trunk,qos"),
                ("auth_strategy", "keystone"),
                ("transport_url", "fake://"),
                ("api_paste_config", &dir(lab).join("api-paste.ini").display().to_string()),
                ("state_path", &state),
                ("host", "control"),
                ("rpc_workers", "0"),
                ("rpc_state_report_workers", "0"),
                // There is no Nova.
                ("notify_nova_on_port_status_changes", "false"),
                ("notify_nova_on_port_data_changes", "false"),
                ("dhcp_agent_notification", "false"),
                ("global_physnet_mtu", "1500"),
                ("max_allowed_address_pair", "1000"),
                ("dns_domain", "lab.local."),
            ],
        )
        .section("oslo_concurrency", [("lock_path", format!("{state}/lock"))])
        .section("oslo_messaging_notifications", [("driver", "noop")])
        .section(
            "database",
            [
                ("connection", schema::database_url(lab, "neutron").as_str()),
                ("max_pool_size", "20"),
                ("max_overflow", "20"),
            ],
        )
        .section("keystone_authtoken", service_credentials("neutron"))
        .section(
            "quotas",
            unlimited(&[
                "default_quota",
                "quota_network",
                "quota_subnet",
                "quota_port",
                "quota_router",
                "quota_floatingip",
                "quota_security_group",
                "quota_security_group_rule",
                "quota_address_group",
                "quota_trunk",
            ]),
        )
}

fn ml2_conf(lab: &Lab) -> Ini {
    let tags = if lab.options().tag_ports_during_bulk_creation { ",tag_ports_during_bulk_creation" } else { "" };
    Ini::new()
        .section(
            "ml2",
            [
                ("mechanism_drivers", "ovn"),
                ("type_drivers", "local,flat,vlan,geneve"),
                ("tenant_network_types", "geneve"),
                ("extension_drivers", &format!("port_security,qos{tags}")),
                ("overlay_ip_version", "4"),
            ],
        )
        .section("ml2_type_geneve", [("vni_ranges", "1:65535"), ("max_header_size", "38")])
        .section("ml2_type_flat", [("flat_networks", "*")])
        .section("ml2_type_vlan", [("network_vlan_ranges", "physnet1:100:400")])
        .section("securitygroup", [("enable_security_group", "true")])
        .section(
            "ovn",
            [
                ("ovn_nb_connection", "tcp:127.0.0.1:6641"),
                ("ovn_sb_connection", "tcp:127.0.0.1:6642"),
                ("ovn_l3_scheduler", "leastloaded"),
                ("ovn_metadata_enabled", "false"),
                ("neutron_sync_mode", "log"),
            ],
        )
}

/// Neutron's configuration and tables.
pub(super) struct Schema;

impl Component for Schema {
    fn name(&self) -> String {
        "neutron-schema".into()
    }

    fn after(&self) -> Vec<String> {
        vec!["mariadb".into()]
    }

    fn prepare(&self, lab: &Lab) -> Result<()> {
        let [neutron, ml2] = config_files(lab);
        files::write_if_changed(&neutron, neutron_conf(lab).text())?;
        files::write_if_changed(&ml2, ml2_conf(lab).text())?;
        files::write_if_changed(&dir(lab).join("wsgi.py"), ENTRY)?;
        let paste = python::venv(lab)?.join("etc/neutron/api-paste.ini");
        let text = std::fs::read_to_string(&paste).with_context(|| format!("reading {}", paste.display()))?;
        files::write_if_changed(&dir(lab).join("api-paste.ini"), &text)?;
        let locks = lab.state().join("neutron/lock");
        std::fs::create_dir_all(&locks).with_context(|| format!("making {}", locks.display()))?;
        let mut arguments = config_arguments(lab);
        arguments.extend(["upgrade".into(), "heads".into()]);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        schema::ensure(lab, "neutron", |log| python::run_script(lab, "neutron-db-manage", &arguments, log))
    }
}

/// The API server.
pub(super) struct NeutronApi;

impl Component for NeutronApi {
    fn name(&self) -> String {
        "neutron-api".into()
    }

    fn after(&self) -> Vec<String> {
        vec![Schema.name(), "ovsdb-nb".into(), "ovsdb-sb".into()]
    }

    fn prepare(&self, lab: &Lab) -> Result<()> {
        // Neutron keeps its workers' start time in TMPDIR under uwsgi's pid: an old file and a reused pid mislead it.
        let tmp = tmp(lab);
        std::fs::create_dir_all(&tmp).with_context(|| format!("making {}", tmp.display()))
    }

    fn program(&self, lab: &Lab) -> Result<Option<Program>> {
        let [neutron, ml2] = config_files(lab);
        let entry = dir(lab).join("wsgi.py");
        let options = ["--wsgi-file", &entry.display().to_string()];
        let program = uwsgi::serve(lab, &Application { port: PORT, processes: 2, threads: 4, options: &options })?;
        Ok(Some(
            program
                .env("OS_NEUTRON_CONFIG_DIR", dir(lab).display().to_string())
                .env("OS_NEUTRON_CONFIG_FILES", "neutron.conf;ml2_conf.ini")
                .env("TMPDIR", tmp(lab).display().to_string())
                .config(neutron)
                .config(ml2)
                .config(entry),
        ))
    }

    fn ready(&self, _lab: &Lab) -> Result<()> {
        probe::http(CONTROL, &format!("{}/", url()))
    }

    /// Its workers sometimes ignore SIGTERM; what they do is in transactions.
    fn stop(&self) -> Stop {
        Stop { patience: Duration::from_secs(3), ..Stop::default() }
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(180)
    }
}

fn tmp(lab: &Lab) -> PathBuf {
    lab.run().join("neutron-api")
}
