//! What the tests of Octavia need: load balancers of one's own, their end, and that nothing stays behind.

use super::fixture::{Plan, World, in_world};
use futures::FutureExt;
use kuryr_openstack::{
    Error, Found, Octavia,
    neutron::{PortQuery, SubnetId},
    octavia::{
        Algorithm, Listener, LoadBalancer, LoadBalancerGraph, LoadBalancerId, LoadBalancerState, Member, NewListener,
        NewLoadBalancer, NewMember, NewPool, Pool, PoolId, Protocol, ProvisioningStatus, Query,
    },
};
use std::{
    net::{IpAddr, Ipv4Addr},
    panic::{AssertUnwindSafe, resume_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

/// The provider that is tested.
pub const PROVIDER: &str = "ovn";

const PATIENCE: Duration = Duration::from_secs(40);
const PAUSE: Duration = Duration::from_millis(50);

/// A world of Neutron's, and Octavia.
pub struct Rig {
    pub world: Arc<World>,
    pub octavia: Octavia,
}

/// Runs `test` with load balancers in a world of its own, and deletes them afterwards, whatever happens.
pub async fn with_load_balancers<F: Future<Output = ()>>(test: impl Fn(Arc<Rig>) -> F) {
    let (test, plan) = (&test, Plan { with_v6: true, ..Plan::default() });
    in_world(plan, |world| async move {
        let octavia = world.cloud.octavia();
        let rig = Arc::new(Rig { world, octavia });
        let result = AssertUnwindSafe(test(Arc::clone(&rig))).catch_unwind().await;
        let cleaned = rig.take_down().await;
        if let Err(panic) = result {
            resume_unwind(panic);
        }
        cleaned.unwrap();
    })
    .await;
}

impl Rig {
    /// A load balancer with its address in the world's IPv4 subnet, its description the world's name.
    pub fn balancer(&self, listeners: Vec<NewListener>) -> NewLoadBalancer {
        NewLoadBalancer {
            name: Some("b".to_owned()),
            description: Some(self.world.name.clone()),
            vip_subnet_id: Some(self.world.subnet.id.clone()),
            provider: Some(PROVIDER.to_owned()),
            listeners,
            ..NewLoadBalancer::default()
        }
    }

    /// The subnet of all members.
    pub fn subnet(&self) -> SubnetId {
        self.world.subnet.id.clone()
    }

    /// The member 10.77.8.`last`, port 8080.
    pub fn member(&self, last: u8) -> NewMember {
        let address = IpAddr::V4(Ipv4Addr::new(10, 77, 8, last));
        NewMember { subnet_id: Some(self.subnet()), ..NewMember::at(address, 8080) }
    }

    /// A pool with these members.
    pub fn pool(&self, name: &str, protocol: Protocol, members: &[u8]) -> NewPool {
        NewPool {
            name: Some(name.to_owned()),
            members: members.iter().map(|&last| self.member(last)).collect(),
            ..NewPool::of(protocol, Algorithm::SourceIpPort)
        }
    }

    /// A TCP listener whose pool has these members.
    pub fn listener(&self, port: u16, members: &[u8]) -> NewListener {
        let pool = self.pool(&format!("tcp-{port}"), Protocol::Tcp, members);
        NewListener { default_pool: Some(pool.into()), ..NewListener::on(Protocol::Tcp, port) }
    }

    /// Creates a load balancer and waits until all of it is done.
    pub async fn create(&self, new: &NewLoadBalancer) -> LoadBalancerGraph {
        let created = self.octavia.create_load_balancer(new).await.unwrap();
        self.settle(&created.load_balancer.id).await;
        created
    }

    /// Why Octavia refuses to create it. What the provider had begun by then is removed with the world.
    pub async fn refusal(&self, new: &NewLoadBalancer) -> Error {
        match self.octavia.create_load_balancer(new).await {
            Ok(created) => panic!("created all the same: {created:?}"),
            Err(error) => error,
        }
    }

    /// Waits until nothing of a load balancer is pending. Its own state doesn't tell that: the OVN provider sets it to `ACTIVE` after
    /// each of the steps that a request is cut into. (Listeners may stay pending: see docs/octavia.md.)
    pub async fn settle(&self, id: &LoadBalancerId) -> LoadBalancerState {
        let begun = Instant::now();
        loop {
            let tree = self.octavia.get_status_tree(id).await.unwrap();
            let pools: Vec<Pool> = self.pools(id).await;
            let of_tree = tree.listeners.iter().flat_map(|listener| &listener.pools);
            let members = of_tree.flat_map(|pool| &pool.members).map(|member| &member.provisioning_status);
            let states = pools.iter().map(|pool| &pool.provisioning_status).chain(members);
            let created = !tree.listeners.iter().any(|l| l.provisioning_status == ProvisioningStatus::PendingCreate);
            if created && states.chain([&tree.provisioning_status]).all(|status| !status.is_pending()) {
                return tree;
            }
            assert!(begun.elapsed() < PATIENCE, "still pending: {tree:?}");
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Deletes a load balancer with all that is below it, and waits until it is gone. One that is being deleted looks `ACTIVE` in between,
    /// and a second deletion then would end in `ERROR`: so it is asked for once.
    pub async fn delete(&self, id: &LoadBalancerId) -> Result<(), Error> {
        let begun = Instant::now();
        let mut asked = false;
        while let Some(found) = self.octavia.get_load_balancer(id).await.found()? {
            assert!(begun.elapsed() < PATIENCE, "it doesn't go: {found:?}");
            if !asked || found.provisioning_status == ProvisioningStatus::Error {
                // While something of it is pending it can't be deleted.
                asked = self.octavia.delete_load_balancer_tree(id).await.is_ok();
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Waits until a load balancer that is being deleted is gone.
    pub async fn gone(&self, id: &LoadBalancerId) {
        let begun = Instant::now();
        while let Some(found) = self.octavia.get_load_balancer(id).await.found().unwrap() {
            assert!(begun.elapsed() < PATIENCE, "it doesn't go: {found:?}");
            tokio::time::sleep(PAUSE).await;
        }
    }

    pub async fn balancers(&self) -> Vec<LoadBalancer> {
        self.octavia.list_load_balancers(&self.ours()).await.unwrap()
    }

    pub async fn listeners(&self, id: &LoadBalancerId) -> Vec<Listener> {
        let query = Query { load_balancer_id: Some(id.clone()), ..Query::default() };
        self.octavia.list_listeners(&query).await.unwrap()
    }

    pub async fn pools(&self, id: &LoadBalancerId) -> Vec<Pool> {
        let query = Query { load_balancer_id: Some(id.clone()), ..Query::default() };
        self.octavia.list_pools(&query).await.unwrap()
    }

    pub async fn members(&self, pool: &PoolId) -> Vec<Member> {
        self.octavia.list_members(pool, &Query::default()).await.unwrap()
    }

    /// Waits until a pool's members are as they should be, and nothing of the load balancer is pending. States alone don't tell: what
    /// the OVN provider has still to delete or to change looks `ACTIVE` after another step of the same request.
    pub async fn until(&self, id: &LoadBalancerId, pool: &PoolId, what: impl Fn(&[Member]) -> bool) -> Vec<Member> {
        let begun = Instant::now();
        loop {
            self.settle(id).await;
            let members = self.members(pool).await;
            let done = !members.iter().any(|member| member.provisioning_status.is_pending());
            if done && what(&members) {
                return members;
            }
            assert!(begun.elapsed() < PATIENCE, "they never are: {members:?}");
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Names of the ports in the world's network.
    pub async fn port_names(&self) -> Vec<String> {
        let query = PortQuery { network_ids: vec![self.world.network.id.clone()], ..PortQuery::default() };
        self.world.neutron.list_ports(&query).await.unwrap().into_iter().map(|port| port.name).collect()
    }

    fn ours(&self) -> Query {
        Query { description: Some(self.world.name.clone()), ..Query::default() }
    }

    async fn take_down(&self) -> Result<(), Error> {
        for balancer in self.octavia.list_load_balancers(&self.ours()).await? {
            self.delete(&balancer.id).await?;
        }
        Ok(())
    }
}

/// The last byte of the address of each member, in order.
pub fn lasts(members: &[Member]) -> Vec<u8> {
    let last = |member: &Member| match member.address {
        Some(IpAddr::V4(address)) => address.octets()[3],
        other => panic!("no IPv4 address: {other:?}"),
    };
    let mut lasts: Vec<u8> = members.iter().map(last).collect();
    lasts.sort_unstable();
    lasts
}
