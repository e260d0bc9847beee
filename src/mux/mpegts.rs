//! MPEG transport streams (ISO/IEC 13818-1) of H.264 with AAC, MP3 or AC-3: what HLS segments were first made of.
//!
//! Owns the counters and tables that go on from one segment to the next. A packager makes one [`Muxer`] a stream, begins and
//! ends segments in it, and may exchange the tracks between two; the muxer never decides where to cut.
//!
//! Times are those of the frames in 90 kHz plus [`LEAD`], modulo 2^33: the clock reference runs behind by as much, so that nothing
//! arrives after it is due.

mod access_unit;
mod packet;
mod pes;
mod tables;

use bytes::{BufMut, Bytes, BytesMut};

use super::frame::{Frame, FrameError, Track};
use super::tracks::{AudioCodec, Tracks, Unfit};
use packet::{PacketWriter, Pid};
use pes::Times;
use tables::Program;

/// The size of a transport stream packet.
pub const PACKET_BYTES: usize = 188;

/// By how much presentation lags behind the clock reference, in 90 kHz: 0.7 s.
pub const LEAD: u64 = 63_000;

/// Sound is gathered to as many bytes or milliseconds before it goes out: each unit ends with a half empty packet.
const AUDIO_UNIT_BYTES: usize = 2_048;
const AUDIO_UNIT_MS: u64 = 120;
/// A frame this far from where the one before it ended begins a unit of its own.
const AUDIO_TOLERANCE_MS: u64 = 1;
/// A clock reference at least this often (ISO/IEC 13818-1, 2.7.2 wants 100 ms).
const CLOCK_INTERVAL_MS: u64 = 80;

/// Writes a transport stream, segment by segment.
#[derive(Debug)]
pub struct Muxer {
    tracks: Tracks,
    program: Program,
    packets: PacketWriter,
    /// Sound that has not been written yet.
    pending: PendingAudio,
    /// When the last clock reference was written, in milliseconds of the stream.
    last_clock: Option<u64>,
    /// Where a unit is put together before it is cut into packets.
    scratch: BytesMut,
}

/// Frames of sound that will go out as one unit.
#[derive(Debug, Default)]
struct PendingAudio {
    frames: Vec<Bytes>,
    bytes: usize,
    /// The first frame's time.
    begin: u64,
}

impl Muxer {
    /// A muxer for these tracks, if MPEG-TS can carry them.
    pub fn new(tracks: &Tracks) -> Result<Self, Unfit> {
        tracks.fits_mpegts()?;
        Ok(Self {
            tracks: tracks.clone(),
            program: Program::of(tracks, 0),
            packets: PacketWriter::default(),
            pending: PendingAudio::default(),
            last_clock: None,
            scratch: BytesMut::new(),
        })
    }

    /// Exchanges the tracks, between two segments. On an error the old ones stay.
    pub fn set_tracks(&mut self, tracks: &Tracks) -> Result<(), Unfit> {
        tracks.fits_mpegts()?;
        let version = self.program.version();
        let next = Program::of(tracks, version);
        if next != self.program {
            self.program = Program::of(tracks, version.wrapping_add(1));
        }
        self.tracks = tracks.clone();
        self.pending = PendingAudio::default();
        Ok(())
    }

    /// Begins a segment with its tables. Each is playable by itself; counters go on.
    pub fn begin_segment(&mut self, out: &mut BytesMut) {
        self.last_clock = None;
        self.packets.write_section(Pid::Association, &tables::association(), out);
        self.packets.write_section(Pid::Map, &self.program.section(), out);
    }

    /// Writes a frame. On an error nothing of it is written, and the next one may come.
    pub fn write(&mut self, frame: &Frame, out: &mut BytesMut) -> Result<(), FrameError> {
        match frame.track {
            Track::Video => self.write_video(frame, out),
            Track::Audio => self.write_audio(frame, out),
        }
    }

    /// Ends a segment: writes the sound that was gathered.
    pub fn end_segment(&mut self, out: &mut BytesMut) {
        self.flush_audio(out);
    }

    fn write_video(&mut self, frame: &Frame, out: &mut BytesMut) -> Result<(), FrameError> {
        let Some(video) = &self.tracks.video else { return Ok(()) };
        let times = Times::of(frame.timestamp, frame.composition);
        self.scratch.clear();
        pes::put_video_header(times, &mut self.scratch);
        access_unit::put(frame, video, &mut self.scratch)?;
        self.last_clock = Some(frame.timestamp);
        let unit = packet::Unit {
            clock: Some(pes::clock(frame.timestamp)),
            is_random_access: frame.is_keyframe,
            bytes: &self.scratch,
        };
        self.packets.write_unit(Pid::Video, &unit, out);
        Ok(())
    }

    fn write_audio(&mut self, frame: &Frame, out: &mut BytesMut) -> Result<(), FrameError> {
        let Some(audio) = &self.tracks.audio else { return Ok(()) };
        let head = match audio.codec {
            AudioCodec::Aac => pes::adts_header(audio, frame.data.len())?,
            _ if frame.data.len() > pes::MAXIMUM_PAYLOAD_BYTES => return Err(FrameError::TooLarge(frame.data.len())),
            _ => Bytes::new(),
        };
        let bytes = head.len() + frame.data.len();
        let expected = self.pending.end(audio.samples_a_frame(), audio.sample_rate);
        let fits = self.pending.bytes + bytes <= AUDIO_UNIT_BYTES
            && frame.timestamp.abs_diff(expected) <= AUDIO_TOLERANCE_MS
            && frame.timestamp.saturating_sub(self.pending.begin) < AUDIO_UNIT_MS;
        if !fits {
            self.flush_audio(out);
        }
        self.pending.push(head, frame);
        Ok(())
    }

    fn flush_audio(&mut self, out: &mut BytesMut) {
        let pending = std::mem::take(&mut self.pending);
        let Some(audio) = self.tracks.audio.as_ref().filter(|_| !pending.frames.is_empty()) else { return };
        self.scratch.clear();
        pes::put_audio_header(audio.codec, Times::of(pending.begin, 0), pending.bytes, &mut self.scratch);
        pending.frames.iter().for_each(|piece| self.scratch.put_slice(piece));
        let is_due = self.last_clock.is_none_or(|last| pending.begin.saturating_sub(last) >= CLOCK_INTERVAL_MS);
        let clock = is_due.then(|| pes::clock(pending.begin));
        if is_due {
            self.last_clock = Some(pending.begin);
        }
        let clock_is_here = self.program.clock() == Pid::Audio;
        if let Some(clock) = clock.filter(|_| !clock_is_here) {
            // Pictures come seldom: the clock does not wait for them.
            self.packets.write_clock(Pid::Video, clock, out);
        }
        let unit = packet::Unit {
            clock: clock.filter(|_| clock_is_here),
            is_random_access: clock_is_here,
            bytes: &self.scratch,
        };
        self.packets.write_unit(Pid::Audio, &unit, out);
    }
}

impl PendingAudio {
    fn push(&mut self, head: Bytes, frame: &Frame) {
        if self.frames.is_empty() {
            self.begin = frame.timestamp;
        }
        self.bytes += head.len() + frame.data.len();
        self.frames.extend([head, frame.data.clone()]);
    }

    /// When the frames end that are here.
    fn end(&self, samples: u32, sample_rate: u32) -> u64 {
        // Two pieces a frame: its header and its data.
        let frames = (self.frames.len() / 2) as u64;
        let rate = u64::from(sample_rate.max(1));
        self.begin.saturating_add((frames * u64::from(samples) * 1_000 + rate / 2) / rate)
    }
}

#[cfg(test)]
mod tests;
