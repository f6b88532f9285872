//! The floor: what it costs without Kuryr and without Kubernetes. The requests that Kuryr sends, sent plainly: a closed security group
//! with rules that name an address group, which the server's port gets; addresses added to that group and removed.

use super::scene::{Change, Member, Scene, Way};
use crate::{
    Cluster,
    bench::requests::{self, Requests},
    workload::HTTP_PORT,
};
use anyhow::{Context, Result};
use futures::future::try_join;
use ipnet::IpNet;
use kube::{Api, api::ListParams};
use kuryr_api::KuryrPoolPort;
use kuryr_lab::openstack;
use kuryr_openstack::{
    Cloud, CloudConfig, Metrics, Settings,
    config::Files,
    neutron::{
        AddressGroupId, AddressGroupQuery, Direction, EtherType, NewAddressGroup, NewSecurityGroup,
        NewSecurityGroupRule, PortId, PortQuery, PortUpdate, SecurityGroup, SecurityGroupId, SecurityGroupQuery,
    },
};
use prometheus_client::{encoding::text::encode, registry::Registry};

/// Name of the floor's groups of both kinds. They carry no mark of Kuryr's.
const NAME: &str = "bench-floor-policies";

/// Groups of both kinds by plain requests.
pub(super) struct Floor<'a> {
    scene: &'a Scene<'a>,
    /// A client of its own, which counts what is needed and nothing else.
    cloud: Cloud,
    counted: Registry,
    /// The groups of the server's port while it is open to everybody.
    open: Vec<SecurityGroupId>,
    /// Those of them that let in nobody but the node.
    closed: Vec<SecurityGroupId>,
    made: Option<(SecurityGroupId, AddressGroupId)>,
}

impl<'a> Floor<'a> {
    /// # Errors
    /// When there is no cloud, or the server's port isn't in it.
    pub(super) async fn new(scene: &'a Scene<'a>) -> Result<Self> {
        let mut counted = Registry::default();
        let clouds = Files { clouds: openstack::clouds_file(&scene.cluster.lab), secure: None };
        let config = CloudConfig::read(&clouds, Some("kuryr")).context("reading the lab's clouds.yaml")?;
        let metrics = Metrics::register(&mut counted);
        let cloud = Cloud::connect(config, Settings::default(), metrics).await.context("logging in to Keystone")?;
        let neutron = scene.cluster.cloud.neutron();
        let open = neutron.get_port(&scene.port).await.context("reading the server's port")?.security_groups;
        let query = SecurityGroupQuery { ids: open.clone(), ..SecurityGroupQuery::default() };
        let groups = neutron.list_security_groups(&query).await.context("reading the groups of the server's port")?;
        let closed = groups.into_iter().filter(|group| !lets_everybody_in(group)).map(|group| group.id).collect();
        Ok(Self { scene, cloud, counted, open, closed, made: None })
    }

    async fn close(&mut self) -> Result<()> {
        let neutron = self.cloud.neutron();
        let (name, addresses) = (NAME.to_owned(), prefixes(&self.scene.friend));
        let friends = NewAddressGroup { name: name.clone(), addresses, ..NewAddressGroup::default() };
        let group = NewSecurityGroup { name, ..NewSecurityGroup::default() };
        let made = try_join(neutron.create_address_group(&friends), neutron.create_closed_security_group(&group));
        let (friends, group) = made.await.context("creating the groups")?;
        let rules = rules(&group.id, &friends.id);
        neutron.create_security_group_rules(&rules).await.context("creating the rules")?;
        let groups: Vec<_> = self.closed.iter().chain([&group.id]).cloned().collect();
        self.made = Some((group.id, friends.id));
        self.put(groups).await
    }

    async fn open(&mut self) -> Result<()> {
        self.put(self.open.clone()).await?;
        let (group, friends) = self.made.take().context("nothing is closed")?;
        self.cloud.neutron().delete_security_group(&group).await.context("deleting the security group")?;
        self.cloud.neutron().delete_address_group(&friends).await.context("deleting the address group")
    }

    async fn put(&self, groups: Vec<SecurityGroupId>) -> Result<()> {
        put(&self.cloud, &self.scene.port, groups).await
    }

    fn friends(&self) -> Result<&AddressGroupId> {
        self.made.as_ref().map(|(_, friends)| friends).context("nothing is closed")
    }
}

impl Way for Floor<'_> {
    async fn make(&mut self, change: Change) -> Result<()> {
        let (neutron, other) = (self.cloud.neutron(), prefixes(&self.scene.other));
        match change {
            Change::Close => self.close().await,
            Change::Admit => neutron.add_addresses(self.friends()?, &other).await.map(drop).context("adding"),
            Change::Expel => neutron.remove_addresses(self.friends()?, &other).await.map(drop).context("removing"),
            Change::Open => self.open().await,
        }
    }

    async fn settled(&self) -> Result<()> {
        Ok(())
    }

    async fn requests(&self) -> Result<Requests> {
        let mut text = String::new();
        encode(&mut text, &self.counted).context("reading the client's metrics")?;
        Ok(requests::of_service(&text, requests::NEUTRON))
    }

    async fn clear(&mut self) -> Result<()> {
        self.made = None;
        remove_all(self.scene.cluster).await
    }
}

/// Deletes all groups of the floor, those of an earlier run too. Ports that have one get the groups that Kuryr wants for them.
///
/// # Errors
/// When the cloud or the API server refuses it.
pub(super) async fn remove_all(cluster: &Cluster) -> Result<()> {
    let neutron = cluster.cloud.neutron();
    let names = vec![NAME.to_owned()];
    let query = SecurityGroupQuery { names: names.clone(), ..SecurityGroupQuery::default() };
    let groups = neutron.list_security_groups(&query).await.context("listing the floor's security groups")?;
    let ids: Vec<_> = groups.into_iter().map(|group| group.id).collect();
    if !ids.is_empty() {
        let query = PortQuery { security_groups: ids.clone(), ..PortQuery::default() };
        for port in neutron.list_ports(&query).await.context("listing the ports that have them")? {
            put(&cluster.cloud, &port.id, wanted(cluster, &port.id).await?).await?;
        }
    }
    for id in ids {
        neutron.delete_security_group(&id).await.context("deleting a security group of the floor")?;
    }
    let query = AddressGroupQuery { names, ..AddressGroupQuery::default() };
    for group in neutron.list_address_groups(&query).await.context("listing the floor's address groups")? {
        neutron.delete_address_group(&group.id).await.context("deleting an address group of the floor")?;
    }
    Ok(())
}

/// The groups that Kuryr wants for a port.
async fn wanted(cluster: &Cluster, port: &PortId) -> Result<Vec<SecurityGroupId>> {
    let all: Api<KuryrPoolPort> = Api::all(cluster.client.clone());
    let all = all.list(&ListParams::default()).await.context("listing KuryrPoolPorts")?.items;
    let is_it = |one: &KuryrPoolPort| {
        one.status.as_ref().and_then(|status| status.port_id.as_deref()).is_some_and(|id| id == port.as_str())
    };
    let found = all.into_iter().find(is_it).with_context(|| format!("Kuryr knows nothing of the port {port}"))?;
    Ok(found.spec.security_group_ids.iter().map(|id| SecurityGroupId::from(id.as_str())).collect())
}

async fn put(cloud: &Cloud, port: &PortId, groups: Vec<SecurityGroupId>) -> Result<()> {
    let update = PortUpdate { security_groups: Some(groups), ..PortUpdate::default() };
    cloud.neutron().update_port(port, &update).await.map(drop).context("changing the groups of a port")
}

fn prefixes(of: &Member) -> Vec<IpNet> {
    of.addresses.iter().copied().map(IpNet::from).collect()
}

/// What lets the address group in at the server's port.
fn rules(group: &SecurityGroupId, friends: &AddressGroupId) -> Vec<NewSecurityGroupRule> {
    let rule = |family| NewSecurityGroupRule {
        protocol: Some("tcp".to_owned()),
        port_range_min: Some(HTTP_PORT),
        port_range_max: Some(HTTP_PORT),
        remote_address_group_id: Some(friends.clone()),
        ..NewSecurityGroupRule::allow_all(group.clone(), Direction::Ingress, family)
    };
    [EtherType::Ipv4, EtherType::Ipv6].into_iter().map(rule).collect()
}

/// Whether a group has a rule without peers for what comes in.
fn lets_everybody_in(group: &SecurityGroup) -> bool {
    group.rules.iter().any(|rule| {
        let peers = rule.remote_ip_prefix.is_some() || rule.remote_group_id.is_some();
        rule.direction == Direction::Ingress && !peers && rule.remote_address_group_id.is_none()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use kuryr_openstack::neutron::SecurityGroupRule;

    fn mk_group(rule: SecurityGroupRule) -> SecurityGroup {
        SecurityGroup { rules: vec![rule], ..SecurityGroup::default() }
    }

    #[test]
    fn only_what_lets_everybody_in_is_taken_from_the_port() {
        let open = SecurityGroupRule { direction: Direction::Ingress, ..SecurityGroupRule::default() };
        let out = SecurityGroupRule { direction: Direction::Egress, ..SecurityGroupRule::default() };
        let node = SecurityGroupRule { remote_ip_prefix: Some("10.0.0.1/32".parse().unwrap()), ..open.clone() };
        let closed = [mk_group(out), mk_group(node)];
        assert!(lets_everybody_in(&mk_group(open)));
        assert!(!closed.iter().any(lets_everybody_in));
    }

    #[test]
    fn there_is_a_rule_for_each_family_as_kuryr_makes_them() {
        let rules = rules(&"a".into(), &"b".into());
        let families: Vec<_> = rules.iter().map(|rule| rule.ethertype.clone()).collect();
        assert_eq!(families, [EtherType::Ipv4, EtherType::Ipv6]);
        assert!(rules.iter().all(|rule| rule.remote_address_group_id == Some("b".into())));
    }
}
