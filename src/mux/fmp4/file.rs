//! MP4 files: what recordings can be.
//!
//! Owns what a file has beyond its fragments: its duration, and behind them an index of where players may begin. Both are known only at its
//! end. A file whose end never came plays as far as its last whole fragment.

use bytes::{BufMut, BytesMut};

use super::boxes::{put_box, put_full_box};
use super::fragment::{FragmentFull, Fragmenter};
use super::initialisation::{self, DurationBox};
use super::{TICKS_A_MS, track_id};
use crate::mux::frame::{Frame, Track};
use crate::mux::patch::Patch;
use crate::mux::tracks::{Tracks, Unfit};

/// The most entries that an index holds; of more, every other one is dropped.
const MAXIMUM_ENTRIES: usize = 1 << 14;

/// A file being written.
#[derive(Debug)]
pub struct Mp4File {
    fragmenter: Fragmenter,
    /// The track that players seek by.
    seek_track: Track,
    /// The stream's time that is 0 in the file.
    origin: u64,
    /// Where the duration is to be written.
    duration_at: u64,
    /// When its last frame begins, in milliseconds.
    last_ms: u64,
    bytes: u64,
    /// The first frame of the seek track in the fragment that is being gathered.
    begin: Option<Entry>,
    index: Index,
}

/// A place where decoding can begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    /// When it is presented, in ticks.
    time: u64,
    is_keyframe: bool,
    /// Where its fragment begins in the file.
    offset: u64,
}

/// Places where decoding can begin, evenly thinned out.
#[derive(Debug, Default)]
struct Index {
    entries: Vec<Entry>,
    /// Of 2 to the power of this many places one is kept.
    interval: u32,
    seen: u64,
}

impl Mp4File {
    /// Begins a file: appends its initialisation to `out`, and behind it `boxes`, which may be empty: what a recorder has to say of the file.
    ///
    /// `origin` is the stream's time, in milliseconds, that becomes 0: that of the first frame.
    pub fn begin(tracks: &Tracks, origin: u64, boxes: &[u8], out: &mut BytesMut) -> Result<Self, Unfit> {
        let begin = out.len();
        let duration_at = initialisation::put(tracks, DurationBox::Reserved, out)?;
        out.put_slice(boxes);
        Ok(Self {
            fragmenter: Fragmenter::new(tracks, origin),
            seek_track: if tracks.video.is_some() { Track::Video } else { Track::Audio },
            origin,
            duration_at: (duration_at - begin) as u64,
            last_ms: 0,
            bytes: (out.len() - begin) as u64,
            begin: None,
            index: Index::default(),
        })
    }

    /// Takes a frame; it waits in memory for [`Mp4File::flush`].
    pub fn push(&mut self, frame: Frame) -> Result<(), FragmentFull> {
        let since_origin = |time: u64| time.saturating_sub(self.origin);
        let time = since_origin(frame.presentation()).saturating_mul(TICKS_A_MS);
        let entry = Entry { time, is_keyframe: frame.is_keyframe, offset: self.bytes };
        let (track, begins_at) = (frame.track, since_origin(frame.timestamp));
        self.fragmenter.push(frame)?;
        self.last_ms = self.last_ms.max(begins_at);
        if track == self.seek_track {
            self.begin.get_or_insert(entry);
        }
        Ok(())
    }

    /// Appends a fragment of the frames that wait to `out`; nothing if there are none. `next` is as in [`Fragmenter::cut`].
    pub fn flush(&mut self, next: Option<&Frame>, out: &mut BytesMut) {
        let fragment = self.fragmenter.cut(next, false);
        if let Some(entry) = self.begin.take().filter(|entry| entry.is_keyframe) {
            self.index.add(entry);
        }
        self.bytes += fragment.len() as u64;
        out.put_slice(&fragment);
    }

    /// Appends the last fragment and the index to `out`. What it returns is to be written then, and tells the duration.
    pub fn close(mut self, out: &mut BytesMut) -> Patch {
        self.flush(None, out);
        self.index.put(self.seek_track, out);
        let mut duration = BytesMut::new();
        initialisation::put_duration(self.duration_ms(), &mut duration);
        Patch { offset: self.duration_at, bytes: duration.freeze() }
    }

    /// How large the file is, without the frames that wait.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many bytes of frames wait.
    pub const fn waiting_bytes(&self) -> usize {
        self.fragmenter.bytes()
    }

    /// How long the file plays, in milliseconds; of the frames that wait up to the last one.
    pub fn duration_ms(&self) -> u64 {
        self.fragmenter.end_ms().max(self.last_ms)
    }
}

impl Index {
    fn add(&mut self, entry: Entry) {
        let is_kept = self.seen.is_multiple_of(1 << self.interval);
        self.seen += 1;
        if !is_kept {
            return;
        }
        if self.entries.len() == MAXIMUM_ENTRIES {
            let mut number = 0;
            self.entries.retain(|_| {
                number += 1;
                number % 2 == 1
            });
            self.interval += 1;
        }
        self.entries.push(entry);
    }

    /// Appends `mfra` (ISO/IEC 14496-12, 8.8.9), whose last four bytes tell its size, so that it is found from the file's end.
    fn put(&self, track: Track, out: &mut BytesMut) {
        const MFRO_BYTES: usize = 16;
        let begin = out.len();
        put_box(b"mfra", out, |out| {
            put_full_box(b"tfra", 1, 0, out, |out| {
                out.put_u32(track_id(track));
                // One byte each for the numbers of the track's fragment, run and sample.
                out.put_u32(0);
                out.put_u32(self.entries.len() as u32);
                for entry in &self.entries {
                    out.put_u64(entry.time);
                    out.put_u64(entry.offset);
                    out.put_slice(&[1, 1, 1]);
                }
            });
            let size = (out.len() - begin + MFRO_BYTES) as u32;
            put_full_box(b"mfro", 0, 0, out, |out| out.put_u32(size));
        });
    }
}

#[cfg(test)]
mod tests;
