//! The names of annotations, and what their values mean.

/// The Service is reached from within the cloud only: `true` or `false`.
pub const INTERNAL: &str = "service.beta.kubernetes.io/openstack-internal-load-balancer";
/// Who may reach the Service from outside, as `spec.loadBalancerSourceRanges`, which goes before it: CIDRs, separated by commas.
pub const SOURCE_RANGES: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";
/// Id of the network that the floating IP is of. Empty: no floating IP.
pub const FLOATING_NETWORK_ID: &str = "loadbalancer.openstack.org/floating-network-id";
/// Name of the subnet that the floating IP is of, or a pattern.
pub const FLOATING_SUBNET: &str = "loadbalancer.openstack.org/floating-subnet";
/// Id of the subnet that the floating IP is of.
pub const FLOATING_SUBNET_ID: &str = "loadbalancer.openstack.org/floating-subnet-id";
/// Tags of the subnet that the floating IP is of.
pub const FLOATING_SUBNET_TAGS: &str = "loadbalancer.openstack.org/floating-subnet-tags";
/// The floating IP stays when the Service goes: `true` or `false`.
pub const KEEP_FLOATING_IP: &str = "loadbalancer.openstack.org/keep-floatingip";
/// Version of the PROXY protocol: `true` or `v1`, `v2`, `false`.
pub const PROXY_PROTOCOL: &str = "loadbalancer.openstack.org/proxy-protocol";
/// HTTP listeners that insert X-Forwarded-For: `true` or `false`.
pub const X_FORWARDED_FOR: &str = "loadbalancer.openstack.org/x-forwarded-for";
/// The Barbican container of the certificate that listeners end TLS with.
pub const TLS_CONTAINER_REF: &str = "loadbalancer.openstack.org/default-tls-container-ref";
/// Timeout in milliseconds: a client that sends nothing.
pub const TIMEOUT_CLIENT_DATA: &str = "loadbalancer.openstack.org/timeout-client-data";
/// Timeout in milliseconds: the connection to a member.
pub const TIMEOUT_MEMBER_CONNECT: &str = "loadbalancer.openstack.org/timeout-member-connect";
/// Timeout in milliseconds: a member that sends nothing.
pub const TIMEOUT_MEMBER_DATA: &str = "loadbalancer.openstack.org/timeout-member-data";
/// Timeout in milliseconds: more of a client's first packet.
pub const TIMEOUT_TCP_INSPECT: &str = "loadbalancer.openstack.org/timeout-tcp-inspect";
/// The original Kuryr's name of [`TIMEOUT_CLIENT_DATA`], which goes before it.
pub const KURYR_TIMEOUT_CLIENT_DATA: &str = "openstack.org/kuryr-timeout-client-data";
/// The original Kuryr's name of [`TIMEOUT_MEMBER_DATA`], which goes before it.
pub const KURYR_TIMEOUT_MEMBER_DATA: &str = "openstack.org/kuryr-timeout-member-data";
/// Most connections of each port at a time. -1: no limit.
pub const CONNECTION_LIMIT: &str = "loadbalancer.openstack.org/connection-limit";
/// How members are chosen.
pub const LB_METHOD: &str = "loadbalancer.openstack.org/lb-method";
/// Octavia looks whether members work: `true` or `false`.
pub const ENABLE_HEALTH_MONITOR: &str = "loadbalancer.openstack.org/enable-health-monitor";
/// Seconds between two looks.
pub const HEALTH_MONITOR_DELAY: &str = "loadbalancer.openstack.org/health-monitor-delay";
/// Seconds that an answer may take.
pub const HEALTH_MONITOR_TIMEOUT: &str = "loadbalancer.openstack.org/health-monitor-timeout";
/// Good answers until a member counts as working.
pub const HEALTH_MONITOR_MAX_RETRIES: &str = "loadbalancer.openstack.org/health-monitor-max-retries";
/// Bad answers until a member counts as not working.
pub const HEALTH_MONITOR_MAX_RETRIES_DOWN: &str = "loadbalancer.openstack.org/health-monitor-max-retries-down";
/// Id of Octavia's flavor.
pub const FLAVOR_ID: &str = "loadbalancer.openstack.org/flavor-id";
/// Octavia's availability zone.
pub const AVAILABILITY_ZONE: &str = "loadbalancer.openstack.org/availability-zone";
/// Name that is published in place of the address.
pub const HOSTNAME: &str = "loadbalancer.openstack.org/hostname";
