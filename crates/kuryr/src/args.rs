//! The command line. What is set often, or from a Pod's environment, is a flag too: a flag wins over the environment, which
//! wins over the file.

use clap::{Parser, Subcommand, ValueEnum};
use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// OpenStack networking for Kubernetes pods.
#[derive(Debug, Parser)]
#[command(name = "kuryr", version, about, disable_help_subcommand = true)]
pub struct Args {
    /// Form of the log on standard error. `RUST_LOG` chooses what is logged.
    #[arg(long, global = true, value_enum, default_value = "text", env = "KURYR_LOG_FORMAT")]
    pub log_format: LogFormat,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Forms of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object per line.
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the cluster's controller.
    Controller(ControllerArgs),
    /// Run a node's daemon.
    Daemon(DaemonArgs),
    /// Remove the cluster's Neutron ports that nobody needs, as the controller does by itself now and then.
    Sweep(SweepArgs),
    /// Work with the configuration file.
    Config {
        /// What to do with it.
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Print the version.
    Version,
}

/// Options of the controller.
#[derive(Debug, clap::Args)]
pub struct ControllerArgs {
    /// The configuration file.
    #[arg(long, env = "KURYR_CONFIG")]
    pub config: PathBuf,
    /// `cluster`: the cluster's name in everything that Kuryr creates in OpenStack.
    #[arg(long, env = "KURYR_CLUSTER")]
    pub cluster: Option<String>,
    /// `openstack.cloud`: name of the cloud in clouds.yaml.
    #[arg(long, env = "KURYR_CLOUD")]
    pub cloud: Option<String>,
    /// `openstack.cloudsFile`: path of clouds.yaml.
    #[arg(long, env = "KURYR_CLOUDS_FILE")]
    pub clouds_file: Option<PathBuf>,
    /// `controller.listen`: address of the admin server.
    #[arg(long, env = "KURYR_LISTEN")]
    pub listen: Option<SocketAddr>,
}

/// Options of `sweep`. It runs wherever `KUBECONFIG` and `clouds.yaml` are, with the controller's configuration file.
#[derive(Debug, clap::Args)]
pub struct SweepArgs {
    /// The controller's configuration file.
    #[arg(long, env = "KURYR_CONFIG")]
    pub config: PathBuf,
    /// Show what would be removed, and remove nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Time between the two looks that a port must be found at, as `10m`. `0s`: one look is enough. Default:
    /// `sweep.graceSeconds`.
    #[arg(long, value_parser = duration)]
    pub grace: Option<Duration>,
    /// Remove nothing when more than this share of the ports has no object, in percent. Default: `sweep.mostPercent`.
    #[arg(long, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub most_percent: Option<u8>,
}

/// Reads a time as `90s` or `10m`.
fn duration(text: &str) -> Result<Duration, String> {
    let span: jiff::SignedDuration = text.parse().map_err(|error: jiff::Error| error.to_string())?;
    Duration::try_from(span).map_err(|_| "a time can't be negative".to_owned())
}

/// Options of the daemon.
#[derive(Debug, clap::Args)]
pub struct DaemonArgs {
    /// The configuration file.
    #[arg(long, env = "KURYR_CONFIG")]
    pub config: PathBuf,
    /// `daemon.nodeName`: name of the machine's Node object.
    #[arg(long, env = "KURYR_NODE_NAME")]
    pub node_name: Option<String>,
}

/// What to do with the configuration file.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Read the file, say what is wrong with it, and print it with all defaults.
    Check(CheckArgs),
}

/// Options of `config check`.
#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    /// The configuration file.
    #[arg(long, env = "KURYR_CONFIG")]
    pub config: PathBuf,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_with_its_unit() {
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        duration("-1s").unwrap_err();
        duration("ten").unwrap_err();
    }
}
