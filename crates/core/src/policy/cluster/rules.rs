//! The security group rules that grants become.

use super::grants::{Grant, Whom};
use crate::policy::{
    evaluate::{of_group, of_prefixes},
    facts::Settings,
    groups::{AddressGroupKey, Rule},
};
use std::{collections::BTreeSet, sync::Arc};

/// The rules of each of the pods' families that allow this.
#[must_use]
pub fn rules(grants: &BTreeSet<Grant>, settings: &Settings) -> BTreeSet<Rule> {
    let mut rules = BTreeSet::new();
    for Grant { direction, ports, whom } in grants {
        match whom {
            Whom::Anyone => rules.extend(Rule::any(*direction, *ports, &settings.families)),
            Whom::Prefixes(prefixes) => rules.extend(of_prefixes(*direction, *ports, prefixes, settings)),
            Whom::Pods(pods) => {
                rules.extend(of_group(*direction, *ports, &AddressGroupKey::Pods(Arc::clone(pods)), settings));
            }
            Whom::Decided(decision) => {
                let key = AddressGroupKey::Decision(Arc::clone(decision));
                rules.extend(of_group(*direction, *ports, &key, settings));
            }
        }
    }
    rules
}
