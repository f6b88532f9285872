use super::*;
use proptest::prelude::*;

fn read(all: &[(&str, &str)]) -> (Annotations, Vec<Problem>) {
    Annotations::read(&all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
}

const ID: &str = "6ad4f9e4-6c4e-4d0c-8d0b-f3f1c1a3f1b7";

/// Every annotation that is read, with a good value and bad ones.
const ALL: [(&str, &str, &[&str]); 27] = [
    (INTERNAL, "true", &["ture", "", "1"]),
    (SOURCE_RANGES, "10.0.0.0/8,192.0.2.0/24", &[]),
    (FLOATING_NETWORK_ID, ID, &["public"]),
    (FLOATING_SUBNET, "public-subnet", &[""]),
    (FLOATING_SUBNET_ID, ID, &["subnet", "6ad4f9e4-6c4e-4d0c-8d0b-f3f1c1a3f1bg"]),
    (FLOATING_SUBNET_TAGS, "a,b", &[""]),
    (KEEP_FLOATING_IP, "false", &["no"]),
    (PROXY_PROTOCOL, "v2", &["v3"]),
    (X_FORWARDED_FOR, "true", &["X-Forwarded-For"]),
    (TLS_CONTAINER_REF, "containers/1", &[""]),
    (TIMEOUT_CLIENT_DATA, "0", &["-1", "50s", "2073600001", "+1", "99999999999999999999"]),
    (TIMEOUT_MEMBER_CONNECT, "5000", &["five"]),
    (TIMEOUT_MEMBER_DATA, "2073600000", &["1.5"]),
    (TIMEOUT_TCP_INSPECT, "1", &[""]),
    (KURYR_TIMEOUT_CLIENT_DATA, "50000", &["long"]),
    (KURYR_TIMEOUT_MEMBER_DATA, "50000", &["long"]),
    (CONNECTION_LIMIT, "-1", &["-2", "4294967295", "all"]),
    (LB_METHOD, "SOURCE_IP_PORT", &["round_robin"]),
    (ENABLE_HEALTH_MONITOR, "false", &["yes"]),
    (HEALTH_MONITOR_DELAY, "5", &["0", "5s"]),
    (HEALTH_MONITOR_TIMEOUT, "3", &["0"]),
    (HEALTH_MONITOR_MAX_RETRIES, "10", &["0", "11"]),
    (HEALTH_MONITOR_MAX_RETRIES_DOWN, "1", &["0", "11"]),
    (FLAVOR_ID, ID, &["small"]),
    (AVAILABILITY_ZONE, "az1", &[""]),
    (HOSTNAME, "web.example.org", &["Web", "-web", "a..b", ""]),
    ("loadbalancer.openstack.org/load-balancer-id", ID, &[]),
];

#[test]
fn good_values_are_read_without_complaint() {
    for (name, value, _) in ALL {
        assert_eq!(read(&[(name, value)]).1, [], "{name}");
    }
}

#[test]
fn a_wrong_value_is_told_with_what_is_allowed() {
    for (name, _, wrong) in ALL {
        for value in wrong {
            let (_, problems) = read(&[(name, value)]);
            assert_eq!(problems.len(), 1, "{name}: {value}");
            let told = problems[0].to_string();
            assert!(told.contains(name) && told.contains(&format!("`{value}`")) && told.contains("must be"), "{told}");
        }
    }
}

#[test]
fn a_slip_of_the_pen_opens_nothing_and_deletes_nothing() {
    let (read, _) = read(&[(INTERNAL, "ture"), (FLOATING_NETWORK_ID, "public"), (KEEP_FLOATING_IP, "ja")]);
    assert_eq!(read.internal, Some(true));
    assert_eq!(read.floating_network, Some(FloatingNetwork::None));
    assert_eq!(read.keep_floating_ip, Some(true));
}

#[test]
fn values_mean_what_they_mean_elsewhere() {
    assert_eq!(read(&[(PROXY_PROTOCOL, "true")]).0.proxy_protocol, Some(ProxyProtocol::V1));
    assert_eq!(read(&[(PROXY_PROTOCOL, "false")]).0.proxy_protocol, None);
    assert_eq!(read(&[(FLOATING_NETWORK_ID, "")]).0.floating_network, Some(FloatingNetwork::None));
    assert_eq!(read(&[(CONNECTION_LIMIT, "-1")]).0.connection_limit, None);
    assert_eq!(read(&[(CONNECTION_LIMIT, " 7 ")]).0.connection_limit, Some(7));
    let both = [(FLOATING_SUBNET, "name"), (FLOATING_SUBNET_ID, ID)];
    assert_eq!(read(&both).0.floating_subnet.map(|subnet| subnet.by), Some(FloatingSubnetBy::Id));
}

#[test]
fn the_originals_timeouts_go_before() {
    let (read, problems) = read(&[(TIMEOUT_CLIENT_DATA, "1"), (KURYR_TIMEOUT_CLIENT_DATA, "2")]);
    assert_eq!((read.timeout_client_data, problems.len()), (Some(2), 0));
}

#[test]
fn what_has_no_meaning_or_is_misspelled_is_told() {
    let told = |name: &str| read(&[(name, "x")]).1.first().map(ToString::to_string).unwrap_or_default();
    assert!(told("loadbalancer.openstack.org/subnet-id").contains("cluster IP"));
    assert!(told("loadbalancer.openstack.org/proxy-protokoll").contains("misspelled"));
    assert_eq!(told("example.org/anything"), "");
}

#[test]
fn a_long_value_is_cut() {
    let value = "ä\n".repeat(100_000);
    let told = read(&[(HOSTNAME, &value)]).1[0].to_string();
    assert!(told.len() < 600 && !told.contains('\n'), "{}", told.len());
}

proptest! {
    #[test]
    fn nothing_panics(values in prop::collection::vec("\\PC{0,40}", ALL.len())) {
        let all = ALL.iter().zip(&values).map(|((name, ..), value)| ((*name).to_owned(), value.clone())).collect();
        let (_, problems) = Annotations::read(&all);
        prop_assert!(problems.len() <= ALL.len());
    }
}
