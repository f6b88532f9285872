//! The developer's one door: `cargo xtask COMMAND`.

mod bench;
mod conformance;
mod crds;
mod demo;
mod lab;
mod programs;
mod tally;
mod test;
mod tools;

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
    /// Everything up, pods that talk, and a summary: the whole of Kuryr with one command.
    Demo,
    /// Run the tests.
    Test(test::Args),
    /// Measure, on the lab.
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Run Kubernetes' own tests of Services, EndpointSlices, DNS and pods' networks, on the lab.
    Conformance(conformance::Args),
    /// A real cloud and a real cluster on this machine.
    #[command(subcommand)]
    Lab(lab::Command),
    /// Write the custom resource definitions to deploy/crds.
    Crds(crds::Options),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Task::Demo => demo::run().map(|()| ExitCode::SUCCESS),
        Task::Test(args) => test::run(&args),
        Task::Bench(bench) => bench::run(&bench).map(|()| ExitCode::SUCCESS),
        Task::Conformance(args) => conformance::run(&args),
        Task::Lab(command) => lab::run(command),
        Task::Crds(options) => crds::run(&options).map(|()| ExitCode::SUCCESS),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
