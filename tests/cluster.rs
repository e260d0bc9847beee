//! Clusters of real processes: origins and edges come, go and fail while publishers publish and players play.
//!
//! Every scenario starts its pods on loopback addresses of its own, prints one line of figures, and fails if players or
//! publishers noticed more than they may. `cluster::bench` holds the pods, DNS, the load balancer, publishers, players
//! and what is measured at them; every other module one group of scenarios.
//!
//! The quick form runs with all other tests. `RILLCAST_SOAK=10` makes it the long one: full counts, and ten minutes where
//! time is what matters; `make soak` runs that and prints the table of docs/reliability.md.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a broken expectation is how a test fails")]
#![allow(unreachable_pub, reason = "the harness is a small library inside test binaries")]

#[allow(dead_code, reason = "shared with the whole-process tests, which use all of it")]
mod harness;

mod cluster {
    use crate::harness;

    mod bench;
    mod churn;
    mod dns_outage;
    mod forwarded;
    mod half_open;
    mod homes;
    mod origin_killed;
    mod origin_stopped;
    mod race;
    mod rolling;
    mod scaling;
    mod shielded;
    mod spread;
}
