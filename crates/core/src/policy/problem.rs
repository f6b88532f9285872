//! What is wrong with a policy's own words.

use std::fmt;

/// Something that a policy says and that can't be meant so. The API server refuses most of it; what comes through, because another version
/// of it knew more, makes the policy invalid: it isolates the pods that it selects, and allows nothing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The field, as in `spec.ingress[0].ports[1].endPort`.
    pub field: String,
    /// What it says.
    pub value: String,
    /// What must be there instead.
    pub wanted: &'static str,
}

/// Longest part of a value that is told: it ends up in conditions and Events, and anybody may write it.
const TOLD: usize = 80;

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { field, value, wanted } = self;
        let mut told: String = value.chars().take(TOLD).collect();
        if told.len() < value.len() {
            told.push_str("...");
        }
        write!(f, "{field} is `{}`, but must be {wanted}: the policy allows nothing", told.escape_debug())
    }
}

impl std::error::Error for Problem {}
