//! Services, with packets through the load balancers that Octavia's OVN provider makes.

mod changes;
mod cluster_ip;
mod drain;
mod endpoints;
mod outside;
mod scene;
