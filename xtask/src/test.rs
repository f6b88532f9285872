//! `cargo xtask test`: every layer of the tests, from pure functions to packets on the lab.

use crate::{
    programs::{cargo, control_runner, succeed},
    tally::Tally,
    tools,
};
use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use kuryr_lab::{
    Lab,
    engine::{Directories, State},
    install, openstack,
};
use std::{
    env, fs,
    process::{Command, ExitCode},
};

/// The layers, in the order in which they run (docs/design, section 10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Layer {
    /// Formatting, lints, licences, unused dependencies, generated files.
    Checks,
    /// Unit and property tests, the OpenStack client against the fake cloud, and the datapath in network namespaces.
    Unit,
    /// The OpenStack client against the lab's real services.
    Contract,
    /// The controller and the daemon against a real API server; the cloud is the fake one. Needs no lab, only its programs.
    Integration,
    /// Whole pods on the lab.
    E2e,
}

const ALL: [Layer; 5] = [Layer::Checks, Layer::Unit, Layer::Contract, Layer::Integration, Layer::E2e];

/// What `cargo xtask test` is asked for.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only these layers (default: all)
    #[arg(value_enum)]
    layers: Vec<Layer>,
    /// Leave the lab running afterwards, to look around or to run again quickly (never in CI)
    #[arg(long)]
    keep_lab: bool,
    /// Only tests whose name contains this text
    #[arg(long)]
    filter: Option<String>,
}

/// Runs the layers and prints the closing line. Fails if anything failed.
pub fn run(args: &Args) -> Result<ExitCode> {
    let layers = if args.layers.is_empty() { ALL.to_vec() } else { args.layers.clone() };
    let mut tally = Tally::default();
    for layer in layers.iter().filter(|l| !l.needs_lab()) {
        layer.run(&mut tally, args);
    }
    if layers.iter().any(|l| l.needs_lab()) {
        on_the_lab(&layers, &mut tally, args);
    }
    tally.close();
    Ok(if tally.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs the layers that need the lab, and takes the lab down again unless it was up before or is to be kept.
fn on_the_lab(layers: &[Layer], tally: &mut Tally, args: &Args) {
    let was_up = lab_is_up();
    println!("\n== the lab");
    tally.check("the lab comes up", || crate::lab::up(2, true));
    if lab_is_up() {
        for layer in layers.iter().filter(|l| l.needs_lab()) {
            layer.run(tally, args);
        }
    }
    if !(was_up || args.keep_lab) || env::var_os("CI").is_some() {
        tally.check("the lab goes down and leaves nothing", down_to_nothing);
    }
}

fn lab_is_up() -> bool {
    Lab::open().and_then(|lab| lab.status()).is_ok_and(|all| all.iter().all(|(_, state)| *state == State::Ready))
}

/// Takes the lab down and looks whether anything of it is left in the kernel.
fn down_to_nothing() -> Result<()> {
    let lab = Lab::open()?;
    crate::lab::down(false)?;
    let ours = [lab.state(), lab.run()].map(|dir| dir.display().to_string());
    let names_us = |text: &str| ours.iter().any(|dir| text.contains(dir));
    let namespaces: Vec<_> =
        fs::read_dir("/run/netns").into_iter().flatten().flatten().map(|e| e.file_name()).collect();
    let left = namespaces.iter().any(|name| name.to_string_lossy().starts_with("kuryr-"));
    ensure!(!left, "network namespaces are left: {namespaces:?}");
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let mounts: Vec<_> = mounts.lines().filter(|line| names_us(line)).collect();
    ensure!(mounts.is_empty(), "mounts are left: {mounts:?}");
    for process in fs::read_dir("/proc")?.flatten() {
        let line = fs::read_to_string(process.path().join("cmdline")).unwrap_or_default().replace('\0', " ");
        ensure!(!names_us(&line), "process {} is left: {line}", process.file_name().display());
    }
    Ok(())
}

impl Layer {
    const fn needs_lab(self) -> bool {
        matches!(self, Self::Contract | Self::E2e)
    }

    fn run(self, tally: &mut Tally, args: &Args) {
        match self {
            Self::Checks => checks(tally),
            Self::Unit => {
                let mut cargo = cargo(&["test", "--workspace", "--no-fail-fast"]);
                tally.tests("unit, property and datapath tests", with_args(&mut cargo, args, &[]));
            }
            Self::Contract => contract(tally, args),
            Self::Integration => integration(tally, args),
            Self::E2e => {
                tally.tests("the lab itself", with_args(&mut programs(&["live"]), args, &[]));
                let mut command = match e2e_programs() {
                    Ok(names) => programs(&names),
                    Err(error) => return tally.check("end to end", || Err(error)),
                };
                command.env(RUNNER, control_runner());
                tally.tests("end to end", with_args(&mut command, args, &["--test-threads=1", "--nocapture"]));
            }
        }
    }
}

/// Cargo's setting for a program that starts the tests: inside the lab's control network namespace, where every API can
/// be reached.
const RUNNER: &str = "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER";

/// The contract tests that pass with the rights that Kuryr itself has.
const KURYRS_RIGHTS: [&str; 10] = [
    "atomic::",
    "floating_ips::",
    "groups::",
    "lists::",
    "lookups::",
    "octavia_",
    "ports::",
    "refusals::",
    "rules::",
    "wire::",
];

/// The OpenStack client on the lab's services: as administrator, and with the rights that Kuryr itself has.
fn contract(tally: &mut Tally, args: &Args) {
    let Ok(lab) = Lab::open() else { return };
    for (cloud, filters) in [("admin", &[][..]), ("kuryr-appcred", &KURYRS_RIGHTS)] {
        let mut command = programs(&["contract"]);
        command.env(RUNNER, control_runner()).env("OS_CLIENT_CONFIG_FILE", openstack::clouds_file(&lab));
        tally.tests(
            &format!("OpenStack contract as {cloud}"),
            with_args(command.env("KURYR_CONTRACT_CLOUD", cloud), args, filters),
        );
    }
}

/// The controller and the daemon on API servers of their own.
fn integration(tally: &mut Tally, args: &Args) {
    println!("\n== integration");
    let install = || install::install(&Directories::from_env().cache, false).map(drop);
    tally.check("kube-apiserver and etcd are there", install);
    // These tests mostly wait: more of them at a time than there are cores.
    let at_a_time = ["--test-threads=6", "--skip=leader::"];
    tally.tests("the controller", with_args(&mut programs(&["integration"]), args, &at_a_time));
    // A Lease of some seconds is lost by who gets no processor: these run alone.
    let alone = ["--test-threads=1", "leader::"];
    tally.tests("the leader", with_args(&mut programs(&["integration"]), args, &alone));
    tally.tests("the daemon", with_args(&mut programs(&["api_server"]), args, &[]));
}

/// Programs of tests, most of them behind the feature `lab` of their package. The workspace is built as a whole, as it is for the unit tests: of a single
/// package, what it depends on would have other features, and be built anew for each layer.
fn programs<S: AsRef<str>>(names: &[S]) -> Command {
    let mut command = cargo(&["test", "--workspace", "--features", WITH_LAB, "--no-fail-fast"]);
    names.iter().for_each(|name| _ = command.args(["--test", name.as_ref()]));
    command
}

/// Features of the tests that need more than a plain machine.
const WITH_LAB: &str = "kuryr-controller/lab,kuryr-daemon/lab,kuryr-e2e/lab,kuryr-lab/lab";

/// The names of all end to end tests' programs.
fn e2e_programs() -> Result<Vec<String>> {
    let dir = install::work_tree().join("e2e/tests");
    let entries = fs::read_dir(&dir).with_context(|| format!("reading {}", dir.display()))?;
    let mut names: Vec<String> =
        entries.flatten().filter_map(|entry| Some(entry.path().file_stem()?.to_str()?.to_owned())).collect();
    names.sort();
    Ok(names)
}

/// Adds the test program's own arguments; a filter of the user's goes before ours.
fn with_args<'a>(cargo: &'a mut Command, args: &Args, test_args: &[&str]) -> &'a mut Command {
    cargo.arg("--");
    match &args.filter {
        Some(filter) => cargo.arg(filter).args(test_args.iter().filter(|arg| arg.starts_with("--"))),
        None => cargo.args(test_args),
    }
}

fn checks(tally: &mut Tally) {
    println!("== checks");
    tally.check("formatting", || succeed(&mut cargo(&["fmt", "--all", "--check"])));
    tally.check("the CRDs in deploy/crds are current", crate::crds::check);
    tally.check("clippy", || {
        succeed(&mut cargo(&[
            "clippy",
            "--quiet",
            "--workspace",
            "--all-targets",
            "--all-features",
            "--",
            "-D",
            "warnings",
        ]))
    });
    tally.check("docs", || {
        succeed(cargo(&["doc", "--quiet", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))
    });
    tally.check("licences, bans, sources", || {
        // It reads the manifests of all crates, also of those that are built for other platforms only.
        succeed(&mut cargo(&["fetch", "--quiet", "--locked"]))?;
        succeed(tools::command("cargo-deny")?.args([
            "--offline",
            "check",
            "--hide-inclusion-graph",
            "licenses",
            "bans",
            "sources",
        ]))
    });
    tally.check("unused dependencies", || succeed(&mut tools::command("cargo-shear")?));
}
