//! How long it takes to find a port whose answer was lost, by each of the values that we choose ourselves.

use super::fixture::{Plan, in_world};
use kuryr_openstack::neutron::{NewPort, PortQuery};
use std::time::{Duration, Instant};

const PORTS: usize = 300;
const ROUNDS: usize = 15;

#[tokio::test]
#[ignore = "a measurement of about two minutes: run it with --ignored --nocapture"]
async fn finding_one_port_among_hundreds() {
    in_world(Plan::default(), |world| async move {
        let mark = |i: usize| format!("kuryr:{}:{i}", world.name);
        let new: Vec<NewPort> = (0..PORTS)
            .map(|i| NewPort { description: Some(mark(i)), device_id: Some(mark(i)), ..world.port() })
            .collect();
        let begun = Instant::now();
        for part in new.chunks(50) {
            world.neutron.create_ports(part).await.unwrap();
        }
        println!("{PORTS} unbound ports created in {:.1?}", begun.elapsed());
        let network_ids = vec![world.network.id.clone()];
        let base = PortQuery { network_ids, ..PortQuery::default() };
        let one = vec![mark(7)];
        let twenty: Vec<String> = (0..20).map(mark).collect();
        let queries = [
            ("description, one", PortQuery { descriptions: one.clone(), ..PortQuery::default() }),
            ("device_id, one", PortQuery { device_ids: one.clone(), ..PortQuery::default() }),
            ("network and description, one", PortQuery { descriptions: one.clone(), ..base.clone() }),
            ("network and device_id, one", PortQuery { device_ids: one, ..base.clone() }),
            ("description, twenty", PortQuery { descriptions: twenty.clone(), ..PortQuery::default() }),
            ("device_id, twenty", PortQuery { device_ids: twenty, ..PortQuery::default() }),
            ("all, only id and status", PortQuery { fields: vec!["id", "status"], ..base.clone() }),
            ("all, whole", base),
        ];
        for (what, query) in queries {
            let mut times = Vec::new();
            let mut found = 0;
            for _ in 0..ROUNDS {
                let begun = Instant::now();
                found = world.neutron.list_ports(&query).await.unwrap().len();
                times.push(begun.elapsed());
            }
            times.sort();
            let median: Duration = times[ROUNDS / 2];
            println!("{what}: {found} found, median {median:.1?}, best {:.1?}", times[0]);
            assert!(found > 0);
        }
    })
    .await;
}
