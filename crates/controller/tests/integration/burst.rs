//! Many pods at once.

use super::harness::in_world;
use futures::future::join_all;
use http::Method;
use kube::ResourceExt;

const PORTS: &str = "ports";

#[test]
fn a_burst_of_pods_costs_few_requests_and_so_does_its_end() {
    in_world(|world| async move {
        world.fake.be_slow();
        let names: Vec<String> = (0..40).map(|number| format!("web-{number}")).collect();
        let pods = join_all(names.iter().map(|name| world.create_pod(name, false))).await;
        // They are all there when it begins: how quickly the test itself makes them says nothing about it.
        let controller = world.start();
        let ports = join_all(pods.iter().map(|pod| world.allocated(pod))).await;
        let (posts, looks) = (world.fake.count(&Method::POST, PORTS), world.fake.count(&Method::GET, PORTS));
        assert_eq!(world.neutron_ports().len(), 40);
        // 0.2 for each pod, and half as many again for a machine that is busy with other tests.
        assert!(posts <= 12, "{posts} requests for 40 pods");
        join_all(names.iter().map(|name| world.delete_pod(name))).await;
        join_all(ports.iter().map(|port| world.confirm(port))).await;
        world.nothing_left().await;
        let looks = world.fake.count(&Method::GET, PORTS) - looks;
        assert!(looks < 40, "{looks} looks before 40 deletions of {}", ports[0].name_any());
        assert_eq!(world.fake.count(&Method::DELETE, PORTS), 40);
        controller.stop().await;
    });
}
