use super::{
    super::{
        facts::{ServicePort, Subnet, TargetPort},
        spec::{CLASS, Protocol},
    },
    *,
};
use proptest::prelude::*;

fn settings() -> Settings {
    let subnet = |id: &str, cidr: &str| Subnet { id: id.to_owned(), cidr: cidr.parse().unwrap() };
    Settings {
        cluster: "lab".into(),
        provider: Some("ovn".into()),
        service_subnets: vec![subnet("v4", "10.96.0.0/16"), subnet("v6", "fd96::/108")],
        floating_network: Some("public".into()),
        ..Settings::default()
    }
}

fn service() -> Service {
    let port = |name: &str, port| ServicePort {
        name: name.into(),
        protocol: Protocol::Tcp,
        port,
        target: TargetPort::Name("web".into()),
        node_port: None,
        app_protocol: None,
    };
    Service {
        name: "web".into(),
        namespace: "default".into(),
        uid: "1".into(),
        cluster_ips: vec!["10.96.0.10".into()],
        ports: vec![port("http", 80), port("https", 443)],
        selector: true,
        allocate_node_ports: true,
        ..Service::default()
    }
}

fn public() -> Service {
    Service { kind: ServiceType::LoadBalancer, ..service() }
}

fn with(annotation: &str, value: &str) -> Service {
    Service { annotations: [(annotation.to_owned(), value.to_owned())].into(), ..public() }
}

fn ask(service: &Service) -> Ask {
    match wanted(service, &settings()) {
        Wanted::LoadBalancer(ask) => *ask,
        other => panic!("{other:?}"),
    }
}

fn floating(service: &Service) -> Option<FloatingIp> {
    ask(service).spec.external.and_then(|external| external.floating_ip)
}

#[test]
fn some_services_have_no_load_balancer() {
    let of = |change: fn(&mut Service)| {
        let mut service = service();
        change(&mut service);
        wanted(&service, &settings())
    };
    assert_eq!(of(|one| one.deleted = true), Wanted::Nothing(Why::Deleted));
    assert_eq!(of(|one| one.kind = ServiceType::ExternalName), Wanted::Nothing(Why::ExternalName));
    assert_eq!(of(|one| one.cluster_ips = vec!["None".into()]), Wanted::Nothing(Why::Headless));
    assert_eq!(of(|one| one.left_to_others = true), Wanted::Nothing(Why::LeftToOthers));
    assert_eq!(of(|one| one.cluster_ips.clear()), Wanted::Nothing(Why::NoAddress));
    assert_eq!(of(|one| one.cluster_ips = vec![String::new()]), Wanted::Nothing(Why::NoAddress));
}

#[test]
fn an_address_that_no_subnet_has_is_told() {
    let elsewhere = Service { cluster_ips: vec!["10.97.0.1".into()], ..service() };
    let Wanted::Impossible(problem) = wanted(&elsewhere, &settings()) else { panic!() };
    assert!(problem.to_string().contains("10.97.0.1"), "{problem}");
    let half = Service { cluster_ips: vec!["10.96.0.1".into(), "fd00::1".into()], ..service() };
    assert_eq!((ask(&half).spec.vips.len(), ask(&half).problems.len()), (1, 1));
}

#[test]
fn what_no_object_holds_is_told() {
    let mut many = service();
    let port = many.ports[0].clone();
    many.ports = (0..513).map(|nth| ServicePort { port: 1000 + nth, ..port.clone() }).collect();
    let Wanted::Impossible(problem) = wanted(&many, &settings()) else { panic!() };
    assert!(problem.to_string().contains("spec.ports is `513 entries`"), "{problem}");
    many.ports.pop();
    assert_eq!(ask(&many).spec.ports.len(), 512);
}

#[test]
fn every_type_with_an_address_is_served_and_only_a_load_balancer_is_reached_from_outside() {
    for kind in [ServiceType::ClusterIp, ServiceType::NodePort, ServiceType::LoadBalancer] {
        let ask = ask(&Service { kind, ..service() });
        assert_eq!(ask.spec.external.is_some(), kind == ServiceType::LoadBalancer, "{kind:?}");
        assert_eq!(ask.spec.vips, [Vip { address: [10, 96, 0, 10].into(), subnet_id: "v4".into() }]);
        assert_eq!(ask.spec.ports.len(), 2);
        assert_eq!(ask.name, names::kuryr_load_balancer("web", "1"));
        assert_eq!(ask.problems, []);
    }
}

#[test]
fn addresses_of_old_objects_are_read() {
    let old = Service { cluster_ips: vec!["010.096.000.010".into()], ..service() };
    assert_eq!(ask(&old).spec, ask(&service()).spec);
}

#[test]
fn both_families_have_an_address() {
    let dual = Service { cluster_ips: vec!["fd96::1".into(), "10.96.0.1".into()], ..service() };
    let subnets: Vec<String> = ask(&dual).spec.vips.into_iter().map(|vip| vip.subnet_id).collect();
    assert_eq!(subnets, ["v6", "v4"]);
}

#[test]
fn the_class_decides_whose_load_balancer_it_is() {
    let class = |class: Option<&str>| Service { load_balancer_class: class.map(str::to_owned), ..public() };
    assert!(ask(&class(None)).spec.external.is_some());
    assert!(ask(&class(Some(CLASS))).spec.external.is_some());
    let other = ask(&class(Some("example.org/other"))).spec;
    assert!(other.external.is_none() && !other.vips.is_empty(), "its cluster IP is Kuryr's");
    let settings = Settings { default_class: false, ..settings() };
    assert!(!is_ours(&class(None), &settings) && is_ours(&class(Some(CLASS)), &settings));
}

#[test]
fn a_floating_ip_is_what_is_asked_for() {
    let network = |ip: Option<FloatingIp>| ip.and_then(|ip| ip.network_id);
    assert_eq!(network(floating(&public())).as_deref(), Some("public"));
    let id = "6ad4f9e46c4e4d0c8d0bf3f1c1a3f1b7";
    assert_eq!(network(floating(&with(annotations::FLOATING_NETWORK_ID, id))).as_deref(), Some(id));
    assert_eq!(floating(&with(annotations::FLOATING_NETWORK_ID, "")), None);
    assert_eq!(floating(&with(annotations::INTERNAL, "true")), None);
    assert_eq!(floating(&with(annotations::INTERNAL, "ja")), None, "closed, if it isn't clear");
    assert!(floating(&with(annotations::KEEP_FLOATING_IP, "true")).unwrap().keep);
    let v6 = Service { cluster_ips: vec!["fd96::1".into()], ..public() };
    assert_eq!((floating(&v6), ask(&v6).spec.external.is_some()), (None, true));
}

#[test]
fn load_balancer_ip_names_a_floating_ip_or_the_services_own_address() {
    let at = |ip: &str| Service { load_balancer_ip: Some(ip.into()), ..public() };
    assert_eq!(floating(&at("203.0.113.7")).unwrap().address, Some([203, 0, 113, 7].into()));
    assert_eq!(floating(&at("")).unwrap().address, None);
    assert_eq!((floating(&at("10.96.0.10")), ask(&at("10.96.0.10")).spec.external.is_some()), (None, true));
    for wrong in ["nonsense", "fd00::7"] {
        let ask = ask(&at(wrong));
        assert!(ask.spec.external.is_none() && ask.problems.len() == 1, "{wrong}");
    }
}

#[test]
fn source_ranges_are_read_and_a_wrong_one_lets_nobody_in() {
    let ranges = |ranges: &[&str]| Service {
        load_balancer_source_ranges: ranges.iter().map(|range| (*range).to_owned()).collect(),
        ..public()
    };
    let read = |service: &Service| ask(service).spec.source_ranges;
    assert_eq!(read(&ranges(&[" 192.0.2.7/24 "])), BTreeSet::from(["192.0.2.0/24".parse().unwrap()]));
    assert!(read(&ranges(&["192.0.2.0/24", "0.0.0.0/0"])).is_empty(), "everybody");
    assert_eq!(read(&ranges(&["::/0"])).len(), 1, "everybody, but nobody who has an IPv4 address");
    assert_eq!(read(&with(annotations::SOURCE_RANGES, "10.0.0.0/8, 192.0.2.0/24")).len(), 2);
    assert!(matches!(wanted(&ranges(&["192.0.2.0"]), &settings()), Wanted::Impossible(_)));
    let inside = Service { kind: ServiceType::ClusterIp, ..ranges(&["192.0.2.0/24"]) };
    assert!(read(&inside).is_empty(), "nobody reaches it from outside anyway");
}

#[test]
fn annotations_go_before_settings() {
    let spec = ask(&with(annotations::TIMEOUT_MEMBER_DATA, "1")).spec;
    assert_eq!(spec.timeouts, Timeouts { member_data: 1, ..Timeouts::default() });
    assert_eq!(spec.monitor, None);
    let monitored = ask(&with(annotations::ENABLE_HEALTH_MONITOR, "true")).spec;
    assert_eq!(monitored.monitor, Some(Monitor::default()));
    let always = Settings { monitor: true, ..settings() };
    let Wanted::LoadBalancer(ask) = wanted(&with(annotations::HEALTH_MONITOR_TIMEOUT, "9"), &always) else { panic!() };
    assert_eq!(ask.spec.monitor.map(|monitor| (monitor.delay, monitor.timeout)), Some((5, 5)));
    assert_eq!(ask.problems.len(), 1);
}

proptest! {
    #[test]
    fn nothing_panics(texts in prop::collection::vec("\\PC{0,20}", 4), ours in any::<bool>()) {
        let service = Service {
            kind: if ours { ServiceType::LoadBalancer } else { ServiceType::ClusterIp },
            cluster_ips: vec![texts[0].clone(), "10.96.0.1".into()],
            load_balancer_ip: Some(texts[1].clone()),
            load_balancer_source_ranges: vec![texts[2].clone()],
            load_balancer_class: ours.then(|| texts[3].clone()),
            ..service()
        };
        let _ = wanted(&service, &settings());
    }
}
