//! The logs of the components, read by tests and by people.

use std::{
    fs::{self, File},
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};

use crate::engine::{Lab, process};

/// A place in a log, to look later at what came since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Position(pub(crate) u64);

/// The log of one component.
#[derive(Debug, Clone)]
pub struct Log {
    path: PathBuf,
}

impl Log {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The end of the log as it is now.
    pub fn end(&self) -> Position {
        Position(fs::metadata(&self.path).map_or(0, |m| m.len()))
    }

    /// What was written since a position; all of it from `Position::default()`.
    ///
    /// # Errors
    /// When the file can't be read. A log that does not exist yet is empty.
    pub fn since(&self, from: Position) -> Result<String> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(String::new()),
            Err(e) => return Err(e).with_context(|| format!("opening the log {}", self.path.display())),
        };
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(from.0)).context("moving in the log")?;
        file.read_to_end(&mut bytes).with_context(|| format!("reading the log {}", self.path.display()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Waits until a text was written after a position; says whether it came in time.
    pub fn wait_for(&self, from: Position, text: &str, patience: Duration) -> bool {
        process::holds_within(patience, || self.since(from).is_ok_and(|new| new.contains(text)))
    }
}

impl Lab {
    /// The log of a component.
    pub fn log(&self, component: &str) -> Log {
        Log::new(self.log_file(component))
    }
}
