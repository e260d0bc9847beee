//! The charts, as Helm renders them: what a reviewer would look for, in every rendering there is a reason for.
//!
//! No cluster is needed. `helm` runs Helm, `cases` holds the renderings that all rules are held against, `pods` what is
//! looked up in them; every other module one group of rules. The tools are those of `make tools`.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a broken expectation is how a test fails")]

mod charts {
    mod api_server;
    mod cases;
    mod cluster_script;
    mod configuration;
    mod documentation;
    mod helm;
    mod keys;
    mod monitoring;
    mod network;
    mod pods;
    mod refusals;
    mod rolling;
    mod routes;
    mod schemas;
    mod security;
    mod selectors;
    mod upgrades;
    mod workloads;
}
