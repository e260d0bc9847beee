//! A publish session on its way into files.
//!
//! Owns where one recording ends and the next begins, and what is done when the disk takes no more: media is dropped and
//! counted until it does. Runs on threads for disks, one batch of packets after the other; no clock of its own decides
//! where recordings are cut, only the stream's time.

mod failure;
mod open;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::{Dvr, DvrPlan};
use crate::hub::Identity;
use crate::media::Kind;
use crate::media::class::{Class, HeaderSlot};
use crate::media::packet::Packet;
use crate::media::stream_key::StreamKey;
use crate::mux::tracks::{TrackError, Tracks};

use super::library::Library;
use failure::Failure;
use open::{Beginning, Open};

/// For how long a keyframe is waited for to begin with, in the stream's milliseconds.
const KEYFRAME_WAIT_MS: u64 = 10_000;
/// How much longer than it should a recording may become for want of a keyframe, in milliseconds.
const CUT_WAIT_MS: u64 = 60_000;
/// The longest recording there is: beyond, FLV players take times for negative. 24 days.
const LONGEST_MS: u64 = i32::MAX as u64;
/// How much sound may come before the first keyframe of a recording, in milliseconds, and in packets.
const LEAD_MS: u64 = 100;
const MAX_LEAD: usize = 64;
/// The most bytes that the headers in force may have together, as in the hub.
const MAX_HEADER_BYTES: usize = 1 << 20;
/// The most bytes that wait for the tracks to be known.
const MAX_WAITING_BYTES: usize = 8 << 20;
/// After how long it is tried again when the disk has taken no more: at first, and at most.
const RETRY_AFTER: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// Packets that came together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) packets: Vec<Packet>,
    /// The bytes of their bodies.
    pub(super) bytes: usize,
    /// Whether the stream's tracks were known when the last of them came.
    pub(super) settled: bool,
    /// When the first of them came, in milliseconds since 1970.
    pub(super) since_ms: u64,
}

/// Writes one publish session.
#[derive(Debug)]
pub(super) struct Writer {
    library: Library,
    key: StreamKey,
    session: Identity,
    settings: Arc<Dvr>,
    tracks: Tracks,
    /// The sequence headers in force.
    headers: BTreeMap<HeaderSlot, Packet>,
    /// How often tracks, or what decoders need to know of them, have changed.
    parameters: u64,
    has_video: bool,
    /// What came before the tracks were known.
    waiting: Batch,
    open: Option<Open>,
    /// Since when, in the stream's time, frames come that no recording can begin with.
    unopened_since: Option<u64>,
    /// Whether the next recording begins with any frame.
    begins_anywhere: bool,
    /// The last sound before a keyframe that a recording may begin with.
    lead: VecDeque<Packet>,
    stopped: Option<Stopped>,
}

/// Nothing is written at present.
#[derive(Debug)]
enum Stopped {
    /// Until then, and until there is room.
    Until { moment: Instant, pause: Duration },
    /// Until the tracks are others.
    Tracks,
    /// As long as the session lasts.
    Ever,
}

impl Writer {
    pub(super) fn new(library: Library, key: StreamKey, session: Identity, settings: Arc<Dvr>) -> Self {
        Self {
            library,
            key,
            session,
            settings,
            tracks: Tracks::default(),
            headers: BTreeMap::new(),
            parameters: 0,
            has_video: false,
            lead: VecDeque::new(),
            waiting: Batch::default(),
            open: None,
            unopened_since: None,
            begins_anywhere: false,
            stopped: None,
        }
    }

    /// Writes what came.
    pub(super) fn write(&mut self, batch: Batch) {
        if batch.settled && self.waiting.packets.is_empty() {
            self.write_now(batch);
            return;
        }
        let waiting = &mut self.waiting;
        if waiting.packets.is_empty() {
            waiting.since_ms = batch.since_ms;
        }
        waiting.packets.extend(batch.packets);
        waiting.bytes += batch.bytes;
        if batch.settled || waiting.bytes > MAX_WAITING_BYTES {
            self.write_waiting();
        }
    }

    /// Completes what is open. The session is over.
    pub(super) fn finish(&mut self) {
        self.write_waiting();
        self.close();
    }

    /// The first recording of the session is to know of all tracks from its beginning.
    fn write_waiting(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        for packet in &waiting.packets {
            self.note(packet);
        }
        self.write_now(waiting);
    }

    fn write_now(&mut self, batch: Batch) {
        self.look_whether_to_go_on();
        for packet in &batch.packets {
            self.take(packet, batch.since_ms);
        }
        if let Some(open) = &mut self.open
            && let Err(failure) = open.flush(&self.library)
        {
            self.fail(failure);
        }
    }

    fn take(&mut self, packet: &Packet, now_ms: u64) {
        let is_news = self.note(packet);
        match packet.class {
            Class::Metadata | Class::Data => return,
            Class::Header(_) => {
                if let Some(open) = self.open.as_mut().filter(|open| is_news && open.parameters == self.parameters) {
                    open.append(packet);
                }
                return;
            }
            Class::Keyframe | Class::Frame => {}
        }
        if self.is_at_an_end(packet) {
            self.close();
        }
        if self.open.is_none() && self.stopped.is_none() && self.may_begin_with(packet) {
            self.begin(packet, now_ms);
        }
        match &mut self.open {
            Some(open) => open.append(packet),
            None if self.stopped.is_some() => self.count_dropped(packet),
            None => self.lead_with(packet),
        }
    }

    fn count_dropped(&self, packet: &Packet) {
        self.library.metrics().dvr.dropped_bytes.inc_by(packet.payload.len() as u64);
    }

    /// Keeps a moment of the sound that comes before the first keyframe: encoders send it a little earlier.
    fn lead_with(&mut self, packet: &Packet) {
        if packet.kind == Kind::Audio {
            self.lead.push_back(packet.clone());
        }
        let begin = packet.timestamp.saturating_sub(LEAD_MS);
        while self.lead.len() > MAX_LEAD || self.lead.front().is_some_and(|first| first.timestamp < begin) {
            self.lead.pop_front();
        }
    }

    /// Takes account of tracks and headers. Returns whether a header says something new.
    fn note(&mut self, packet: &Packet) -> bool {
        self.has_video |= packet.kind == Kind::Video;
        let is_news = matches!(packet.class, Class::Header(slot) if self.keep_header(slot, packet));
        let mut changed = matches!(packet.class, Class::Header(slot) if is_news && slot.is_main_sequence());
        match self.tracks.take(packet) {
            Ok(is_other) => changed |= is_other,
            Err(error @ TrackError::Truncated) => tracing::debug!(stream = %self.key, %error, "a packet is odd"),
            Err(error) => {
                if is_news || !matches!(packet.class, Class::Header(_)) {
                    tracing::warn!(stream = %self.key, %error, format = %self.settings.format, "a track is odd");
                }
                changed |= is_news || matches!(error, TrackError::Unsupported(_));
            }
        }
        if changed {
            self.parameters += 1;
            if matches!(self.stopped, Some(Stopped::Tracks)) {
                self.stopped = None;
            }
        }
        is_news
    }

    /// Puts a header in force. Returns whether it says something new; those are nothing that would fill the memory.
    fn keep_header(&mut self, slot: HeaderSlot, packet: &Packet) -> bool {
        let others = self.headers.iter().filter(|(other, _)| **other != slot);
        let bytes = others.map(|(_, header)| header.payload.len()).sum::<usize>() + packet.payload.len();
        let known = self.headers.get(&slot);
        if bytes > MAX_HEADER_BYTES || known.is_some_and(|known| known.payload == packet.payload) {
            return false;
        }
        self.headers.insert(slot, packet.clone());
        true
    }

    /// Whether the open recording ends before `packet`: it is as long as it should be, or the tracks are others.
    fn is_at_an_end(&mut self, packet: &Packet) -> bool {
        let Some(open) = &self.open else { return false };
        if open.parameters != self.parameters {
            return true;
        }
        let due = match self.settings.plan {
            DvrPlan::Session => LONGEST_MS,
            DvrPlan::Segment => (self.settings.duration.as_millis() as u64).min(LONGEST_MS),
        };
        let length = packet.timestamp.saturating_sub(open.origin);
        if length < due {
            return false;
        }
        if self.is_a_beginning(packet) {
            return true;
        }
        self.begins_anywhere = length >= due + CUT_WAIT_MS;
        self.begins_anywhere
    }

    /// Whether a recording may begin with `packet`, as things are.
    fn may_begin_with(&mut self, packet: &Packet) -> bool {
        let since = *self.unopened_since.get_or_insert(packet.timestamp);
        if self.is_a_beginning(packet) || self.begins_anywhere {
            return true;
        }
        let waited = packet.timestamp.saturating_sub(since) >= KEYFRAME_WAIT_MS;
        if waited {
            tracing::warn!(stream = %self.key, "no keyframe has come; recording begins without one");
        }
        waited
    }

    /// Whether decoding can begin with `packet`, where that matters.
    fn is_a_beginning(&self, packet: &Packet) -> bool {
        match self.has_video && self.settings.wait_keyframe {
            true => packet.kind == Kind::Video && packet.class == Class::Keyframe,
            false => true,
        }
    }

    fn begin(&mut self, first: &Packet, now_ms: u64) {
        let begin = first.timestamp.saturating_sub(LEAD_MS);
        let lead: Vec<Packet> = self.lead.drain(..).filter(|packet| packet.timestamp >= begin).collect();
        let origin = lead.first().map_or(first.timestamp, |packet| packet.timestamp.min(first.timestamp));
        let beginning = Beginning {
            key: &self.key,
            session: self.session.as_str(),
            tracks: &self.tracks,
            headers: self.headers.values().cloned(),
            parameters: self.parameters,
            origin,
            now_ms,
        };
        match Open::begin(&self.library, &self.settings, beginning) {
            Ok(mut open) => {
                lead.iter().for_each(|packet| open.append(packet));
                self.unopened_since = None;
                self.begins_anywhere = false;
                self.open = Some(open);
            }
            Err(failure) => self.fail(failure),
        }
    }

    /// Completes the open recording.
    fn close(&mut self) {
        let Some(open) = self.open.take() else { return };
        if let Err(failure) = open.close(&self.library) {
            self.fail(failure);
        }
    }

    /// Gives up the open recording, as far as it is not in its file, and decides when to go on.
    fn fail(&mut self, failure: Failure) {
        self.library.metrics().dvr.errors(failure.reason()).inc();
        if let Some(open) = self.open.take() {
            open.give_up(&self.library);
        }
        let pause = match self.stopped {
            Some(Stopped::Until { pause, .. }) => (pause * 2).min(LONGEST_RETRY),
            _ => RETRY_AFTER,
        };
        tracing::warn!(stream = %self.key, error = %failure, reason = failure.reason().label(), "cannot record");
        self.stopped = Some(match failure {
            Failure::Name(_) => Stopped::Ever,
            Failure::Tracks(_) => Stopped::Tracks,
            Failure::File(_) => Stopped::Until { moment: Instant::now() + pause, pause },
        });
    }

    /// After a pause: goes on if there is room again.
    fn look_whether_to_go_on(&mut self) {
        let Some(Stopped::Until { moment, pause }) = &mut self.stopped else { return };
        if Instant::now() < *moment {
            return;
        }
        *moment = Instant::now() + *pause;
        if self.library.make_room(self.settings.path.directory(), open::ROOM_TO_BEGIN).unwrap_or(false) {
            tracing::info!(stream = %self.key, "recording goes on");
            self.stopped = None;
        }
    }
}

impl Drop for Writer {
    /// Whatever the way out was, what is open is completed.
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests;
