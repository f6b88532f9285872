//! The pods' image, made without a container engine: BusyBox and Kubernetes' agnhost in one layer.
//!
//! The archive has the format of `docker save`, which `ctr images import` reads. Nothing in it depends on when or where
//! it was made.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result};
use serde_json::json;
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

use super::{command::run, progress::Report};

/// The image that tests run: `/agnhost` is the entry point, `pause` its argument; BusyBox's commands are in `/bin`.
pub const AGNHOST_IMAGE: &str = "docker.io/kuryr/agnhost:1";

/// The image of pod sandboxes. The same content under another name.
pub const PAUSE_IMAGE: &str = "docker.io/kuryr/pause:1";

/// Name of the archive in its folder.
pub const ARCHIVE: &str = "agnhost.tar";

/// Counted up when the archive's content changes other than by its inputs.
pub const RECIPE: &str = "1";

const BUSYBOX: &str = "/bin/busybox";

/// Writes the archive into `dir`.
///
/// # Errors
/// When BusyBox or agnhost can't be read.
pub fn build(dir: &Path, agnhost: &Path, log: &Path, report: &Report) -> Result<()> {
    report.note("an image of BusyBox and agnhost");
    let commands = run(Command::new(BUSYBOX).arg("--list"), log, "the list of BusyBox' commands")?;
    let read = |path: &Path| fs::read(path).with_context(|| format!("reading {}", path.display()));
    let layer = layer(&read(agnhost)?, &read(Path::new(BUSYBOX))?, commands.lines())?;
    let file = dir.join(ARCHIVE);
    fs::write(&file, archive(&layer, &[ours()])?).with_context(|| format!("writing {}", file.display()))
}

/// What an image is beside its layer: the names that it is imported under, and what its containers run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Image {
    /// The names, with tags.
    pub names: Vec<String>,
    /// The program.
    pub entry: Vec<String>,
    /// Its arguments, unless the pod says otherwise.
    pub command: Vec<String>,
    /// Where programs are looked for.
    pub path: &'static str,
}

/// The image of the lab's own pods.
fn ours() -> Image {
    Image {
        names: [AGNHOST_IMAGE, PAUSE_IMAGE].map(str::to_owned).into(),
        entry: vec!["/agnhost".to_owned()],
        command: vec!["pause".to_owned()],
        path: "/bin:/usr/bin",
    }
}

/// The image's only layer.
fn layer<'a>(agnhost: &[u8], busybox: &[u8], commands: impl Iterator<Item = &'a str>) -> Result<Vec<u8>> {
    let mut tar = Builder::new(Vec::new());
    for dir in ["bin", "dev", "etc", "proc", "root", "sys", "tmp", "usr", "usr/bin", "var"] {
        let mode = if dir == "tmp" { 0o1777 } else { 0o755 };
        tar.append_data(&mut header(EntryType::Directory, mode, 0), dir, std::io::empty())
            .with_context(|| format!("adding {dir} to the image"))?;
    }
    let users = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n";
    add(&mut tar, "etc/passwd", 0o644, users.as_bytes())?;
    add(&mut tar, "etc/group", 0o644, b"root:x:0:\nnogroup:x:65534:\n")?;
    add(&mut tar, "agnhost", 0o755, agnhost)?;
    add(&mut tar, "bin/busybox", 0o755, busybox)?;
    for command in commands.filter(|name| *name != "busybox") {
        tar.append_link(&mut header(EntryType::Symlink, 0o777, 0), format!("bin/{command}"), "busybox")
            .with_context(|| format!("adding {command} to the image"))?;
    }
    tar.into_inner().context("closing the image's layer")
}

/// The archive of these images, which share their only layer: the layer, a configuration each, and the manifest.
pub(super) fn archive(layer: &[u8], images: &[Image]) -> Result<Vec<u8>> {
    let layer_hash = hex(layer);
    let layer_name = format!("{layer_hash}/layer.tar");
    let mut tar = Builder::new(Vec::with_capacity(layer.len() + (1 << 20)));
    add(&mut tar, &layer_name, 0o644, layer)?;
    let mut manifest = Vec::new();
    for image in images {
        let config = json!({
            "architecture": "amd64",
            "os": "linux",
            "config": {
                "Entrypoint": image.entry,
                "Cmd": image.command,
                "Env": [format!("PATH={}", image.path)],
            },
            "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{layer_hash}")] },
            "history": [{ "created_by": "Kuryr's lab" }],
        })
        .to_string();
        let config_name = format!("{}.json", hex(config.as_bytes()));
        add(&mut tar, &config_name, 0o644, config.as_bytes())?;
        manifest.push(json!({ "Config": config_name, "RepoTags": image.names, "Layers": [layer_name] }));
    }
    add(&mut tar, "manifest.json", 0o644, json!(manifest).to_string().as_bytes())?;
    tar.into_inner().context("closing the image's archive")
}

fn add(tar: &mut Builder<Vec<u8>>, name: &str, mode: u32, content: &[u8]) -> Result<()> {
    let size = u64::try_from(content.len())?;
    tar.append_data(&mut header(EntryType::Regular, mode, size), name, content)
        .with_context(|| format!("adding {name} to the image"))
}

/// The head of an entry, with no owner and no time.
fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

fn hex(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, io::Read};

    use super::*;

    fn mk_layer() -> Vec<u8> {
        layer(b"agnhost's content", b"busybox's content", ["busybox", "ls", "sh"].into_iter()).unwrap()
    }

    fn entries(archive: &[u8]) -> BTreeMap<String, (Header, Vec<u8>)> {
        let mut found = BTreeMap::new();
        for entry in tar::Archive::new(archive).entries().unwrap() {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().display().to_string();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            found.insert(name, (entry.header().clone(), content));
        }
        found
    }

    #[test]
    fn the_layer_holds_the_programs_and_a_link_per_command() {
        let entries = entries(&mk_layer());
        assert_eq!(entries["agnhost"].1, b"agnhost's content");
        assert_eq!(entries["agnhost"].0.mode().unwrap(), 0o755);
        assert_eq!(entries["bin/sh"].0.link_name().unwrap().unwrap().display().to_string(), "busybox");
        assert_eq!(entries["bin/busybox"].0.entry_type(), EntryType::Regular);
        let tmp = entries.iter().find(|(name, _)| name.trim_end_matches('/') == "tmp").unwrap();
        assert_eq!(tmp.1.0.mode().unwrap(), 0o1777);
    }

    #[test]
    fn the_manifest_names_what_is_in_the_archive_by_its_hash() {
        let layer = mk_layer();
        let entries = entries(&archive(&layer, &[ours()]).unwrap());
        let manifest: serde_json::Value = serde_json::from_slice(&entries["manifest.json"].1).unwrap();
        assert_eq!(manifest[0]["RepoTags"], json!([AGNHOST_IMAGE, PAUSE_IMAGE]));
        assert_eq!(entries[manifest[0]["Layers"][0].as_str().unwrap()].1, layer);
        let config = &entries[manifest[0]["Config"].as_str().unwrap()].1;
        assert_eq!(manifest[0]["Config"], format!("{}.json", hex(config)));
        let config: serde_json::Value = serde_json::from_slice(config).unwrap();
        assert_eq!(config["rootfs"]["diff_ids"][0], format!("sha256:{}", hex(&layer)));
    }

    #[test]
    fn the_same_content_makes_the_same_archive() {
        let archive = || archive(&mk_layer(), &[ours()]).unwrap();
        assert_eq!(archive(), archive());
    }
}
