//! What the configuration's names mean, remembered by the KuryrPools: with it a controller works that starts while Keystone or
//! Neutron doesn't answer (promise P8). Pure.
//!
//! Only what Neutron has said of exactly this configuration counts, and only while all pools that remember it say the same. Nodes
//! can't write KuryrPools (deploy/rbac.yaml, deploy/admission.yaml).

use crate::{
    networks::Defaults,
    settings::{NodePort, Pods},
};
use kuryr_api::{Configured, KuryrPool};
use kuryr_core::names;
use std::borrow::Borrow;

/// Fingerprint of everything that decides what the configuration's names mean. `place` is where they are looked up.
pub fn fingerprint(place: &str, pods: &Pods, node: &NodePort) -> String {
    // Unlike names one after the other, JSON can't be the same for lists that differ.
    let names = serde_json::json!([place, pods.subnets, pods.security_groups, node.security_groups]);
    names::fingerprint(&names.to_string())
}

/// What a KuryrPool of the pods' network remembers.
pub fn configured(fingerprint: &str, defaults: &Defaults) -> Configured {
    Configured {
        fingerprint: fingerprint.to_owned(),
        pod_security_group_ids: defaults.pod_groups.clone(),
        node_security_group_ids: defaults.node_groups.clone(),
    }
}

/// What new ports are made of, as the pools remember it of the configuration with this fingerprint. `None`: none does, or they
/// contradict each other, because a change was being written to them when somebody died.
pub fn recalled<P: Borrow<KuryrPool>>(fingerprint: &str, pools: &[P]) -> Option<Defaults> {
    let mut recalled = pools.iter().filter_map(|pool| recalled_of(fingerprint, pool.borrow()));
    let first = recalled.next()?;
    recalled.all(|other| other == first).then_some(first)
}

fn recalled_of(fingerprint: &str, pool: &KuryrPool) -> Option<Defaults> {
    let configured = pool.status.as_ref()?.configured.as_ref()?;
    // What is being deleted isn't brought up to date any more.
    let counts = configured.fingerprint == fingerprint && pool.metadata.deletion_timestamp.is_none();
    counts.then(|| Defaults {
        network: pool.spec.network_id.clone(),
        subnets: pool.spec.subnet_ids.clone(),
        pod_groups: configured.pod_security_group_ids.clone(),
        node_groups: configured.node_security_group_ids.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use kuryr_api::{KuryrPoolSpec, KuryrPoolStatus};

    fn defaults(group: &str) -> Defaults {
        Defaults {
            network: "net".into(),
            subnets: vec!["six".into(), "four".into()],
            pod_groups: vec![group.into()],
            node_groups: vec!["node".into()],
        }
    }

    /// A pool that remembers this.
    fn pool(fingerprint: &str, defaults: &Defaults) -> KuryrPool {
        let spec = KuryrPoolSpec {
            node_name: "n".into(),
            network_id: defaults.network.clone(),
            subnet_ids: defaults.subnets.clone(),
            minimum: None,
            maximum: None,
            plugged: None,
        };
        let configured = Some(configured(fingerprint, defaults));
        let status = Some(KuryrPoolStatus { configured, ..KuryrPoolStatus::default() });
        KuryrPool { status, ..KuryrPool::new("n-1", spec) }
    }

    #[test]
    fn every_name_and_its_place_count() {
        let of = |place: &str, subnets: &[&str], pods: &[&str], node: &[&str]| {
            let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
            let pods = Pods { subnets: owned(subnets), security_groups: owned(pods), ..Pods::default() };
            fingerprint(place, &pods, &NodePort { security_groups: owned(node), ..NodePort::default() })
        };
        let same = of("here", &["four", "six"], &["a"], &[]);
        assert_eq!(same, of("here", &["four", "six"], &["a"], &[]));
        for other in [
            of("there", &["four", "six"], &["a"], &[]),
            of("here", &["six", "four"], &["a"], &[]),
            of("here", &["four"], &["six", "a"], &[]),
            of("here", &["four", "six"], &["b"], &[]),
            of("here", &["four", "six"], &[], &["a"]),
        ] {
            assert_ne!(same, other);
        }
    }

    #[test]
    fn what_was_remembered_comes_back_whole() {
        assert_eq!(recalled("f", &[pool("f", &defaults("a")), pool("f", &defaults("a"))]), Some(defaults("a")));
    }

    #[test]
    fn only_this_configuration_of_pools_that_agree_counts() {
        let silent = KuryrPool { status: Some(KuryrPoolStatus::default()), ..pool("f", &defaults("a")) };
        let bare = KuryrPool { status: None, ..pool("f", &defaults("a")) };
        let mut going = pool("f", &defaults("b"));
        going.metadata.deletion_timestamp = Some(Time(jiff::Timestamp::UNIX_EPOCH));
        let of = |pools: &[KuryrPool]| recalled("f", pools);
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[silent.clone(), bare.clone(), going.clone(), pool("g", &defaults("a"))]), None);
        assert_eq!(
            of(&[silent, bare, going, pool("g", &defaults("b")), pool("f", &defaults("a"))]),
            Some(defaults("a"))
        );
        assert_eq!(
            of(&[pool("f", &defaults("a")), pool("f", &defaults("b"))]),
            None,
            "which one is right nobody knows"
        );
        let elsewhere = Defaults { subnets: vec!["four".into()], ..defaults("a") };
        assert_eq!(of(&[pool("f", &defaults("a")), pool("f", &elsewhere)]), None);
    }
}
