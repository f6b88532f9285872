//! The versioned cache: each artefact has a folder whose name holds a hash of everything that it is made from.

use std::{
    fs::{self, File},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, anyhow};
use nix::fcntl::{Flock, FlockArg};
use sha2::{Digest, Sha256};

use super::progress::Report;

/// Written last, so that a folder without it is known to be unfinished.
const MARKER: &str = ".complete";

/// One thing in the cache, there or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artefact {
    dir: PathBuf,
}

impl Artefact {
    /// The artefact `name` (for example `kubernetes-v1.36.3`) that is made from these inputs.
    pub fn new(cache: &Path, name: &str, inputs: &[&str]) -> Self {
        Self { dir: cache.join(format!("{name}-{}", digest(inputs))) }
    }

    /// Where it is, or will be.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether it is there and whole.
    pub fn is_complete(&self) -> bool {
        self.dir.join(MARKER).exists()
    }

    /// Makes the artefact in its folder unless it is there. What an interrupted attempt left is removed first; when
    /// another process is making it, its result is awaited. Returns whether anything had to be done.
    ///
    /// # Errors
    /// Those of `make`, and when the cache can't be written.
    pub fn make(&self, report: &Report, make: impl FnOnce(&Path) -> Result<()>) -> Result<bool> {
        if self.is_complete() {
            return Ok(false);
        }
        // Not `with_extension`: the name has dots of its own.
        let lock_file = PathBuf::from(format!("{}.lock", self.dir.display()));
        let _lock = lock(&lock_file, report)?;
        if self.is_complete() {
            return Ok(false);
        }
        if self.dir.exists() {
            fs::remove_dir_all(&self.dir).with_context(|| format!("removing the unfinished {}", self.dir.display()))?;
        }
        fs::create_dir_all(&self.dir).with_context(|| format!("making {}", self.dir.display()))?;
        make(&self.dir)?;
        let marker = self.dir.join(MARKER);
        fs::write(&marker, "").with_context(|| format!("writing {}", marker.display()))?;
        Ok(true)
    }
}

/// Takes an exclusive lock on a file, and waits while another process has it. Dropping the answer gives it back.
///
/// # Errors
/// When the file can't be made or locked.
pub fn lock(file: &Path, report: &Report) -> Result<Flock<OwnedFd>> {
    if let Some(dir) = file.parent() {
        fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
    }
    let open = || -> Result<OwnedFd> {
        Ok(File::create(file).with_context(|| format!("making the lock {}", file.display()))?.into())
    };
    match Flock::lock(open()?, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(lock),
        Err((_, nix::Error::EWOULDBLOCK)) => {
            report.note("another process is at it, waiting");
            Flock::lock(open()?, FlockArg::LockExclusive).map_err(|(_, e)| anyhow!("locking {}: {e}", file.display()))
        }
        Err((_, e)) => Err(anyhow!("locking {}: {e}", file.display())),
    }
}

/// A short hash of texts; ("a", "bc") and ("ab", "c") differ.
fn digest(inputs: &[&str]) -> String {
    let mut hash = Sha256::new();
    for input in inputs {
        hash.update(input.len().to_le_bytes());
        hash.update(input.as_bytes());
    }
    hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::bail;

    #[test]
    fn other_inputs_make_another_folder() {
        let cache = Path::new("/cache");
        let one = Artefact::new(cache, "x", &["a", "bc"]);
        assert_eq!(one, Artefact::new(cache, "x", &["a", "bc"]));
        assert_ne!(one, Artefact::new(cache, "x", &["ab", "c"]));
        assert_ne!(one, Artefact::new(cache, "y", &["a", "bc"]));
    }

    #[test]
    fn an_interrupted_attempt_is_done_again_from_nothing() {
        let cache = tempfile::tempdir().unwrap();
        let artefact = Artefact::new(cache.path(), "x", &["1"]);
        let report = Report::silent("x");
        artefact
            .make(&report, |dir| {
                fs::write(dir.join("half"), "")?;
                bail!("interrupted")
            })
            .unwrap_err();
        assert!(!artefact.is_complete());

        let mut found_half = true;
        let check = |dir: &Path| {
            found_half = dir.join("half").exists();
            Ok(())
        };
        assert!(artefact.make(&report, check).unwrap());
        assert!(!found_half && artefact.is_complete());
        assert!(!artefact.make(&report, |_| bail!("must not be made twice")).unwrap());
    }

    #[test]
    fn two_at_once_make_it_once() {
        let cache = tempfile::tempdir().unwrap();
        let artefact = Artefact::new(cache.path(), "x", &["1"]);
        let made = std::thread::scope(|scope| {
            let tries: Vec<_> =
                (0..4).map(|_| scope.spawn(|| artefact.make(&Report::silent("x"), |_| Ok(())).unwrap())).collect();
            tries.into_iter().map(|t| t.join().unwrap()).filter(|made| *made).count()
        });
        assert_eq!(made, 1);
    }
}
