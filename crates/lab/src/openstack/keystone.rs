//! Keystone: identities, tokens and the catalogue.

use std::path::PathBuf;

use anyhow::Result;

use super::{
    PASSWORD,
    config::Ini,
    python, schema,
    uwsgi::{self, Application},
};
use crate::{
    engine::{CONTROL, Component, Lab, Program, files, probe},
    node::control_address,
};

const PORT: u16 = 5000;

/// Keystone without the version in its path.
pub(super) fn base_url() -> String {
    format!("http://{}:{PORT}", control_address())
}

/// Keystone's version 3, which clients are configured with.
pub(super) fn url() -> String {
    format!("{}/v3", base_url())
}

fn dir(lab: &Lab) -> PathBuf {
    lab.etc().join("keystone")
}

fn config_file(lab: &Lab) -> PathBuf {
    dir(lab).join("keystone.conf")
}

fn config(lab: &Lab) -> Ini {
    let keys = |name| dir(lab).join(name).display().to_string();
    Ini::new()
        .section("DEFAULT", [("use_stderr", "true"), ("transport_url", "fake://")])
        .section("database", [("connection", schema::database_url(lab, "keystone"))])
        .section("token", [("provider", "fernet"), ("expiration", "86400")])
        .section("fernet_tokens", [("key_repository", keys("fernet-keys"))])
        .section("credential", [("key_repository", keys("credential-keys"))])
        // The cheapest hash that Keystone accepts: the real ones cost a quarter of a second per login.
        .section("identity", [("password_hash_rounds", "4")])
        .section("cache", [("enabled", "true"), ("backend", "dogpile.cache.memory")])
        .section("oslo_messaging_notifications", [("driver", "noop")])
}

/// Keystone's tables, keys and first administrator.
pub(super) struct Schema;

impl Component for Schema {
    fn name(&self) -> String {
        "keystone-schema".into()
    }

    fn after(&self) -> Vec<String> {
        vec!["mariadb".into()]
    }

    fn prepare(&self, lab: &Lab) -> Result<()> {
        files::write_if_changed(&config_file(lab), config(lab).text())?;
        let config = config_file(lab).display().to_string();
        schema::migrate(lab, "keystone", "keystone-manage", &["--config-file", &config, "db_sync"])?;
        let marker = lab.state().join("mysql").join("keystone.bootstrapped");
        if marker.exists() {
            return Ok(());
        }
        let manage = |args: &[&str]| {
            let mut all = vec!["--config-file", &config];
            all.extend(args);
            python::run_script(lab, "keystone-manage", &all, &lab.log_file("keystone-schema"))
        };
        for keys in ["fernet_setup", "credential_setup"] {
            manage(&[keys, "--keystone-user", "root", "--keystone-group", "root"])?;
        }
        let url = url();
        manage(&[
            "bootstrap",
            "--bootstrap-password",
            PASSWORD,
            "--bootstrap-region-id",
            "RegionOne",
            "--bootstrap-admin-url",
            &url,
            "--bootstrap-internal-url",
            &url,
            "--bootstrap-public-url",
            &url,
        ])?;
        files::write_if_changed(&marker, "").map(drop)
    }
}

/// The API server.
pub(super) struct Keystone;

impl Component for Keystone {
    fn name(&self) -> String {
        "keystone".into()
    }

    fn after(&self) -> Vec<String> {
        vec![Schema.name()]
    }

    fn program(&self, lab: &Lab) -> Result<Option<Program>> {
        let options = ["--module", "keystone.wsgi.api:application"];
        let program = uwsgi::serve(lab, &Application { port: PORT, processes: 1, threads: 4, options: &options })?;
        Ok(Some(
            program
                .env("OS_KEYSTONE_CONFIG_DIR", dir(lab).display().to_string())
                .env("OS_KEYSTONE_CONFIG_FILES", "keystone.conf")
                .config(config_file(lab)),
        ))
    }

    fn ready(&self, _lab: &Lab) -> Result<()> {
        probe::http(CONTROL, &url())
    }
}
