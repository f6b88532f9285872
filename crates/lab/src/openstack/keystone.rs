//! Keystone: identities, tokens and the catalogue.

use std::{
    fs,
    io::Read,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use base64::prelude::{BASE64_URL_SAFE, Engine};

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

/// The keys of tokens and of stored credentials.
const KEY_REPOSITORIES: [&str; 2] = ["fernet-keys", "credential-keys"];

/// Keystone without the version in its path.
pub(super) fn base_url() -> String {
    format!("http://{}:{PORT}", control_address())
}

/// Keystone's version 3, which clients are configured with.
pub(crate) fn url() -> String {
    format!("{}/v3", base_url())
}

fn dir(lab: &Lab) -> PathBuf {
    lab.etc().join("keystone")
}

fn config_file(lab: &Lab) -> PathBuf {
    dir(lab).join("keystone.conf")
}

fn config(lab: &Lab) -> Ini {
    let [fernet, credential] = KEY_REPOSITORIES.map(|name| dir(lab).join(name).display().to_string());
    Ini::new()
        .section("DEFAULT", [("use_stderr", "true"), ("transport_url", "fake://")])
        .section("database", [("connection", schema::database_url(lab, "keystone"))])
        .section("token", [("provider", "fernet"), ("expiration", "86400")])
        .section("fernet_tokens", [("key_repository", &fernet)])
        // Nobody gets a receipt here, but Keystone doesn't start without the keys for them.
        .section("fernet_receipts", [("key_repository", &fernet)])
        .section("credential", [("key_repository", credential)])
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
        for repository in KEY_REPOSITORIES {
            make_keys(&dir(lab).join(repository))?;
        }
        schema::ensure(lab, "keystone", |log| bootstrap(lab, log))
    }
}

/// Makes the tables, and in them the user `admin`, its project, the usual roles and Keystone's own endpoints.
fn bootstrap(lab: &Lab, log: &Path) -> Result<()> {
    let config = config_file(lab).display().to_string();
    python::run_script(lab, "keystone-manage", &["--config-file", &config, "db_sync"], log)?;
    let url = url();
    let arguments = [
        "--config-file",
        &config,
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
    ];
    python::run_script(lab, "keystone-manage", &arguments, log)
}

/// Makes the two keys of a key repository unless they are there: the next one, `0`, and the one in use, `1`. The commands
/// `fernet_setup` and `credential_setup` would do the same in several seconds.
fn make_keys(repository: &Path) -> Result<()> {
    fs::create_dir_all(repository).with_context(|| format!("making {}", repository.display()))?;
    fs::set_permissions(repository, fs::Permissions::from_mode(0o700))
        .context("closing the key repository to others")?;
    for name in ["0", "1"] {
        let path = repository.join(name);
        if path.exists() {
            continue;
        }
        let mut key = [0; 32];
        let mut source = fs::File::open("/dev/urandom").context("opening /dev/urandom")?;
        source.read_exact(&mut key).context("reading random bytes")?;
        files::write_if_changed(&path, &BASE64_URL_SAFE.encode(key))?;
    }
    Ok(())
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
