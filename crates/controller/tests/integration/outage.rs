//! Controllers that start while Keystone or Neutron doesn't answer (promise P8): they work with what the KuryrPools remember.

use super::harness::{Fault, Running, World, eventually, in_world, in_worlds};
use http::Method;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, ResourceExt, api::ListParams};
use kuryr_api::{KuryrPool, KuryrPort, conditions};
use kuryr_controller::settings::Pools;
use kuryr_openstack::{CloudConfig, config::Files};
use kuryr_openstack_fake::{Effect, Fault as Injected, Service};
use std::collections::BTreeSet;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// How many free ports the pool has, whatever the demand.
const FREE: u32 = 3;

/// What doesn't answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outage {
    /// Connections to Keystone are refused.
    Keystone,
    /// Connections to Neutron are refused.
    Neutron,
    /// Both answer 503.
    Overload,
}

impl Outage {
    async fn begin(self, world: &World) {
        match self {
            Self::Keystone => world.fake.shut(Service::Identity).await,
            Self::Neutron => world.fake.shut(Service::Network).await,
            Self::Overload => Service::ALL.into_iter().for_each(|service| world.fake.overload(service)),
        }
    }

    fn end(world: &World) {
        world.fake.heal();
        Service::ALL.into_iter().for_each(|service| world.fake.open(service));
    }
}

async fn pool(world: &World) -> Option<KuryrPool> {
    let pools = world.pools().list(&ListParams::default()).await.unwrap();
    pools.items.into_iter().find(|pool| pool.spec.node_name == world.name)
}

/// Waits until the world's pool is full.
async fn full(world: &World) -> KuryrPool {
    eventually("the pool is full", || async {
        let pool = pool(world).await?;
        let status = pool.status.clone()?;
        (status.free == FREE && status.creating == 0 && status.waiting == 0).then_some(pool)
    })
    .await
}

/// Fills the world's pool and stops the controller. The KuryrPort of a pod that has a port.
async fn stopped(world: &mut World) -> KuryrPort {
    world.settings.pools = Pools { minimum: FREE, maximum: FREE, plugged: 0, cool_down_seconds: 0, ..Pools::default() };
    // Or a controller would never rest.
    world.settings.sweep.period_seconds = 0;
    let controller = world.start();
    let first = world.allocated(&world.create_pod("first", false).await).await;
    let pool = full(world).await;
    assert!(pool.status.unwrap().configured.is_some(), "it remembers what the configuration means");
    controller.stop().await;
    first
}

fn pool_port(port: &KuryrPort) -> String {
    port.status.as_ref().unwrap().interfaces[0].pool_port.clone()
}

/// The writes that a controller has sent.
fn writes(controller: &Running) -> Vec<String> {
    let requests = controller.life.requests().into_iter().map(|(request, _)| request);
    requests.filter(|request| !request.starts_with("GET ") && !request.ends_with(" leases")).collect()
}

/// Has the controller's admin server listen where the test finds it.
async fn listen(world: &mut World) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    world.settings.controller.listen = listener.local_addr().unwrap();
}

/// What the admin server says. Nothing while there is none.
async fn says(world: &World, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(world.settings.controller.listen).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    Some(answer)
}

async fn eventually_says(world: &World, path: &str, wanted: &str) {
    eventually(&format!("{path} says `{wanted}`"), || async {
        says(world, path).await?.contains(wanted).then_some(())
    })
    .await;
}

#[test]
fn a_controller_that_starts_in_an_outage_gives_free_ports_to_pods_and_the_others_wait() {
    in_worlds(2, vec![Outage::Keystone, Outage::Neutron, Outage::Overload], |mut world, outage| async move {
        stopped(&mut world).await;
        let made = world.neutron_ports().len();
        outage.begin(&world).await;
        listen(&mut world).await;
        let controller = world.start();
        let mut taken = BTreeSet::new();
        for name in ["a", "b", "c"] {
            taken.insert(pool_port(&world.allocated(&world.create_pod(name, false).await).await));
        }
        assert_eq!(taken.len(), 3, "each has a port of its own");
        let waits = world.create_pod("d", false).await;
        eventually("the KuryrPort says why its pod waits", || async {
            let status = world.ports_of(&waits.uid().unwrap()).await.pop()?.status?;
            let allocated = status.conditions.into_iter().find(|c| c.type_ == conditions::ALLOCATED)?;
            (allocated.reason == "OpenStackUnavailable").then_some(())
        })
        .await;
        for (path, wanted) in [("/live", "200 OK"), ("/ready", "200 OK"), ("/metrics", "kuryr_networks_resolved 0")] {
            eventually_says(&world, path, wanted).await;
        }
        assert_eq!(world.neutron_ports().len(), made);

        Outage::end(&world);
        world.allocated(&waits).await;
        full(&world).await;
        eventually_says(&world, "/metrics", "kuryr_networks_resolved 1").await;
        // A port that the waiting pod didn't need goes to the pool.
        world.rests(&controller.life).await;
        controller.stop().await;
        world.bears_a_second_look().await;
        // By now the pool's numbers say what a new controller sees, too.
        let again = world.start();
        world.rests(&again.life).await;
        assert_eq!(writes(&again), [""; 0]);
        again.stop().await;
    });
}

#[test]
fn another_configuration_waits_for_neutron() {
    in_world(|mut world| async move {
        stopped(&mut world).await;
        let before = pool(&world).await.unwrap().status.unwrap().configured;
        world.settings.pods.security_groups = vec!["kuryr-closed".to_owned()];
        let asked = world.fake.count(&Method::GET, "subnets");
        world.fake.times(usize::MAX, Method::GET, Fault::Answer(503));
        listen(&mut world).await;
        let controller = world.start();
        let pod = world.create_pod("web", false).await;
        // Each attempt sends five requests, within some three seconds: by then what is remembered would count.
        eventually("Neutron has been asked for three times", || async {
            (world.fake.count(&Method::GET, "subnets") > asked + 10).then_some(())
        })
        .await;
        assert_eq!(writes(&controller), [""; 0]);
        eventually_says(&world, "/live", "200 OK").await;
        eventually_says(&world, "/ready", "waiting for Keystone and Neutron").await;

        world.fake.heal();
        let port = world.allocated(&pod).await;
        let pool_port = world.pool_ports().get(&pool_port(&port)).await.unwrap();
        eventually("the pool remembers the other groups", || async {
            let configured = pool(&world).await?.status?.configured?;
            let as_made = configured.pod_security_group_ids == pool_port.spec.security_group_ids;
            (as_made && Some(&configured) != before.as_ref()).then_some(())
        })
        .await;
        controller.stop().await;
    });
}

#[test]
fn nothing_is_swept_on_memory_alone() {
    in_world(|mut world| async move {
        let first = stopped(&mut world).await;
        world.settings.sweep.period_seconds = 1;
        world.fake.delete_port(&first.status.as_ref().unwrap().interfaces[0].port_id);
        // Neutron lists ports, but doesn't say what the configuration means.
        world.fake.inject(&Injected::new(Effect::Status(503, None)).on(Method::GET, "subnets"));
        let (asked, listed) = (world.fake.count(&Method::GET, "subnets"), world.fake.count(&Method::GET, "ports"));
        let controller = world.start();
        world.allocated(&world.create_pod("a", false).await).await;
        eventually("Neutron has been asked for three times", || async {
            (world.fake.count(&Method::GET, "subnets") > asked + 10).then_some(())
        })
        .await;
        assert_eq!(world.fake.count(&Method::GET, "ports"), listed, "no list, no sweep");
        world.fake.heal();
        eventually("the sweep tells that the port is missing", || async {
            let status = world.pool_ports().get(&pool_port(&first)).await.unwrap().status?;
            status.conditions.iter().any(|condition| condition.reason == "NeutronPortMissing").then_some(())
        })
        .await;
        controller.stop().await;
    });
}

#[test]
fn a_standby_that_starts_in_an_outage_takes_over() {
    in_world(|mut world| async move {
        let lease = &mut world.settings.controller.lease;
        (lease.enabled, lease.namespace, lease.identity_file) = (true, world.name.clone(), None);
        (lease.duration_seconds, lease.renew_deadline_seconds, lease.retry_seconds) = (6, 4, 1);
        stopped(&mut world).await;
        let leader = world.start();
        let first = holder(&world, None).await;
        Outage::Keystone.begin(&world).await;
        let mut other = world.clone();
        listen(&mut other).await;
        let standby = other.start();
        eventually_says(&other, "/ready", "200 OK").await;
        eventually_says(&other, "/debug/state", r#""role":"standby""#).await;
        assert_eq!(writes(&standby), [""; 0]);
        leader.kill().await;
        holder(&world, Some(&first)).await;
        world.allocated(&world.create_pod("a", false).await).await;
        Outage::end(&world);
        full(&world).await;
        standby.stop().await;
    });
}

/// Waits until another one than this has the Lease.
async fn holder(world: &World, than: Option<&str>) -> String {
    let leases: Api<Lease> = Api::namespaced(world.client.clone(), &world.name);
    eventually("somebody has the Lease", || async {
        let holder = leases.get_opt("kuryr-controller").await.unwrap()?.spec?.holder_identity?;
        (!holder.is_empty() && Some(&*holder) != than).then_some(holder)
    })
    .await
}

/// The world's cloud with a wrong password.
fn refused(world: &World) -> CloudConfig {
    let folder = tempfile::tempdir().unwrap();
    let clouds = folder.path().join("clouds.yaml");
    let text = format!(
        "clouds: {{x: {{region_name: '{}', auth: {{auth_url: '{}', username: kuryr, password: wrong, project_name: kuryr, \
         user_domain_id: default, project_domain_id: default}}}}}}",
        world.cloud.region.as_deref().unwrap(),
        world.cloud.auth_url
    );
    std::fs::write(&clouds, text).unwrap();
    CloudConfig::read(&Files { clouds, secure: None }, Some("x")).unwrap()
}

#[test]
fn a_login_that_turns_out_wrong_while_pods_are_served_is_told_and_ends_nothing() {
    in_world(|mut world| async move {
        stopped(&mut world).await;
        let right = world.cloud.clone();
        world.cloud = refused(&world);
        Outage::Keystone.begin(&world).await;
        listen(&mut world).await;
        let controller = world.start();
        world.allocated(&world.create_pod("a", false).await).await;
        Outage::end(&world);
        eventually_says(&world, "/metrics", "kuryr_configuration_wrong 1").await;
        world.allocated(&world.create_pod("b", false).await).await;
        controller.stop().await;
        // The next start says it as ever.
        let error = world.start().ended().await.unwrap_err().to_string();
        assert!(error.contains("401") && error.lines().count() == 1, "{error}");
        world.cloud = right;
        let controller = world.start();
        full(&world).await;
        controller.stop().await;
    });
}
