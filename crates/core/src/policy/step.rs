//! The requests to Neutron. They are data: what is done, logged and compared in tests is the same.

use super::groups::{AddressGroupKey, GroupKey, Rule};
use ipnet::IpNet;
use std::{collections::BTreeSet, fmt};

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// `POST /address-groups`.
    CreateAddressGroup {
        /// Which one.
        key: AddressGroupKey,
        /// Its first members.
        members: BTreeSet<IpNet>,
    },
    /// `PUT /address-groups/ID/add_addresses`.
    AddAddresses {
        /// To which one.
        key: AddressGroupKey,
        /// The addresses.
        members: BTreeSet<IpNet>,
    },
    /// `PUT /address-groups/ID/remove_addresses`.
    RemoveAddresses {
        /// From which one.
        key: AddressGroupKey,
        /// The addresses.
        members: BTreeSet<IpNet>,
    },
    /// `DELETE /address-groups/ID`.
    DeleteAddressGroup {
        /// Which one.
        key: AddressGroupKey,
        /// Its id.
        id: String,
    },
    /// `POST /security-groups`. Neutron gives it rules that let everything out: the next plan deletes them.
    CreateGroup {
        /// Which one.
        key: GroupKey,
    },
    /// `POST /security-group-rules`, all in one.
    CreateRules {
        /// Of which group.
        key: GroupKey,
        /// The rules.
        rules: BTreeSet<Rule>,
    },
    /// `DELETE /security-group-rules/ID`.
    DeleteRule {
        /// Of which group.
        key: GroupKey,
        /// The rule's id.
        id: String,
    },
    /// `DELETE /security-groups/ID`, with its rules.
    DeleteGroup {
        /// Which one.
        key: GroupKey,
        /// Its id.
        id: String,
    },
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateAddressGroup { key, members } => {
                write!(f, "create address group of {key}: {} addresses", members.len())
            }
            Self::AddAddresses { key, members } => write!(f, "add {} addresses to {key}", members.len()),
            Self::RemoveAddresses { key, members } => write!(f, "remove {} addresses from {key}", members.len()),
            Self::DeleteAddressGroup { key, id } => write!(f, "delete address group {id} of {key}"),
            Self::CreateGroup { key } => write!(f, "create group: {key}"),
            Self::CreateRules { key, rules } => write!(f, "create {} rules: {key}", rules.len()),
            Self::DeleteRule { key, id } => write!(f, "delete rule {id}: {key}"),
            Self::DeleteGroup { key, id } => write!(f, "delete group {id}: {key}"),
        }
    }
}
