//! The developer's one door: `cargo xtask COMMAND`.

mod crds;
mod lab;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What a developer does with Kuryr.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// A real cloud and a real cluster on this machine.
    #[command(subcommand)]
    Lab(lab::Command),
    /// Write the custom resource definitions to deploy/crds.
    Crds(crds::Options),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Task::Lab(command) => lab::run(command),
        Task::Crds(options) => crds::run(&options).map(|()| ExitCode::SUCCESS),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
