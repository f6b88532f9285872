//! The floor: what a load balancer costs without Kuryr and without Kubernetes. One request with everything in it, and one for all
//! members of a pool, as Kuryr would send them.

use super::{
    judge::{Judge, Until},
    probe::Client,
    scene::{Endpoint, PATIENCE, PORT, Way},
};
use crate::{
    Cluster,
    bench::requests::{self, Requests},
    wait::{eventually, holds},
    workload::HTTP_PORT,
};
use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use kuryr_lab::openstack;
use kuryr_openstack::{
    Cloud, CloudConfig, Metrics, Settings,
    config::Files,
    neutron::SubnetId,
    octavia::{
        Algorithm, LoadBalancer, LoadBalancerId, NewListener, NewLoadBalancer, NewMember, NewPool, PoolId, Protocol,
        Query,
    },
};
use prometheus_client::{encoding::text::encode, registry::Registry};
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

/// What the names of the floor's load balancers begin with. They carry no mark of Kuryr's.
const NAME: &str = "bench-floor-";

/// A load balancer of the floor.
struct Balancer {
    id: LoadBalancerId,
    pool: PoolId,
    at: SocketAddr,
}

/// Load balancers by plain requests.
pub(super) struct Floor<'a> {
    cluster: &'a Cluster,
    /// A client of its own, which counts what is needed and nothing that only waits.
    cloud: Cloud,
    counted: Registry,
    services: SubnetId,
    pods: SubnetId,
    balancers: Vec<Balancer>,
}

impl<'a> Floor<'a> {
    /// # Errors
    /// When there is no cloud.
    pub(super) async fn new(cluster: &'a Cluster) -> Result<Self> {
        let contents = openstack::Cloud::read(&cluster.lab)?;
        let first = |subnets: &[String]| subnets.first().map(|id| SubnetId::from(id.as_str())).context("no subnet");
        let mut counted = Registry::default();
        let clouds = Files { clouds: openstack::clouds_file(&cluster.lab), secure: None };
        let config = CloudConfig::read(&clouds, Some("kuryr")).context("reading the lab's clouds.yaml")?;
        let metrics = Metrics::register(&mut counted);
        let cloud = Cloud::connect(config, Settings::default(), metrics).await.context("logging in to Keystone")?;
        let (services, pods) = (first(&contents.service_subnets)?, first(&contents.pod_subnets)?);
        Ok(Self { cluster, cloud, counted, services, pods, balancers: Vec::new() })
    }

    async fn one(&self, client: &Client, number: usize, ip: IpAddr, with: &[Endpoint]) -> Result<(Balancer, Duration)> {
        let at = SocketAddr::new(ip, PORT);
        let new = self.request(number, ip, with);
        let watch = client.watch(at, Judge::new(Until::Answered));
        let begin = Instant::now();
        let made = self.cloud.octavia().create_load_balancer(&new).await.context("creating a load balancer")?;
        let pool = made.pools.first().context("the load balancer has no pool")?.pool.id.clone();
        let answered = watch.seen().await?.at.saturating_duration_since(begin);
        Ok((Balancer { id: made.load_balancer.id, pool, at }, answered))
    }

    fn request(&self, number: usize, ip: IpAddr, with: &[Endpoint]) -> NewLoadBalancer {
        let pool = NewPool {
            name: Some("tcp-80".to_owned()),
            admin_state_up: Some(true),
            members: self.members(with),
            ..NewPool::of(Protocol::Tcp, Algorithm::SourceIpPort)
        };
        let listener = NewListener {
            name: Some("tcp-80".to_owned()),
            admin_state_up: Some(true),
            default_pool: Some(pool.into()),
            ..NewListener::on(Protocol::Tcp, PORT)
        };
        NewLoadBalancer {
            name: Some(format!("{NAME}{number}")),
            vip_subnet_id: Some(self.services.clone()),
            vip_address: Some(ip),
            provider: Some("ovn".to_owned()),
            admin_state_up: Some(true),
            listeners: vec![listener],
            ..NewLoadBalancer::default()
        }
    }

    fn members(&self, of: &[Endpoint]) -> Vec<NewMember> {
        let member = |endpoint: &Endpoint| NewMember {
            subnet_id: Some(self.pods.clone()),
            weight: Some(1),
            admin_state_up: Some(true),
            ..NewMember::at(endpoint.ip, HTTP_PORT)
        };
        of.iter().map(member).collect()
    }

    /// Addresses next to each other in the last eighth of the Services' subnet, where Kubernetes takes none and Neutron none
    /// soon, and other ones each time.
    async fn free_addresses(&self, count: usize) -> Result<Vec<IpAddr>> {
        let subnet = self.cluster.cloud.neutron().get_subnet(&self.services).await.context("reading the subnet")?;
        let (IpAddr::V4(first), IpAddr::V4(last)) = (subnet.cidr.network(), subnet.cidr.broadcast()) else {
            anyhow::bail!("{} isn't IPv4", subnet.cidr);
        };
        let (first, last, count) = (u32::from(first), u32::from(last), u32::try_from(count)?);
        let begin = last - (last - first) / 8;
        // The gateway is the last one but for the broadcast address.
        let room = (last - begin).saturating_sub(count + 2);
        ensure!(room > 0, "{} has no room for {count} load balancers", subnet.cidr);
        let begin = begin + fastrand::u32(0..room);
        Ok((begin..begin + count).map(|ip| Ipv4Addr::from(ip).into()).collect())
    }
}

impl Way for Floor<'_> {
    async fn create(&mut self, client: &Client, count: usize, with: &[Endpoint]) -> Result<Vec<Duration>> {
        let ips = self.free_addresses(count).await?;
        let this = &*self;
        let all = ips.into_iter().enumerate().map(|(number, ip)| this.one(client, number, ip, with));
        let (balancers, took) = try_join_all(all).await?.into_iter().unzip();
        self.balancers = balancers;
        Ok(took)
    }

    fn addresses(&self) -> Vec<SocketAddr> {
        self.balancers.iter().map(|one| one.at).collect()
    }

    async fn change(&mut self, to: &[Endpoint]) -> Result<()> {
        let (octavia, members) = (self.cloud.octavia(), self.members(to));
        try_join_all(self.balancers.iter().map(|one| octavia.replace_members(&one.pool, &members))).await?;
        Ok(())
    }

    async fn load_balancers(&self) -> Result<Vec<LoadBalancerId>> {
        Ok(self.balancers.iter().map(|one| one.id.clone()).collect())
    }

    async fn delete(&mut self) -> Result<()> {
        self.balancers.clear();
        remove_all(self.cluster).await
    }

    async fn requests(&self) -> Result<Requests> {
        let mut text = String::new();
        encode(&mut text, &self.counted).context("reading the client's metrics")?;
        Ok(requests::of_service(&text, requests::OCTAVIA))
    }
}

/// Deletes all load balancers of the floor, those of an earlier run too, and waits until they are gone.
pub(super) async fn remove_all(cluster: &Cluster) -> Result<()> {
    let octavia = cluster.cloud.octavia();
    let mut asked = Vec::new();
    eventually("the floor's load balancers to go", PATIENCE, async || {
        let listed = octavia.list_load_balancers(&Query::default()).await?;
        let left: Vec<LoadBalancer> = listed.into_iter().filter(|one| one.name.starts_with(NAME)).collect();
        for one in &left {
            // Who asks twice while OVN's provider is at work gets it back in ERROR (docs/octavia.md).
            if one.provisioning_status.is_deletable() && !asked.contains(&one.id) {
                octavia.delete_load_balancer_tree(&one.id).await?;
                asked.push(one.id.clone());
            }
        }
        holds(left.is_empty(), || format!("{} are left", left.len()))
    })
    .await
}
