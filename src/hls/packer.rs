//! Packets into segments.
//!
//! Owns everything between the hub's packets and complete segments: tracks, cuts, muxing, numbers and dates. The packager feeds
//! it, and takes out what is complete; it reads no clock and waits for nothing.

use std::sync::Arc;

use crate::config::HlsFormat;
use crate::hooks::Hooks;
use crate::media::Kind;
use crate::media::class::{Class, HeaderSlot, Purpose};
use crate::media::packet::Packet;
use crate::metrics::Metrics;
use crate::mux::frame::{Frame, Track};
use crate::mux::tracks::{TrackError, Tracks};

use super::cutter::{Cutter, Lengths, Step};
use super::memory::{Charge, Memory};
use super::numbers::{Numbers, first_discontinuity};
use super::program_clock::ProgramClock;
use super::segment::{Body, Entry, Segment};
use super::writer::Writer;

/// How long packets are held back until it is known which tracks there are, in milliseconds of the stream, and how many of them.
const HELD_MS: u64 = 2_000;
const HELD_PACKETS: usize = 2_000;

/// What packers share.
#[derive(Debug, Clone)]
pub(super) struct Means {
    pub(super) memory: Arc<Memory>,
    pub(super) numbers: Arc<Numbers>,
    pub(super) metrics: Arc<Metrics>,
    /// Told of segments.
    pub(super) hooks: Hooks,
}

/// Makes segments of one stream, over all its publish sessions.
#[derive(Debug)]
pub(super) struct Packer {
    means: Means,
    format: HlsFormat,
    cutter: Cutter,
    clock: ProgramClock,
    tracks: Tracks,
    /// Packets of a session whose tracks are not known yet; none once they are.
    held: Option<Vec<Packet>>,
    writer: Option<Writer>,
    /// What the open segment holds.
    charge: Charge,
    open: Option<Open>,
    /// What the next segment is.
    next: Option<Next>,
    /// Whether a frame has begun anything since the session or the last jump began.
    has_media: bool,
    finished: Vec<Finished>,
    /// Why the container that was chosen cannot carry the tracks.
    unfit: Option<String>,
    /// What is wrong with the video track, and with the audio track.
    broken: [Option<String>; 2],
    forced_cuts: u64,
}

/// The segment that is being written.
#[derive(Debug, Clone, Copy)]
struct Open {
    /// The stream's time of its first frame, in milliseconds.
    begin: u64,
    is_independent: bool,
}

/// What the next segment is.
#[derive(Debug, Clone, Copy)]
struct Next {
    number: u64,
    /// How many discontinuities there were before it.
    discontinuities: u64,
    /// Whether it goes on where the last one ended.
    is_continuous: bool,
    /// Whether it is the first of its playlist.
    is_first: bool,
}

/// A segment that is complete but for its date.
#[derive(Debug)]
struct Finished {
    segment: Segment,
    begin: u64,
    is_first: bool,
    target_s: u64,
}

/// A complete segment.
#[derive(Debug)]
pub(super) struct Packed {
    pub(super) segment: Arc<Segment>,
    /// Whether a new playlist begins with it.
    pub(super) is_first: bool,
    /// The target duration of its playlist in seconds.
    pub(super) target_s: u64,
}

impl Packer {
    pub(super) fn new(lengths: Lengths, format: HlsFormat, means: Means) -> Self {
        Self {
            charge: means.memory.charge(0),
            means,
            format,
            cutter: Cutter::new(lengths),
            clock: ProgramClock::default(),
            tracks: Tracks::default(),
            held: Some(Vec::new()),
            writer: None,
            open: None,
            next: None,
            has_media: false,
            finished: Vec::new(),
            unfit: None,
            broken: [None, None],
            forced_cuts: 0,
        }
    }

    /// Another publish session begins: its tracks may be any.
    pub(super) fn begin_session(&mut self) {
        self.break_off();
        self.tracks = Tracks::default();
        self.writer = None;
        self.held = Some(Vec::new());
        self.unfit = None;
        self.broken = [None, None];
        self.forced_cuts = 0;
    }

    /// The next segment begins another playlist, with numbers from the clock and a target duration of its own.
    pub(super) fn begin_playlist(&mut self) {
        self.break_off();
        self.cutter.forget_target();
        // A writer's initialisation has a number, too.
        self.writer = None;
        self.next = None;
    }

    /// Takes headers that go before what follows.
    pub(super) fn take_headers(&mut self, packets: &[Packet], now_ms: u64) {
        for packet in packets {
            self.take(packet, now_ms);
        }
    }

    /// Takes packets that came at `now_ms` since 1970. `are_settled` says that the session's tracks are all known.
    pub(super) fn take_packets(&mut self, packets: &[Packet], are_settled: bool, now_ms: u64) {
        let Some(mut held) = self.held.take() else {
            packets.iter().for_each(|packet| self.take(packet, now_ms));
            return;
        };
        held.extend_from_slice(packets);
        let span = held.first().zip(held.last()).map_or(0, |(one, other)| other.timestamp.abs_diff(one.timestamp));
        if are_settled || span >= HELD_MS || held.len() >= HELD_PACKETS {
            // All that is known of the tracks first: the first frame already needs it.
            for packet in &held {
                self.note_tracks(packet);
            }
            held.iter().for_each(|packet| self.take(packet, now_ms));
        } else {
            self.charge.set(held.iter().map(|packet| packet.payload.len()).sum());
            self.held = Some(held);
        }
    }

    /// What follows does not go on where the last packet ended.
    pub(super) fn break_off(&mut self) {
        if let Some(duration_ms) = self.cutter.close() {
            self.finish(duration_ms, None);
        }
        self.has_media = false;
        if let Some(next) = &mut self.next {
            next.is_continuous = false;
        }
    }

    /// What is complete. To be called when there is nothing more to take at present: the newest packets tell the date.
    pub(super) fn take_finished(&mut self) -> Vec<Packed> {
        let clock = &mut self.clock;
        let dated = self.finished.drain(..).map(|finished| {
            let Finished { mut segment, begin, is_first, target_s } = finished;
            let is_continuous = !segment.entry.is_discontinuous && !is_first;
            segment.entry.date_ms = clock.date(begin, segment.entry.duration_ms, is_continuous);
            Packed { segment: Arc::new(segment), is_first, target_s }
        });
        dated.collect()
    }

    /// Why no segments are made, if none can be.
    pub(super) fn problem(&self) -> Option<&str> {
        // A stream of which half is missing is nothing that anybody has asked for.
        self.broken.iter().chain([&self.unfit]).find_map(Option::as_deref)
    }

    /// The tracks.
    pub(super) const fn tracks(&self) -> &Tracks {
        &self.tracks
    }

    /// How many segments of the session were cut because no keyframe came.
    pub(super) const fn forced_cuts(&self) -> u64 {
        self.forced_cuts
    }

    /// Shows a packet to the tracks; returns whether they have changed by it.
    fn note_tracks(&mut self, packet: &Packet) -> bool {
        let broken = &mut self.broken[usize::from(packet.kind == Kind::Audio)];
        match self.tracks.take(packet) {
            Ok(false) => false,
            Ok(true) => {
                *broken = None;
                true
            }
            Err(TrackError::Truncated) => {
                self.means.metrics.hls.dropped_packets.inc();
                false
            }
            Err(error) => {
                *broken = Some(error.to_string());
                true
            }
        }
    }

    fn take(&mut self, packet: &Packet, now_ms: u64) {
        let has_changed = self.note_tracks(packet);
        // The hub repeats headers only where the sender's time has jumped.
        let has_jumped = self.has_media && is_header(packet.class);
        if has_changed || has_jumped {
            self.break_off();
        }
        if has_changed {
            self.writer = None;
            self.unfit = None;
        }
        match Frame::from_packet(packet, &self.tracks) {
            Ok(Some(frame)) => {
                self.clock.observe(frame.timestamp, now_ms);
                self.place(frame, now_ms);
            }
            Ok(None) => {}
            Err(_) => drop(self.means.metrics.hls.dropped_packets.inc()),
        }
    }

    fn place(&mut self, frame: Frame, now_ms: u64) {
        let has_video = self.tracks.video.is_some();
        let bytes = self.writer.as_ref().map_or(0, Writer::bytes);
        let mut step = self.cutter.step(&frame, has_video, bytes);
        if let Step::Break { duration_ms } = step {
            self.finish(duration_ms, None);
            self.break_off();
            step = self.cutter.step(&frame, has_video, 0);
        }
        match step {
            Step::Skip | Step::Break { .. } => return,
            Step::Begin => self.begin(&frame, now_ms),
            Step::Cut { duration_ms, is_forced } => {
                if is_forced {
                    self.forced_cuts += 1;
                    self.means.metrics.hls.forced_cuts.inc();
                }
                self.finish(duration_ms, Some(&frame));
                self.begin(&frame, now_ms);
            }
            Step::Add => {}
        }
        self.write(frame);
    }

    fn begin(&mut self, frame: &Frame, now_ms: u64) {
        let numbers = &self.means.numbers;
        let next = *self.next.get_or_insert_with(|| {
            let number = numbers.begin(now_ms);
            numbers.note(number);
            Next { number, discontinuities: first_discontinuity(now_ms), is_continuous: true, is_first: true }
        });
        if self.writer.is_none() && self.problem().is_none() {
            match Writer::new(self.format, &self.tracks, next.number, &self.means.memory) {
                Ok(writer) => self.writer = Some(writer),
                Err(unfit) => self.unfit = Some(unfit.to_string()),
            }
        }
        let Some(writer) = &mut self.writer else { return };
        writer.begin();
        self.has_media = true;
        let is_independent = frame.is_keyframe && (self.tracks.video.is_none() || is_video(frame));
        self.open = Some(Open { begin: frame.timestamp, is_independent });
    }

    fn write(&mut self, frame: Frame) {
        let Some(writer) = self.writer.as_mut().filter(|_| self.open.is_some()) else { return };
        if !writer.write(frame) {
            self.means.metrics.hls.dropped_packets.inc();
        }
        self.charge.set(writer.bytes());
    }

    /// Completes the open segment; `following` is the next frame, if the stream goes on with it at once.
    fn finish(&mut self, duration_ms: u64, following: Option<&Frame>) {
        let Some(open) = self.open.take() else { return };
        let (Some(writer), Some(next)) = (&mut self.writer, &mut self.next) else { return };
        let bytes = writer.end(following);
        self.charge.set(0);
        if bytes.is_empty() {
            return;
        }
        let is_discontinuous = !next.is_continuous && !next.is_first;
        let entry = Entry {
            number: next.number,
            duration_ms,
            date_ms: 0,
            is_discontinuous,
            discontinuities: next.discontinuities + u64::from(is_discontinuous),
            is_independent: open.is_independent,
            initialisation: writer.initialisation().map(|initialisation| initialisation.number),
            bytes: bytes.len(),
        };
        let initialisation = writer.initialisation().cloned();
        let charge = self.means.memory.charge(bytes.len());
        let body = Body::new(bytes, charge);
        self.finished.push(Finished {
            segment: Segment { entry, body, initialisation },
            begin: open.begin,
            is_first: next.is_first,
            target_s: self.cutter.fix_target(duration_ms),
        });
        self.means.numbers.note(entry.number);
        self.means.metrics.hls.segments.inc();
        *next = Next {
            number: entry.number + 1,
            discontinuities: entry.discontinuities,
            is_continuous: true,
            is_first: false,
        };
    }
}

/// Whether it is a sequence header of a track that is packaged.
fn is_header(class: Class) -> bool {
    matches!(class, Class::Header(HeaderSlot { purpose: Purpose::Sequence, track_id: 0, .. }))
}

fn is_video(frame: &Frame) -> bool {
    frame.track == Track::Video
}

#[cfg(test)]
mod tests;
