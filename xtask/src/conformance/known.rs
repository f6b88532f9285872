//! The tests that can't pass on this lab, each with the reason. They run all the same, and count as failed.

/// A part of the test's name, and why it fails.
const KNOWN: &[(&str, &str)] = &[];

/// Why the test of this name is known to fail.
pub fn reason(name: &str) -> Option<&'static str> {
    KNOWN.iter().find(|(part, _)| name.contains(part)).map(|(_, reason)| *reason)
}
