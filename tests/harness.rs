//! What the whole-process tests (`tests/system`) and those of clusters (`tests/cluster`) share: server processes,
//! publishers, players, ffmpeg, and one way to wait.
//!
//! Nothing here asserts a behaviour of the server; that is the tests' part. A peer that cannot do what a test asked of
//! it panics with what it saw.

pub mod authority;
pub mod browser;
pub mod client;
#[allow(dead_code, reason = "shared with the library's own tests, which use more of it")]
pub mod dns;
pub mod ffmpeg;
pub mod flv;
pub mod haproxy;
pub mod hook_server;
pub mod http;
pub mod http2;
pub mod jwt;
pub mod metrics;
pub mod nginx;
pub mod nginx_hls;
pub mod node_media_server;
pub mod numbered;
pub mod openssl;
pub mod origins;
pub mod paced;
pub mod player;
pub mod playlist;
pub mod process;
pub mod proxy;
pub mod publisher;
pub mod recordings;
pub mod redirecting;
pub mod rtmp;
pub mod scripted_origin;
pub mod server;
pub mod small_disk;
pub mod tmpfs;
pub mod tools;
pub mod ws;

use std::time::{Duration, Instant};

/// How long a condition may take before the test fails: far beyond what a loaded machine needs.
pub const PATIENCE: Duration = Duration::from_secs(30);

const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Waits until the condition holds, and fails the test after [`PATIENCE`].
#[track_caller]
pub fn wait_until(description: &str, condition: impl FnMut() -> bool) {
    wait_at_most(PATIENCE, description, condition);
}

/// Waits until the condition holds, and fails the test after `patience`.
#[track_caller]
pub fn wait_at_most(patience: Duration, description: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < patience, "waited {patience:?} in vain until {description}");
        pause();
    }
}

/// Waits until there is a value, and fails the test after [`PATIENCE`].
#[track_caller]
pub fn wait_for<T>(description: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let mut found = None;
    wait_until(description, || {
        found = look();
        found.is_some()
    });
    found.expect("the wait ends only with a value")
}

/// Lets time pass, where the passing of time is what a test is about: a pace, a silence, a timeout that must not fire.
pub fn let_pass(duration: Duration) {
    let start = Instant::now();
    while start.elapsed() < duration {
        pause();
    }
}

/// The interval between two looks at a condition; the only sleep there is.
#[expect(clippy::disallowed_methods, reason = "test threads belong to no runtime")]
pub fn pause() {
    std::thread::sleep(POLL_INTERVAL);
}
