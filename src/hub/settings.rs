//! What applies to one stream, as the configuration says for its app.

use std::time::Duration;

use super::ring::RingLimits;

/// What a second publisher of a name gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnConflict {
    /// A refusal; the first one stays.
    Reject,
    /// The name; the first one is closed.
    Replace,
}

/// The settings of one stream, fixed when it comes into being.
#[derive(Debug, Clone)]
pub struct StreamSettings {
    /// What the ring may hold.
    pub ring: RingLimits,
    /// For how long packets are gathered into one block; zero seals whatever came at once. `None` is as long as the
    /// players' shards are better off with.
    pub merge_window: Option<Duration>,
    /// How long one write may take before its player is closed.
    pub hard_lag: Duration,
    /// How long players wait for a stream that nobody publishes; zero waits for ever.
    pub play_wait: Duration,
    /// How many times as fast as the stream a player gets what was sent before it came; 0 is all at once.
    pub join_speed: u32,
    /// What a second publisher gets.
    pub on_conflict: OnConflict,
}

impl Default for StreamSettings {
    fn default() -> Self {
        Self {
            ring: RingLimits {
                gop_cache: true,
                max_bytes: 16 << 20,
                max_packets: 10_000,
                max_duration: Duration::from_secs(30),
                queue_length: Duration::from_secs(10),
            },
            merge_window: None,
            hard_lag: Duration::from_secs(30),
            play_wait: Duration::from_secs(5),
            join_speed: 0,
            on_conflict: OnConflict::Reject,
        }
    }
}
