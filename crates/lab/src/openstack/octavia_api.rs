//! octavia-api with the OVN provider.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result};

use super::{
    config::{Ini, service_credentials, unlimited},
    python, schema,
    uwsgi::{self, Application},
};
use crate::{
    engine::{CONTROL, Component, Lab, Program, files, probe},
    node::control_address,
};

const PORT: u16 = 9876;

/// The agent's sockets that octavia-api and the provider connect to.
pub(super) const SOCKETS: [&str; 3] = ["status.sock", "stats.sock", "get.sock"];

/// Where Octavia is served.
pub(super) fn url() -> String {
    format!("http://{}:{PORT}", control_address())
}

fn dir(lab: &Lab) -> PathBuf {
    lab.etc().join("octavia")
}

/// The file that each of Octavia's programs reads.
pub(super) fn config_file(lab: &Lab) -> PathBuf {
    dir(lab).join("octavia.conf")
}

/// Where the agent's sockets really are.
pub(super) fn socket_dir(lab: &Lab) -> PathBuf {
    lab.run().join("octavia")
}

/// The OVN provider opens its library's fixed paths below `/var/run/octavia`, whatever `[driver_agent]` says: there,
/// the programs see the lab's own directory, in a mount namespace of their own.
pub(super) fn with_sockets(lab: &Lab, program: Program) -> Program {
    program.bind(socket_dir(lab), FIXED_SOCKET_DIR)
}

const FIXED_SOCKET_DIR: &str = "/var/run/octavia";

fn config(lab: &Lab) -> Ini {
    let state = lab.state().join("octavia").display().to_string();
    let ovn = [("ovn_nb_connection", "tcp:127.0.0.1:6641"), ("ovn_sb_connection", "tcp:127.0.0.1:6642")];
    Ini::new()
        .section("DEFAULT", [("transport_url", "fake://"), ("host", "control"), ("state_path", &state)])
        .section("oslo_concurrency", [("lock_path", format!("{state}/lock"))])
        .section("oslo_messaging", [("topic", "octavia_prov")])
        .section("oslo_messaging_notifications", [("driver", "noop")])
        .section("database", [("connection", schema::database_url(lab, "octavia"))])
        .section(
            "api_settings",
            [
                ("auth_strategy", "keystone"),
                ("enabled_provider_drivers", "ovn:Octavia OVN driver"),
                ("default_provider_driver", "ovn"),
                ("api_base_uri", &url()),
            ],
        )
        .section("driver_agent", [("enabled_provider_agents", "ovn")])
        .section("keystone_authtoken", service_credentials("octavia"))
        .section("service_auth", service_credentials("octavia"))
        .section("neutron", service_credentials("octavia"))
        .section("ovn", ovn)
        .section(
            "quotas",
            unlimited(&[
                "default_load_balancer_quota",
                "default_listener_quota",
                "default_member_quota",
                "default_pool_quota",
                "default_health_monitor_quota",
                "default_l7policy_quota",
                "default_l7rule_quota",
            ]),
        )
}

/// Octavia's configuration and tables.
pub(super) struct Schema;

impl Component for Schema {
    fn name(&self) -> String {
        "octavia-schema".into()
    }

    fn after(&self) -> Vec<String> {
        vec!["mariadb".into()]
    }

    fn prepare(&self, lab: &Lab) -> Result<()> {
        let file = config_file(lab);
        files::write_if_changed(&file, config(lab).text())?;
        // It reads `--config-file` from the arguments of the process.
        files::write_if_changed(&dir(lab).join("wsgi.py"), "from octavia.wsgi.api import application  # noqa: F401\n")?;
        let locks = lab.state().join("octavia/lock");
        std::fs::create_dir_all(&locks).with_context(|| format!("making {}", locks.display()))?;
        let file = file.display().to_string();
        let arguments = ["--config-file", &file, "upgrade", "head"];
        schema::ensure(lab, "octavia", |log| python::run_script(lab, "octavia-db-manage", &arguments, log))
    }
}

/// The API server.
pub(super) struct OctaviaApi;

impl Component for OctaviaApi {
    fn name(&self) -> String {
        "octavia-api".into()
    }

    /// After the agent: octavia-api drops the provider for good when its socket is missing at the start.
    fn after(&self) -> Vec<String> {
        vec!["octavia-driver-agent".into()]
    }

    fn program(&self, lab: &Lab) -> Result<Option<Program>> {
        let entry = dir(lab).join("wsgi.py").display().to_string();
        let arguments = format!("--config-file {}", config_file(lab).display());
        let options = ["--wsgi-file", &entry, "--pyargv", &arguments];
        let program = uwsgi::serve(lab, &Application { port: PORT, processes: 1, threads: 4, options: &options })?;
        Ok(Some(with_sockets(lab, program.config(config_file(lab)))))
    }

    fn ready(&self, _lab: &Lab) -> Result<()> {
        probe::http(CONTROL, &format!("{}/", url()))
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(120)
    }

    /// The mount point is outside of the lab's directories. Another Octavia's sockets stay: then it is not empty.
    fn cleanup(&self, _lab: &Lab) -> Result<()> {
        drop(std::fs::remove_dir(FIXED_SOCKET_DIR));
        Ok(())
    }
}
