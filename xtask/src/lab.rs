//! `cargo xtask lab`: a real cloud and a real cluster on this machine.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
    process::{Command as Process, ExitCode},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use clap::{Subcommand, ValueEnum};
use kuryr_lab::{
    CONTROL, Lab, Options,
    engine::{self, State},
    install, kubernetes,
    kuryr::{self, NodeNetwork},
    node_netns, openstack, original, registry,
};

/// What one can do with the lab.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Install what is missing and start everything; an interrupted start goes on where it stopped.
    Up {
        /// How many nodes.
        #[arg(long, default_value_t = 2)]
        nodes: u32,
        /// Only the cloud and the cluster: pods have no network.
        #[arg(long)]
        no_kuryr: bool,
        /// Let Neutron take tags in the request that creates a port, as some clouds do.
        #[arg(long)]
        tag_ports: bool,
    },
    /// Only install and build what is missing.
    Install {
        /// Not Kuryr itself.
        #[arg(long)]
        no_kuryr: bool,
    },
    /// Stop everything, leaving no process, mount, namespace or link.
    Down {
        /// Remove databases, logs and configuration too. What was downloaded or built stays.
        #[arg(long)]
        purge: bool,
    },
    /// Say how every component is.
    Status,
    /// Show the log of a component.
    Logs {
        /// The component, for example `neutron-api` or `kubelet@node1`.
        component: String,
        /// Go on with what is written later.
        #[arg(short, long)]
        follow: bool,
    },
    /// Run a command inside a node (`node1`) or beside the control plane (`control`).
    Exec {
        /// `control`, `node1`, `node2`, ...
        place: String,
        /// The command and its arguments.
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Run kubectl as the cluster's administrator.
    #[command(disable_help_flag = true)]
    Kubectl {
        /// kubectl's own arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Run the OpenStack client as the cloud's administrator.
    #[command(disable_help_flag = true)]
    Openstack {
        /// The client's own arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Give all nodes another pod network, from their next pods on.
    Network {
        /// Which one.
        network: Network,
    },
    /// Put the original Kuryr in Kuryr's place, or take it away again; no pods may run meanwhile. The benchmarks do it themselves.
    Original {
        /// How it gets ports, or that it goes.
        state: Original,
    },
    /// End a component with SIGKILL; nothing starts it again.
    Kill {
        /// The component.
        component: String,
    },
    /// Let a component stand still (SIGSTOP).
    Pause {
        /// The component.
        component: String,
    },
    /// Let a paused component go on.
    Resume {
        /// The component.
        component: String,
    },
    /// Stop a component, if it runs, and start it.
    Restart {
        /// The component.
        component: String,
    },
}

/// The pod networks that nodes can have.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Network {
    /// Kuryr.
    Kuryr,
    /// A plain bridge on each node: for comparisons.
    Bridge,
    /// None: only pods of the host's network run.
    None,
}

/// The original Kuryr.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Original {
    /// A request to Neutron for each pod.
    Noop,
    /// A pool on each node.
    Pool,
    /// Away, and Kuryr back.
    Off,
}

impl From<Network> for NodeNetwork {
    fn from(network: Network) -> Self {
        match network {
            Network::Kuryr => Self::Kuryr,
            Network::Bridge => Self::Bridge,
            Network::None => Self::None,
        }
    }
}

/// Does what the command line asks for.
pub fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Up { nodes, no_kuryr, tag_ports } => {
            up_with(Options { nodes, tag_ports_during_bulk_creation: tag_ports }, !no_kuryr)?;
        }
        Command::Install { no_kuryr } => {
            engine::preflight::check_root()?;
            install::install(&engine::Directories::from_env().cache, !no_kuryr)?;
        }
        Command::Down { purge } => down(purge)?,
        Command::Status => return status(),
        Command::Logs { component, follow } => logs(&component, follow)?,
        Command::Exec { place, command } => return exec(&place, &command),
        Command::Kubectl { arguments } => return finish(kubernetes::kubectl(&Lab::open()?)?.args(arguments)),
        Command::Openstack { arguments } => return openstack(&arguments),
        Command::Network { network } => kuryr::use_network(&Lab::open()?, network.into())?,
        Command::Original { state } => original(state)?,
        Command::Kill { component } => Lab::open()?.kill(&component)?,
        Command::Pause { component } => Lab::open()?.pause(&component)?,
        Command::Resume { component } => Lab::open()?.resume(&component)?,
        Command::Restart { component } => Lab::open()?.restart(&component)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Installs, builds and starts, with the usual options.
pub fn up(nodes: u32, with_kuryr: bool) -> Result<()> {
    up_with(Options { nodes, ..Options::default() }, with_kuryr)
}

fn up_with(options: Options, with_kuryr: bool) -> Result<()> {
    let (begin, nodes) = (Instant::now(), options.nodes);
    engine::preflight::check_root()?;
    let mut lab = Lab::create(options.clone())?;
    if kubernetes::store_is_of_another_etcd(&lab)? {
        println!("The kept state is of another version of etcd: beginning with new databases");
        down(true)?;
        lab = Lab::create(options)?;
    }
    println!("Installing what is missing");
    install::install(lab.cache(), with_kuryr)?;
    // Not earlier: it takes tools that have just been installed.
    engine::preflight::check(&lab)?;

    println!("Starting the lab: {nodes} nodes");
    let mut components = registry::cloud(&lab);
    components.extend(registry::cluster(&lab));
    if with_kuryr {
        components.extend(registry::kuryr(&lab));
    } else {
        kuryr::use_network(&lab, NodeNetwork::None)?;
    }
    engine::up(&lab, &components, &|progress| println!("  {progress}"))?;
    println!("The lab is up, {:.0} s after the beginning.", begin.elapsed().as_secs_f64());
    println!(
        "  Look around: cargo xtask lab status | kubectl get nodes | openstack port list | exec node1 -- ip address"
    );
    println!("  Stop it:     cargo xtask lab down");
    Ok(())
}

/// Stops everything. Without a lab there is nothing to do.
pub fn down(purge: bool) -> Result<()> {
    let begin = Instant::now();
    let lab = Lab::open()?;
    let mut components = registry::all(&lab);
    components.extend(registry::optional(&lab));
    engine::down(&lab, &components, purge)?;
    println!("The lab is down, after {:.0} s.", begin.elapsed().as_secs_f64());
    Ok(())
}

fn original(state: Original) -> Result<()> {
    let lab = Lab::open()?;
    let pool = match state {
        Original::Noop => original::Pool::Noop,
        Original::Pool => original::Pool::Neutron { batch: 10 },
        Original::Off => {
            original::down(&lab)?;
            return kuryr::start(&lab);
        }
    };
    install::install_original(lab.cache())?;
    kuryr::stop(&lab)?;
    original::up(&lab, pool, &openstack::neutron_url())
}

fn status() -> Result<ExitCode> {
    let states = Lab::open()?.status()?;
    let (mut ready, total) = (0, states.len());
    for (name, state) in states {
        let text = match state {
            State::Ready => {
                ready += 1;
                "ready".to_owned()
            }
            State::NotReady(why) => format!("not ready: {}", why.lines().next().unwrap_or_default()),
            State::Paused => "paused".to_owned(),
            State::Down => "down".to_owned(),
        };
        println!("  {name:<32} {text}");
    }
    println!("{ready} of {total} components are ready");
    Ok(if ready == total { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn logs(component: &str, follow: bool) -> Result<()> {
    let lab = Lab::open()?;
    registry::find(&lab, component)?;
    let path = lab.log_file(component);
    let mut shown = 0;
    loop {
        shown = copy_from(&path, shown).with_context(|| format!("showing the log {}", path.display()))?;
        if !follow {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(200));
    }
}

/// Copies what a file has beyond an offset to standard output; returns the new offset.
fn copy_from(path: &Path, offset: u64) -> io::Result<u64> {
    let mut file = File::open(path)?;
    // Shorter than before: it was begun anew.
    let offset = if file.metadata()?.len() < offset { 0 } else { offset };
    file.seek(SeekFrom::Start(offset))?;
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    let mut out = io::stdout().lock();
    out.write_all(&text)?;
    out.flush()?;
    Ok(offset + text.len() as u64)
}

fn exec(place: &str, words: &[String]) -> Result<ExitCode> {
    let lab = Lab::open()?;
    let netns = if place == "control" {
        CONTROL.to_owned()
    } else {
        match place.strip_prefix("node").and_then(|number| number.parse().ok()) {
            Some(number) if lab.nodes().any(|node| node == number) => node_netns(number),
            _ => bail!("there is no {place}; the lab has control and node1 to node{}", lab.options().nodes),
        }
    };
    let Some((program, arguments)) = words.split_first() else { bail!("no command was given") };
    finish(lab.command(Some(&netns), program).args(arguments))
}

fn openstack(arguments: &[String]) -> Result<ExitCode> {
    let lab = Lab::open()?;
    let program = install::Artefacts::at(lab.cache())?.venv().join("bin/openstack");
    let mut command = lab.command(Some(CONTROL), &program.to_string_lossy());
    command.env("OS_CLIENT_CONFIG_FILE", openstack::clouds_file(&lab)).env("OS_CLOUD", "admin");
    finish(command.args(arguments))
}

/// Runs a command with this terminal and passes its exit code on.
fn finish(command: &mut Process) -> Result<ExitCode> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command.status().with_context(|| format!("starting {name}"))?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}
