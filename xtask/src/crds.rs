//! `cargo xtask crds`: the custom resource definitions, from the types in crates/api.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use clap::Args;

/// Where the files are, from the work tree's root.
const DIRECTORY: &str = "deploy/crds";

/// Options of `cargo xtask crds`.
#[derive(Debug, Args)]
pub struct Options {
    /// Only check that the files are current.
    #[arg(long)]
    check: bool,
}

/// Writes the files, or checks them.
pub fn run(options: &Options) -> Result<()> {
    let directory = root().join(DIRECTORY);
    let wanted = definitions()?;
    let differing = differing(&directory, &wanted);
    if options.check {
        if !differing.is_empty() {
            bail!("not current: {}; run `cargo xtask crds` and commit the result", differing.join(", "));
        }
        println!("{DIRECTORY} is current");
        return Ok(());
    }
    fs::create_dir_all(&directory).with_context(|| format!("making {}", directory.display()))?;
    for name in &differing {
        let file = directory.join(name);
        match wanted.get(name) {
            Some(text) => fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?,
            None => fs::remove_file(&file).with_context(|| format!("removing {}", file.display()))?,
        }
        println!("{DIRECTORY}/{name}");
    }
    if differing.is_empty() {
        println!("{DIRECTORY} was current already");
    }
    Ok(())
}

/// Checks that the files are current.
pub fn check() -> Result<()> {
    run(&Options { check: true })
}

/// The work tree that cargo runs this program for. (Several clones may share one target folder, so the one that it was built
/// from is only the second choice.)
pub fn root() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&package).parent().unwrap_or(Path::new(".")).to_owned()
}

/// The content of each file, by its name.
fn definitions() -> Result<BTreeMap<String, String>> {
    kuryr_api::all_crds()
        .into_iter()
        .map(|definition| {
            let name = format!("{}.yaml", definition.spec.names.plural);
            let yaml = serde_saphyr::to_string(&definition).with_context(|| format!("writing {name}"))?;
            Ok((name, format!("# Made by `cargo xtask crds` from the types in crates/api. Don't edit.\n{yaml}")))
        })
        .collect()
}

/// The names of the files that are missing, old, or of a kind that is no more.
fn differing(directory: &Path, wanted: &BTreeMap<String, String>) -> Vec<String> {
    let present: BTreeMap<String, String> = fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, fs::read_to_string(entry.path()).ok()?)))
        .filter(|(name, _)| name.ends_with(".yaml"))
        .collect();
    let mut names: Vec<String> =
        wanted.keys().chain(present.keys()).filter(|name| wanted.get(*name) != present.get(*name)).cloned().collect();
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_missing_and_surplus_files_differ() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        for (name, text) in [("current.yaml", "1"), ("old.yaml", "1"), ("surplus.yaml", "1"), ("README.md", "1")] {
            fs::write(dir.path().join(name), text).unwrap();
        }
        let wanted = BTreeMap::from([file("current.yaml", "1"), file("old.yaml", "2"), file("missing.yaml", "1")]);
        assert_eq!(differing(dir.path(), &wanted), ["missing.yaml", "old.yaml", "surplus.yaml"]);
    }

    #[test]
    fn what_is_written_is_what_the_api_server_would_read() {
        for text in definitions().unwrap().values() {
            let read: serde_json::Value = serde_saphyr::from_str(text).unwrap();
            assert_eq!(read["kind"], "CustomResourceDefinition");
            assert_eq!(read["spec"]["group"], "kuryr.openstack.org");
        }
    }
}
