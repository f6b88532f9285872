//! What every contract test needs: the cloud, a name, a network, and that nothing stays behind.

use super::{
    backend::{Backend, accounts},
    raw::Raw,
};
use futures::FutureExt;
use kuryr_openstack::{
    Cloud, CloudConfig, Error, Found, Neutron,
    neutron::{
        AddressGroupQuery, IpVersion, Network, NetworkQuery, NewAddressGroup, NewNetwork, NewPort, NewSecurityGroup,
        NewSubnet, Port, PortQuery, ProjectId, SecurityGroupId, SecurityGroupQuery, Subnet, SubnetQuery,
    },
};
use std::{
    panic::{AssertUnwindSafe, resume_unwind},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

/// A name that nothing else in the cloud has.
pub fn unique() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    format!("contract-{:x}-{}", now.as_nanos(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A network with an IPv4 subnet of its own.
#[derive(Debug)]
pub struct World {
    pub cloud: Cloud,
    pub neutron: Neutron,
    /// Name of the network and the subnet, description of everything else.
    pub name: String,
    pub network: Network,
    /// The IPv4 subnet.
    pub subnet: Subnet,
    /// Whether the credentials are an administrator's.
    pub is_admin: bool,
    config: CloudConfig,
}

impl World {
    /// A port with the world's name as `description`.
    pub fn port(&self) -> NewPort {
        NewPort { description: Some(self.name.clone()), ..NewPort::on(self.network.id.clone()) }
    }

    /// A security group to create, with the world's name as `description`.
    pub fn group(&self, name: &str) -> NewSecurityGroup {
        let (name, description) = (name.to_owned(), Some(self.name.clone()));
        NewSecurityGroup { name, description, ..NewSecurityGroup::default() }
    }

    /// A security group without rules.
    pub async fn closed_group(&self, name: &str) -> SecurityGroupId {
        self.neutron.create_closed_security_group(&self.group(name)).await.unwrap().id
    }

    /// An address group to create, with the world's name as `description`.
    pub fn address_group(&self, addresses: &[&str]) -> NewAddressGroup {
        let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
        let description = Some(self.name.clone());
        NewAddressGroup { name: "a".to_owned(), description, addresses, ..NewAddressGroup::default() }
    }

    /// A client that shows answers as they are.
    pub async fn raw(&self) -> Raw {
        Raw::connect(&self.config).await
    }

    /// Creates it.
    pub async fn create_port(&self) -> Port {
        self.neutron.create_port(&self.port()).await.unwrap()
    }
}

/// Which world to make.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Prefix of the subnet.
    pub cidr: &'static str,
    /// Whether the network belongs to a project of its own, which has the world's name as identifier: Neutron takes any
    /// text for one.
    pub own_project: bool,
    /// Whether it also has an IPv6 subnet, fd00:77::/64.
    pub with_v6: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self { cidr: "10.77.0.0/20", own_project: false, with_v6: false }
    }
}

/// Runs `test` in a world of its own and takes it down afterwards, whatever happens; in the fake cloud also with the
/// credentials that Kuryr has, unless the test needs an administrator.
pub async fn in_world<F: Future<Output = ()>>(plan: Plan, test: impl Fn(Arc<World>) -> F) {
    for account in accounts() {
        let backend = Backend::start_as(account).await;
        if backend.is_admin() || !plan.own_project {
            in_world_of(&backend, plan.clone(), &test).await;
        }
    }
}

async fn in_world_of<F: Future<Output = ()>>(backend: &Backend, plan: Plan, test: impl Fn(Arc<World>) -> F) {
    let cloud = backend.connect().await;
    let name = unique();
    let own_project = plan.own_project;
    let result = AssertUnwindSafe(async {
        let world = build(backend, cloud.clone(), name.clone(), plan).await;
        test(Arc::new(world)).await;
    })
    .catch_unwind()
    .await;
    let cleaned = take_down(&cloud.neutron(), &name, own_project).await;
    if let Err(panic) = result {
        resume_unwind(panic);
    }
    cleaned.unwrap();
}

async fn build(backend: &Backend, cloud: Cloud, name: String, plan: Plan) -> World {
    let neutron = cloud.neutron();
    let project_id = plan.own_project.then(|| ProjectId::from(name.as_str()));
    let new = NewNetwork { name: name.clone(), project_id: project_id.clone(), ..NewNetwork::default() };
    let network = neutron.create_network(&new).await.unwrap();
    let new = |ip_version, cidr: &str| NewSubnet {
        name: name.clone(),
        description: None,
        network_id: network.id.clone(),
        ip_version,
        cidr: Some(cidr.parse().unwrap()),
        subnetpool_id: None,
        prefixlen: None,
        enable_dhcp: false,
        project_id: project_id.clone(),
    };
    let subnet = neutron.create_subnet(&new(IpVersion::V4, plan.cidr)).await.unwrap();
    if plan.with_v6 {
        neutron.create_subnet(&new(IpVersion::V6, "fd00:77::/64")).await.unwrap();
    }
    let (is_admin, config) = (backend.is_admin(), backend.config.clone());
    World { cloud, neutron, name, network, subnet, is_admin, config }
}

/// Deletes everything that has the name.
async fn take_down(neutron: &Neutron, name: &str, own_project: bool) -> Result<(), Error> {
    let names = vec![name.to_owned()];
    let networks = neutron.list_networks(&NetworkQuery { names: names.clone(), ..NetworkQuery::default() }).await?;
    for network in &networks {
        let query = PortQuery { network_ids: vec![network.id.clone()], ..PortQuery::default() };
        for port in neutron.list_ports(&query).await? {
            neutron.delete_port(&port.id).await?;
        }
    }
    for subnet in neutron.list_subnets(&SubnetQuery { names, ..SubnetQuery::default() }).await? {
        neutron.delete_subnet(&subnet.id).await?;
    }
    for network in networks {
        neutron.delete_network(&network.id).await?;
    }
    let query = SecurityGroupQuery { descriptions: vec![name.to_owned()], ..SecurityGroupQuery::default() };
    for group in neutron.list_security_groups(&query).await? {
        neutron.delete_security_group(&group.id).await?;
    }
    let query = AddressGroupQuery { descriptions: vec![name.to_owned()], ..AddressGroupQuery::default() };
    for group in neutron.list_address_groups(&query).await? {
        neutron.delete_address_group(&group.id).await?;
    }
    if !own_project {
        return Ok(());
    }
    // Neutron gave the project a group `default`.
    let project = ProjectId::from(name);
    let query = SecurityGroupQuery { project_ids: vec![project.clone()], ..SecurityGroupQuery::default() };
    for group in neutron.list_security_groups(&query).await? {
        neutron.delete_security_group(&group.id).await?;
    }
    neutron.reset_quota(&project).await.found()?;
    Ok(())
}
