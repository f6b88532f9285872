//! One case: policies, which are applied to the mesh and taken away again.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kuryr_e2e::policies::{Mesh, measure::Agreement, objects, text::World};
use serde_json::{Value, json};
use std::time::Instant;

/// Policies of the mesh's namespaces.
pub struct Case {
    pub name: &'static str,
    policies: Vec<(&'static str, Value)>,
}

impl Case {
    /// One policy of a namespace, by its `spec`.
    pub fn new(name: &'static str, space: &'static str, spec: Value) -> Self {
        Self { name, policies: vec![(space, spec)] }
    }

    /// Another policy.
    pub fn and(mut self, space: &'static str, spec: Value) -> Self {
        self.policies.push((space, spec));
        self
    }

    /// A last policy that closes something: what the others open would be so without them, too, and nobody would see when they are in
    /// force.
    pub fn witnessed(self) -> Self {
        self.and("z", json!({ "podSelector": having("pod", "c"), "policyTypes": ["Ingress"] }))
    }

    /// The policies as objects, for a mesh with these namespaces.
    pub fn objects(&self, world: &World) -> Result<Vec<NetworkPolicy>> {
        let objects = self.policies.iter().enumerate().map(|(nth, (space, spec))| {
            let namespace = world.name_of(space).with_context(|| format!("there is no namespace {space}"))?;
            objects::policy(&namespace, &policy_name(nth), spec)
        });
        objects.collect()
    }

    /// Applies the policies, and takes them away. Both times the whole table is measured.
    pub async fn run(&self, mesh: &Mesh) -> Result<()> {
        let begin = Instant::now();
        let applied = self.apply(mesh).await.context("with its policies");
        clear(mesh).await?;
        let gone = mesh.agrees().await.context("after their deletion");
        let (applied, gone) = (applied?, gone?);
        println!(
            "{:5.1} s  {} of {} open, in force within {:.2} s, gone within {:.2} s, measured in {:.2} s: {}",
            begin.elapsed().as_secs_f32(),
            applied.open,
            applied.of,
            applied.after.as_secs_f32(),
            gone.after.as_secs_f32(),
            applied.measured_in.as_secs_f32(),
            self.name
        );
        Ok(())
    }

    async fn apply(&self, mesh: &Mesh) -> Result<Agreement> {
        for (nth, (space, spec)) in self.policies.iter().enumerate() {
            objects::create(&mesh.cluster, &mesh.space(space)?.name, &policy_name(nth), spec).await?;
        }
        mesh.agrees().await
    }
}

fn policy_name(nth: usize) -> String {
    format!("policy-{nth}")
}

/// Deletes all policies of the mesh.
pub async fn clear(mesh: &Mesh) -> Result<()> {
    for space in kuryr_e2e::policies::mesh::SPACES {
        objects::delete_all(&mesh.cluster, &mesh.space(space)?.name).await?;
    }
    Ok(())
}

/// What failed: the other cases are looked at all the same.
#[derive(Default)]
pub struct Failures(Vec<String>);

impl Failures {
    pub fn note(&mut self, name: &str, outcome: Result<()>) {
        if let Err(error) = outcome {
            println!("FAILED {name}: {error:#}");
            self.0.push(name.to_owned());
        }
    }

    pub fn verdict(self) -> Result<()> {
        ensure!(self.0.is_empty(), "{} failed, see above: {}", self.0.len(), self.0.join("; "));
        Ok(())
    }
}

/// A selector of what has this label.
pub fn having(key: &str, value: &str) -> Value {
    json!({ "matchLabels": { key: value } })
}

/// A selector by one expression.
pub fn where_(key: &str, operator: &str, values: &[&str]) -> Value {
    let mut expression = json!({ "key": key, "operator": operator });
    if !values.is_empty() {
        expression["values"] = json!(values);
    }
    json!({ "matchExpressions": [expression] })
}

/// A peer: all pods of the namespaces with this short name.
pub fn space(short: &str) -> Value {
    json!({ "namespaceSelector": having("ns", short) })
}

/// A peer: pods of this name in the policy's namespace.
pub fn pod(name: &str) -> Value {
    json!({ "podSelector": having("pod", name) })
}

/// For all pods of the namespace: one rule of ingress.
pub fn ingress(rule: &Value) -> Value {
    json!({ "podSelector": {}, "policyTypes": ["Ingress"], "ingress": [rule] })
}

/// For all pods of the namespace: one rule of egress.
pub fn egress(rule: &Value) -> Value {
    json!({ "podSelector": {}, "policyTypes": ["Egress"], "egress": [rule] })
}
