//! Service to KuryrLoadBalancer: every Service with an address has exactly one, and `status.loadBalancer` says where it is reached from
//! outside. What Octavia has is the business of the KuryrLoadBalancer's own reconciler.
//!
//! ```text
//! Service, EndpointSlices ──facts──▶ kuryr_core::service::facts ──wanted──▶ Wanted
//! Observed, Wanted ──plan──▶ Plan: the KuryrLoadBalancer's spec, and the Service's `status.loadBalancer`
//! ```

pub mod facts;
pub mod plan;
