//! NetworkPolicies, with packets between pods whose security groups Kuryr keeps.

mod api;
mod blocks;
mod case;
mod changes;
mod chase;
mod cluster;
mod directions;
mod life;
mod model;
mod moments;
mod node;
mod peers;
mod ports;
mod services;
mod stage;
