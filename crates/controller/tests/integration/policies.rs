//! NetworkPolicies: which groups pods' ports have and what these allow, whatever happens.

mod cluster;
mod crash;
mod faults;
mod fixture;
mod life;
mod repair;
