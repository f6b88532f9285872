//! The cloud: OVN, MariaDB, Keystone, Neutron with ML2/OVN, Octavia with the OVN provider; all in `kuryr-control`.
//!
//! There is no message broker: with ML2/OVN and the OVN provider nothing needs one (`transport_url = fake://`).

mod accounts;
mod clouds;
mod config;
mod keystone;
mod load_balancers;
mod mariadb;
mod networks;
mod neutron_api;
mod neutron_workers;
mod octavia_api;
mod octavia_driver_agent;
mod ovn;
mod python;
mod rest;
mod schema;
mod uwsgi;

use crate::{engine::Lab, registry::Components};

pub use accounts::KURYR;
pub use clouds::clouds_file;
pub use load_balancers::NAME as LOAD_BALANCERS;
pub use networks::{CLUSTER_IPS_V4, CLUSTER_IPS_V6, Cloud, PODS_V4, cloud_file};
pub use neutron_api::url as neutron_url;

pub use rest::{ADMIN, Login, Session};

pub(crate) use config::Ini;
pub(crate) use keystone::url as keystone_url;
pub(crate) use rest::id;

/// The password of every account of the lab. Nothing outside the machine can reach it.
pub(crate) const PASSWORD: &str = "lab-password";

/// The components of the cloud.
pub fn components(_lab: &Lab) -> Components {
    vec![
        Box::new(ovn::Database::NORTH),
        Box::new(ovn::Database::SOUTH),
        Box::new(ovn::Northd),
        Box::new(mariadb::MariaDb),
        Box::new(keystone::Schema),
        Box::new(keystone::Keystone),
        Box::new(accounts::Accounts),
        Box::new(neutron_api::Schema),
        Box::new(neutron_api::NeutronApi),
        Box::new(neutron_workers::Worker::Maintenance),
        Box::new(neutron_workers::Worker::Periodic),
        Box::new(octavia_api::Schema),
        Box::new(octavia_driver_agent::DriverAgent),
        Box::new(octavia_api::OctaviaApi),
        Box::new(networks::Networks),
        Box::new(load_balancers::LoadBalancers),
    ]
}
