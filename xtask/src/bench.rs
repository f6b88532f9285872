//! `cargo xtask bench`: measurements on the lab.

use crate::programs;
use anyhow::Result;
use kuryr_lab::{engine::Directories, install};
use std::path::{Path, PathBuf};

/// What is to be measured.
#[derive(Debug, clap::Subcommand)]
pub enum Bench {
    /// From a pod's creation until it is Ready, and from its deletion until it is gone, in all ways to give it a network
    Pods {
        /// Which cases: floor, bridge, kuryr-cold, kuryr-warm, original-noop, original-pool
        #[arg(long, value_delimiter = ',', default_value = ALL_CASES)]
        cases: Vec<String>,
        /// How many pods at once
        #[arg(long, value_delimiter = ',', default_value = "1,5,20,40")]
        sizes: Vec<usize>,
        /// How often each case is measured; the cases take turns
        #[arg(long, default_value_t = 3)]
        rounds: u32,
        /// Write a list of records to this file
        #[arg(long)]
        json: Option<PathBuf>,
        /// Keep what the file already has of other cases and sizes, to measure them one after another
        #[arg(long, requires = "json")]
        merge: bool,
    },
    /// From a Service's creation until its VIP answers, and from a change of its endpoints until traffic follows, beside the same by
    /// plain requests to Octavia
    Services {
        /// Which cases: floor, kuryr, kuryr-selector
        #[arg(long, value_delimiter = ',', default_value = "floor,kuryr,kuryr-selector")]
        cases: Vec<String>,
        /// How many Services at once
        #[arg(long, value_delimiter = ',', default_value = "1,5,20")]
        sizes: Vec<usize>,
        /// How often each case is measured; the cases take turns
        #[arg(long, default_value_t = 3)]
        rounds: u32,
        /// Write a list of records to this file
        #[arg(long)]
        json: Option<PathBuf>,
    },
    /// From a NetworkPolicy's creation until it is enforced, and from a pod's new label until packets follow, beside the same by plain
    /// requests to Neutron
    Policies {
        /// Which cases: floor, kuryr
        #[arg(long, value_delimiter = ',', default_value = "floor,kuryr")]
        cases: Vec<String>,
        /// How many other policies there are, in rising steps
        #[arg(long, value_delimiter = ',', default_value = "10")]
        policies: Vec<usize>,
        /// How often each case is measured; the cases take turns
        #[arg(long, default_value_t = 5)]
        rounds: u32,
        /// Write a list of records to this file
        #[arg(long)]
        json: Option<PathBuf>,
    },
    /// The controller with thousands of pods, on an API server of its own and a cloud in memory: no lab is needed
    Scale {
        /// How many pods, in rising steps
        #[arg(long, value_delimiter = ',', default_value = "1000,10000")]
        pods: Vec<usize>,
        /// How many nodes
        #[arg(long, default_value_t = 500)]
        nodes: usize,
        /// How slow the cloud is, in parts of the lab's Neutron: 0 answers at once
        #[arg(long, default_value_t = 0.0)]
        latency: f64,
        /// Write a list of records to this file
        #[arg(long)]
        json: Option<PathBuf>,
    },
    /// What a pod or a policy costs among hundreds of policies and thousands of pods: seconds until Neutron has it, and requests. On an API
    /// server of its own and a cloud in memory: no lab is needed
    PoliciesScale {
        /// How many policies that aren't concerned, in rising steps
        #[arg(long, value_delimiter = ',', default_value = "10,100,500")]
        policies: Vec<usize>,
        /// How many pods that aren't concerned, in rising steps; at least 50
        #[arg(long, value_delimiter = ',', default_value = "50,500,5000")]
        pods: Vec<usize>,
        /// How many nodes
        #[arg(long, default_value_t = 50)]
        nodes: usize,
        /// How often each event is measured
        #[arg(long, default_value_t = 5)]
        rounds: u32,
        /// How slow the cloud is, in parts of the lab's Neutron: 0 answers at once
        #[arg(long, default_value_t = 0.0)]
        latency: f64,
        /// Write a list of records to this file
        #[arg(long)]
        json: Option<PathBuf>,
    },
    /// Pods that come and go as fast as the kubelets take them: failures, leaks, growth of memory, hits of the pools
    Churn {
        /// For how long
        #[arg(long, default_value_t = 10.0)]
        minutes: f64,
        /// How many pods are on their way at any time
        #[arg(long, default_value_t = 16)]
        pods: usize,
        /// Write a list with the record to this file
        #[arg(long)]
        json: Option<PathBuf>,
    },
    /// Every component of the lab is killed and started again, in random order, while pods come and go; then nothing may be lost,
    /// left over or unreachable
    Chaos {
        /// For how long; longer if not every component has been killed by then
        #[arg(long, default_value_t = 10.0)]
        minutes: f64,
        /// How many pods there are at any time
        #[arg(long, default_value_t = 12)]
        pods: usize,
        /// Repeat the order of the kills of the run that printed this seed
        #[arg(long)]
        seed: Option<u64>,
        /// Write a list with the record to this file
        #[arg(long)]
        json: Option<PathBuf>,
    },
}

const ALL_CASES: &str = "floor,bridge,kuryr-cold,kuryr-warm,original-noop,original-pool";

/// Runs a benchmark on the lab, which is brought up where it isn't.
pub fn run(bench: &Bench) -> Result<()> {
    match bench {
        Bench::Scale { pods, nodes, latency, json } => {
            let args =
                vec![format!("--pods={}", list(pods)), format!("--nodes={nodes}"), format!("--latency={latency}")];
            return without_lab("kuryr-scale", args, json.as_deref());
        }
        Bench::PoliciesScale { policies, pods, nodes, rounds, latency, json } => {
            let mut args = vec![format!("--policies={}", list(policies)), format!("--pods={}", list(pods))];
            args.extend([format!("--nodes={nodes}"), format!("--rounds={rounds}"), format!("--latency={latency}")]);
            return without_lab("kuryr-policy-scale", args, json.as_deref());
        }
        _ => {}
    }
    crate::lab::up(2, true)?;
    let (mut args, json) = match bench {
        Bench::Pods { cases, sizes, rounds, json, merge } => {
            if cases.iter().any(|case| case.starts_with("original")) {
                install::install_original(&Directories::from_env().cache)?;
            }
            let mut args = turns("pods", cases, sizes, *rounds);
            args.extend(merge.then(|| "--merge".to_owned()));
            (args, json)
        }
        Bench::Services { cases, sizes, rounds, json } => (turns("services", cases, sizes, *rounds), json),
        Bench::Policies { cases, policies, rounds, json } => {
            let args = vec![
                "policies".to_owned(),
                format!("--rounds={rounds}"),
                format!("--cases={}", cases.join(",")),
                format!("--policies={}", list(policies)),
            ];
            (args, json)
        }
        Bench::Churn { minutes, pods, json } => {
            (vec!["churn".to_owned(), format!("--minutes={minutes}"), format!("--pods={pods}")], json)
        }
        Bench::Chaos { minutes, pods, seed, json } => {
            let mut args = vec!["chaos".to_owned(), format!("--minutes={minutes}"), format!("--pods={pods}")];
            args.extend(seed.map(|seed| format!("--seed={seed}")));
            (args, json)
        }
        // They need no lab: see above.
        Bench::Scale { json, .. } | Bench::PoliciesScale { json, .. } => (Vec::new(), json),
    };
    if let Some(file) = json {
        args.push(format!("--json={}", std::path::absolute(file)?.display()));
    }
    programs::run_in_control("kuryr-bench", &args)
}

/// The arguments of a benchmark whose cases take turns.
fn turns(name: &str, cases: &[String], sizes: &[usize], rounds: u32) -> Vec<String> {
    vec![
        name.to_owned(),
        format!("--rounds={rounds}"),
        format!("--cases={}", cases.join(",")),
        format!("--sizes={}", list(sizes)),
    ]
}

/// Numbers as an option takes them.
fn list(numbers: &[usize]) -> String {
    numbers.iter().map(usize::to_string).collect::<Vec<_>>().join(",")
}

/// Installs Kubernetes and Kuryr where they are missing, and runs a program that has the rest of what it needs.
fn without_lab(program: &str, mut args: Vec<String>, json: Option<&Path>) -> Result<()> {
    let artefacts = install::install(&Directories::from_env().cache, true)?;
    args.push(format!("--kuryr={}", artefacts.kuryr("kuryr").display()));
    if let Some(file) = json {
        args.push(format!("--json={}", std::path::absolute(file)?.display()));
    }
    let run = ["run", "--quiet", "--release", "--package", "kuryr-e2e", "--bin", program, "--"];
    programs::succeed(programs::cargo(&run).args(args))
}
