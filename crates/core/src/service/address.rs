//! Addresses as Kubernetes has them in old objects: with leading zeros, which are decimal there (`ParseIPSloppy`).

use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr};

/// An address. Leading zeros of IPv4 numbers mean nothing: 010.0.0.1 is 10.0.0.1.
#[must_use]
pub fn ip(text: &str) -> Option<IpAddr> {
    text.parse().ok().or_else(|| v4(text).map(IpAddr::V4))
}

fn v4(text: &str) -> Option<Ipv4Addr> {
    let mut numbers = [0; 4];
    let mut parts = text.split('.');
    for number in &mut numbers {
        let part = parts.next().filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()))?;
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(numbers.into())
}

/// A network. Bits behind the prefix count as zero.
#[must_use]
pub fn cidr(text: &str) -> Option<IpNet> {
    let (address, prefix) = text.split_once('/')?;
    let prefix = Some(prefix).filter(|prefix| prefix.bytes().all(|byte| byte.is_ascii_digit()))?;
    IpNet::new(ip(address)?, prefix.parse().ok()?).ok().map(|net| net.trunc())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn leading_zeros_are_decimal() {
        assert_eq!(ip("010.00.000.09"), ip("10.0.0.9"));
        assert!(ip("10.0.0.9").is_some());
        assert_eq!(cidr("010.1.2.3/8"), cidr("10.0.0.0/8"));
        assert_eq!(ip("fd00::1"), "fd00::1".parse().ok());
    }

    #[test]
    fn what_is_no_address_is_none() {
        for text in ["", "None", "10.0.0", "10.0.0.256", "10.0.0.1.2", "10.0.0.+1", "10.0.0.", "::g", "10.0.0.1/8"] {
            assert_eq!(ip(text), None, "{text}");
        }
        for text in ["", "10.0.0.0", "10.0.0.0/33", "10.0.0.0/+8", "10.0.0.0/", "/8", "fd00::/129"] {
            assert_eq!(cidr(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics_and_addresses_are_read_back(text in "\\PC{0,30}", address in any::<IpAddr>(), prefix in 0u8..=32) {
            let _ = (ip(&text), cidr(&text));
            prop_assert_eq!(ip(&address.to_string()), Some(address));
            let net = format!("{address}/{prefix}");
            prop_assert!(cidr(&net).is_some());
        }
    }
}
