//! NetworkPolicies: which groups pods' ports have and what these allow, whatever happens.

mod fixture;
mod life;
mod repair;
