//! A fake cloud by hand: prints its `clouds.yaml` and runs until it is interrupted.

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use kuryr_openstack_fake::{Config, FakeCloud, Latency, OctaviaConfig, Provider, Settle};
use std::{net::IpAddr, path::PathBuf, time::Duration};

/// Keystone, Neutron and Octavia in memory over HTTP.
#[derive(Debug, Parser)]
struct Args {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1")]
    listen: IpAddr,
    /// Port of Keystone; Neutron and Octavia have the next ones. 0: any that are free
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// How many times as long as the lab's services requests take; 0: no time at all
    #[arg(long, default_value_t = 0.0)]
    latency: f64,
    /// Networks: those for pods only, or all that the lab has, with Services, floating IPs and a router
    #[arg(long, value_enum, default_value_t = Networks::Pods)]
    networks: Networks,
    /// Provider of load balancers that don't name one; `none`: the cloud has no Octavia
    #[arg(long, value_enum, default_value_t = Octavia::Ovn)]
    octavia: Octavia,
    /// Milliseconds that each step of a change to a load balancer takes; by default as long as the lab's OVN needs
    #[arg(long)]
    settle: Option<u64>,
    /// Write clouds.yaml to this file instead of printing it
    #[arg(long)]
    clouds: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Networks {
    Pods,
    Lab,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Octavia {
    Ovn,
    Amphora,
    None,
}

impl Args {
    fn config(&self) -> Config {
        let latency = if self.latency > 0.0 { Latency::Scaled(self.latency) } else { Latency::None };
        let base = match self.networks {
            Networks::Pods => Config::default(),
            Networks::Lab => Config::lab(),
        };
        let provider = match self.octavia {
            Octavia::Ovn => Some(Provider::Ovn),
            Octavia::Amphora => Some(Provider::Amphora),
            Octavia::None => None,
        };
        let settle = match self.settle {
            None => Settle::Lab,
            Some(0) => Settle::AtOnce,
            Some(delay) => Settle::After(Duration::from_millis(delay)),
        };
        let octavia =
            provider.map(|default_provider| OctaviaConfig { default_provider, settle, ..OctaviaConfig::default() });
        Config { listen: self.listen, port: self.port, latency, octavia, journal_bodies: false, ..base }
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let cloud = FakeCloud::start(args.config()).await?;
    match &args.clouds {
        Some(file) => std::fs::write(file, cloud.clouds_yaml())
            .with_context(|| format!("can't write clouds.yaml to {}", file.display()))?,
        None => print!("{}", cloud.clouds_yaml()),
    }
    tokio::signal::ctrl_c().await.context("can't wait for the interrupt")
}
