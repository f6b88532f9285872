//! The images that Kubernetes' own tests ask for, made without a registry: Debian's packages in one tree, with the programs that the
//! images are named for. All images are this tree; they differ in what their containers run.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::Command,
};

use anyhow::{Context, Result, bail};

use super::{
    command::run,
    debian::{self, Release},
    go,
    image::{self, Image},
    progress::Report,
    versions::Versions,
};

/// Name of the archive in its folder.
pub(super) const ARCHIVE: &str = "images.tar";

/// Name of the list of the images' names, a line each.
pub(super) const NAMES: &str = "names";

/// Counted up when the content changes other than by its inputs.
pub(super) const RECIPE: &str = "2";

/// Whose images are made. Others can't be had, on purpose: tests want to see a pull fail.
const REGISTRY: &str = "registry.k8s.io/";

/// Where programs are looked for.
const PATH: [&str; 4] = ["usr/sbin", "usr/bin", "sbin", "bin"];

/// What Debian's maintainer scripts would have written.
const FILES: [(&str, &str); 5] = [
    (
        "etc/passwd",
        "root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33:www-data:/var/www:/bin/false\n\
         user-defined-in-image:x:1000:1000::/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    ),
    (
        "etc/group",
        "root:x:0:\nwww-data:x:33:\nuser-defined-in-image:x:1000:\n\
         group-defined-in-image:x:50000:user-defined-in-image\nnogroup:x:65534:\n",
    ),
    ("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"),
    ("etc/nginx/sites-enabled/default", "server { listen 80 default_server; root /var/www/html; }\n"),
    ("var/www/html/index.html", "nginx\n"),
];

/// Links that Debian's maintainer scripts would have made.
const LINKS: [(&str, &str); 3] = [("bin/sh", "dash"), ("bin/nc", "nc.openbsd"), ("agnhost-2", "agnhost")];

/// The certificate that `agnhost porter` serves, from its sources.
const CERTIFICATE: [&str; 2] = ["localhost.crt", "localhost.key"];

/// What the user doesn't miss.
const SURPLUS: [&str; 4] = ["usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info"];

/// What is put into the tree and asked for names.
#[derive(Debug, Clone, Copy)]
pub(super) struct Programs<'a> {
    /// `e2e.test`, which knows what it asks for.
    pub tests: &'a Path,
    /// `agnhost`.
    pub agnhost: &'a Path,
}

/// Writes the archive and the list of names into `dir`.
///
/// # Errors
/// When a package can't be had.
pub(super) fn build(dir: &Path, programs: &Programs<'_>, log: &Path, report: &Report) -> Result<()> {
    let asked = run(Command::new(programs.tests).arg("--list-images"), log, "the names of the tests' images")?;
    let images = images(&asked);
    if images.is_empty() {
        bail!("{} --list-images names no image that can be made", programs.tests.display());
    }
    report.note("unpacking Debian's packages");
    let (scratch, root) = (dir.join("scratch"), dir.join("root"));
    let packages: Vec<&str> = Versions::get()?.test_images.keys().map(String::as_str).collect();
    debian::unpack(&packages, Release::Installed, &scratch, &root, log)?;
    finish(&root, programs.agnhost, log)?;
    let sources = go::kubernetes_sources(&scratch, log)?.join("test/images/agnhost/porter");
    for name in CERTIFICATE {
        let file = sources.join(name);
        write(&root.join(name), &fs::read(&file).with_context(|| format!("reading {}", file.display()))?)?;
    }

    report.note("packing the tree");
    let file = scratch.join("layer.tar");
    let mut tar = Command::new("tar");
    tar.args(["--create", "--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner", "--file"]);
    run(tar.arg(&file).arg("--directory").arg(&root).arg("."), log, "the tests' images")?;
    let layer = fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
    let names: String = images.iter().flat_map(|image| &image.names).map(|name| format!("{name}\n")).collect();
    write(&dir.join(ARCHIVE), &image::archive(&layer, &images)?)?;
    write(&dir.join(NAMES), names.as_bytes())?;
    for dir in [&scratch, &root] {
        fs::remove_dir_all(dir).with_context(|| format!("removing {}", dir.display()))?;
    }
    Ok(())
}

/// The images that are made, of those that are asked for.
fn images(asked: &str) -> Vec<Image> {
    let mut images: Vec<Image> = asked.lines().filter_map(|line| image(line.trim())).collect();
    images.sort_by(|a, b| a.names.cmp(&b.names));
    images.dedup();
    images
}

/// The image of this name, if it is made.
fn image(name: &str) -> Option<Image> {
    let (kind, _) = name.strip_prefix(REGISTRY)?.rsplit('/').next()?.split_once(':')?;
    let (entry, command): (&[&str], &[&str]) = match kind {
        "agnhost" => (&["/agnhost"], &["pause"]),
        "pause" => (&["/agnhost", "pause"], &[]),
        "busybox" => (&[], &["sh"]),
        "glibc-dns-testing" => (&[], &["bash"]),
        "nginx" => (&[], &["nginx", "-g", "daemon off;"]),
        _ => return None,
    };
    let owned = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
    Some(Image {
        names: vec![name.to_owned()],
        entry: owned(entry),
        command: owned(command),
        path: "/usr/sbin:/usr/bin:/sbin:/bin",
    })
}

/// Adds to the unpacked packages what makes a system of them.
fn finish(root: &Path, agnhost: &Path, log: &Path) -> Result<()> {
    for (name, text) in FILES {
        write(&root.join(name), text.as_bytes())?;
    }
    let program = root.join("agnhost");
    fs::copy(agnhost, &program).with_context(|| format!("copying {}", agnhost.display()))?;
    fs::set_permissions(&program, Permissions::from_mode(0o755))
        .with_context(|| format!("making {} a program", program.display()))?;
    for (name, target) in LINKS {
        link(root, name, target)?;
    }
    let commands = run(Command::new(root.join("bin/busybox")).arg("--list"), log, "the list of BusyBox' commands")?;
    for command in commands.lines().filter(|command| PATH.iter().all(|dir| !there(&root.join(dir).join(command)))) {
        link(root, &format!("bin/{command}"), "busybox")?;
    }
    for dir in SURPLUS.map(|dir| root.join(dir)).iter().filter(|dir| dir.exists()) {
        fs::remove_dir_all(dir).with_context(|| format!("removing {}", dir.display()))?;
    }
    let uploads = root.join("uploads");
    fs::create_dir_all(&uploads).with_context(|| format!("making {}", uploads.display()))
}

/// Whether there is a file of this name, be it a link to nothing.
fn there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

fn link(root: &Path, name: &str, target: &str) -> Result<()> {
    let link = root.join(name);
    if there(&link) {
        fs::remove_file(&link).with_context(|| format!("replacing {}", link.display()))?;
    }
    symlink(target, &link).with_context(|| format!("linking {} to {target}", link.display()))
}

fn write(file: &Path, content: &[u8]) -> Result<()> {
    if let Some(dir) = file.parent() {
        fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
    }
    fs::write(file, content).with_context(|| format!("writing {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_images_that_can_be_made_are() {
        let asked = "gcr.io/k8s-authenticated-test/agnhost:2.6\n\
                     invalid.registry.k8s.io/invalid/alpine:3.1\n\
                     registry.k8s.io/pause:3.10.2\n\
                     registry.k8s.io/e2e-test-images/agnhost:2.63.0\n\
                     registry.k8s.io/e2e-test-images/agnhost:2.63.0\n\
                     registry.k8s.io/e2e-test-images/volume/nfs:1.6.0\n";
        let images = images(asked);
        let names: Vec<&str> = images.iter().flat_map(|image| &image.names).map(String::as_str).collect();
        assert_eq!(names, ["registry.k8s.io/e2e-test-images/agnhost:2.63.0", "registry.k8s.io/pause:3.10.2"]);
        assert_eq!(
            (images[0].entry.as_slice(), images[0].command.as_slice()),
            (&["/agnhost".to_owned()][..], &["pause".to_owned()][..])
        );
    }

    #[test]
    fn links_replace_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        for target in ["missing", "dash"] {
            link(dir.path(), "sh", target).unwrap();
            assert_eq!(fs::read_link(dir.path().join("sh")).unwrap(), Path::new(target));
        }
    }
}
