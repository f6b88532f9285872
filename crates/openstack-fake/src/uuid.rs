//! Identifiers as OpenStack writes them, in sixteen bytes.

use std::{fmt, str::FromStr};

/// A random UUID (RFC 9562, version 4).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Uuid(u128);

/// Where the hyphens are.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];

impl Uuid {
    pub fn random() -> Self {
        let version = 0x4 << 76;
        let variant = 0b10 << 62;
        Self(fastrand::u128(..) & !(0xf << 76) & !(0b11 << 62) | version | variant)
    }

    /// The identifier without hyphens, as Keystone writes it.
    pub fn simple(self) -> String {
        format!("{:032x}", self.0)
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(bits) = self;
        let (head, tail) = (bits >> 96, bits & 0xffff_ffff_ffff);
        let middle = |shift: u32| (bits >> shift) & 0xffff;
        write!(f, "{head:08x}-{:04x}-{:04x}-{:04x}-{tail:012x}", middle(80), middle(64), middle(48))
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text isn't a UUID.
#[derive(Debug)]
pub(crate) struct NotAUuid;

impl FromStr for Uuid {
    type Err = NotAUuid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let hyphens = text.len() == 36 && HYPHENS.iter().all(|&place| text.as_bytes()[place] == b'-');
        let digits: String = text.chars().filter(|c| *c != '-').collect();
        if !hyphens || digits.len() != 32 || !digits.chars().all(|c| c.is_ascii_hexdigit()) {
            return Err(NotAUuid);
        }
        u128::from_str_radix(&digits, 16).map(Self).map_err(|_| NotAUuid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for _ in 0..1000 {
            let id = Uuid::random();
            let text = id.to_string();
            assert_eq!(text.parse::<Uuid>().unwrap(), id);
            assert_eq!(text.as_bytes()[14], b'4', "{text}");
            assert!(b"89ab".contains(&text.as_bytes()[19]), "{text}");
        }
        for wrong in ["", "x", "00000000-0000-4000-8000-00000000000g", "00000000-0000-4000-8000-0000000000000"] {
            assert!(wrong.parse::<Uuid>().is_err(), "{wrong}");
        }
    }
}
