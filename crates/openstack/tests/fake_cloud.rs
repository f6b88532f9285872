//! The fake cloud's faults, journal and hooks as the client sees them: what other crates' tests rely on.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use futures::FutureExt;
use kuryr_openstack::{
    Cloud, CloudConfig, Error, Kind, Metrics, Neutron, Settings,
    config::Files,
    neutron::{NetworkId, NetworkQuery, NewPort, PortId, PortQuery, PortStatus, VifType},
};
use kuryr_openstack_fake::{Config, Effect, FakeCloud, Fault, Latency, Method, Moment, Next, Service};
use prometheus_client::registry::Registry;
use std::time::{Duration, Instant};

/// A fake cloud, and a client of the project `kuryr`.
struct Rig {
    fake: FakeCloud,
    neutron: Neutron,
    network: NetworkId,
}

impl Rig {
    async fn start(config: Config) -> Self {
        let short = Duration::from_millis(300);
        let settings = Settings {
            first_delay: Duration::from_millis(1),
            max_delay: Duration::from_millis(5),
            read_timeout: short,
            write_timeout: short,
            attempts: 2,
            ..Settings::default()
        };
        Self::start_with(config, settings).await
    }

    async fn start_with(config: Config, settings: Settings) -> Self {
        let fake = FakeCloud::start(config).await.unwrap();
        let neutron = connect(&fake, settings).await.unwrap().neutron();
        let query = NetworkQuery { names: vec!["pods".to_owned()], ..NetworkQuery::default() };
        let network = neutron.list_networks(&query).await.unwrap()[0].id.clone();
        fake.clear_journal();
        Self { fake, neutron, network }
    }

    fn port(&self) -> NewPort {
        NewPort { description: Some("mark".to_owned()), ..NewPort::on(self.network.clone()) }
    }

    async fn create(&self) -> Result<PortId, Error> {
        self.neutron.create_port(&self.port()).await.map(|port| port.id)
    }
}

async fn connect(fake: &FakeCloud, settings: Settings) -> Result<Cloud, Error> {
    connect_as("kuryr", fake, settings).await
}

async fn connect_as(account: &str, fake: &FakeCloud, settings: Settings) -> Result<Cloud, Error> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), fake.clouds_yaml()).unwrap();
    let files = Files { clouds: file.path().to_owned(), secure: None };
    let config = CloudConfig::read(&files, Some(account)).unwrap();
    Cloud::connect(config, settings, Metrics::register(&mut Registry::default())).await
}

#[tokio::test]
async fn each_fault_of_a_creation_is_what_it_says() {
    let rig = Rig::start(Config::default()).await;
    for (effect, kind, unknown, created) in [
        (Effect::Hang, Kind::Timeout, true, 0),
        (Effect::HangAfterCommit, Kind::Timeout, true, 1),
        (Effect::LostBeforeCommit, Kind::ConnectionLost, true, 0),
        (Effect::LostAfterCommit, Kind::ConnectionLost, true, 1),
        (Effect::Status(409, None), Kind::Conflict, false, 0),
        (Effect::Status(429, Some(Duration::from_secs(7))), Kind::TooManyRequests, false, 0),
        (Effect::Status(500, None), Kind::Server, true, 0),
        (Effect::Status(503, Some(Duration::from_secs(7))), Kind::Unavailable, true, 0),
        (Effect::StatusAfterCommit(502), Kind::Server, true, 1),
        (Effect::StatusAfterCommit(504), Kind::Server, true, 1),
    ] {
        rig.fake.clear_faults();
        // 429 says that nothing was done, so the client repeats it.
        let fault = Fault::new(effect.clone()).on(Method::POST, "ports").times(2);
        rig.fake.inject(&fault);
        let before = rig.fake.port_count();
        let error = rig.create().await.unwrap_err();
        assert_eq!((error.kind(), error.outcome_unknown()), (kind, unknown), "{effect:?}: {error}");
        let goes_away =
            matches!(effect, Effect::LostBeforeCommit | Effect::LostAfterCommit | Effect::StatusAfterCommit(502));
        assert_eq!(error.broke_off(), goes_away, "{effect:?}: only then what was made may be half made");
        assert_eq!(rig.fake.port_count() - before, created, "{effect:?}");
        assert!(fault.hits() > 0);
        let carried_out = rig.fake.journal().last().is_some_and(|entry| entry.carried_out);
        assert_eq!(carried_out, created == 1, "{effect:?}");
    }
    rig.fake.clear_faults();
    rig.create().await.unwrap();
}

#[tokio::test]
async fn a_fault_hits_what_it_is_for_and_no_more() {
    let rig = Rig::start(Config::default()).await;
    let fault = Fault::new(Effect::Status(500, None)).on(Method::POST, "ports").skip(1).once();
    rig.fake.inject(&fault);
    rig.create().await.unwrap();
    rig.neutron.list_ports(&PortQuery::default()).await.unwrap();
    rig.create().await.unwrap_err();
    rig.create().await.unwrap();
    assert_eq!(fault.hits(), 1);
    let bulk = Fault::new(Effect::Status(500, None)).when(|call| call.items() > 1);
    rig.fake.inject(&bulk);
    rig.create().await.unwrap();
    rig.neutron.create_ports(&[rig.port(), rig.port()]).await.unwrap_err();
    assert_eq!(bulk.hits(), 1);
}

#[tokio::test]
async fn a_refused_connection_is_known_not_to_have_done_anything() {
    let rig = Rig::start(Config::default()).await;
    rig.fake.refuse(Service::Network).await;
    // Without a connection from before, which would be reset.
    let fresh = connect(&rig.fake, Settings { attempts: 2, ..Settings::default() }).await.unwrap().neutron();
    let error = fresh.create_port(&rig.port()).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome_unknown()), (Kind::NotConnected, false), "{error}");
    rig.fake.accept(Service::Network).unwrap();
    fresh.create_port(&rig.port()).await.unwrap();
    assert_eq!(rig.fake.port_count(), 1);
}

#[tokio::test]
async fn a_token_that_ends_in_the_middle_is_renewed() {
    let rig = Rig::start(Config::default()).await;
    let one = Fault::new(Effect::Status(401, None)).on(Method::POST, "ports").once();
    rig.fake.inject(&one);
    rig.create().await.unwrap();
    rig.fake.expire_tokens();
    rig.create().await.unwrap();
    assert_eq!(rig.fake.count(|entry| entry.resource == "tokens"), 2, "one login each");
    assert_eq!(rig.fake.port_count(), 2);
}

#[tokio::test]
async fn the_journal_counts_writes_and_the_peak() {
    let rig = Rig::start(Config::default()).await;
    rig.neutron.create_ports(&[rig.port(), rig.port()]).await.unwrap();
    let id = rig.create().await.unwrap();
    rig.neutron.get_port(&id).await.unwrap();
    rig.neutron.delete_port(&id).await.unwrap();
    assert_eq!(rig.fake.writes(), 3);
    let journal = rig.fake.journal();
    let seen: Vec<_> = journal
        .iter()
        .map(|entry| (entry.method.as_str(), entry.resource.as_str(), entry.items, entry.status))
        .collect();
    let expected = [
        ("POST", "ports", 2, Some(201)),
        ("POST", "ports", 1, Some(201)),
        ("GET", "ports", 1, Some(200)),
        ("DELETE", "ports", 1, Some(204)),
    ];
    assert_eq!(seen, expected);
    assert_eq!(journal[1].body.as_ref().unwrap()["port"]["description"], "mark");
    assert!(journal.windows(2).all(|pair| pair[0].number + 1 == pair[1].number && pair[0].at <= pair[1].at));
    assert_eq!(rig.fake.peak_in_flight(), 1);
    rig.fake.inject(&Fault::new(Effect::Slow(Duration::from_millis(100))));
    let query = PortQuery::default();
    futures::future::join_all((0..4).map(|_| rig.neutron.list_ports(&query))).await;
    assert_eq!(rig.fake.peak_in_flight(), 4);
}

#[tokio::test]
async fn a_hook_stands_before_and_after_the_commit() {
    let rig = Rig::start(Config::default()).await;
    for (moment, created) in [(Moment::BeforeCommit, 0), (Moment::AfterCommit, 1)] {
        let before = rig.fake.port_count();
        rig.fake.on_request(move |event| {
            let ends = event.moment == moment && event.call.is_write();
            async move { if ends { Next::Close } else { Next::Continue } }.boxed()
        });
        let error = rig.create().await.unwrap_err();
        assert_eq!((error.kind(), rig.fake.port_count() - before), (Kind::ConnectionLost, created), "{moment:?}");
    }
    rig.fake.clear_hook();
    rig.create().await.unwrap();
}

#[tokio::test]
async fn a_service_goes_on_when_its_client_is_gone() {
    let rig = Rig::start(Config::default()).await;
    let (arrived, mut arrives) = tokio::sync::mpsc::unbounded_channel();
    let (go, gone) = tokio::sync::watch::channel(false);
    rig.fake.on_request(move |event| {
        let (arrived, mut gone) = (arrived.clone(), gone.clone());
        async move {
            let _ = arrived.send(event.moment);
            if event.moment == Moment::BeforeCommit {
                let _ = gone.wait_for(|gone| *gone).await;
            }
            Next::Continue
        }
        .boxed()
    });
    let (neutron, new) = (rig.neutron.clone(), rig.port());
    let client = tokio::spawn(async move { neutron.create_port(&new).await });
    assert_eq!(arrives.recv().await, Some(Moment::BeforeCommit));
    client.abort();
    assert!(client.await.unwrap_err().is_cancelled());
    go.send(true).unwrap();
    assert_eq!(arrives.recv().await, Some(Moment::AfterCommit));
    assert_eq!(rig.fake.port_count(), 1);
}

#[tokio::test]
async fn the_dataplane_and_the_hosts_do_as_they_are_told() {
    let rig = Rig::start(Config { hosts: Some(["node1".to_owned()].into()), ..Config::default() }).await;
    let bound = |host: &str| NewPort { host_id: Some(host.to_owned()), ..rig.port() };
    let port = rig.neutron.create_port(&bound("node1")).await.unwrap();
    assert_eq!((port.status, port.vif_type), (PortStatus::Down, Some(VifType::Ovs)));
    rig.fake.plugged(port.id.as_str()).unwrap();
    assert_eq!(rig.neutron.get_port(&port.id).await.unwrap().status, PortStatus::Active);
    rig.fake.unplugged(port.id.as_str()).unwrap();
    assert_eq!(rig.neutron.get_port(&port.id).await.unwrap().status, PortStatus::Down);
    assert!(rig.fake.plugged("no-such-port").is_err());
    rig.fake.remove_host("node1");
    rig.fake.add_host("node2");
    for (host, vif_type) in [("node1", VifType::BindingFailed), ("node2", VifType::Ovs)] {
        assert_eq!(rig.neutron.create_port(&bound(host)).await.unwrap().vif_type, Some(vif_type), "{host}");
    }
    rig.fake.set_quota("kuryr", "port", 3);
    assert_eq!(rig.create().await.unwrap_err().kind(), Kind::OverQuota);
    assert!(rig.fake.delete_behind(port.id.as_str()));
    rig.create().await.unwrap();
}

#[tokio::test]
async fn projects_do_not_see_each_other() {
    let rig = Rig::start(Config::default()).await;
    let port = rig.create().await.unwrap();
    let other = connect_as("other", &rig.fake, Settings::default()).await.unwrap().neutron();
    assert_eq!(other.list_ports(&PortQuery::default()).await.unwrap(), []);
    assert!(other.delete_port(&port).await.unwrap_err().is_not_found());
    assert!(other.create_port(&rig.port()).await.unwrap_err().is_not_found(), "it can't see the network");
    let admin = connect_as("admin", &rig.fake, Settings::default()).await.unwrap().neutron();
    assert_eq!(admin.list_ports(&PortQuery::default()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn latency_grows_with_the_requests_in_flight() {
    let rig = Rig::start_with(Config::default(), Settings::default()).await;
    rig.fake.set_latency(Latency::Scaled(0.1));
    let new = NewPort { host_id: Some("node1".to_owned()), ..rig.port() };
    let timed = async |clients: usize| {
        let begun = Instant::now();
        let all = futures::future::join_all((0..clients).map(|_| rig.neutron.create_port(&new))).await;
        assert!(all.iter().all(Result::is_ok));
        begun.elapsed()
    };
    let (alone, together) = (timed(1).await, timed(8).await);
    assert!(alone >= Duration::from_millis(15), "{alone:?}");
    assert!(together >= 3 * alone.min(Duration::from_millis(30)), "{alone:?} alone, {together:?} together");
}

/// Enough that a search through all of them would show.
const PORTS: usize = 5000;

/// Looking one port up costs the same among twenty as among thousands: what scale tests need. As a ratio, because the
/// machine is sometimes busy; a search through all ports would be far slower.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_ports_are_no_burden() {
    let rig = Rig::start_with(Config { journal_bodies: false, ..Config::default() }, Settings::default()).await;
    let new = |i: usize| NewPort { device_id: Some(format!("d{i}")), description: Some(format!("m{i}")), ..rig.port() };
    let lookups = async || {
        let begun = Instant::now();
        for i in 0..100 {
            let device_ids = vec![format!("d{}", i % 20)];
            let found = rig.neutron.list_ports(&PortQuery { device_ids, ..PortQuery::default() }).await.unwrap();
            assert_eq!(found.len(), 1);
        }
        begun.elapsed()
    };
    rig.neutron.create_ports(&(0..20).map(new).collect::<Vec<_>>()).await.unwrap();
    let few = lookups().await;
    for first in (20..PORTS).step_by(1000) {
        let last = (first + 1000).min(PORTS);
        rig.neutron.create_ports(&(first..last).map(new).collect::<Vec<_>>()).await.unwrap();
    }
    let many = lookups().await;
    assert!(many < 20 * few, "{few:?} for 100 look-ups among twenty ports, {many:?} among {PORTS}");
    let begun = Instant::now();
    let query = PortQuery { page_size: Some(2000), fields: vec!["id"], ..PortQuery::default() };
    assert_eq!(rig.neutron.list_ports(&query).await.unwrap().len(), PORTS);
    println!("100 look-ups: {few:?} among 20, {many:?} among {PORTS}; all identifiers in {:?}", begun.elapsed());
}
