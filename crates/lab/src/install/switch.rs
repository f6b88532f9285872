//! The nodes' Open vSwitch from a later release of Debian, with the libraries of that release.
//!
//! The userspace datapath of Debian 12's Open vSwitch 3.1 aborts on an assertion about connection tracking
//! (`conn_update_state`) as soon as NAT meets connections in quick succession: once a minute under the tests of
//! NetworkPolicies, and each time a node is without network for a second. Later versions track connections otherwise.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use super::{
    debian::{self, Release},
    progress::Report,
    versions::Versions,
};

/// The program, in the artefact's folder: it starts the real one with the libraries beside it.
pub(super) const PROGRAM: &str = "ovs-vswitchd";

/// Counted up when the content changes other than by its inputs.
pub(super) const RECIPE: &str = "1";

/// Where Debian's package has the program.
const INSTALLED: &str = "usr/lib/openvswitch-switch/ovs-vswitchd";

/// Makes it in `dir`.
pub(super) fn build(dir: &Path, log: &Path, report: &Report) -> Result<()> {
    let wanted = &Versions::get()?.switch;
    report.note(&format!("unpacking {}", wanted.package));
    let (meanwhile, root) = (dir.join("meanwhile"), dir.join("root"));
    debian::unpack(&[&wanted.package], Release::Other(&wanted.release), &meanwhile, &root, log)?;
    fs::remove_dir_all(&meanwhile).with_context(|| format!("removing {}", meanwhile.display()))?;
    let (loader, program) = (loader(&root.join("usr/lib"))?, root.join(INSTALLED));
    if !program.exists() {
        bail!("{} of Debian {} has no {INSTALLED}", wanted.package, wanted.release);
    }
    let libraries = loader.parent().unwrap_or(&root);
    let script = format!(
        "#!/bin/sh\nexec {} --library-path {} --argv0 {PROGRAM} {} \"$@\"\n",
        loader.display(),
        libraries.display(),
        program.display()
    );
    let file = dir.join(PROGRAM);
    fs::write(&file, script).with_context(|| format!("writing {}", file.display()))?;
    fs::set_permissions(&file, Permissions::from_mode(0o755)).with_context(|| format!("making {} run", file.display()))
}

/// The loader of the C library (`ld.so(8)`), which is beside it: `usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2`.
fn loader(lib: &Path) -> Result<PathBuf> {
    let is_loader = |path: &PathBuf| {
        path.file_name().is_some_and(|name| {
            let name = name.to_string_lossy();
            name.starts_with("ld-linux") && name.contains(".so.")
        })
    };
    let entries = |dir: &Path| fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let found =
        entries(lib).filter(|path| path.is_dir()).flat_map(|dir| entries(&dir).collect::<Vec<_>>()).find(is_loader);
    found.with_context(|| format!("there is no loader in the folders of {}", lib.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loader_is_beside_the_c_library_of_whatever_machine() {
        let lib = tempfile::tempdir().unwrap();
        loader(lib.path()).unwrap_err();
        let dir = lib.path().join("aarch64-linux-gnu");
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("libc.so.6"), "").unwrap();
        fs::write(dir.join("ld-linux-aarch64.so.1"), "").unwrap();
        assert_eq!(loader(lib.path()).unwrap(), dir.join("ld-linux-aarch64.so.1"));
    }
}
