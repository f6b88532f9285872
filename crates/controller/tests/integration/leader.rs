//! Two controllers and one Lease: one works, another follows, and one that lost the Lease writes nothing any more.

use super::harness::{Fault, Running, World, eventually, in_world};
use http::Method;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, api::ListParams};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
    time::Instant,
};

const PORTS: &str = "ports";

/// One of several controllers, with its own way to Neutron.
struct Replica {
    world: World,
    neutron: Arc<Mutex<Vec<String>>>,
}

async fn replica(world: &World) -> Replica {
    let (mut world, neutron) = (world.clone(), Arc::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    world.cloud.endpoint_overrides.insert("network".to_owned(), url.parse().unwrap());
    tokio::spawn(pass_on(listener, world.fake.neutron(), Arc::clone(&neutron)));
    let lease = &mut world.settings.controller.lease;
    (lease.enabled, lease.namespace, lease.identity_file) = (true, world.name.clone(), None);
    (lease.duration_seconds, lease.renew_deadline_seconds, lease.retry_seconds) = (6, 4, 1);
    Replica { world, neutron }
}

/// Passes connections on, and notes what is to be changed: a client of HTTP/1.1 begins each request with a write of its own.
async fn pass_on(listener: TcpListener, upstream: String, changes: Arc<Mutex<Vec<String>>>) {
    while let Ok((client, _)) = listener.accept().await {
        let (upstream, changes) = (upstream.clone(), Arc::clone(&changes));
        tokio::spawn(async move {
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = TcpStream::connect(upstream).await.unwrap().into_split();
            let answers = tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(length @ 1..) = from_client.read(&mut buffer).await {
                let line = String::from_utf8_lossy(&buffer[..length]).lines().next().unwrap_or_default().to_owned();
                if ["POST /v2.0/", "PUT /v2.0/", "DELETE /v2.0/"].iter().any(|change| line.starts_with(change)) {
                    changes.lock().unwrap().push(line);
                }
                if to_server.write_all(&buffer[..length]).await.is_err() {
                    break;
                }
            }
            drop(to_server);
            let _ = answers.await;
        });
    }
}

impl Replica {
    /// What it has changed so far, in Kubernetes (the Lease aside) and in Neutron.
    fn changes(&self, controller: &Running) -> Vec<String> {
        let requests = controller.life.requests().into_iter().map(|(request, _)| request);
        let writes = requests.filter(|request| !request.starts_with("GET ") && !request.ends_with(" leases"));
        writes.chain(self.neutron.lock().unwrap().clone()).collect()
    }

    /// How many requests it sent to make ports.
    fn posts(&self) -> usize {
        self.neutron.lock().unwrap().iter().filter(|line| line.starts_with("POST /v2.0/ports")).count()
    }
}

async fn holder(world: &World) -> Option<String> {
    let leases: Api<Lease> = Api::namespaced(world.client.clone(), &world.name);
    let lease = leases.get_opt("kuryr-controller").await.unwrap()?;
    lease.spec?.holder_identity.filter(|holder| !holder.is_empty())
}

async fn another_holder(world: &World, than: &str) -> String {
    eventually("another one holds the Lease", || async { holder(world).await.filter(|holder| holder != than) }).await
}

async fn watches(controller: &Running) {
    eventually("it watches", || async { (controller.life.lists_and_watches().1 >= 4).then_some(()) }).await;
}

#[test]
fn another_controller_follows_a_dead_one_within_seconds_and_a_stopped_one_at_once() {
    in_world(|world| async move {
        let (one, two, three) = (replica(&world).await, replica(&world).await, replica(&world).await);
        let first = one.world.start();
        let leader = another_holder(&world, "").await;
        let pod = world.create_pod("web-0", false).await;
        world.allocated(&pod).await;
        let second = two.world.start();
        watches(&second).await;
        assert_eq!(two.changes(&second), [""; 0], "a standby writes nothing");

        first.kill().await;
        let died = Instant::now();
        let pod = world.create_pod("web-1", false).await;
        world.allocated(&pod).await;
        let took = died.elapsed();
        assert!(took < Duration::from_secs(20), "the Lease lasts 6 s: {took:?}");
        let leader = another_holder(&world, &leader).await;
        assert_eq!(two.posts(), 1);

        let third = three.world.start();
        watches(&third).await;
        let stopped = Instant::now();
        second.stop().await;
        another_holder(&world, &leader).await;
        let took = stopped.elapsed();
        assert!(took < Duration::from_secs(5), "the Lease was given back: {took:?}");
        let pod = world.create_pod("web-2", false).await;
        world.allocated(&pod).await;
        assert_eq!(world.neutron_ports().len(), 3);
        third.stop().await;
        assert_eq!(holder(&world).await, None, "given back");
    });
}

#[test]
fn a_leader_that_stood_still_writes_nothing_when_it_goes_on() {
    in_world(|world| async move {
        let (one, two) = (replica(&world).await, replica(&world).await);
        let first = one.world.start_on_one_thread();
        let leader = another_holder(&world, "").await;
        let before = world.create_pod("before", false).await;
        world.allocated(&before).await;
        // In the middle of its work: it waits for Neutron's answer.
        let released = Arc::new(Notify::new());
        world.fake.next(Method::POST, Fault::Hold(released.clone()));
        let held = world.create_pod("held", false).await;
        eventually("the request is on its way", || async {
            (world.fake.count(&Method::POST, PORTS) == 2).then_some(())
        })
        .await;
        let standstill = first.stand_still().await;
        let second = two.world.start();
        // What the first one will find to do when it goes on.
        let (mut pods, names) = (vec![held], ["web-0", "web-1", "web-2"]);
        for name in names {
            pods.push(world.create_pod(name, false).await);
        }
        world.delete_pod("before").await;
        for pod in &pods {
            world.allocated(pod).await;
        }
        assert_ne!(another_holder(&world, &leader).await, leader);
        // Neutron carries the late request out, and the answer waits for the first one.
        released.notify_one();
        eventually("the late request has made a port", || async {
            (world.neutron_ports().len() > pods.len()).then_some(())
        })
        .await;

        let (changes, lists) = (one.changes(&first), first.life.lists_and_watches().0);
        drop(standstill);
        eventually("the first one has begun anew, as a standby", || async {
            (first.life.lists_and_watches().0 >= lists + 5).then_some(())
        })
        .await;
        let last = world.create_pod("last", false).await;
        pods.push(last.clone());
        world.allocated(&last).await;
        assert_eq!(one.changes(&first), changes, "it wrote nothing since it stood still");

        let claims = world.ports().list(&ListParams::default()).await.unwrap();
        let gone = claims.items.into_iter().find(|port| port.spec.pod_name == "before").unwrap();
        world.confirm(&gone).await;
        eventually("each pod has one port", || async { (world.neutron_ports().len() == pods.len()).then_some(()) })
            .await;
        assert_eq!(one.changes(&first), changes);

        second.stop().await;
        world.fake.serve(&first.life);
        let pod = world.create_pod("after", false).await;
        world.allocated(&pod).await;
        assert!(one.changes(&first).len() > changes.len(), "it works again when it is its turn");
        first.stop().await;
    });
}

#[test]
fn who_cant_reach_the_api_server_stands_by_and_goes_on_by_itself() {
    in_world(|world| async move {
        let one = replica(&world).await;
        let controller = one.world.start();
        let pod = world.create_pod("web-0", false).await;
        world.allocated(&pod).await;
        let lists = controller.life.lists_and_watches().0;
        controller.life.silence(true);
        // Longer than the leader may go on without a renewal.
        tokio::time::sleep(Duration::from_secs(5)).await;
        controller.life.silence(false);
        let pod = world.create_pod("web-1", false).await;
        world.allocated(&pod).await;
        assert!(controller.life.lists_and_watches().0 >= lists + 5, "it has begun anew");
        assert_eq!(world.neutron_ports().len(), 2);
        controller.stop().await;
    });
}
