//! Contract tests: what `kuryr_openstack` relies on at Keystone, Neutron and Octavia. They hold the fake cloud and the real one to one
//! behaviour.
//!
//! `cargo test -p kuryr-openstack --test contract` runs them against `kuryr_openstack_fake`, a new one for each test. Where
//! `KURYR_CONTRACT_CLOUD` names a cloud they run against that one, as `cargo xtask test contract` does in the lab. By hand, in a network
//! namespace from which the cloud can be reached:
//! `OS_CLIENT_CONFIG_FILE=/path/clouds.yaml KURYR_CONTRACT_CLOUD=admin nsenter --net=/run/netns/kuryr-control cargo test -p
//! kuryr-openstack --test contract`
//!
//! The cloud must be an administrator's that logs in with a password (users, quotas). All tests but those of `auth` and
//! `exhausted` also run with the credentials that Kuryr itself has: `KURYR_CONTRACT_CLOUD=kuryr-appcred ... -- atomic::
//! groups:: lists:: lookups:: ports:: refusals:: rules:: wire:: octavia_ floating_ips::` (a part of a name is enough).
//! `KURYR_CONTRACT_HOST` names a host that ports are bound to (default `node1`). Every test makes its own objects under a name of
//! its own and deletes them, also when it fails.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod contract {
    mod address_groups;
    mod atomic;
    mod auth;
    mod backend;
    mod exhausted;
    mod fixture;
    mod floating_ips;
    mod group_refusals;
    mod groups;
    mod lists;
    mod lookups;
    mod measure;
    mod octavia_changes;
    mod octavia_create;
    mod octavia_fixture;
    mod octavia_lists;
    mod octavia_members;
    mod octavia_refusals;
    mod ports;
    mod raw;
    mod refusals;
    mod rules;
    mod wire;
}
