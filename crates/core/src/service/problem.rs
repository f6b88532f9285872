//! What is wrong with a Service's own words.

use std::fmt;

/// Something that a Service says and that can't be meant so. It affects this Service only; the rest of it is done.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The annotation or field.
    pub source: String,
    /// What it says.
    pub value: String,
    /// What is the matter.
    pub fault: Fault,
}

/// What is the matter with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// It isn't of the form that is allowed, which is told, and what is done instead.
    Invalid {
        /// What is allowed.
        allowed: &'static str,
        /// What is done instead.
        instead: &'static str,
    },
    /// The annotation is one of cloud-provider-openstack's and has no meaning here.
    WithoutMeaning(&'static str),
    /// No such annotation is known.
    Unknown,
}

/// Longest part of a value that is told: it ends up in conditions and Events, and anybody may write it.
const TOLD: usize = 80;

impl Problem {
    /// A value that isn't of the form that is allowed.
    #[must_use]
    pub fn invalid(source: &str, value: &str, allowed: &'static str, instead: &'static str) -> Self {
        Self { source: source.to_owned(), value: value.to_owned(), fault: Fault::Invalid { allowed, instead } }
    }

    /// The value, cut where it is long.
    fn told(&self) -> String {
        let mut told: String = self.value.chars().take(TOLD).collect();
        if told.len() < self.value.len() {
            told.push_str("...");
        }
        told.escape_debug().collect()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source, fault, .. } = self;
        match fault {
            Fault::Invalid { allowed, instead } => {
                write!(f, "{source} is `{}`, but must be {allowed}: {instead}", self.told())
            }
            Fault::WithoutMeaning(why) => write!(f, "{source} has no meaning for Kuryr: {why}"),
            Fault::Unknown => write!(f, "{source} isn't known: is it misspelled?"),
        }
    }
}

impl std::error::Error for Problem {}
