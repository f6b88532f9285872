//! A fake cloud by hand: prints its `clouds.yaml` and runs until it is interrupted.

use anyhow::{Context, Result};
use clap::Parser;
use kuryr_openstack_fake::{Config, FakeCloud, Latency};
use std::{net::IpAddr, path::PathBuf};

/// Keystone and Neutron in memory over HTTP.
#[derive(Debug, Parser)]
struct Args {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1")]
    listen: IpAddr,
    /// Port of Keystone; Neutron has the next one. 0: any two that are free
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// How many times as long as the lab's services requests take; 0: no time at all
    #[arg(long, default_value_t = 0.0)]
    latency: f64,
    /// Write clouds.yaml to this file instead of printing it
    #[arg(long)]
    clouds: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let latency = if args.latency > 0.0 { Latency::Scaled(args.latency) } else { Latency::None };
    let config = Config { listen: args.listen, port: args.port, latency, journal_bodies: false, ..Config::default() };
    let cloud = FakeCloud::start(config).await?;
    match &args.clouds {
        Some(file) => std::fs::write(file, cloud.clouds_yaml())
            .with_context(|| format!("can't write clouds.yaml to {}", file.display()))?,
        None => print!("{}", cloud.clouds_yaml()),
    }
    tokio::signal::ctrl_c().await.context("can't wait for the interrupt")
}
