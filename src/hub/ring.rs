//! The ring of blocks: what a stream has sent lately, oldest first.
//!
//! Its tail is the GOP cache, and what lies before that is the room that slow players have. Blocks are numbered without
//! end; a player's cursor is such a number.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::block::Block;
use super::budget::Pressure;

/// The bounds of one ring. Whichever is reached first wins, over the GOP cache too.
#[derive(Debug, Clone, Copy)]
pub struct RingLimits {
    /// Whether players may join at the newest keyframe that is past.
    pub gop_cache: bool,
    /// Bytes of media.
    pub max_bytes: usize,
    /// Packets.
    pub max_packets: usize,
    /// From the oldest to the newest block.
    pub max_duration: Duration,
    /// How far a player may lag behind: blocks younger than this are held though the newest GOP began after them.
    pub queue_length: Duration,
}

/// The blocks, and where players begin.
#[derive(Debug, Default)]
pub(super) struct Ring {
    blocks: VecDeque<Arc<Block>>,
    first: u64,
    /// The first block of the publish session in force.
    session: u64,
    /// The newest block of the session that starts with a keyframe, as long as it is held.
    keyframe: Option<u64>,
    bytes: usize,
    packets: usize,
}

impl Ring {
    /// The number of the oldest block.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// The number that the next block will have.
    pub(super) fn end(&self) -> u64 {
        self.first + self.blocks.len() as u64
    }

    pub(super) fn get(&self, number: u64) -> Option<&Arc<Block>> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.blocks.get(index)
    }

    /// The newest keyframe of the session, if it is held.
    pub(super) fn newest_keyframe(&self) -> Option<u64> {
        self.keyframe
    }

    /// The first keyframe of the session at or after `number`.
    pub(super) fn keyframe_from(&self, number: u64) -> Option<u64> {
        let from = number.max(self.session).max(self.first);
        (from..self.end()).find(|&number| self.get(number).is_some_and(|block| block.starts_with_keyframe()))
    }

    /// Where a player begins that has no keyframe to begin at: the newest block of the session, or the one to come.
    pub(super) fn live_end(&self) -> u64 {
        self.end().saturating_sub(1).max(self.session)
    }

    /// The oldest block of the session that is held, or the one to come.
    pub(super) fn session_start(&self) -> u64 {
        self.session.max(self.first)
    }

    /// The oldest block of the session that who begins there has time to read, if what is older than `lag` is skipped; or the
    /// newest keyframe if that is older.
    pub(super) fn recent_start(&self, now: Instant, lag: Duration) -> u64 {
        let is_recent = |block: &Arc<Block>| now.saturating_duration_since(block.sealed_at()) <= lag / 4 * 3;
        let recent = (self.session_start()..self.end()).find(|&number| self.get(number).is_some_and(is_recent));
        let start = recent.unwrap_or_else(|| self.live_end());
        self.keyframe.map_or(start, |keyframe| keyframe.min(start))
    }

    /// Whether the session has a block.
    pub(super) fn session_has_media(&self) -> bool {
        self.end() > self.session
    }

    /// A new publish session begins: nobody joins at what was before.
    pub(super) fn begin_session(&mut self) {
        self.session = self.end();
        self.keyframe = None;
    }

    /// Forgets everything held, without reusing numbers.
    pub(super) fn clear(&mut self) {
        self.first = self.end();
        self.blocks.clear();
        self.keyframe = None;
        (self.bytes, self.packets) = (0, 0);
    }

    /// Appends a block and drops what the bounds no longer allow.
    pub(super) fn push(&mut self, block: Block, limits: &RingLimits, pressure: Pressure, now: Instant) {
        if block.starts_with_keyframe() {
            self.keyframe = Some(self.end());
        }
        self.bytes += block.payload_bytes();
        self.packets += block.packets().len();
        self.blocks.push_back(Arc::new(block));
        while self.blocks.len() > 1 && (self.is_over(limits, pressure) || !self.keeps_oldest(limits, pressure, now)) {
            self.drop_oldest();
        }
    }

    /// Whether a cap is passed.
    fn is_over(&self, limits: &RingLimits, pressure: Pressure) -> bool {
        let duration = match (self.blocks.front(), self.blocks.back()) {
            (Some(oldest), Some(newest)) => newest.sealed_at().saturating_duration_since(oldest.sealed_at()),
            _ => Duration::ZERO,
        };
        pressure == Pressure::Exceeded
            || self.bytes > limits.max_bytes
            || self.packets > limits.max_packets
            || duration > limits.max_duration
    }

    /// Whether the oldest block is still of use: to players who join, or to those who lag.
    fn keeps_oldest(&self, limits: &RingLimits, pressure: Pressure, now: Instant) -> bool {
        let Some(oldest) = self.blocks.front() else { return true };
        let joined_at = limits.gop_cache && self.keyframe.is_some_and(|keyframe| self.first >= keyframe);
        let young = now.saturating_duration_since(oldest.sealed_at()) <= limits.queue_length;
        joined_at || (young && pressure == Pressure::None)
    }

    fn drop_oldest(&mut self) {
        let Some(block) = self.blocks.pop_front() else { return };
        self.bytes -= block.payload_bytes();
        self.packets -= block.packets().len();
        if self.keyframe == Some(self.first) {
            self.keyframe = None;
        }
        self.first += 1;
    }
}

#[cfg(test)]
mod tests;
