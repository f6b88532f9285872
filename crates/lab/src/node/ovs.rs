//! Open vSwitch of a node: its database server, and the switch with the userspace datapath.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result};

use super::network::{complete_checksums, ip, link_exists, tunnel_address};
use crate::{
    engine::{Component, Lab, Program, node_name, node_netns, probe, shell, wait_until},
    install::Artefacts,
    node::{control_address, on_node},
};

/// The directory of a node's Open vSwitch sockets (`OVS_RUNDIR`).
pub fn run_dir(lab: &Lab, node: u32) -> PathBuf {
    lab.run().join(node_name(node))
}

/// The socket of a node's Open vSwitch database.
pub fn database_socket(lab: &Lab, node: u32) -> PathBuf {
    run_dir(lab, node).join("db.sock")
}

/// Runs `ovs-vsctl` against a node's database. `--timeout`, because it otherwise waits for a missing switch for ever.
///
/// # Errors
/// When the command fails or the switch does not apply the change in time.
pub fn vsctl(lab: &Lab, node: u32, args: &[&str]) -> Result<String> {
    let mut command = lab.command(Some(&node_netns(node)), "ovs-vsctl");
    command.arg("--timeout=20").arg(format!("--db=unix:{}", database_socket(lab, node).display())).args(args);
    shell::run(&mut command)
}

/// The arguments that make an OVS or OVN daemon log to its standard error only, which is the component's log.
pub(crate) const LOG_TO_STDERR: [&str; 3] = ["-vconsole:info", "-vsyslog:off", "-vfile:off"];

/// The environment by which OVS and OVN programs find their directories.
pub(crate) fn environment(program: Program, dir: &std::path::Path) -> Program {
    ["OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR", "OVN_RUNDIR", "OVN_LOGDIR", "OVN_DBDIR"]
        .into_iter()
        .fold(program, |program, name| program.env(name, dir.display().to_string()))
}

/// Makes an OVSDB file from a schema unless it is there.
pub(crate) fn create_database(lab: &Lab, file: &std::path::Path, schema: &str) -> Result<()> {
    if let Some(dir) = file.parent() {
        std::fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
    }
    if file.exists() {
        return Ok(());
    }
    shell::run(lab.command(None, "ovsdb-tool").arg("create").arg(file).arg(schema)).map(drop)
}

/// The ovsdb-server of a node.
pub(super) struct Database(pub u32);

impl Database {
    /// In the directory that `down` removes: what it says of ports is wrong once their devices are gone.
    fn file(&self, lab: &Lab) -> PathBuf {
        run_dir(lab, self.0).join("conf.db")
    }
}

impl Component for Database {
    fn name(&self) -> String {
        on_node("ovsdb-server", self.0)
    }

    fn after(&self) -> Vec<String> {
        vec![on_node("network", self.0)]
    }

    fn prepare(&self, lab: &Lab) -> Result<()> {
        create_database(lab, &self.file(lab), "/usr/share/openvswitch/vswitch.ovsschema")
    }

    fn program(&self, lab: &Lab) -> Result<Option<Program>> {
        let dir = run_dir(lab, self.0);
        let program = Program::new("ovsdb-server")
            .arg(self.file(lab).display().to_string())
            .arg(format!("--remote=punix:{}", database_socket(lab, self.0).display()))
            .arg(format!("--unixctl={}", dir.join("ovsdb-server.ctl").display()))
            .args(LOG_TO_STDERR)
            .netns(node_netns(self.0));
        Ok(Some(environment(program, &dir)))
    }

    fn ready(&self, lab: &Lab) -> Result<()> {
        probe::unix(&database_socket(lab, self.0))
    }

    /// What ovn-controller reads at its start: who this chassis is, where the southbound database is, how to tunnel.
    fn started(&self, lab: &Lab) -> Result<()> {
        let settings = [
            format!("system-id={}", node_name(self.0)),
            format!("hostname={}", node_name(self.0)),
            format!("rundir={}", run_dir(lab, self.0).display()),
            format!("ovn-remote=tcp:{}:6642", control_address()),
            "ovn-encap-type=geneve".into(),
            format!("ovn-encap-ip={}", tunnel_address(self.0)),
            "ovn-bridge-datapath-type=netdev".into(),
            "ovn-bridge-mappings=physnet1:br-ex".into(),
            "ovn-monitor-all=true".into(),
            "ovn-cms-options=enable-chassis-as-gw".into(),
        ]
        .map(|setting| format!("external-ids:{setting}"));
        vsctl(lab, self.0, &["--no-wait", "init"])?;
        let mut args = vec!["--no-wait", "set", "open_vswitch", "."];
        args.extend(settings.iter().map(String::as_str));
        vsctl(lab, self.0, &args).map(drop)
    }
}

/// The switch of a node.
pub(super) struct Vswitchd(pub u32);

impl Component for Vswitchd {
    fn name(&self) -> String {
        on_node("ovs-vswitchd", self.0)
    }

    fn after(&self) -> Vec<String> {
        vec![on_node("ovsdb-server", self.0)]
    }

    fn program(&self, lab: &Lab) -> Result<Option<Program>> {
        let dir = run_dir(lab, self.0);
        // Monitored, as on a real node, where the service manager starts it again.
        let program = Program::new(Artefacts::at(lab.cache())?.vswitchd())
            .arg("--monitor")
            .arg(format!("unix:{}", database_socket(lab, self.0).display()))
            .arg(format!("--unixctl={}", dir.join("ovs-vswitchd.ctl").display()))
            .arg(format!("--pidfile={}", dir.join("ovs-vswitchd.pid").display()))
            .args(LOG_TO_STDERR)
            .netns(node_netns(self.0));
        Ok(Some(environment(program, &dir)))
    }

    fn ready(&self, lab: &Lab) -> Result<()> {
        probe::unix(&run_dir(lab, self.0).join("ovs-vswitchd.ctl"))
    }

    /// Bridges are persistent TAP devices with this datapath: they and their addresses outlive a killed switch, but not one
    /// that ended in good order.
    fn started(&self, lab: &Lab) -> Result<()> {
        // The tunnel's local address has to be on the local port of a bridge of the same datapath: OVS then finds the
        // way out by the kernel's route and its own bridge.
        let netdev = "datapath_type=netdev";
        let arguments = format!(
            "--may-exist add-br br-phy -- set bridge br-phy {netdev} \
             -- --may-exist add-port br-phy tunnel0 -- set interface br-phy mtu_request=9000 \
             -- --may-exist add-br br-int -- set bridge br-int {netdev} fail_mode=secure other-config:disable-in-band=true \
             -- --may-exist add-br br-ex -- set bridge br-ex {netdev} -- --may-exist add-port br-ex ext0"
        );
        vsctl(lab, self.0, &arguments.split_ascii_whitespace().collect::<Vec<_>>())?;
        let netns = node_netns(self.0);
        for bridge in ["br-phy", "br-int", "br-ex"] {
            // When the database says all of this already, `ovs-vsctl` returns before a new switch has made the device.
            wait_until(Duration::from_secs(20), &format!("the device {bridge}"), || link_exists(lab, &netns, bridge))?;
            ip(lab, &netns, &format!("link set {bridge} up"))?;
        }
        complete_checksums(lab, &netns, "br-phy")?;
        ip(lab, &netns, &format!("address replace {}/24 dev br-phy", tunnel_address(self.0)))
    }
}
