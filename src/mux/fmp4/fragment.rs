//! Fragments: `moof` with the times and sizes of samples, `mdat` with the samples.

use bytes::{BufMut, Bytes, BytesMut};

use super::boxes::{put_box, put_full_box};
use super::initialisation::{OTHER_SAMPLE, SYNC_SAMPLE};
use super::{TICKS_A_MS, track_id};
use crate::mux::frame::{Frame, Track};
use crate::mux::tracks::Tracks;

/// The most that a fragment may hold: offsets in it are signed and of 32 bits.
pub const MAXIMUM_FRAGMENT_BYTES: usize = 1 << 30;

/// How long a picture lasts of whose track nothing else is known, in milliseconds.
const PICTURE_MS: u64 = 40;

/// The fragment holds as much as it may; it must be cut first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a fragment may not hold more than {MAXIMUM_FRAGMENT_BYTES} bytes")]
pub struct FragmentFull;

/// Gathers frames, and makes fragments of them.
///
/// Frames wait here until [`Fragmenter::cut`]; their memory is what the fragment will have.
#[derive(Debug)]
pub struct Fragmenter {
    video: Run,
    audio: Run,
    /// The number of the next fragment, from 1 on.
    sequence: u32,
    /// The stream's time that is 0 in the file.
    origin: u64,
    bytes: usize,
    /// When the last sample of all fragments ends, in ticks from the origin on.
    end: u64,
}

/// The samples of one track.
#[derive(Debug)]
struct Run {
    track: Track,
    is_present: bool,
    frames: Vec<Frame>,
    /// How long the last sample lasts when nothing tells, in ticks.
    usual_duration: u64,
}

impl Fragmenter {
    /// For these tracks; frames of others are left out. `origin` is the stream's time, in milliseconds, that becomes 0: the first frame's in a recording,
    /// 0 in segments, whose times go on.
    pub fn new(tracks: &Tracks, origin: u64) -> Self {
        let audio_duration = tracks.audio.as_ref().map_or(0, |audio| {
            u64::from(audio.samples_a_frame()) * TICKS_A_MS * 1_000 / u64::from(audio.sample_rate.max(1))
        });
        Self {
            video: Run::new(Track::Video, tracks.video.is_some(), PICTURE_MS * TICKS_A_MS),
            audio: Run::new(Track::Audio, tracks.audio.is_some(), audio_duration),
            sequence: 1,
            origin,
            bytes: 0,
            end: 0,
        }
    }

    /// Takes a frame. The frames of a track come in the order of their timestamps.
    pub fn push(&mut self, frame: Frame) -> Result<(), FragmentFull> {
        let bytes = self.bytes.saturating_add(frame.data.len());
        if bytes > MAXIMUM_FRAGMENT_BYTES {
            return Err(FragmentFull);
        }
        let run = match frame.track {
            Track::Video => &mut self.video,
            Track::Audio => &mut self.audio,
        };
        if run.is_present {
            self.bytes = bytes;
            run.frames.push(frame);
        }
        Ok(())
    }

    /// Whether no frame waits.
    pub fn is_empty(&self) -> bool {
        self.video.frames.is_empty() && self.audio.frames.is_empty()
    }

    /// How many bytes of frames wait.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// When the last sample of all fragments that were cut ends, in milliseconds from the origin on.
    pub const fn end_ms(&self) -> u64 {
        self.end / TICKS_A_MS
    }

    /// Makes a fragment of the frames that wait; empty if there are none.
    ///
    /// `next` is the frame that comes next, if it is known: it tells how long the last one of its track lasts. `is_segment` begins the fragment with
    /// `styp`, as a segment of its own should.
    pub fn cut(&mut self, next: Option<&Frame>, is_segment: bool) -> Bytes {
        if self.is_empty() {
            return Bytes::new();
        }
        let samples = self.video.frames.len() + self.audio.frames.len();
        let mut out = BytesMut::with_capacity(self.bytes + 16 * samples + 256);
        if is_segment {
            put_box(b"styp", &mut out, |out| out.put_slice(b"msdh\0\0\0\0msdhmsix"));
        }
        self.put_movie_fragment(next, &mut out);
        put_box(b"mdat", &mut out, |out| {
            let frames = self.video.frames.drain(..).chain(self.audio.frames.drain(..));
            frames.for_each(|frame| out.put_slice(&frame.data));
        });
        self.sequence = self.sequence.wrapping_add(1);
        self.bytes = 0;
        out.freeze()
    }

    fn put_movie_fragment(&mut self, next: Option<&Frame>, out: &mut BytesMut) {
        const BOX_HEAD_BYTES: usize = 8;
        let begin = out.len();
        let mut offsets = Vec::new();
        let (sequence, origin) = (self.sequence, self.origin);
        put_box(b"moof", out, |out| {
            put_full_box(b"mfhd", 0, 0, out, |out| out.put_u32(sequence));
            for run in [&mut self.video, &mut self.audio] {
                if !run.frames.is_empty() {
                    let next = next.filter(|next| next.track == run.track);
                    let durations = run.durations(next);
                    self.end = self.end.max(run.end(&durations, origin));
                    offsets.push((run.put(&durations, origin, out), run.bytes()));
                }
            }
        });
        // Where the samples begin, counted from the fragment's begin, is known only now.
        let mut offset = out.len() - begin + BOX_HEAD_BYTES;
        for (at, bytes) in offsets {
            out[at..at + 4].copy_from_slice(&(offset as u32).to_be_bytes());
            offset += bytes;
        }
    }
}

impl Run {
    const fn new(track: Track, is_present: bool, usual_duration: u64) -> Self {
        Self { track, is_present, frames: Vec::new(), usual_duration }
    }

    fn bytes(&self) -> usize {
        self.frames.iter().map(|frame| frame.data.len()).sum()
    }

    /// Appends `traf`; returns where its data offset is to be written.
    fn put(&self, durations: &[u32], origin: u64, out: &mut BytesMut) -> usize {
        let begin = self.frames.first().map_or(0, |frame| ticks(frame.timestamp, origin));
        let mut offset_at = 0;
        put_box(b"traf", out, |out| {
            const BASE_IS_MOOF: u32 = 0x02_0000;
            put_full_box(b"tfhd", 0, BASE_IS_MOOF, out, |out| out.put_u32(track_id(self.track)));
            put_full_box(b"tfdt", 1, 0, out, |out| out.put_u64(begin));
            offset_at = self.put_samples(durations, out);
        });
        offset_at
    }

    /// When the last sample ends, in ticks.
    fn end(&self, durations: &[u32], origin: u64) -> u64 {
        let begin = self.frames.last().map_or(0, |frame| ticks(frame.timestamp, origin));
        begin.saturating_add(durations.last().map_or(0, |duration| u64::from(*duration)))
    }

    fn put_samples(&self, durations: &[u32], out: &mut BytesMut) -> usize {
        const DATA_OFFSET: u32 = 0x001;
        const DURATION: u32 = 0x100;
        const SIZE: u32 = 0x200;
        const FLAGS: u32 = 0x400;
        const COMPOSITION: u32 = 0x800;
        let is_video = self.track == Track::Video;
        let flags = DATA_OFFSET | DURATION | SIZE | if is_video { FLAGS | COMPOSITION } else { 0 };
        let mut offset_at = 0;
        // Version 1: composition times have a sign.
        put_full_box(b"trun", 1, flags, out, |out| {
            out.put_u32(self.frames.len() as u32);
            offset_at = out.len();
            out.put_u32(0);
            for (frame, duration) in self.frames.iter().zip(durations) {
                out.put_u32(*duration);
                out.put_u32(frame.data.len() as u32);
                if is_video {
                    out.put_u32(if frame.is_keyframe { SYNC_SAMPLE } else { OTHER_SAMPLE });
                    out.put_i32(frame.composition.saturating_mul(TICKS_A_MS as i32));
                }
            }
        });
        offset_at
    }

    /// How long each sample lasts, in ticks: until the next one begins.
    fn durations(&mut self, next: Option<&Frame>) -> Vec<u32> {
        let following = self.frames.iter().skip(1).chain(next);
        let mut durations: Vec<u32> = self
            .frames
            .iter()
            .zip(following)
            .map(|(one, other)| other.timestamp.saturating_sub(one.timestamp).saturating_mul(TICKS_A_MS))
            .map(|ticks| u32::try_from(ticks).unwrap_or(u32::MAX))
            .collect();
        if let [first, .., last] = &self.frames[..] {
            let whole = last.timestamp.saturating_sub(first.timestamp).saturating_mul(TICKS_A_MS);
            self.usual_duration = whole / (self.frames.len() as u64 - 1);
        }
        let usual = u32::try_from(self.usual_duration).unwrap_or(u32::MAX);
        durations.resize(self.frames.len(), usual);
        durations
    }
}

const fn ticks(timestamp: u64, origin: u64) -> u64 {
    timestamp.saturating_sub(origin).saturating_mul(TICKS_A_MS)
}
