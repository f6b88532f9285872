//! What `cargo xtask conformance` takes beside the lab: Kubernetes' own tests, the programs that they count on, and images under the
//! names that they ask for. Nothing else needs it, so it isn't installed with the rest.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use super::{
    Artefacts,
    cache::Artefact,
    go, made,
    progress::Progress,
    steps::{self, Kind},
    test_images,
    versions::Versions,
};

/// Where the things are that [`install`] provides.
#[derive(Debug, Clone)]
pub struct Conformance {
    programs: Artefact,
    images: Artefact,
}

impl Conformance {
    /// Those of the versions that this lab was written for, in this cache.
    ///
    /// # Errors
    /// When `versions.toml` can't be read.
    pub fn at(cache: &Path) -> Result<Self> {
        let versions = Versions::get()?;
        let (kubernetes, plugins) = (&versions.go.kubernetes, &versions.go.cni_plugins);
        let packages = versions.test_images.keys().map(String::as_str).collect::<Vec<_>>().join(" ");
        Ok(Self {
            programs: Artefact::new(cache, &format!("conformance-{kubernetes}"), &[kubernetes, plugins, go::RECIPE]),
            images: Artefact::new(cache, "test-images", &[kubernetes, go::RECIPE, &packages, test_images::RECIPE]),
        })
    }

    /// The version of Kubernetes whose tests they are.
    ///
    /// # Errors
    /// As [`at`](Self::at).
    pub fn version() -> Result<&'static str> {
        Ok(&Versions::get()?.go.kubernetes)
    }

    /// `e2e.test`.
    pub fn tests(&self) -> PathBuf {
        self.programs.dir().join(go::TESTS)
    }

    /// `kube-proxy`.
    pub fn proxy(&self) -> PathBuf {
        self.programs.dir().join(go::PROXY)
    }

    /// The CNI plugin `portmap`.
    pub fn portmap(&self) -> PathBuf {
        self.programs.dir().join(go::PORTMAP)
    }

    /// The archive of the images.
    pub fn images(&self) -> PathBuf {
        self.images.dir().join(test_images::ARCHIVE)
    }

    /// The names of the images in it.
    ///
    /// # Errors
    /// When it isn't there.
    pub fn image_names(&self) -> Result<Vec<String>> {
        let file = self.images.dir().join(test_images::NAMES);
        let text = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        Ok(text.lines().map(str::to_owned).collect())
    }
}

/// Makes what is missing of it. The lab must be installed.
///
/// # Errors
/// When a step fails; the error tells what it lacked and where its output is.
pub fn install(cache: &Path) -> Result<Conformance> {
    let conformance = Conformance::at(cache)?;
    let log = |name: &str| cache.join("log").join(format!("{name}.log"));
    let (tests, agnhost) = (conformance.tests(), Artefacts::at(cache)?.kubernetes("agnhost"));
    let programs = made(
        "Kubernetes' tests",
        &[],
        Kind::Heavy,
        &conformance.programs,
        Conformance::version()?,
        log("conformance"),
        go::tests,
    );
    let images = made(
        "the tests' images",
        &["Kubernetes' tests"],
        Kind::Light,
        &conformance.images,
        "from Debian's packages",
        log("test-images"),
        move |dir, log, report| {
            test_images::build(dir, &test_images::Programs { tests: &tests, agnhost: &agnhost }, log, report)
        },
    );
    steps::run(&Progress::new(), &[programs, images])?;
    Ok(conformance)
}
