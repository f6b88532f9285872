//! The name under which this process holds the Lease.
//!
//! A process that was killed didn't give its Lease back; its successor under another name has to wait until it runs out. Where
//! the successor can be sure that its predecessor is dead, it takes over its name instead, and with it the Lease, at once. It
//! is sure by a file that a process has under an exclusive lock (`flock(2)`) as long as it lives: the kernel takes the lock off
//! when the process is gone, not before, whether it was killed or stands still. In a Pod the file lies in an `emptyDir`, which
//! outlives the container and belongs to this Pod alone.
//!
//! The file also says during which boot of the machine the name was made. Another machine that has got the file, with a disk
//! that was copied or by a shared folder, makes a name of its own.

use std::{
    fs::{File, OpenOptions, TryLockError, create_dir_all, read_to_string},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// Where Linux says which boot this is: a random UUID.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Longest name that is taken from a file, in bytes.
const LONGEST: usize = 253;

/// The name of this process, which nobody else has as long as this lives.
#[derive(Debug)]
pub struct Identity {
    name: String,
    _lock: Option<File>,
}

impl Identity {
    /// The name in the file, or a new one that is written there. Without a file, and where another process has it, a new one
    /// for this process alone.
    #[must_use]
    pub fn new(file: Option<&Path>) -> Self {
        let Some(path) = file else { return Self::random() };
        match Self::kept(path) {
            Ok(Some(identity)) => identity,
            Ok(None) => Self::random(),
            Err(error) => {
                let file = path.display();
                tracing::info!(%file, %error, "the identity can't be kept (controller.lease.identityFile): after a crash the next start waits for the Lease to run out");
                Self::random()
            }
        }
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A name that no other process has or will ever have.
    fn random() -> Self {
        let host = read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        Self { name: format!("{}_{:016x}", host.trim(), fastrand::u64(..)), _lock: None }
    }

    /// The name in the file. `None` when another process has the file.
    fn kept(path: &Path) -> io::Result<Option<Self>> {
        if let Some(folder) = path.parent() {
            create_dir_all(folder)?;
        }
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let boot = read_to_string(BOOT_ID)?;
        let mut text = String::new();
        // What isn't text is no name of ours.
        let _ = (&mut file).take(1024).read_to_string(&mut text);
        if let Some(name) = parse(&text, boot.trim()) {
            return Ok(Some(Self { name: name.to_owned(), _lock: Some(file) }));
        }
        let identity = Self { _lock: None, ..Self::random() };
        file.set_len(0)?;
        file.seek(SeekFrom::Start(0))?;
        writeln!(file, "{}\n{}", identity.name, boot.trim())?;
        Ok(Some(Self { name: identity.name, _lock: Some(file) }))
    }
}

/// The name that was written during this boot.
fn parse<'a>(text: &'a str, boot: &str) -> Option<&'a str> {
    let mut lines = text.lines();
    let (name, written) = (lines.next()?, lines.next()?);
    let is_name =
        !name.is_empty() && name.len() <= LONGEST && !name.chars().any(|c| c.is_control() || c.is_whitespace());
    (is_name && written == boot).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::write;

    #[test]
    fn a_successor_has_its_dead_predecessors_name_and_nobody_has_that_of_a_living_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("run/controller.identity");
        let first = Identity::new(Some(&file));
        let beside = Identity::new(Some(&file));
        assert_ne!(first.name(), beside.name());
        let name = first.name().to_owned();
        drop((first, beside));
        assert_eq!(Identity::new(Some(&file)).name(), name);
    }

    #[test]
    fn a_name_of_another_boot_and_nonsense_are_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("identity");
        for text in [&b"old\n11111111-2222-3333-4444-555555555555\n"[..], b"", b"\xff\xfe\n\n", b"a b\n"] {
            write(&file, text).unwrap();
            let new = Identity::new(Some(&file)).name().to_owned();
            assert_ne!(new, "old");
            assert_eq!(Identity::new(Some(&file)).name(), new, "it was written down");
        }
        assert_eq!(parse("a\nboot\n", "boot"), Some("a"));
        assert_eq!(parse("a b\nboot\n", "boot"), None);
    }

    #[test]
    fn without_a_usable_file_the_name_is_new_each_time() {
        assert_ne!(Identity::new(None).name(), Identity::new(None).name());
        assert_ne!(Identity::new(Some(Path::new("/proc/no/such"))).name(), Identity::new(None).name());
    }
}
