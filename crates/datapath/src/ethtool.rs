//! A device's offloads. The crate `ethtool` can only read them, so this asks the kernel itself (linux/ethtool.h).

use nix::{
    libc::{self, c_char},
    sys::socket::{AddressFamily, SockFlag, SockType, socket},
};
use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
};

/// `ETHTOOL_STXCSUM` of linux/ethtool.h: switches all checksums of sent frames.
const ETHTOOL_STXCSUM: u32 = 0x17;

/// `SIOCETHTOOL` of linux/sockios.h.
const SIOCETHTOOL: u32 = 0x8946;

/// `struct ethtool_value` of linux/ethtool.h.
#[repr(C)]
struct Value {
    command: u32,
    data: u32,
}

#[allow(unsafe_code, reason = "the macro makes an unsafe function; its only caller is below")]
mod raw {
    nix::ioctl_readwrite_bad!(ethtool, super::SIOCETHTOOL, nix::libc::ifreq);
}

/// A socket through which devices of the namespace in which it was opened can be configured, from any thread.
#[derive(Debug)]
pub struct Control(OwnedFd);

impl Control {
    /// Opens the socket in the namespace of the calling thread.
    ///
    /// # Errors
    /// When the process has too many open files.
    pub fn open() -> io::Result<Self> {
        Ok(Self(socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?))
    }

    /// Makes the kernel fill in the checksums of all frames that are sent on `device`, before they leave it.
    ///
    /// A veth leaves them to the receiver's "hardware". The userspace datapath of Open vSwitch reads frames by
    /// `AF_PACKET`, passes them on as they are, and the receiver drops TCP and UDP whose checksum is wrong.
    ///
    /// # Errors
    /// When there is no such device (`ENODEV`), or without `CAP_NET_ADMIN`.
    pub fn disable_tx_checksum(&self, device: &str) -> io::Result<()> {
        let mut value = Value { command: ETHTOOL_STXCSUM, data: 0 };
        let mut name: [c_char; libc::IFNAMSIZ] = [0; libc::IFNAMSIZ];
        if device.len() >= name.len() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("device name `{device}` is too long")));
        }
        for (to, from) in name.iter_mut().zip(device.bytes()) {
            *to = from.cast_signed();
        }
        let mut request = libc::ifreq {
            ifr_name: name,
            ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_data: (&raw mut value).cast::<c_char>() },
        };
        #[allow(unsafe_code, reason = "no safe interface exists")]
        // SAFETY: the descriptor is open as long as `self`; `request` is a whole `ifreq` whose name ends with NUL (the
        // array is longer than the name) and whose pointer is to a `Value`, the type that the kernel reads for this
        // command. Both live until the call returns, and the kernel keeps no pointer.
        unsafe { raw::ethtool(self.0.as_raw_fd(), &raw mut request) }?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_and_impossible_devices_are_errors() {
        let control = Control::open().unwrap();
        assert_eq!(control.disable_tx_checksum("kuryrnone").unwrap_err().raw_os_error(), Some(libc::ENODEV));
        let error = control.disable_tx_checksum("a-name-that-is-too-long").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
