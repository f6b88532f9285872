//! MariaDB, on a unix socket only. (The migrations of Neutron and Octavia refuse SQLite.)

use std::path::PathBuf;

use anyhow::Result;

use super::config::Ini;
use crate::engine::{CONTROL, Component, Lab, Program, files, shell};

/// The database server.
pub(super) struct MariaDb;

/// The server's socket.
pub(super) fn socket(lab: &Lab) -> PathBuf {
    lab.run().join("mysql.sock")
}

/// Runs SQL, as root, and returns rows with their columns separated by tabs.
pub(super) fn sql(lab: &Lab, database: &str, statements: &str) -> Result<String> {
    let mut command = lab.command(None, "mariadb");
    command.args(["--no-defaults", "--batch", "--skip-column-names", "-S"]).arg(socket(lab)).arg(database);
    shell::run_with_input(&mut command, statements)
}

fn data_dir(lab: &Lab) -> PathBuf {
    lab.state().join("mysql")
}

fn config_file(lab: &Lab) -> PathBuf {
    lab.etc().join("my.cnf")
}

/// The server's configuration. What makes it safe against a power cut is off: the lab's data can be made anew, and
/// every commit costs time. What a killed server has committed is safe all the same, because the kernel has it: otherwise
/// Neutron would forget ports that it has told its clients of.
fn config(lab: &Lab) -> Ini {
    let path = |path: PathBuf| path.display().to_string();
    let keys = [
        ("user", "root".to_owned()),
        ("datadir", path(data_dir(lab))),
        ("socket", path(socket(lab))),
        ("pid-file", path(lab.run().join("mariadbd.pid"))),
        ("tmpdir", path(lab.tmp())),
        ("skip-networking", "1".into()),
        ("character-set-server", "utf8mb3".into()),
        ("collation-server", "utf8mb3_general_ci".into()),
        ("max_connections", "400".into()),
        ("innodb_flush_log_at_trx_commit", "2".into()),
        ("innodb_doublewrite", "0".into()),
        ("innodb_buffer_pool_size", "256M".into()),
        ("innodb_log_file_size", "64M".into()),
        ("sync_binlog", "0".into()),
        ("skip-log-bin", "1".into()),
        ("skip-name-resolve", "1".into()),
        ("performance_schema", "off".into()),
    ];
    Ini::new().section("mysqld", keys)
}

impl Component for MariaDb {
    fn name(&self) -> String {
        "mariadb".into()
    }

    fn after(&self) -> Vec<String> {
        vec!["network".into()]
    }

    fn prepare(&self, lab: &Lab) -> Result<()> {
        files::write_if_changed(&config_file(lab), config(lab).text())?;
        // Written last, so that an installation that was cut off is done again.
        let marker = data_dir(lab).join("installed");
        if marker.exists() {
            return Ok(());
        }
        let mut command = lab.command(None, "mariadb-install-db");
        command.arg(format!("--defaults-file={}", config_file(lab).display()));
        shell::run(command.args(["--auth-root-authentication-method=socket", "--skip-test-db"]))?;
        files::write_if_changed(&marker, "").map(drop)
    }

    fn program(&self, lab: &Lab) -> Result<Option<Program>> {
        let config = config_file(lab);
        let program = Program::new("mariadbd").arg(format!("--defaults-file={}", config.display()));
        Ok(Some(program.config(config).netns(CONTROL)))
    }

    fn ready(&self, lab: &Lab) -> Result<()> {
        sql(lab, "mysql", "SELECT 1").map(drop)
    }
}
