//! Files that the lab writes.

use std::{fs, path::Path};

use anyhow::{Context, Result};

/// Writes a file, with its directories, in one step; leaves it alone when it already says the same.
/// Returns whether it was written.
///
/// # Errors
/// When it can't be written.
pub fn write_if_changed(path: &Path, content: &str) -> Result<bool> {
    if fs::read_to_string(path).is_ok_and(|old| old == content) {
        return Ok(false);
    }
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).with_context(|| format!("making the directory {}", dir.display()))?;
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let draft = path.with_file_name(name);
    fs::write(&draft, content).with_context(|| format!("writing {}", draft.display()))?;
    fs::rename(&draft, path).with_context(|| format!("writing {}", path.display()))?;
    Ok(true)
}
