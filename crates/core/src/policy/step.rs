//! The requests to Neutron. They are data: what is done, logged and compared in tests is the same.

use super::{
    component::Key,
    groups::{AddressGroupKey, GroupKey, Rule},
};
use ipnet::IpNet;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

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

impl Step {
    /// The group that it is about.
    #[must_use]
    pub fn about(&self) -> Key {
        match self {
            Self::CreateAddressGroup { key, .. }
            | Self::AddAddresses { key, .. }
            | Self::RemoveAddresses { key, .. }
            | Self::DeleteAddressGroup { key, .. } => Key::AddressGroup(key.clone()),
            Self::CreateGroup { key }
            | Self::CreateRules { key, .. }
            | Self::DeleteRule { key, .. }
            | Self::DeleteGroup { key, .. } => Key::Group(key.clone()),
        }
    }

    /// Whether it allows something. The others close something, or clear away.
    #[must_use]
    pub const fn opens(&self) -> bool {
        matches!(
            self,
            Self::CreateAddressGroup { .. }
                | Self::AddAddresses { .. }
                | Self::CreateGroup { .. }
                | Self::CreateRules { .. }
        )
    }

    /// What it does, as far as order matters: a group comes with what belongs to it.
    const fn stage(&self) -> u8 {
        match self {
            Self::CreateAddressGroup { .. } | Self::AddAddresses { .. } => 0,
            Self::CreateGroup { .. } | Self::CreateRules { .. } => 1,
            Self::RemoveAddresses { .. } => 2,
            Self::DeleteRule { .. } => 3,
            Self::DeleteGroup { .. } => 4,
            Self::DeleteAddressGroup { .. } => 5,
        }
    }
}

/// What of a plan can be done at a time: stages, one after the other, each of lanes, side by side, each of steps, one after the other. Only
/// steps of the same kind for different groups are side by side.
#[must_use]
pub fn stages(steps: Vec<Step>) -> Vec<Vec<Vec<Step>>> {
    let mut stages: Vec<(u8, BTreeMap<Key, Vec<Step>>)> = Vec::new();
    for step in steps {
        let same = stages.last().is_some_and(|(stage, _)| *stage == step.stage());
        if !same {
            stages.push((step.stage(), BTreeMap::new()));
        }
        if let Some((_, lanes)) = stages.last_mut() {
            lanes.entry(step.about()).or_default().push(step);
        }
    }
    stages.into_iter().map(|(_, lanes)| lanes.into_values().collect()).collect()
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
