//! What Neutron and the API server say: lists of thousands of objects, of which only what matters is kept.

use crate::error::Error;
use futures::TryStreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, ResourceExt, api::ListParams, core::DeserializeGuard};
use kuryr_api::KuryrPoolPort;
use kuryr_core::{names::OwnerMark, pod::PodFacts};
use kuryr_openstack::{
    Neutron,
    neutron::{Port, PortId, PortQuery, ProjectId},
};
use serde::de::DeserializeOwned;
use std::{
    collections::{HashMap, HashSet},
    fmt::Debug,
    net::IpAddr,
};

/// Objects per page of a list.
const PAGE: u32 = 500;

/// What is read of a port.
const FIELDS: [&str; 12] = [
    "id",
    "name",
    "description",
    "project_id",
    "device_owner",
    "admin_state_up",
    "status",
    "fixed_ips",
    "binding:host_id",
    "binding:vif_type",
    "created_at",
    "network_id",
];

/// The cluster's mark of the port, if it has one: exactly ours, in our own project. A Kuryr that may see every project's ports
/// would else take those of a cluster of the same name in another project for its own.
pub fn mark(port: &Port, cluster: &str, project: &ProjectId) -> Option<OwnerMark> {
    OwnerMark::parse(&port.description).filter(|mark| mark.cluster == cluster && port.project_id == *project)
}

/// The ports with our mark, by id, and those of the `recorded` ids, whatever their mark. All ports of the project are listed:
/// neither the device nor its owner tells what is ours, because anybody can change them. The project is asked for by name,
/// because Neutron leaves a list's last pages out when it has to hide a port of an earlier page (it counts what is left, and
/// takes a page that isn't full for the last one).
pub async fn ports(
    neutron: &Neutron,
    cluster: &str,
    project: &ProjectId,
    recorded: &HashSet<&str>,
) -> Result<HashMap<String, Port>, Error> {
    let query = PortQuery {
        project_ids: vec![project.clone()],
        fields: FIELDS.to_vec(),
        page_size: Some(PAGE as usize),
        ..PortQuery::default()
    };
    let mut kept = HashMap::new();
    let mut ports = std::pin::pin!(neutron.stream_ports(&query));
    let failed = |error| Error::openstack("list the ports", format!("the project {project}"))(error);
    while let Some(port) = ports.try_next().await.map_err(failed)? {
        if mark(&port, cluster, project).is_some() || recorded.contains(port.id.as_str()) {
            kept.insert(port.id.to_string(), port);
        }
    }
    Ok(kept)
}

/// Which of the ports Neutron still has.
pub async fn still_there(neutron: &Neutron, ids: Vec<PortId>) -> Result<HashSet<PortId>, Error> {
    if ids.is_empty() {
        return Ok(HashSet::new());
    }
    let query = PortQuery { ids, fields: vec!["id"], ..PortQuery::default() };
    let ports = neutron.list_ports(&query).await;
    let ports = ports.map_err(Error::openstack("look again at the ports", "nobody"))?;
    Ok(ports.into_iter().map(|port| port.id).collect())
}

/// All KuryrPoolPorts that can be read, as the API server has them now.
pub async fn objects(client: &Client) -> Result<Vec<KuryrPoolPort>, Error> {
    let api: Api<DeserializeGuard<KuryrPoolPort>> = Api::all(client.clone());
    let objects = all(&api, ListParams::default(), |object| object.0.into_iter().collect()).await;
    objects.map_err(Error::kubernetes("list", "all KuryrPoolPorts"))
}

/// The addresses of all living pods, as the API server itself has them now.
pub async fn addresses_in_use(client: &Client) -> Result<HashSet<IpAddr>, Error> {
    let api: Api<Pod> = Api::all(client.clone());
    let with_network = ListParams::default().fields("spec.nodeName!=,spec.hostNetwork=false");
    let addresses = all(&api, with_network, |pod| addresses_of(&pod)).await;
    Ok(addresses.map_err(Error::kubernetes("list", "all Pods"))?.into_iter().collect())
}

/// The addresses of a pod that hasn't ended.
fn addresses_of(pod: &Pod) -> Vec<IpAddr> {
    let status = pod.status.as_ref();
    let facts = PodFacts { phase: status.and_then(|status| status.phase.as_deref()), ..PodFacts::default() };
    let ips = status.filter(|_| !facts.is_terminal()).into_iter().flat_map(|status| status.pod_ips.iter().flatten());
    ips.filter_map(|ip| ip.ip.parse().ok()).collect()
}

/// What `keep` takes of each object of a list, page by page.
async fn all<K, T>(api: &Api<K>, mut page: ListParams, keep: impl Fn(K) -> Vec<T>) -> kube::Result<Vec<T>>
where
    K: Clone + DeserializeOwned + Debug,
{
    let mut kept = Vec::new();
    page.limit = Some(PAGE);
    loop {
        let list = api.list(&page).await?;
        kept.extend(list.items.into_iter().flat_map(&keep));
        page.continue_token = list.metadata.continue_.filter(|token| !token.is_empty());
        if page.continue_token.is_none() {
            return Ok(kept);
        }
    }
}

/// The uids of all KuryrPoolPorts, as the API server itself has them now. Also of those that can't be read.
pub async fn uids(client: &Client) -> Result<HashSet<String>, Error> {
    let api: Api<KuryrPoolPort> = Api::all(client.clone());
    let mut uids = HashSet::new();
    let mut page = ListParams::default().limit(PAGE);
    loop {
        let list = api.list_metadata(&page).await.map_err(Error::kubernetes("list", "all KuryrPoolPorts"))?;
        uids.extend(list.items.iter().filter_map(ResourceExt::uid));
        page.continue_token = list.metadata.continue_.filter(|token| !token.is_empty());
        if page.continue_token.is_none() {
            return Ok(uids);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_exact_mark_in_our_project_makes_a_port_ours() {
        let project = ProjectId::from("ours");
        for (description, of, is_ours) in [
            ("kuryr:lab:u", "ours", true),
            ("kuryr:lab:u", "theirs", false),
            ("kuryr:lab2:u", "ours", false),
            ("kuryr:lab:x:u", "ours", false),
            ("kuryr:lab:", "ours", false),
            ("Kuryr:lab:u", "ours", false),
            (" kuryr:lab:u", "ours", false),
            ("", "ours", false),
        ] {
            let port = Port { description: description.into(), project_id: of.into(), ..Port::default() };
            assert_eq!(mark(&port, "lab", &project).is_some(), is_ours, "{description} of {of}");
        }
    }
}
