//! The attributes of all kinds of objects.

use super::{
    object::Kind,
    schema::{Attribute, Default, GRAPH, POST, PUT, Type},
};

const NEW: u8 = POST | GRAPH;
const ALWAYS: u8 = POST | GRAPH | PUT;

const LISTENER_PROTOCOLS: &[&str] = &["TCP", "HTTPS", "HTTP", "TERMINATED_HTTPS", "UDP", "SCTP", "PROMETHEUS"];
const POOL_PROTOCOLS: &[&str] = &["TCP", "HTTP", "HTTPS", "PROXY", "PROXYV2", "UDP", "SCTP"];
const ALGORITHMS: &[&str] = &["LEAST_CONNECTIONS", "ROUND_ROBIN", "SOURCE_IP", "SOURCE_IP_PORT"];
const PERSISTENCES: &[&str] = &["SOURCE_IP", "HTTP_COOKIE", "APP_COOKIE"];
const MONITORS: &[&str] = &["HTTP", "HTTPS", "PING", "TCP", "TLS-HELLO", "UDP-CONNECT", "SCTP"];
const METHODS: &[&str] = &["GET", "HEAD", "POST", "PUT", "DELETE", "TRACE", "OPTIONS", "CONNECT", "PATCH"];
const CLIENTS: &[&str] = &["NONE", "OPTIONAL", "MANDATORY"];

const PORT: Type = Type::Number(1, 65_535);
const WEIGHT: Type = Type::Number(0, 256);
const RETRIES: Type = Type::Number(1, 10);
const SECONDS: Type = Type::Number(0, i64::MAX);
/// In milliseconds.
const TIMEOUT: Type = Type::Number(0, 24 * 24 * 60 * 60 * 1000);
const ANY_NUMBER: Type = Type::Number(i64::MIN, i64::MAX);

const fn of_use(name: &'static str, kind: Type, uses: u8, default: Default) -> Attribute {
    Attribute { name, kind, uses, required: 0, default }
}

/// An attribute that can be given to a new object and be changed.
const fn free(name: &'static str, kind: Type, default: Default) -> Attribute {
    of_use(name, kind, ALWAYS, default)
}

/// An attribute that is fixed when the object is created.
const fn fixed(name: &'static str, kind: Type, default: Default) -> Attribute {
    of_use(name, kind, NEW, default)
}

/// An attribute that a new object must have and that is fixed then.
const fn required(name: &'static str, kind: Type) -> Attribute {
    Attribute { required: NEW, ..fixed(name, kind, Default::Absent) }
}

/// An attribute that means something only while the object is created.
const fn passing(name: &'static str, kind: Type, uses: u8) -> Attribute {
    of_use(name, kind, uses, Default::Absent)
}

const NAME: Attribute = free("name", Type::Text(255), Default::Text(""));
const DESCRIPTION: Attribute = free("description", Type::Text(255), Default::Text(""));
const UP: Attribute = free("admin_state_up", Type::Flag, Default::Flag(true));
const TAGS: Attribute = free("tags", Type::Texts(255), Default::List);
const PROJECT: Attribute = passing("project_id", Type::Text(36), POST);
const TENANT: Attribute = passing("tenant_id", Type::Text(36), POST);

/// The attributes of a kind of object.
pub(super) const fn of(kind: Kind) -> &'static [Attribute] {
    match kind {
        Kind::LoadBalancer => LOAD_BALANCER,
        Kind::Listener => LISTENER,
        Kind::Pool => POOL,
        Kind::Member => MEMBER,
        Kind::HealthMonitor => HEALTH_MONITOR,
    }
}

const ADDITIONAL_VIP: &[Attribute] = &[
    Attribute { required: POST, ..passing("subnet_id", Type::Uuid, POST) },
    passing("ip_address", Type::Address, POST),
    passing("port_id", Type::Uuid, POST),
];

pub(super) const LOAD_BALANCER: &[Attribute] = &[
    NAME,
    DESCRIPTION,
    UP,
    TAGS,
    PROJECT,
    TENANT,
    fixed("vip_address", Type::Address, Default::Null),
    fixed("vip_port_id", Type::Uuid, Default::Null),
    fixed("vip_subnet_id", Type::Uuid, Default::Null),
    fixed("vip_network_id", Type::Uuid, Default::Null),
    free("vip_qos_policy_id", Type::Uuid, Default::Null),
    free("vip_sg_ids", Type::Uuids, Default::List),
    of_use("vip_vnic_type", Type::Any, 0, Default::Text("normal")),
    fixed("additional_vips", Type::NestedList(ADDITIONAL_VIP, POST), Default::List),
    passing("listeners", Type::NestedList(LISTENER, GRAPH), POST),
    passing("pools", Type::NestedList(POOL, GRAPH), POST),
    fixed("provider", Type::Text(64), Default::Null),
    fixed("flavor_id", Type::Uuid, Default::Null),
    fixed("availability_zone", Type::Text(255), Default::Null),
];

pub(super) const LISTENER: &[Attribute] = &[
    NAME,
    DESCRIPTION,
    UP,
    TAGS,
    PROJECT,
    TENANT,
    Attribute { required: POST, ..passing("loadbalancer_id", Type::Uuid, POST) },
    required("protocol", Type::OneOf(LISTENER_PROTOCOLS)),
    required("protocol_port", PORT),
    free("connection_limit", Type::Number(-1, i64::MAX), Default::Number(-1)),
    free("default_pool_id", Type::Uuid, Default::Null),
    passing("default_pool", Type::Nested(POOL, GRAPH), NEW),
    of_use("l7policies", Type::Any, NEW, Default::List),
    free("insert_headers", Type::Texted, Default::Map),
    free("timeout_client_data", TIMEOUT, Default::Number(50_000)),
    free("timeout_member_connect", TIMEOUT, Default::Number(5_000)),
    free("timeout_member_data", TIMEOUT, Default::Number(50_000)),
    free("timeout_tcp_inspect", TIMEOUT, Default::Number(0)),
    free("allowed_cidrs", Type::Prefixes, Default::Null),
    free("default_tls_container_ref", Type::Text(255), Default::Null),
    free("sni_container_refs", Type::Texts(255), Default::List),
    free("client_ca_tls_container_ref", Type::Text(255), Default::Null),
    free("client_authentication", Type::OneOf(CLIENTS), Default::Text("NONE")),
    free("client_crl_container_ref", Type::Text(255), Default::Null),
    free("tls_ciphers", Type::Text(2048), Default::Null),
    free("tls_versions", Type::Texts(32), Default::Null),
    free("alpn_protocols", Type::Texts(32), Default::Null),
    free("hsts_max_age", SECONDS, Default::Null),
    free("hsts_include_subdomains", Type::Flag, Default::Flag(false)),
    free("hsts_preload", Type::Flag, Default::Flag(false)),
];

/// Of a pool's session persistence.
pub(super) const PERSISTENCE: &[Attribute] = &[
    Attribute { required: NEW, ..free("type", Type::OneOf(PERSISTENCES), Default::Null) },
    free("cookie_name", Type::Text(255), Default::Null),
    free("persistence_timeout", ANY_NUMBER, Default::Null),
    free("persistence_granularity", Type::Address, Default::Null),
];

pub(super) const POOL: &[Attribute] = &[
    NAME,
    DESCRIPTION,
    UP,
    TAGS,
    PROJECT,
    TENANT,
    passing("loadbalancer_id", Type::Uuid, POST),
    passing("listener_id", Type::Uuid, POST),
    // Within a whole load balancer a pool may be named only.
    Attribute { required: POST, ..fixed("protocol", Type::OneOf(POOL_PROTOCOLS), Default::Absent) },
    Attribute { required: POST, ..free("lb_algorithm", Type::OneOf(ALGORITHMS), Default::Absent) },
    free("session_persistence", Type::Same(PERSISTENCE), Default::Null),
    passing("healthmonitor", Type::Nested(HEALTH_MONITOR, GRAPH), NEW),
    passing("members", Type::NestedList(MEMBER, GRAPH), NEW),
    free("tls_container_ref", Type::Text(255), Default::Null),
    free("ca_tls_container_ref", Type::Text(255), Default::Null),
    free("crl_container_ref", Type::Text(255), Default::Null),
    free("tls_enabled", Type::Flag, Default::Flag(false)),
    free("tls_ciphers", Type::Text(2048), Default::Null),
    free("tls_versions", Type::Texts(32), Default::Null),
    free("alpn_protocols", Type::Texts(32), Default::Null),
];

pub(super) const MEMBER: &[Attribute] = &[
    NAME,
    UP,
    TAGS,
    PROJECT,
    TENANT,
    required("address", Type::Address),
    required("protocol_port", PORT),
    free("weight", WEIGHT, Default::Number(1)),
    free("backup", Type::Flag, Default::Flag(false)),
    fixed("subnet_id", Type::Uuid, Default::Null),
    free("monitor_port", PORT, Default::Null),
    free("monitor_address", Type::Address, Default::Null),
    passing("request_sriov", Type::Flag, NEW),
    of_use("vnic_type", Type::Any, 0, Default::Text("normal")),
];

pub(super) const HEALTH_MONITOR: &[Attribute] = &[
    NAME,
    UP,
    TAGS,
    PROJECT,
    TENANT,
    Attribute { required: POST, ..passing("pool_id", Type::Uuid, POST) },
    required("type", Type::OneOf(MONITORS)),
    Attribute { required: NEW, ..free("delay", SECONDS, Default::Absent) },
    Attribute { required: NEW, ..free("timeout", SECONDS, Default::Absent) },
    Attribute { required: NEW, ..free("max_retries", RETRIES, Default::Absent) },
    free("max_retries_down", RETRIES, Default::Number(3)),
    free("http_method", Type::OneOf(METHODS), Default::Null),
    free("url_path", Type::Text(2048), Default::Null),
    free("expected_codes", Type::Text(64), Default::Null),
    free("http_version", Type::Any, Default::Null),
    free("domain_name", Type::Text(255), Default::Null),
];
