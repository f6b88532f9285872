//! The pods and policies among which something happens, and the few with which it happens.

use crate::scale::{
    load,
    site::{AT_ONCE, NAMESPACE, node_name},
};
use anyhow::Result;
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::{core::v1::Pod, networking::v1::NetworkPolicy};
use kube::{
    Api, Client, Resource,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use std::{ops::Range, time::Duration};

/// So many pods are selected by the other policies, each by as many of them: a port can't have the groups of all.
pub const SELECTED: usize = 50;

/// So many sets of pods are the other policies' peers: each policy means one of them, all pods are in them.
const PEERS: usize = 50;

/// The pods with which things happen, with their labels. They are there all the time.
pub const ACTORS: [(&str, &str); 4] = [("db", "db"), ("mover", "none"), ("target", "target"), ("friend", "friend")];

/// The pod that comes and goes.
pub const COMER: &str = "comer";

/// What the label is of a pod that may reach the pod `db`.
pub const WEB: &str = "web";

/// Policies, pods and labels, as a user changes them.
#[derive(Clone)]
pub struct Crowd {
    /// The API server.
    pub client: Client,
    /// How many nodes there are.
    pub nodes: usize,
}

impl Crowd {
    fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    /// Makes the pods with which things happen, and the policy that means some of them.
    ///
    /// # Errors
    /// When the API server refuses one.
    pub async fn begin(&self) -> Result<()> {
        for (name, role) in ACTORS {
            self.pod(name, role).await?;
        }
        self.policy("watched", &only("role", "db", "role", WEB)).await
    }

    /// Makes a pod with this role.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn pod(&self, name: &str, role: &str) -> Result<()> {
        load::create_one(&self.client, name, &node_name(name.len() % self.nodes), &json!({ "role": role })).await
    }

    /// Deletes a pod as its node does when it has ended.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn delete_pod(&self, name: &str) -> Result<()> {
        self.api::<Pod>().delete(name, &DeleteParams::default().grace_period(0)).await?;
        Ok(())
    }

    /// Gives a pod another role.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn relabel(&self, name: &str, role: &str) -> Result<()> {
        let patch = Patch::Merge(json!({ "metadata": { "labels": { "role": role } } }));
        self.api::<Pod>().patch(name, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// Makes a policy.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn policy(&self, name: &str, spec: &Value) -> Result<()> {
        let object = serde_json::from_value(json!({ "metadata": { "name": name }, "spec": spec }))?;
        self.api::<NetworkPolicy>().create(&PostParams::default(), &object).await?;
        Ok(())
    }

    /// Deletes a policy.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn delete_policy(&self, name: &str) -> Result<()> {
        self.api::<NetworkPolicy>().delete(name, &DeleteParams::default()).await?;
        Ok(())
    }

    /// Makes the pods of these numbers.
    ///
    /// # Errors
    /// When the API server refuses one.
    pub async fn more_pods(&self, numbers: Range<usize>) -> Result<()> {
        load::create(&self.client, numbers, self.nodes, labels).await
    }

    /// Makes the other policies of these numbers, or deletes them.
    ///
    /// # Errors
    /// When the API server refuses one.
    pub async fn others(&self, numbers: Range<usize>, there: bool) -> Result<()> {
        let done = stream::iter(numbers).map(|number| async move {
            let name = format!("other-{number}");
            if there { self.policy(&name, &other(number)).await } else { self.delete_policy(&name).await }
        });
        done.buffer_unordered(AT_ONCE).try_collect().await
    }

    /// Waits until all policies are in force.
    ///
    /// # Errors
    /// When it doesn't come to that.
    pub async fn in_force(&self, patience: Duration) -> Result<()> {
        crate::policies::progress::in_force(&self.client, NAMESPACE, patience).await
    }
}

/// The labels of one of many pods.
fn labels(number: usize) -> Value {
    let app = if number < SELECTED { format!("app-{number}") } else { "rest".to_owned() };
    json!({ "app": app, "peer": format!("peer-{}", number % PEERS) })
}

/// One of many policies.
fn other(number: usize) -> Value {
    let peer = (number + number / SELECTED) % PEERS;
    only("app", &format!("app-{}", number % SELECTED), "peer", &format!("peer-{peer}"))
}

/// The policy that comes and goes.
pub fn comes() -> Value {
    only("role", "target", "role", "friend")
}

fn only(key: &str, value: &str, peer_key: &str, peer: &str) -> Value {
    let peer = json!({ "podSelector": { "matchLabels": { peer_key: peer } } });
    json!({
        "podSelector": { "matchLabels": { key: value } },
        "ingress": [{ "from": [peer], "ports": [{ "protocol": "TCP", "port": 80 }] }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_of_many_policies_selects_a_pod_and_has_peers_and_no_two_are_the_same() {
        let pods: Vec<_> = (0..SELECTED).map(labels).collect();
        let policies: BTreeSet<_> = (0..500).map(|number| other(number).to_string()).collect();
        assert_eq!(policies.len(), 500);
        for spec in policies {
            let spec: Value = serde_json::from_str(&spec).unwrap();
            let app = &spec["podSelector"]["matchLabels"]["app"];
            let peer = &spec["ingress"][0]["from"][0]["podSelector"]["matchLabels"]["peer"];
            assert_eq!(pods.iter().filter(|pod| pod["app"] == *app).count(), 1);
            assert_eq!(pods.iter().filter(|pod| pod["peer"] == *peer).count(), 1);
        }
    }

    #[test]
    fn further_pods_are_peers_and_selected_by_no_policy() {
        assert_eq!(labels(SELECTED + 1), json!({ "app": "rest", "peer": "peer-1" }));
    }
}
