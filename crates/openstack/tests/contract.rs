//! Contract tests against a real Keystone and Neutron.
//!
//! `cargo xtask test` runs them in the lab. By hand, in a network namespace from which the cloud can be reached:
//! `OS_CLIENT_CONFIG_FILE=/path/clouds.yaml KURYR_CONTRACT_CLOUD=admin nsenter --net=/run/netns/kuryr-control cargo test -p
//! kuryr-openstack --features lab --test contract`
//!
//! The cloud must be an administrator's that logs in with a password (users, quotas). All tests but those of `auth` and
//! `exhausted` also run with the credentials that Kuryr itself has: `KURYR_CONTRACT_CLOUD=kuryr-appcred ... -- groups::
//! lists:: lookups:: ports::`. `KURYR_CONTRACT_HOST` names a
//! host that ports are bound to (default `node1`). Every test makes its own objects under a name of its own and
//! deletes them, also when it fails.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod contract {
    mod auth;
    mod exhausted;
    mod fixture;
    mod groups;
    mod lists;
    mod lookups;
    mod measure;
    mod ports;
}
