//! The tables of a service. A migration from nothing takes up to a minute, so its result is kept in the cache under
//! the service's version, and the next new lab loads it.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::{PASSWORD, keystone, mariadb, python};
use crate::engine::{Lab, files, shell};

/// The URL by which a service finds its database.
pub(super) fn database_url(lab: &Lab, service: &str) -> String {
    let socket = mariadb::socket(lab);
    // mysqldb is the compiled driver; it saves a tenth of neutron-api's time.
    format!("mysql+mysqldb://{service}:{PASSWORD}@localhost/{service}?unix_socket={}&charset=utf8mb3", socket.display())
}

/// Makes the database of a service and brings its tables to the version of the installed package: by a kept dump when
/// the database is empty, otherwise by `migrate`, which runs the service's own commands and appends what they say to the
/// log that it is given.
pub(super) fn ensure(lab: &Lab, service: &str, migrate: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let version = python::version(lab, service)?;
    let marker = lab.state().join("mysql").join(format!("{service}.version"));
    if fs::read_to_string(&marker).is_ok_and(|done| done == version) {
        return Ok(());
    }
    let make = format!(
        "CREATE DATABASE IF NOT EXISTS {service} CHARACTER SET utf8mb3;
         CREATE USER IF NOT EXISTS '{service}'@'localhost' IDENTIFIED BY '{PASSWORD}';
         GRANT ALL ON {service}.* TO '{service}'@'localhost';"
    );
    mariadb::sql(lab, "mysql", &make).with_context(|| format!("making the database {service}"))?;
    let dump = lab.cache().join("schema").join(dump_name(service, &version));
    // A dump replaces all tables, so it is only for a database that never was in use. A migration that was cut off
    // left no marker: it is done over, too.
    let fresh = !marker.exists();
    if fresh && dump.exists() {
        load(lab, service, &dump)?;
    } else {
        migrate(&lab.log_file(&format!("{service}-schema")))?;
        if fresh {
            save(lab, service, &dump)?;
        }
    }
    files::write_if_changed(&marker, &version).map(drop)
}

/// Keystone's tables hold the administrator's password and Keystone's own address.
fn dump_name(service: &str, version: &str) -> String {
    let digest = Sha256::digest(format!("{PASSWORD} {}", keystone::url()));
    let digest: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("{service}-{version}-{digest}.sql")
}

fn save(lab: &Lab, service: &str, dump: &Path) -> Result<()> {
    let mut command = lab.command(None, "mariadb-dump");
    let text = shell::run(command.args(["--no-defaults", "-S"]).arg(mariadb::socket(lab)).arg(service))
        .with_context(|| format!("saving the tables of {service}"))?;
    files::write_if_changed(dump, &text).map(drop)
}

fn load(lab: &Lab, service: &str, dump: &Path) -> Result<()> {
    let text = fs::read_to_string(dump).with_context(|| format!("reading {}", dump.display()))?;
    mariadb::sql(lab, service, &text).with_context(|| format!("loading the tables of {service}")).map(drop)
}
