//! OVN central: the northbound and southbound databases, and northd between them.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::{
    engine::{CONTROL, Component, Lab, Program, probe, shell},
    node::ovs::{LOG_TO_STDERR, create_database, environment},
};

/// The directory of OVN central's sockets (`OVN_RUNDIR` in `kuryr-control`).
pub fn run_dir(lab: &Lab) -> PathBuf {
    lab.run().join("ovn")
}

/// One of OVN's databases.
#[derive(Debug, Clone, Copy)]
pub(super) struct Database {
    short: &'static str,
    tool: &'static str,
    port: u16,
}

impl Database {
    /// What is wanted: written by Neutron and Octavia.
    pub const NORTH: Self = Self { short: "nb", tool: "ovn-nbctl", port: 6641 };
    /// What northd makes of it: read by every ovn-controller.
    pub const SOUTH: Self = Self { short: "sb", tool: "ovn-sbctl", port: 6642 };

    /// The unix socket of the database.
    pub fn socket(&self, lab: &Lab) -> PathBuf {
        run_dir(lab).join(format!("ovn{}_db.sock", self.short))
    }

    fn file(&self, lab: &Lab) -> PathBuf {
        lab.state().join("ovsdb").join(format!("ovn{}.db", self.short))
    }
}

impl Component for Database {
    fn name(&self) -> String {
        format!("ovsdb-{}", self.short)
    }

    fn after(&self) -> Vec<String> {
        vec!["network".into()]
    }

    fn prepare(&self, lab: &Lab) -> Result<()> {
        std::fs::create_dir_all(run_dir(lab))?;
        create_database(lab, &self.file(lab), &format!("/usr/share/ovn/ovn-{}.ovsschema", self.short))
    }

    fn program(&self, lab: &Lab) -> Result<Option<Program>> {
        let program = Program::new("ovsdb-server")
            .arg(self.file(lab).display().to_string())
            .arg(format!("--remote=punix:{}", self.socket(lab).display()))
            .arg(format!("--remote=ptcp:{}:0.0.0.0", self.port))
            .arg(format!("--unixctl={}", run_dir(lab).join(format!("ovn{}_db.ctl", self.short)).display()))
            .args(LOG_TO_STDERR)
            .netns(CONTROL);
        Ok(Some(environment(program, &run_dir(lab))))
    }

    fn ready(&self, lab: &Lab) -> Result<()> {
        probe::unix(&self.socket(lab))
    }

    fn started(&self, lab: &Lab) -> Result<()> {
        let database = format!("--db=unix:{}", self.socket(lab).display());
        shell::run(lab.command(None, self.tool).arg("--timeout=10").arg(database).arg("init")).map(drop)
    }
}

/// Translates the northbound into the southbound database.
pub(super) struct Northd;

impl Component for Northd {
    fn name(&self) -> String {
        "ovn-northd".into()
    }

    fn after(&self) -> Vec<String> {
        vec![Database::NORTH.name(), Database::SOUTH.name()]
    }

    fn program(&self, lab: &Lab) -> Result<Option<Program>> {
        let program = Program::new("ovn-northd")
            .arg(format!("--ovnnb-db=unix:{}", Database::NORTH.socket(lab).display()))
            .arg(format!("--ovnsb-db=unix:{}", Database::SOUTH.socket(lab).display()))
            .arg(format!("--unixctl={}", run_dir(lab).join("ovn-northd.ctl").display()))
            .args(LOG_TO_STDERR)
            .netns(CONTROL);
        Ok(Some(environment(program, &run_dir(lab))))
    }

    fn ready(&self, lab: &Lab) -> Result<()> {
        let socket = run_dir(lab).join("ovn-northd.ctl");
        let status =
            shell::run(lab.command(None, "ovn-appctl").arg("--timeout=5").arg("-t").arg(socket).arg("status"))?;
        if status.trim() != "Status: active" {
            bail!("it says {}", status.trim());
        }
        Ok(())
    }
}
