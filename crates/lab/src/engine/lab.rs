//! The handle of the lab: where it lives and how it was made.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::engine::netns;

/// The network namespace of the control plane and of everything that users call the cloud.
pub const CONTROL: &str = "kuryr-control";

/// Where the lab keeps its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directories {
    /// Databases, configuration, logs: kept by `down`, removed by `down --purge`.
    pub state: PathBuf,
    /// Sockets and process records. Short, because the path of a unix socket has at most 107 characters.
    pub run: PathBuf,
    /// What was downloaded or built, with versions in the names: kept by `down --purge` too.
    pub cache: PathBuf,
}

impl Directories {
    /// The directories that `KURYR_LAB_STATE`, `KURYR_LAB_RUN` and `KURYR_LAB_CACHE` name, or the usual ones.
    pub fn from_env() -> Self {
        let get = |name, usual: &str| std::env::var_os(name).map_or_else(|| PathBuf::from(usual), PathBuf::from);
        Self {
            state: get("KURYR_LAB_STATE", "/var/lib/kuryr-lab"),
            run: get("KURYR_LAB_RUN", "/run/kuryr-lab"),
            cache: get("KURYR_LAB_CACHE", "/var/cache/kuryr-lab"),
        }
    }
}

/// What a user can choose when the lab is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// How many nodes there are: `node1`, `node2`, ...
    pub nodes: u32,
    /// Whether Neutron takes `tags` in the request that creates a port (ML2 extension driver
    /// `tag_ports_during_bulk_creation`). Clouds differ, so Kuryr is tested with both.
    pub tag_ports_during_bulk_creation: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { nodes: 2, tag_ports_during_bulk_creation: false }
    }
}

/// The lab, whether it is up or not. Any process may hold one: all that it knows stands in files.
#[derive(Debug, Clone)]
pub struct Lab {
    directories: Directories,
    options: Options,
}

impl Lab {
    /// The lab that was made here before.
    ///
    /// # Errors
    /// When there is none.
    pub fn open() -> Result<Self> {
        Self::open_at(Directories::from_env())
    }

    /// As [`open`](Self::open), in given directories.
    ///
    /// # Errors
    /// When no lab was made there.
    pub fn open_at(directories: Directories) -> Result<Self> {
        let file = options_file(&directories);
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                bail!("there is no lab in {}: make one with `cargo xtask lab up`", directories.state.display())
            }
            Err(e) => return Err(e).with_context(|| format!("reading {}", file.display())),
        };
        let options = serde_json::from_str(&text).with_context(|| format!("reading {}", file.display()))?;
        Ok(Self { directories, options })
    }

    /// Makes the directories and remembers the options; nothing is started.
    ///
    /// # Errors
    /// When the directories can't be made.
    pub fn create(options: Options) -> Result<Self> {
        Self::create_at(Directories::from_env(), options)
    }

    /// As [`create`](Self::create), in given directories.
    ///
    /// # Errors
    /// When the directories can't be made, or no node is asked for.
    pub fn create_at(directories: Directories, options: Options) -> Result<Self> {
        if !(1..=99).contains(&options.nodes) {
            bail!("the lab needs between 1 and 99 nodes, not {}", options.nodes);
        }
        let lab = Self { directories, options };
        for dir in [lab.state(), lab.run(), lab.cache(), &lab.log_dir(), &lab.etc(), &lab.tmp(), &lab.records()] {
            fs::create_dir_all(dir).with_context(|| format!("making the directory {}", dir.display()))?;
        }
        super::files::write_if_changed(
            &options_file(&lab.directories),
            &serde_json::to_string_pretty(&lab.options).context("writing the lab's options")?,
        )?;
        Ok(lab)
    }

    /// What was chosen when the lab was made.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The directory of what is kept between two runs.
    pub fn state(&self) -> &Path {
        &self.directories.state
    }

    /// The directory of sockets and process records.
    pub fn run(&self) -> &Path {
        &self.directories.run
    }

    /// The directory of what was downloaded or built.
    pub fn cache(&self) -> &Path {
        &self.directories.cache
    }

    /// The directory of the logs.
    pub fn log_dir(&self) -> PathBuf {
        self.state().join("log")
    }

    /// The log of one component.
    pub fn log_file(&self, component: &str) -> PathBuf {
        self.log_dir().join(format!("{component}.log"))
    }

    /// The directory of the components' configuration.
    pub fn etc(&self) -> PathBuf {
        self.state().join("etc")
    }

    /// The directory for temporary files of the components.
    pub fn tmp(&self) -> PathBuf {
        self.state().join("tmp")
    }

    /// The directory of the process records.
    pub(crate) fn records(&self) -> PathBuf {
        self.run().join("processes")
    }

    /// The numbers of the nodes: 1, 2, ...
    pub fn nodes(&self) -> impl Iterator<Item = u32> + use<> {
        1..=self.options.nodes
    }

    /// Makes a network namespace that `down` will remove, with whatever runs inside.
    ///
    /// # Errors
    /// When the kernel refuses, for example without root.
    pub fn add_netns(&self, name: &str) -> Result<()> {
        super::files::write_if_changed(&self.namespace_dir().join(name), "")?;
        netns::add(name)
    }

    /// The network namespaces that this lab has made: also those of nodes of an earlier, larger lab.
    pub(crate) fn namespaces(&self) -> Vec<String> {
        let files = fs::read_dir(self.namespace_dir()).into_iter().flatten().flatten();
        files.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }

    fn namespace_dir(&self) -> PathBuf {
        self.run().join("namespaces")
    }

    /// A command that will run inside a network namespace (`None`: the host's), in the components' environment.
    pub fn command(&self, netns: Option<&str>, program: &str) -> Command {
        let mut command = netns::command(netns, program);
        command.env_clear().envs(super::process::environment(self));
        command
    }
}

fn options_file(directories: &Directories) -> PathBuf {
    directories.state.join("lab.json")
}

/// The name of a node in Kubernetes, in OVN and in component names.
pub fn node_name(node: u32) -> String {
    format!("node{node}")
}

/// The network namespace of a node.
pub fn node_netns(node: u32) -> String {
    format!("kuryr-node{node}")
}
