//! A player that does not keep up: how far it lags, and where it goes on.

use std::time::{Duration, Instant};

use crate::metrics::DropReason;

use super::super::block::Block;
use super::super::now;
use super::super::state::State;
use super::Reader;

impl Reader {
    /// Packets that the player was not sent because it lagged.
    pub fn skipped_packets(&self) -> u64 {
        self.skipped_packets
    }

    /// For how long what the player would get next has been there: how far it lags. Zero for one that has had everything.
    pub fn behind(&self) -> Duration {
        let state = self.handle.stream.state();
        let next = self.cursor.map(|cursor| cursor.max(state.ring.first()));
        let sealed_at = next.and_then(|next| state.ring.get(next)).map(|block| block.sealed_at());
        sealed_at.map_or(Duration::ZERO, |sealed_at| now().saturating_duration_since(sealed_at))
    }

    /// Goes on as a player does that paused: at the newest keyframe, unless the player has had it.
    pub fn rejoin(&mut self) {
        let Some(cursor) = self.cursor else { return };
        let state = self.handle.stream.state();
        let newest = state.ring.newest_keyframe().unwrap_or_else(|| state.ring.live_end());
        drop(state);
        if newest > cursor {
            self.cursor = Some(newest);
            self.skipped = true;
        }
    }

    /// Where the player goes on: at the newest keyframe if it lags too far behind, or if the ring has dropped its block.
    pub(super) fn skip_if_behind(&mut self, cursor: u64, state: &State, now: Instant) -> u64 {
        let ring = &state.ring;
        let reason = match ring.get(cursor) {
            None if cursor < ring.first() => DropReason::Overrun,
            Some(block) if self.lags(block, now) => DropReason::Lag,
            _ => return cursor,
        };
        let target = ring.newest_keyframe().unwrap_or_else(|| ring.live_end());
        let Some(block) = ring.get(target).filter(|_| target > cursor) else { return cursor.max(ring.first()) };
        let skipped = block.first_packet().saturating_sub(self.next_packet);
        self.handle.shared.metrics.dropped_packets(reason).inc_by(skipped);
        self.skipped_packets += skipped;
        self.skipped = true;
        target
    }

    fn lags(&self, block: &Block, now: Instant) -> bool {
        // Who has not had a block yet is given the GOP cache, however old.
        self.headers.is_some()
            && now.saturating_duration_since(block.sealed_at()) > self.handle.stream.settings.ring.queue_length
    }
}
