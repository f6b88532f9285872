//! Follows what others do to our nftables tables: whoever flushes the node's ruleset (a firewall that is loaded again, an
//! operator) flushes them, too. The kernel tells every change to who listens (nfnetlink's group `NFNLGRP_NFTABLES`).

use crate::netns::Namespace;
use rtnetlink::{
    packet_core::{NetlinkBuffer, NlasIterator},
    sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket, protocols::NETLINK_NETFILTER},
};
use std::{collections::BTreeSet, io};

/// `NFNLGRP_NFTABLES` of linux/netfilter/nfnetlink.h.
const GROUP: u32 = 7;

/// `NFNL_SUBSYS_NFTABLES` of the same: the upper byte of a message's type.
const SUBSYSTEM: u8 = 10;

/// Size of the socket's buffer, in bytes: others may change thousands of rules at once.
const BUFFER: i32 = 1 << 20;

/// The messages of linux/netfilter/nf_tables.h (`enum nf_tables_msg_types`): the lower byte.
mod message {
    pub(super) const DELTABLE: u8 = 2;
    pub(super) const DELCHAIN: u8 = 5;
    pub(super) const NEWRULE: u8 = 6;
    pub(super) const DELRULE: u8 = 8;
    pub(super) const NEWGEN: u8 = 15;
}

/// The attribute with a table's name: the first of tables, chains and rules alike (`NFTA_TABLE_NAME`, `NFTA_RULE_TABLE`).
const TABLE: u16 = 1;

/// The length of `struct nfgenmsg`, which begins with the table's family.
const HEADER: usize = 4;

/// The changes of a namespace's ruleset, as far as they touch the tables of one name.
pub(crate) struct Watch {
    socket: TokioSocket,
    seen: Seen,
}

impl Watch {
    /// Begins to follow the tables `name` of `families` (`NFPROTO_*`), which are about to be made.
    pub async fn open(namespace: &Namespace, name: &'static str, families: &'static [u8]) -> crate::Result<Self> {
        let runtime = tokio::runtime::Handle::current();
        let opened = namespace.run(move || {
            let _entered = runtime.enter();
            let mut socket = TokioSocket::new(NETLINK_NETFILTER)?;
            socket.socket_mut().set_rx_buf_sz(BUFFER)?;
            socket.socket_mut().bind(&SocketAddr::new(0, 0))?;
            socket.socket_mut().add_membership(GROUP)?;
            Ok(socket)
        });
        let socket = opened.await?.map_err(|source: io::Error| crate::netlink::Error {
            what: "following the changes of nftables".to_owned(),
            namespace: namespace.to_string(),
            source,
        })?;
        Ok(Self { socket, seen: Seen { name, families, whole: families.iter().copied().collect() } })
    }

    /// Waits until one of the tables has lost its rules, or may have. `false`: nobody knows, because more has changed at once than
    /// the socket could keep.
    ///
    /// # Errors
    /// When the socket fails for good.
    pub async fn lost(&mut self) -> io::Result<bool> {
        loop {
            match self.socket.recv_from_full().await {
                Ok((datagram, _)) => {
                    if self.seen.apply(&datagram) {
                        return Ok(true);
                    }
                }
                Err(error) if error.raw_os_error() == Some(nix::libc::ENOBUFS) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
    }
}

/// What is known of the tables.
#[derive(Debug)]
struct Seen {
    name: &'static str,
    families: &'static [u8],
    /// The families whose table has a rule.
    whole: BTreeSet<u8>,
}

impl Seen {
    /// Takes in what the kernel said. Returns whether at the end of a transaction a table lacks its rules. What is replaced in
    /// one transaction, as by ourselves, is whole again at its end.
    fn apply(&mut self, datagram: &[u8]) -> bool {
        let mut lost = false;
        for (kind, payload) in messages(datagram) {
            match kind {
                message::NEWGEN => lost |= self.families.iter().any(|family| !self.whole.contains(family)),
                message::DELTABLE | message::DELCHAIN | message::DELRULE if self.is_ours(payload) => {
                    self.whole.remove(&payload[0]);
                }
                message::NEWRULE if self.is_ours(payload) => {
                    self.whole.insert(payload[0]);
                }
                _ => {}
            }
        }
        lost
    }

    fn is_ours(&self, payload: &[u8]) -> bool {
        let Some(attributes) = payload.get(HEADER..) else { return false };
        let table = NlasIterator::new(attributes).flatten().find(|attribute| attribute.kind() == TABLE);
        table.is_some_and(|table| table.value().strip_suffix(&[0]) == Some(self.name.as_bytes()))
    }
}

/// The messages of nftables in a datagram: what they are, and what follows their header.
fn messages(mut datagram: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        loop {
            let message = NetlinkBuffer::new_checked(datagram).ok()?;
            let (length, kind, payload) = (message.length() as usize, message.message_type(), message.payload());
            datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
            let [kind, subsystem] = kind.to_le_bytes();
            if subsystem == SUBSYSTEM && payload.len() >= HEADER {
                return Some((kind, payload));
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const INET: u8 = 1;
    const ARP: u8 = 3;

    fn seen() -> Seen {
        Seen { name: "kuryr", families: &[INET, ARP], whole: [INET, ARP].into() }
    }

    /// A message as the kernel sends it.
    fn say(kind: u8, family: u8, table: &str) -> Vec<u8> {
        let mut attribute = Vec::new();
        attribute.extend((u16::try_from(table.len()).unwrap() + 5).to_ne_bytes());
        attribute.extend(TABLE.to_ne_bytes());
        attribute.extend(table.bytes().chain([0]));
        attribute.resize(attribute.len().next_multiple_of(4), 0);
        let mut message = Vec::new();
        message.extend(u32::try_from(16 + HEADER + attribute.len()).unwrap().to_ne_bytes());
        message.extend(u16::from_le_bytes([kind, SUBSYSTEM]).to_ne_bytes());
        message.extend([0; 10]);
        message.extend([family, 0, 0, 0]);
        [message, attribute].concat()
    }

    #[test]
    fn a_flush_is_noticed_at_its_end_and_again_until_all_is_back() {
        let mut seen = seen();
        assert!(!seen.apply(&[say(message::DELRULE, INET, "kuryr"), say(message::DELTABLE, INET, "kuryr")].concat()));
        assert!(seen.apply(&say(message::NEWGEN, 0, "")));
        assert!(seen.apply(&[say(message::NEWRULE, ARP, "kuryr"), say(message::NEWGEN, 0, "")].concat()));
        assert!(!seen.apply(&[say(message::NEWRULE, INET, "kuryr"), say(message::NEWGEN, 0, "")].concat()));
    }

    #[test]
    fn what_is_replaced_in_one_transaction_is_not_lost() {
        let replaced =
            |family| [say(message::DELTABLE, family, "kuryr"), say(message::NEWRULE, family, "kuryr")].concat();
        assert!(!seen().apply(&[replaced(INET), replaced(ARP), say(message::NEWGEN, 0, "")].concat()));
    }

    #[test]
    fn tables_of_others_and_other_messages_say_nothing() {
        let mut seen = seen();
        let others = [say(message::DELTABLE, INET, "kuryr2"), say(message::DELCHAIN, ARP, "filter")].concat();
        assert!(!seen.apply(&[others, say(message::NEWGEN, 0, "")].concat()));
        for cut in [&[][..], &[1, 2, 3], &[16, 0, 0, 0, 2, SUBSYSTEM, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], &[0; 64]] {
            assert!(!seen.apply(cut), "{cut:?}");
        }
    }
}
