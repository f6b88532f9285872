//! Services: what Octavia and Neutron have of them, whatever happens.

mod amphora;
mod crash;
mod faults;
mod fixture;
mod floating;
mod life;
mod many;
mod repair;
mod types;
