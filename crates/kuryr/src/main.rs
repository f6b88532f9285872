//! The kuryr program: controller, daemon and the operator's commands.

mod args;
mod config;
mod credentials;
mod logs;
mod run;
mod sweep;

use args::{Args, Command, ConfigCommand};
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args = Args::parse();
    let result = match &args.command {
        Command::Controller(controller) => run::controller(controller, args.log_format),
        Command::Daemon(daemon) => run::daemon(daemon, args.log_format),
        Command::Sweep(options) => sweep::sweep(options, args.log_format),
        Command::Config { command: ConfigCommand::Check(check) } => run::check(check),
        Command::Version => {
            println!("kuryr {}", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kuryr: {error}");
            ExitCode::FAILURE
        }
    }
}
