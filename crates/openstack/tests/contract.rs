//! Contract tests against a real Keystone and Neutron.
//!
//! `cargo xtask test` runs them in the lab. By hand, in a network namespace from which the cloud can be reached:
//! `OS_CLIENT_CONFIG_FILE=/path/clouds.yaml KURYR_CONTRACT_CLOUD=admin nsenter --net=/run/netns/kuryr-control cargo test -p
//! kuryr-openstack --test contract`
//!
//! The cloud must be one of an administrator (quotas, host bindings). Every test makes its own objects under a name of
//! its own and deletes them, also when it fails.

mod contract {
    mod auth;
    mod fixture;
}
