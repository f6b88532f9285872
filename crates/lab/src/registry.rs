//! All components of the lab, by name.

use anyhow::{Result, bail};

use crate::{
    engine::{Component, Lab},
    kubernetes, kuryr, node, openstack, original,
};

/// A list of components.
pub type Components = Vec<Box<dyn Component>>;

/// The cloud: OVN, the nodes with Open vSwitch, Keystone, Neutron, Octavia and what they hold.
pub fn cloud(lab: &Lab) -> Components {
    let mut components = node::control_components(lab);
    components.extend(openstack::components(lab));
    components.extend(lab.nodes().flat_map(|node| node::components(lab, node)));
    components
}

/// The cluster: Kubernetes' control plane, CoreDNS, containerd and a kubelet on every node.
pub fn cluster(lab: &Lab) -> Components {
    let mut components = kubernetes::control_components(lab);
    components.extend(lab.nodes().flat_map(|node| kubernetes::components(lab, node)));
    components
}

/// Kuryr: what it needs in the cluster and the cloud, its controller, a daemon on every node.
pub fn kuryr(lab: &Lab) -> Components {
    kuryr::components(lab)
}

/// What runs only when it is asked for: the original Kuryr, kube-proxy.
pub fn optional(lab: &Lab) -> Components {
    let mut components = original::components(lab);
    components.extend(kubernetes::node_ports::components(lab));
    components
}

/// Every component that a whole lab has, without what is optional.
pub fn all(lab: &Lab) -> Components {
    let mut components = cloud(lab);
    components.extend(cluster(lab));
    components.extend(kuryr(lab));
    components
}

/// The names of all components of a whole lab that have a process; the others are steps of its preparation.
///
/// # Errors
/// When a component's command can't be told.
pub fn processes(lab: &Lab) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for component in all(lab) {
        if component.program(lab)?.is_some() {
            names.push(component.name());
        }
    }
    Ok(names)
}

/// The component of this name.
///
/// # Errors
/// When there is none: the message lists the names.
pub fn find(lab: &Lab, name: &str) -> Result<Box<dyn Component>> {
    let mut components = all(lab);
    components.extend(optional(lab));
    match components.iter().position(|component| component.name() == name) {
        Some(index) => Ok(components.swap_remove(index)),
        None => {
            let names: Vec<String> = components.iter().map(|component| component.name()).collect();
            bail!("the lab has no component {name}; it has {}", names.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::engine::{Directories, Options};

    /// Dependencies outside of what is brought up count as ready, so a misspelt one would never be noticed.
    #[test]
    fn every_dependency_is_a_component() {
        let dir = tempfile::tempdir().unwrap();
        let [state, run, cache] = ["state", "run", "cache"].map(|name| dir.path().join(name));
        let lab = Lab::create_at(Directories { state, run, cache }, Options::default()).unwrap();
        let mut components = all(&lab);
        components.extend(optional(&lab));
        let names: BTreeSet<String> = components.iter().map(|component| component.name()).collect();
        assert_eq!(names.len(), components.len(), "names must be unique");
        for component in &components {
            for earlier in component.after() {
                assert!(names.contains(&earlier), "{} waits for {earlier}, which does not exist", component.name());
            }
        }
    }
}
