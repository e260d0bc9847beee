//! Whole-process tests: the `rillcast` binary, real sockets and real peers.
//!
//! Every test starts the processes it needs on ports of its own and ends them; tests know nothing of each other and may
//! run at the same time. `harness` holds the processes and peers, every module of `system` one group of behaviours.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a broken expectation is how a test fails")]
#![allow(unreachable_pub, reason = "the harness is a small library inside test binaries")]

mod harness;

mod system {
    use crate::harness;

    mod absent;
    mod access;
    mod access_log;
    mod admin;
    mod admin_auth;
    mod browser;
    mod clients;
    mod demo;
    mod descriptors;
    mod dns;
    mod drain;
    mod dvr;
    mod dvr_disk;
    mod dvr_files;
    mod enhanced;
    mod fan_out;
    mod faults;
    mod ffmpeg;
    mod flags;
    mod foreign;
    mod forward;
    mod hls_access;
    mod hls_browser;
    mod hls_directory;
    mod hls_edge;
    mod hls_foreign;
    mod homes;
    mod hook_bounds;
    mod hooks;
    mod hostile;
    mod http;
    mod http2;
    mod interoperation;
    mod late_joiners;
    mod limits;
    mod logging;
    mod marks;
    mod monitoring;
    mod mux;
    mod names;
    mod overload;
    mod probe;
    mod process;
    mod proxied;
    mod publishing;
    mod reload;
    mod reload_effects;
    mod reload_sources;
    mod resume;
    mod shield;
    mod shutdown;
    mod slow_players;
    mod timeline;
    mod tls;
    mod upstream_http;
    mod upstream_tls;
    mod walk_through;
    mod ws;
}
