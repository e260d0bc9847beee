//! What there is of one stream for players: a playlist, and segments in memory.
//!
//! Owns it behind a lock. The stream's packager puts segments in and lets go of them in time; whoever asks for a file takes it
//! out. A playlist is written once for all who ask for it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::media::stream_key::StreamKey;
use crate::mux::playlist::{Variant, master};
use crate::mux::tracks::Tracks;

use super::library::{Absent, Freshness, MediaType, Object};
use super::memory::{Memory, Room};
use super::packer::Packed;
use super::resource::{File, Resource};
use super::segment::{Entry, Segment, etag};
use super::window::{Listed, Window};

/// How many segments a playlist keeps when memory is short.
const LEAST_SEGMENTS: usize = 3;

/// The segments of a stream.
#[derive(Debug)]
pub(super) struct Shelf {
    key: StreamKey,
    /// How much of the stream a playlist names.
    length: Duration,
    /// For how long caches may keep a playlist.
    max_age: Duration,
    memory: Arc<Memory>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    window: Window<Arc<Segment>>,
    /// Seconds.
    target: u64,
    has_ended: bool,
    /// Why there are no segments, if that will stay so.
    problem: Option<String>,
    codecs: String,
    resolution: Option<(u32, u32)>,
    /// The playlists as they were last written, until something changes.
    playlist: Option<Object>,
    master: Option<Object>,
    /// The playlist before this one, which players get until this one lasts long enough to go on in.
    former: Option<Object>,
    asked_at: Instant,
}

impl Listed for Arc<Segment> {
    fn entry(&self) -> &Entry {
        &self.entry
    }
}

impl Shelf {
    pub(super) fn new(key: StreamKey, length: Duration, max_age: Duration, memory: Arc<Memory>, now: Instant) -> Self {
        let state = State {
            window: Window::new(),
            target: 1,
            has_ended: false,
            problem: None,
            codecs: String::new(),
            resolution: None,
            playlist: None,
            master: None,
            former: None,
            asked_at: now,
        };
        Self { key, length, max_age, memory, state: Mutex::new(state) }
    }

    /// Puts a segment in, and lets go of what is no longer needed, or of more if memory is short.
    pub(super) fn put(&self, packed: &Packed, tracks: &Tracks, now: Instant) {
        let mut state = self.state.lock();
        if packed.is_first {
            // Nobody goes on after an end.
            state.former = match state.has_ended {
                true => None,
                false => state.former.take().or_else(|| self.media_playlist(&mut state)),
            };
            state.window.retire_all(now);
            state.has_ended = false;
        }
        state.target = packed.target_s;
        state.problem = None;
        state.codecs = tracks.codecs();
        state.resolution = tracks.video.as_ref().map(|video| (video.width, video.height));
        state.window.push(Arc::clone(&packed.segment), self.length, packed.target_s, now);
        match self.memory.room() {
            Room::Plenty => {}
            Room::Little => state.window.shorten(LEAST_SEGMENTS, now),
            Room::None => state.window.shorten(1, now),
        }
        if state.window.lasts(packed.target_s) {
            state.former = None;
        }
        state.changed();
        drop(state);
        self.let_go(now);
    }

    /// Lets go of what nobody will come for any more.
    pub(super) fn let_go(&self, now: Instant) {
        let mut state = self.state.lock();
        let expired = state.window.take_expired(now);
        if self.memory.room() != Room::Plenty {
            state.window.forget_retired();
        }
        drop(state);
        // What is freed is freed without the lock.
        drop(expired);
    }

    /// Says that no segment will follow.
    pub(super) fn end(&self) {
        let mut state = self.state.lock();
        state.has_ended = true;
        state.former = None;
        state.changed();
    }

    /// Says why there are no segments, if none can be made.
    pub(super) fn set_problem(&self, problem: Option<&str>) {
        self.state.lock().problem = problem.map(str::to_owned);
    }

    /// Takes note that somebody asks for the stream.
    pub(super) fn ask(&self, now: Instant) {
        self.state.lock().asked_at = now;
    }

    /// When somebody last asked for the stream.
    pub(super) fn asked_at(&self) -> Instant {
        self.state.lock().asked_at
    }

    /// The playlist of either kind; [`Absent::NotYet`] as long as there is no segment.
    pub(super) fn playlist(&self, file: File) -> Result<Object, Absent> {
        let mut state = self.state.lock();
        // A new session that cannot be had is said so, whatever the last one has left.
        if let Some(problem) = &state.problem {
            return Err(Absent::Unsupported(problem.clone()));
        }
        let playlist = match file {
            File::Master => self.master_playlist(&mut state),
            _ => state.former.clone().or_else(|| self.media_playlist(&mut state)),
        };
        playlist.ok_or(Absent::NotYet)
    }

    fn media_playlist(&self, state: &mut State) -> Option<Object> {
        if state.playlist.is_none() {
            state.playlist = state.text(&self.key).map(|text| self.playlist_object(text, state));
        }
        state.playlist.clone()
    }

    fn master_playlist(&self, state: &mut State) -> Option<Object> {
        if state.master.is_none() {
            state.master = state.master_text(&self.key).map(|text| self.playlist_object(text, state));
        }
        state.master.clone()
    }

    /// A segment or an initialisation.
    pub(super) fn segment(&self, file: File) -> Result<Object, Absent> {
        let state = self.state.lock();
        let mut segments = state.window.newest_first();
        let found = match file {
            File::Init(number) => segments
                .filter_map(|segment| segment.initialisation.as_ref())
                .find(|initialisation| initialisation.number == number)
                .map(|initialisation| initialisation.body.object(MediaType::Init)),
            _ => segments.find(|segment| segment.entry.file() == file).map(|segment| segment.object()),
        };
        found.ok_or(Absent::Gone)
    }

    fn playlist_object(&self, text: String, state: &State) -> Object {
        let target = Duration::from_secs(state.target);
        let max_age = if state.has_ended { target } else { self.max_age };
        Object {
            etag: etag(text.as_bytes()),
            bytes: Bytes::from(text),
            media_type: MediaType::Playlist,
            freshness: Freshness::Changing { max_age, target },
        }
    }
}

impl State {
    fn changed(&mut self) {
        self.playlist = None;
        self.master = None;
    }

    fn text(&self, key: &StreamKey) -> Option<String> {
        self.window.playlist(self.target, self.has_ended, |segment| {
            let uri = |file| Resource { key: key.clone(), file }.uri();
            let initialisation = segment.entry.initialisation.map(|number| uri(File::Init(number)));
            (uri(segment.entry.file()), initialisation)
        })
    }

    fn master_text(&self, key: &StreamKey) -> Option<String> {
        let listed = self.window.listed();
        let entries = || listed.iter().map(|segment| &segment.entry);
        let rate = |bytes: usize, duration_ms: u64| (bytes as u64).saturating_mul(8_000) / duration_ms.max(1);
        let bandwidth = entries().map(|entry| rate(entry.bytes, entry.duration_ms)).max()?;
        let bytes = entries().map(|entry| entry.bytes).sum();
        let average = rate(bytes, entries().map(|entry| entry.duration_ms).sum());
        let uri = Resource { key: key.clone(), file: File::Playlist }.uri();
        Some(master(&[Variant {
            uri: &uri,
            bandwidth,
            average_bandwidth: Some(average),
            codecs: (&self.codecs).into(),
            resolution: self.resolution,
        }]))
    }
}
