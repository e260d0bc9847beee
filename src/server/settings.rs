//! The configuration as the hub wants it.
//!
//! Owns the translation, and what the system leaves of it. The server asks it at its start and for each stream that begins,
//! and after a reload.

use crate::config::{Config, MergeWindow, OnConflict};
use crate::hub::{self, RingLimits, StreamSettings};
use crate::media::stream_key::StreamKey;
use crate::net::descriptors;

/// How many players there may be in all, and what they may take.
pub(super) fn player_limits(config: &Config) -> hub::Limits {
    let limits = &config.limits;
    hub::Limits { players: (limits.max_players != 0).then_some(limits.max_players), egress: limits.max_egress }
}

/// How a stream that begins is held and sent.
pub(super) fn stream_settings(config: &Config, key: &StreamKey) -> StreamSettings {
    let (play, publish) = (config.play_for(key.app()), config.publish_for(key.app()));
    StreamSettings {
        ring: RingLimits {
            gop_cache: play.gop_cache,
            max_bytes: play.gop_max_bytes,
            max_packets: play.gop_max_packets,
            max_duration: play.gop_max_duration,
            queue_length: play.queue_length,
        },
        merge_window: match play.mw_latency {
            MergeWindow::Auto => None,
            MergeWindow::Fixed(window) => Some(window),
        },
        hard_lag: play.hard_lag,
        play_wait: play.play_wait,
        join_speed: play.join_speed,
        on_conflict: match publish.on_conflict {
            OnConflict::Reject => hub::OnConflict::Reject,
            OnConflict::Replace => hub::OnConflict::Replace,
        },
    }
}

/// How many connections there are files for. Asks the system for as many as it gives, and says if those are too few.
pub(super) fn room_for_connections(max_connections: usize) -> usize {
    let Some(open_files) = descriptors::raise() else { return usize::MAX };
    let room = descriptors::left_to_connections(open_files);
    tracing::info!(open_files, connections = room, "files that may be open");
    if max_connections > room {
        tracing::warn!(max_connections, room, open_files, "limits.max_connections is beyond what files may be open");
    }
    room
}

/// What to say of a configuration that allows for more connections than this system has files for.
pub fn too_few_files(config: &Config) -> Option<String> {
    let (max_connections, open_files) = (config.limits.max_connections, descriptors::most()?);
    let room = descriptors::left_to_connections(open_files);
    (max_connections > room).then(|| {
        format!(
            "limits.max_connections: {max_connections} is beyond what this system allows a process: with {open_files} open \
             files (ulimit -Hn) there is room for {room} connections"
        )
    })
}
