//! Programs built from Go modules: Kubernetes and its tests, etcd, CoreDNS, the CNI reference plugins.
//!
//! Each is built in a small module of its own that requires the wanted version, so that the module proxy and the
//! checksum database are the only sources, and Go's minimal version selection makes the result the same everywhere.

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use serde::Deserialize;

use super::{command::run, progress::Report, versions::Versions};

/// The programs of Kubernetes: their packages below `k8s.io/kubernetes`, largest first.
pub const KUBERNETES: [&str; 6] = [
    "cmd/kube-apiserver",
    "cmd/kube-controller-manager",
    "cmd/kube-scheduler",
    "cmd/kubelet",
    "cmd/kubectl",
    "test/images/agnhost",
];

/// CoreDNS with the plugins that the lab's Corefile names and no other.
const COREDNS_MAIN: &str = r#"package main

import (
	"github.com/coredns/coredns/coremain"

	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/ready"
)

func main() { coremain.Run() }
"#;

/// The file with the definition of ClusterNetworkPolicies.
pub const CLUSTER_POLICIES: &str = "clusternetworkpolicies.yaml";

const KUBERNETES_MODULE: &str = "k8s.io/kubernetes";

/// The program with Kubernetes' own tests: its package below `k8s.io/kubernetes` has nothing but tests.
pub const TESTS: &str = "e2e.test";

/// What the tests need that the lab has no other use for.
pub const PROXY: &str = "kube-proxy";

/// As [`PROXY`]: the reference plugin that gives pods ports of their node.
pub const PORTMAP: &str = "portmap";

/// Counted up when the way of building changes, so that what was built before is built anew.
pub const RECIPE: &str = "1";

/// Builds the Kubernetes programs into `dir`.
///
/// # Errors
/// When a module can't be fetched or doesn't compile.
pub fn kubernetes(dir: &Path, log: &Path, report: &Report) -> Result<()> {
    let (module, flags) = kubernetes_build(dir, log, report)?;
    for package in KUBERNETES {
        let program = package.rsplit('/').next().unwrap_or(package);
        report.note(program);
        module.build(&dir.join(program), &format!("k8s.io/kubernetes/{package}"), &flags, program)?;
    }
    module.remove()
}

/// Builds Kubernetes' own tests, and the two programs that they count on, into `dir`.
///
/// # Errors
/// As [`kubernetes`].
pub fn tests(dir: &Path, log: &Path, report: &Report) -> Result<()> {
    let (module, flags) = kubernetes_build(dir, log, report)?;
    report.note(PROXY);
    module.build(&dir.join(PROXY), "k8s.io/kubernetes/cmd/kube-proxy", &flags, PROXY)?;
    report.note(TESTS);
    module.compile(&["test", "-c"], &dir.join(TESTS), "k8s.io/kubernetes/test/e2e", &flags, TESTS)?;
    module.remove()?;

    report.note(PORTMAP);
    let plugins = "github.com/containernetworking/plugins";
    let module = Build::new(dir, "portmap", log)?;
    module.write("go.mod", &module_of("portmap", &[(plugins, &Versions::get()?.go.cni_plugins)]))?;
    module.build(&dir.join(PORTMAP), &format!("{plugins}/plugins/meta/portmap"), "", PORTMAP)?;
    module.remove()
}

/// A module that builds what is of Kubernetes, and the linker's flags that tell the programs their version.
fn kubernetes_build<'a>(dir: &Path, log: &'a Path, report: &Report) -> Result<(Build<'a>, String)> {
    let version = &Versions::get()?.go.kubernetes;
    report.note("fetching the modules");
    let module = Build::new(dir, "kubernetes", log)?;
    let download = download(&module, KUBERNETES_MODULE, version)?;
    let go_mod = fs::read_to_string(&download.go_mod).with_context(|| format!("reading {}", download.go_mod))?;
    module.write("go.mod", &kubernetes_module(&go_mod, version))?;
    let minor = version.split('.').nth(1).unwrap_or_default();
    let set = "-X k8s.io/component-base/version.git";
    Ok((module, format!("{set}Version={version} {set}Major=1 {set}Minor={minor}")))
}

/// Fetches a module.
fn download(module: &Build<'_>, path: &str, version: &str) -> Result<Download> {
    let mut command = module.go(&["mod", "download", "-json", &format!("{path}@{version}")]);
    let described = run(&mut command, module.log, &format!("the Go module {path}"))?;
    serde_json::from_str(&described).context("reading the answer of `go mod download`")
}

/// The folder of Kubernetes' own sources, fetched where they are missing. `dir` is for what is needed meanwhile.
///
/// # Errors
/// When they can't be fetched.
pub fn kubernetes_sources(dir: &Path, log: &Path) -> Result<PathBuf> {
    let module = Build::new(dir, "kubernetes", log)?;
    let download = download(&module, KUBERNETES_MODULE, &Versions::get()?.go.kubernetes)?;
    module.remove()?;
    Ok(PathBuf::from(download.dir))
}

/// Puts the definition of ClusterNetworkPolicies, as its project releases it, into `dir` as [`CLUSTER_POLICIES`].
///
/// # Errors
/// When the module can't be fetched, or has no such file.
pub fn cluster_policies(dir: &Path, log: &Path, report: &Report) -> Result<()> {
    report.note("fetching the module");
    let module = Build::new(dir, "network-policy-api", log)?;
    let download = download(&module, "sigs.k8s.io/network-policy-api", &Versions::get()?.go.network_policy_api)?;
    let file =
        Path::new(&download.dir).join("config/crd/standard/policy.networking.k8s.io_clusternetworkpolicies.yaml");
    // Not a copy of the file, which nobody may write: of its text.
    let text = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
    let to = dir.join(CLUSTER_POLICIES);
    fs::write(&to, text).with_context(|| format!("writing {}", to.display()))?;
    module.remove()
}

/// Builds CoreDNS into `dir`.
///
/// # Errors
/// As [`kubernetes`].
pub fn coredns(dir: &Path, log: &Path, report: &Report) -> Result<()> {
    let version = &Versions::get()?.go.coredns;
    report.note("compiling");
    let module = Build::new(dir, "coredns", log)?;
    module.write("go.mod", &module_of("coredns", &[("github.com/coredns/coredns", version)]))?;
    module.write("main.go", COREDNS_MAIN)?;
    let flags = format!("-X github.com/coredns/coredns/coremain.GitCommit={version}");
    module.build(&dir.join("coredns"), ".", &flags, "CoreDNS")?;
    module.remove()
}

/// Builds etcd into `dir`. Debian's is too old for an API server to serve lists from its cache.
///
/// # Errors
/// As [`kubernetes`].
pub fn etcd(dir: &Path, log: &Path, report: &Report) -> Result<()> {
    let package = "go.etcd.io/etcd/server/v3";
    report.note("compiling");
    let module = Build::new(dir, "etcd", log)?;
    module.write("go.mod", &module_of("etcd", &[(package, &Versions::get()?.go.etcd)]))?;
    module.build(&dir.join("etcd"), package, "", "etcd")?;
    module.remove()
}

/// Builds the reference plugins that the lab uses, and cnitool, into `dir`.
///
/// # Errors
/// As [`kubernetes`].
pub fn cni(dir: &Path, log: &Path, report: &Report) -> Result<()> {
    let go = &Versions::get()?.go;
    report.note("compiling");
    let plugins = "github.com/containernetworking/plugins";
    let library = "github.com/containernetworking/cni";
    let module = Build::new(dir, "cni", log)?;
    module.write("go.mod", &module_of("cni", &[(plugins, &go.cni_plugins), (library, &go.cni)]))?;
    let packages = [
        ("loopback", format!("{plugins}/plugins/main/loopback")),
        ("bridge", format!("{plugins}/plugins/main/bridge")),
        ("host-local", format!("{plugins}/plugins/ipam/host-local")),
        ("cnitool", format!("{library}/cnitool")),
    ];
    for (program, package) in packages {
        module.build(&dir.join(program), &package, "", program)?;
    }
    module.remove()
}

/// The answer of `go mod download -json`.
#[derive(Deserialize)]
struct Download {
    #[serde(rename = "GoMod")]
    go_mod: String,
    #[serde(rename = "Dir")]
    dir: String,
}

/// A module that only exists to build others.
struct Build<'a> {
    source: PathBuf,
    log: &'a Path,
}

impl<'a> Build<'a> {
    fn new(dir: &Path, name: &str, log: &'a Path) -> Result<Self> {
        let build = Self { source: dir.join("source"), log };
        fs::create_dir_all(&build.source).with_context(|| format!("making {}", build.source.display()))?;
        build.write("go.mod", &module_of(name, &[]))?;
        Ok(build)
    }

    fn write(&self, file: &str, content: &str) -> Result<()> {
        let path = self.source.join(file);
        fs::write(&path, content).with_context(|| format!("writing {}", path.display()))
    }

    /// A go command in the module. The installed toolchain is used, never a downloaded one; checksums are verified.
    fn go(&self, args: &[&str]) -> Command {
        let mut command = Command::new("go");
        command
            .args(args)
            .current_dir(&self.source)
            .env("CGO_ENABLED", "0")
            .env("GOTOOLCHAIN", "local")
            .env("GOWORK", "off")
            .env("GOFLAGS", "-mod=mod -buildvcs=false");
        command
    }

    fn build(&self, to: &Path, package: &str, flags: &str, purpose: &str) -> Result<()> {
        self.compile(&["build"], to, package, flags, purpose)
    }

    /// As `build`, with another way of go's to make a program.
    fn compile(&self, how: &[&str], to: &Path, package: &str, flags: &str, purpose: &str) -> Result<()> {
        let flags = format!("-s -w {flags}");
        let to = to.to_string_lossy();
        let what = ["-trimpath", "-ldflags", &flags, "-o", &to, package];
        run(&mut self.go(&[how, &what].concat()), self.log, purpose).map(drop)
    }

    fn remove(self) -> Result<()> {
        fs::remove_dir_all(&self.source).with_context(|| format!("removing {}", self.source.display()))
    }
}

/// The text of a go.mod that requires these modules.
fn module_of(name: &str, required: &[(&str, &String)]) -> String {
    let mut text = format!("module kuryr.openstack.org/lab/{name}\n\ngo 1.26\n");
    for (module, version) in required {
        let _ = writeln!(text, "require {module} {version}");
    }
    text
}

/// The go.mod that builds Kubernetes: its own replaces its staging modules by local folders that the module's archive
/// does not hold, so each is replaced by its published version, `v0.MINOR.PATCH` for Kubernetes `v1.MINOR.PATCH`.
fn kubernetes_module(go_mod: &str, version: &String) -> String {
    let staged = format!("v0.{}", version.strip_prefix("v1.").unwrap_or(version));
    let mut text = module_of("kubernetes", &[("k8s.io/kubernetes", version)]);
    for line in go_mod.lines() {
        let line = line.trim();
        let line = line.strip_prefix("replace ").unwrap_or(line);
        if let Some((module, target)) = line.split_once(" => ")
            && target.starts_with("./staging/")
        {
            let _ = writeln!(text, "replace {module} => {module} {staged}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn staging_modules_are_replaced_by_their_published_versions() {
        let theirs = "module k8s.io/kubernetes\n\ngo 1.26.0\n\nreplace (\n\tk8s.io/api => ./staging/src/k8s.io/api\n\tother.org/x => other.org/y v1.0.0\n)\nreplace k8s.io/kms => ./staging/src/k8s.io/kms\n";
        let ours = kubernetes_module(theirs, &"v1.36.3".to_owned());
        assert!(ours.contains("require k8s.io/kubernetes v1.36.3\n"), "{ours}");
        assert!(ours.contains("replace k8s.io/api => k8s.io/api v0.36.3\n"), "{ours}");
        assert!(ours.contains("replace k8s.io/kms => k8s.io/kms v0.36.3\n"), "{ours}");
        assert!(!ours.contains("other.org"), "{ours}");
    }
}
