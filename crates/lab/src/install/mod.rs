//! Gets everything that the lab runs, from nothing, into the versioned cache.
//!
//! Debian packages come from apt, the OpenStack services from the Python index, Kubernetes, etcd, CoreDNS and the CNI
//! plugins from the Go module proxy, Kuryr from this work tree; the clients verify the checksums. `versions.toml` holds all
//! versions. What is there already is left alone; an interrupted step is done again.

mod cache;
mod command;
mod conformance;
mod debian;
mod go;
mod image;
mod kuryr;
pub mod progress;
mod python;
mod steps;
mod switch;
mod test_images;
mod versions;

use std::path::{Path, PathBuf};

use anyhow::Result;

pub use cache::Artefact;
pub use conformance::{Conformance, install as install_conformance};
pub use image::{AGNHOST_IMAGE, PAUSE_IMAGE};
pub use kuryr::work_tree;
use progress::{Progress, Report};
use steps::{Kind, Step};
use versions::{ORIGINAL_CONSTRAINTS, PYTHON_CONSTRAINTS, Versions};

/// Where the things are that [`install`] provides. Nothing of it needs to exist yet.
#[derive(Debug, Clone)]
pub struct Artefacts {
    cache: PathBuf,
    python: Artefact,
    original: Artefact,
    kubernetes: Artefact,
    coredns: Artefact,
    etcd: Artefact,
    cni: Artefact,
    image: Artefact,
    switch: Artefact,
    cluster_policies: Artefact,
}

impl Artefacts {
    /// The artefacts of the versions that this lab was written for, in this cache.
    ///
    /// # Errors
    /// When `versions.toml` can't be read.
    pub fn at(cache: &Path) -> Result<Self> {
        let versions = Versions::get()?;
        let requested = versions.python.packages.join(" ");
        let originals = versions.original.packages.join(" ");
        let (recipe, go) = (go::RECIPE, &versions.go);
        let interpreter = versions.python.interpreter.as_str();
        Ok(Self {
            cache: cache.to_owned(),
            python: Artefact::new(cache, "python", &[interpreter, &requested, PYTHON_CONSTRAINTS]),
            original: Artefact::new(cache, "original", &[interpreter, &originals, ORIGINAL_CONSTRAINTS]),
            kubernetes: Artefact::new(cache, &format!("kubernetes-{}", go.kubernetes), &[&go.kubernetes, recipe]),
            coredns: Artefact::new(cache, &format!("coredns-{}", go.coredns), &[&go.coredns, recipe]),
            etcd: Artefact::new(cache, &format!("etcd-{}", go.etcd), &[&go.etcd, recipe]),
            cni: Artefact::new(cache, &format!("cni-{}", go.cni_plugins), &[&go.cni_plugins, &go.cni, recipe]),
            image: Artefact::new(cache, "image", &[&go.kubernetes, recipe, image::RECIPE]),
            cluster_policies: Artefact::new(
                cache,
                &format!("network-policy-api-{}", go.network_policy_api),
                &[&go.network_policy_api, recipe],
            ),
            switch: Artefact::new(
                cache,
                "switch",
                &[&versions.switch.release, &versions.switch.package, switch::RECIPE],
            ),
        })
    }

    /// The virtual environment of the OpenStack services; its programs are in `bin`.
    pub fn venv(&self) -> &Path {
        self.python.dir()
    }

    /// The virtual environment of the original Kuryr, once [`install_original`] has made it.
    pub fn original(&self) -> &Path {
        self.original.dir()
    }

    /// A program of Kubernetes: `kube-apiserver`, `kube-controller-manager`, `kube-scheduler`, `kubelet`, `kubectl`.
    pub fn kubernetes(&self, program: &str) -> PathBuf {
        self.kubernetes.dir().join(program)
    }

    /// CoreDNS.
    pub fn coredns(&self) -> PathBuf {
        self.coredns.dir().join("coredns")
    }

    /// etcd, the store of Kubernetes.
    pub fn etcd(&self) -> PathBuf {
        self.etcd.dir().join("etcd")
    }

    /// A CNI reference plugin, `loopback`, `bridge` or `host-local`; or `cnitool`.
    pub fn cni_plugin(&self, name: &str) -> PathBuf {
        self.cni.dir().join(name)
    }

    /// The archive of the pods' image, imported as [`AGNHOST_IMAGE`] and [`PAUSE_IMAGE`].
    pub fn image(&self) -> PathBuf {
        self.image.dir().join(image::ARCHIVE)
    }

    /// The definition of ClusterNetworkPolicies, as its project releases it.
    pub fn cluster_policies(&self) -> PathBuf {
        self.cluster_policies.dir().join(go::CLUSTER_POLICIES)
    }

    /// The nodes' ovs-vswitchd.
    pub fn vswitchd(&self) -> PathBuf {
        self.switch.dir().join(switch::PROGRAM)
    }

    /// A program of Kuryr, `kuryr` or `kuryr-cni`, as last built by [`install`]. A file `NAME.sha256` beside it changes
    /// when the program does.
    pub fn kuryr(&self, program: &str) -> PathBuf {
        self.cache.join("kuryr").join(program)
    }
}

/// Installs and builds what is missing, independent steps at the same time, with a line per step on standard error.
///
/// # Errors
/// When a step fails; every failed step is told, with what it lacked and where its output is.
pub fn install(cache: &Path, with_kuryr: bool) -> Result<Artefacts> {
    let artefacts = Artefacts::at(cache)?;
    let mut steps = steps(&artefacts)?;
    if with_kuryr {
        steps.push(kuryr_step(&artefacts));
    }
    steps::run(&Progress::new(), &steps)?;
    Ok(artefacts)
}

/// Installs the original Kuryr in Python, which only the benchmarks need.
///
/// # Errors
/// As [`install`].
pub fn install_original(cache: &Path) -> Result<()> {
    let artefacts = Artefacts::at(cache)?;
    let version = Versions::get()?.original.packages.first().map_or("", String::as_str);
    let log = cache.join("log/original.log");
    let make = |dir: &Path, log: &Path, report: &Report| {
        let packages = &Versions::get()?.original.packages;
        python::build(
            &python::Contents { of: "the original Kuryr", packages, constraints: ORIGINAL_CONSTRAINTS },
            dir,
            log,
            report,
        )
    };
    let step = made("the original Kuryr", &[], Kind::Light, &artefacts.original, version, log, make);
    steps::run(&Progress::new(), &[step])
}

/// Builds Kuryr anew from the work tree, as [`install`] does with everything else.
///
/// # Errors
/// When it doesn't compile.
pub fn build_kuryr(cache: &Path) -> Result<()> {
    steps::run(&Progress::new(), &[Step { needs: &[], ..kuryr_step(&Artefacts::at(cache)?) }])
}

fn steps(artefacts: &Artefacts) -> Result<Vec<Step>> {
    let versions = Versions::get()?;
    let log = |step: &str| artefacts.cache.join("log").join(format!("{step}.log"));
    let cache = artefacts.cache.clone();
    let packages_log = log("packages");
    let packages = Step {
        name: "Debian packages",
        needs: &[],
        kind: Kind::Light,
        work: Box::new(move |report| {
            Ok(match debian::install(&cache, &packages_log, report)? {
                0 => "all there".to_owned(),
                count => format!("{count} installed"),
            })
        }),
    };
    let (go, kubernetes) = (&versions.go, artefacts.kubernetes("agnhost"));
    Ok(vec![
        packages,
        made(
            "Python packages",
            &["Debian packages"],
            Kind::Light,
            &artefacts.python,
            "OpenStack",
            log("python"),
            |dir, log, report| {
                let packages = &Versions::get()?.python.packages;
                python::build(
                    &python::Contents { of: "OpenStack", packages, constraints: PYTHON_CONSTRAINTS },
                    dir,
                    log,
                    report,
                )
            },
        ),
        made("Kubernetes", &[], Kind::Heavy, &artefacts.kubernetes, &go.kubernetes, log("kubernetes"), go::kubernetes),
        made("CoreDNS", &[], Kind::Heavy, &artefacts.coredns, &go.coredns, log("coredns"), go::coredns),
        made("etcd", &[], Kind::Heavy, &artefacts.etcd, &go.etcd, log("etcd"), go::etcd),
        made("CNI plugins", &[], Kind::Heavy, &artefacts.cni, &go.cni_plugins, log("cni"), go::cni),
        made(
            "ClusterNetworkPolicy",
            &[],
            Kind::Light,
            &artefacts.cluster_policies,
            &go.network_policy_api,
            log("cluster-policies"),
            go::cluster_policies,
        ),
        made(
            "pod image",
            &["Debian packages", "Kubernetes"],
            Kind::Light,
            &artefacts.image,
            AGNHOST_IMAGE,
            log("image"),
            move |dir, log, report| image::build(dir, &kubernetes, log, report),
        ),
        made(
            "Open vSwitch",
            &["Debian packages"],
            Kind::Light,
            &artefacts.switch,
            &versions.switch.release,
            log("switch"),
            switch::build,
        ),
    ])
}

/// A step that makes an artefact, once.
fn made(
    name: &'static str,
    needs: &'static [&'static str],
    kind: Kind,
    artefact: &Artefact,
    version: &str,
    log: PathBuf,
    make: impl Fn(&Path, &Path, &Report) -> Result<()> + Send + Sync + 'static,
) -> Step {
    let (artefact, version) = (artefact.clone(), version.to_owned());
    let work = move |report: &Report| {
        let new = artefact.make(report, |dir| make(dir, &log, report))?;
        Ok(format!("{version} {}", if new { "made" } else { "in the cache" }))
    };
    Step { name, needs, kind, work: Box::new(work) }
}

/// Kuryr is always given to cargo, which knows best what has changed.
fn kuryr_step(artefacts: &Artefacts) -> Step {
    let (dir, log) = (artefacts.cache.join("kuryr"), artefacts.cache.join("log/kuryr.log"));
    let work = move |report: &Report| {
        kuryr::build(&dir, &log, report)?;
        Ok("built".to_owned())
    };
    Step { name: "Kuryr", needs: &["Debian packages"], kind: Kind::Heavy, work: Box::new(work) }
}
