//! What the API shows of the streams.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::demand::PullStatus;
use super::headers::Headers;
use super::identity::Identity;
use super::state::Source;
use super::stream::Stream;
use super::viewers::{Audience, Viewers};
use super::{Hub, now};
use crate::media::stream_key::StreamKey;

/// One stream at one moment.
#[derive(Debug, Clone)]
pub struct StreamView {
    /// Identifies this life of the stream.
    pub id: Identity,
    /// Its name.
    pub key: StreamKey,
    /// Its publisher, if there is one.
    pub live: Option<LiveView>,
    /// The pull that looks after it, if it is wanted from upstream.
    pub pull: Option<PullStatus>,
    /// The forward that passes its publisher on upstream, if there is one.
    pub forward: Option<PullStatus>,
    /// The headers in force.
    pub headers: Arc<Headers>,
    /// Players, those that wait for it and viewers included.
    pub players: usize,
    /// Video frames received.
    pub video_frames: u64,
    /// Bytes of media received.
    pub received_bytes: u64,
    /// Bytes sent to players.
    pub sent_bytes: u64,
    /// Kilobits a second received, over half a minute.
    pub received_kilobits: u64,
    /// Kilobits a second sent, over half a minute.
    pub sent_kilobits: u64,
}

/// A publisher at one moment.
#[derive(Debug, Clone)]
pub struct LiveView {
    /// The publish session.
    pub session: Identity,
    /// Where the packets come from.
    pub source: Source,
    /// For how long it publishes.
    pub age: Duration,
}

impl Hub {
    /// Every stream there is, by name.
    pub fn streams(&self) -> Vec<StreamView> {
        let now = now();
        let viewers = &self.shared.viewers;
        let mut views: Vec<StreamView> =
            self.collect_streams().iter().map(|stream| view(stream, viewers, now)).collect();
        // Streams that are here only for their viewers: no ring holds them.
        let known: HashSet<StreamKey> = views.iter().map(|view| view.key.clone()).collect();
        views.extend(viewers.views(now).into_iter().filter(|view| !known.contains(&view.key)));
        views.sort_by(|one, other| one.key.cmp(&other.key));
        views
    }

    /// The id of a stream, if it is there.
    pub fn id_of(&self, key: &StreamKey) -> Option<Identity> {
        let stream = self.shared.streams.get(key).map(|stream| stream.id.clone());
        stream.or_else(|| self.shared.viewers.of(key, |audience| audience.id.clone()))
    }

    /// Collected first: no stream's lock is taken while the map is held.
    fn collect_streams(&self) -> Vec<Arc<Stream>> {
        self.shared.streams.iter().map(|entry| Arc::clone(&entry)).collect()
    }

    /// Brings the gauges up to date that are not kept on the way.
    pub fn observe(&self) {
        let streams = self.collect_streams();
        let live = streams.iter().filter(|stream| stream.state().live.is_some());
        let windows = live.map(|stream| stream.pace().window);
        let largest = windows.max().unwrap_or_default();
        self.shared.metrics.merge_window.set(largest.as_secs_f64());
    }
}

impl StreamView {
    /// A stream that is here for its viewers only.
    pub(super) fn of_audience(key: &StreamKey, id: &Identity, audience: &Audience, now: Instant) -> Self {
        Self {
            id: id.clone(),
            key: key.clone(),
            live: None,
            pull: None,
            forward: None,
            headers: Arc::default(),
            players: audience.len(),
            video_frames: 0,
            received_bytes: 0,
            sent_bytes: audience.sent_bytes,
            received_kilobits: 0,
            sent_kilobits: audience.kilobits(now),
        }
    }
}

fn view(stream: &Stream, viewers: &Viewers, now: Instant) -> StreamView {
    let audience = |audience: &Audience| (audience.len(), audience.sent_bytes, audience.kilobits(now));
    let (watching, sent_to_viewers, viewers_kilobits) = viewers.of(&stream.key, audience).unwrap_or_default();
    let state = stream.state();
    let sample = stream.sample(&state, now);
    let (received_kilobits, sent_kilobits) = state.rates.kilobits(sample);
    StreamView {
        id: stream.id.clone(),
        key: stream.key.clone(),
        live: state.live.as_ref().map(|live| LiveView {
            session: live.session.clone(),
            source: live.source.clone(),
            age: now.saturating_duration_since(live.since),
        }),
        pull: state.pull.clone(),
        forward: state.forward.as_ref().map(|(_, status)| status.clone()),
        headers: Arc::clone(&state.headers),
        players: state.readers + watching,
        video_frames: state.video_frames,
        received_bytes: sample.received_bytes,
        sent_bytes: sample.sent_bytes + sent_to_viewers,
        received_kilobits,
        sent_kilobits: sent_kilobits + viewers_kilobits,
    }
}
