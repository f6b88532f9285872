//! Makes one request to Neutron, and takes in what it has changed.

use super::{
    Policies,
    read::{self, address_group, mark, new_rule},
};
use kuryr_core::policy::{
    AddressGroupKey, GroupKey, Rule, Step,
    observed::{ObservedGroup, ObservedRule},
};
use kuryr_openstack::{
    Error, Found,
    neutron::{
        AddressGroupId, NewAddressGroup, NewSecurityGroup, SecurityGroupId, SecurityGroupRule, SecurityGroupRuleId,
    },
};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Longest name that Neutron takes, in characters.
const LONGEST_NAME: usize = 255;

impl Policies {
    /// Makes the request, unless what it is about is gone meanwhile.
    pub(super) async fn act(&self, step: &Step) -> Result<(), Error> {
        match step {
            Step::CreateAddressGroup { key, members } => {
                let new = NewAddressGroup {
                    name: self.name(&key.to_string()),
                    description: Some(mark(self.cluster(), key.fingerprint())),
                    addresses: members.iter().copied().collect(),
                    project_id: None,
                };
                let created = self.neutron.create_address_group(&new).await?;
                self.with(|state| state.put_address_group(key, Some(address_group(&created))));
            }
            Step::AddAddresses { key, members } => {
                let Some(id) = self.address_group_id(key) else { return Ok(()) };
                let changed = self.neutron.add_addresses(&id, &members.iter().copied().collect::<Vec<_>>()).await?;
                self.with(|state| state.put_address_group(key, Some(address_group(&changed))));
            }
            Step::RemoveAddresses { key, members } => {
                let Some(id) = self.address_group_id(key) else { return Ok(()) };
                let changed = self.neutron.remove_addresses(&id, &members.iter().copied().collect::<Vec<_>>()).await?;
                self.with(|state| state.put_address_group(key, Some(address_group(&changed))));
            }
            Step::DeleteAddressGroup { key, id } => {
                self.neutron.delete_address_group(&AddressGroupId::from(id.as_str())).await.found()?;
                self.with(|state| state.put_address_group(key, None));
            }
            Step::CreateGroup { key } => self.create_group(key).await?,
            Step::CreateRules { key, rules } => self.create_rules(key, rules).await?,
            Step::DeleteRule { key, id } => {
                self.neutron.delete_security_group_rule(&SecurityGroupRuleId::from(id.as_str())).await.found()?;
                self.with(|state| state.change_rules(key, |rules| drop(rules.remove(id))));
            }
            Step::DeleteGroup { key, id } => {
                self.neutron.delete_security_group(&SecurityGroupId::from(id.as_str())).await.found()?;
                self.with(|state| state.drop_group(key));
            }
        }
        Ok(())
    }

    /// Creates a group that lets nothing pass.
    async fn create_group(&self, key: &GroupKey) -> Result<(), Error> {
        let new = NewSecurityGroup {
            name: self.name(&self.described(key)),
            description: Some(mark(self.cluster(), key.fingerprint())),
            ..NewSecurityGroup::default()
        };
        let created = self.neutron.create_closed_security_group(&new).await?;
        let group = ObservedGroup { id: created.id.to_string(), rules: BTreeMap::new(), in_use: false };
        self.with(|state| state.put_group(key, group));
        Ok(())
    }

    async fn create_rules(&self, key: &GroupKey, rules: &BTreeSet<Rule>) -> Result<(), Error> {
        let asked = self.with(|state| {
            let id = SecurityGroupId::from(state.observed.groups.get(key)?.id.as_str());
            let named = &state.observed.address_groups;
            Some(rules.iter().filter_map(|rule| new_rule(&id, rule, named)).collect::<Vec<_>>())
        });
        let Some(asked) = asked.flatten().filter(|asked| !asked.is_empty()) else { return Ok(()) };
        let created = self.neutron.create_security_group_rules(&asked).await?;
        self.with(|state| {
            let named = rules.iter().filter_map(|rule| rule.address_group());
            let named = named.filter_map(|key| Some((key, state.observed.address_groups.get(key)?)));
            let named = named.map(|(key, group)| (AddressGroupId::from(group.id.as_str()), key.clone())).collect();
            let created = observed(&created, &named);
            state.change_rules(key, |rules| rules.extend(created));
        });
        Ok(())
    }

    fn address_group_id(&self, key: &AddressGroupKey) -> Option<AddressGroupId> {
        self.with(|state| state.observed.address_groups.get(key).map(|group| AddressGroupId::from(group.id.as_str())))?
    }

    /// For people: with the policy's own name where it is one's.
    fn described(&self, key: &GroupKey) -> String {
        let name = key.policy().and_then(|uid| self.with(|state| state.policies.get(uid).cloned()).flatten());
        match (name, key) {
            (Some((namespace, name)), GroupKey::Policy { resolution, .. }) => {
                let ports = resolution.iter().map(|(name, numbers)| format!(", {name} is {numbers:?}"));
                format!("policy {namespace}/{name}{}", ports.collect::<String>())
            }
            _ => key.to_string(),
        }
    }

    /// The name of a group. It is for people: groups are found by their marks.
    fn name(&self, of: &str) -> String {
        shortened(&format!("{}: {of}", self.cluster()))
    }
}

fn observed(
    rules: &[SecurityGroupRule],
    named: &HashMap<AddressGroupId, AddressGroupKey>,
) -> Vec<(String, ObservedRule)> {
    rules.iter().map(|rule| (rule.id.to_string(), read::observed_rule(rule, named))).collect()
}

/// The beginning that fits. Neutron refuses a name that ends with a space.
fn shortened(name: &str) -> String {
    let short: String = name.chars().take(LONGEST_NAME).collect();
    short.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_is_cut_so_that_neutron_takes_it() {
        let (cut, whole) = (format!("{} b", "a".repeat(LONGEST_NAME - 1)), "a b".to_owned());
        assert_eq!((shortened(&cut), shortened(&whole)), ("a".repeat(LONGEST_NAME - 1), whole));
    }
}
