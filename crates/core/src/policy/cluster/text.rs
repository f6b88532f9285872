//! Decisions as text, for people, and for fingerprints: equal ones have equal texts, and others have others. The texts don't change from one
//! version of Kuryr to the next.

use super::decision::{Decision, Step, Verdict, Who};
use crate::policy::clause::Peer;
use std::fmt;

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.peer {
            Peer::Anyone => f.write_str("everybody")?,
            Peer::Pods(pods) => write!(f, "{pods}")?,
            Peer::Block(prefixes) => write!(f, "prefixes {prefixes}")?,
        }
        self.named.iter().try_for_each(|(name, number)| write!(f, " where {name} is {number}"))
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        self.who.iter().try_for_each(|who| write!(f, "{}{who}", std::mem::replace(&mut separator, " or ")))?;
        f.write_str(match self.verdict {
            Verdict::Yes => ": yes; ",
            Verdict::No => ": no; ",
            Verdict::Next => ": next; ",
        })
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, second, otherwise) = self.parts();
        if !first.is_empty() {
            first.iter().try_for_each(|step| write!(f, "{step}"))?;
            f.write_str("then ")?;
        }
        second.iter().try_for_each(|step| write!(f, "{step}"))?;
        write!(f, "else {}", if otherwise { "yes" } else { "no" })
    }
}
