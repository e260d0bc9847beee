//! HLS at an edge: playlists and segments of the stream's holder, each fetched once however many players want it.
//!
//! Owns what an edge remembers of HLS: where each stream is, its latest playlist, and segments up to `hls.cache_bytes`. It is
//! the edge's [`Library`]: the HTTP server asks it, and it asks the origins over HTTP, in the order in which pulls ask them. It
//! opens no live pull and touches no ring.
//!
//! Identical questions are put together (`flights`), and answered though who asked first has left. A playlist is asked for
//! again after half a segment; while no origin has the stream the latest one is served on, up to `upstream.resume_timeout`, so
//! that players wait and see no error.

mod connector;
mod fetch;
mod flights;
mod foreign;
mod locate;
mod playlist;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use moka::sync::Cache;
use tokio::time::{Instant, timeout};

use crate::hls::{Absent, File, Freshness, Library, MediaType, Object, Resource};
use crate::media::stream_key::StreamKey;
use crate::metrics::{FileKind, Metrics, RelayResult};

use super::PullContext;

use fetch::{Client, FetchError, SILENT_FOR};
use flights::Flights;
use locate::Location;
use playlist::Summary;

/// How long it counts that something is nowhere.
const MISSED_FOR: Duration = Duration::from_secs(1);
/// How long a playlist is kept that nobody asks for: a bound on memory, and on `upstream.resume_timeout` if it grows later.
const LONGEST_KEPT: Duration = Duration::from_secs(600);
/// How long a player waits for a playlist to be asked for again before it gets the one that is there.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long the latest playlist counts once it could not be asked for again.
const STALE_FOR: Duration = Duration::from_secs(1);
/// How long a segment is kept that nobody asks for.
const UNUSED_FOR: Duration = Duration::from_secs(120);
/// How long the location of a stream is kept that nobody asks for.
const UNWATCHED_FOR: Duration = Duration::from_secs(600);
/// The streams that are remembered at a time.
const MAX_STREAMS: u64 = 100_000;
/// The most that playlists take together, in bytes.
const MAX_PLAYLIST_BYTES: u64 = 64 << 20;
/// A playlist that has not changed for so many target durations may be one that its origin has forgotten to end.
const STANDS_STILL_AFTER: f64 = 1.5;

/// The files of streams that origins have. Clones share it.
#[derive(Clone)]
pub struct HlsRelay {
    shared: Arc<Shared>,
}

struct Shared {
    context: Arc<PullContext>,
    client: Client,
    flights: Flights<Resource, Result<Object, Absent>>,
    segments: Cache<Resource, Object>,
    playlists: Cache<Resource, Kept>,
    misses: Cache<Resource, Absent>,
    locations: Cache<StreamKey, Location>,
    /// What foreign origins call the segments that are numbers here.
    names: Cache<(StreamKey, u64), Arc<str>>,
}

/// A playlist, and how old it is.
#[derive(Debug, Clone)]
struct Kept {
    object: Object,
    summary: Summary,
    /// When an origin last had it.
    seen_at: Instant,
    /// Since when it has been the same.
    changed_at: Instant,
    /// Until when nobody is asked again.
    fresh_until: Instant,
}

impl HlsRelay {
    /// Fetches from the upstreams of `context`, and keeps up to `cache_bytes` of segments.
    pub fn new(context: Arc<PullContext>, cache_bytes: u64) -> Self {
        let config = context.config();
        let settings = &config.upstream;
        let client = Client::new();
        let keep_playlists = settings.resume_timeout.max(LONGEST_KEPT);
        let weigh = |_: &Resource, object: &Object| u32::try_from(object.bytes.len()).unwrap_or(u32::MAX);
        let weigh_kept = |_: &Resource, kept: &Kept| u32::try_from(kept.object.bytes.len()).unwrap_or(u32::MAX);
        let shared = Shared {
            client,
            flights: Flights::default(),
            segments: Cache::builder().max_capacity(cache_bytes).weigher(weigh).time_to_idle(UNUSED_FOR).build(),
            playlists: Cache::builder()
                .max_capacity(MAX_PLAYLIST_BYTES)
                .weigher(weigh_kept)
                .time_to_live(keep_playlists)
                .build(),
            misses: Cache::builder().max_capacity(MAX_STREAMS).time_to_live(MISSED_FOR).build(),
            locations: Cache::builder().max_capacity(MAX_STREAMS).time_to_idle(UNWATCHED_FOR).build(),
            names: Cache::builder().max_capacity(MAX_STREAMS).time_to_live(UNWATCHED_FOR).build(),
            context,
        };
        Self { shared: Arc::new(shared) }
    }
}

impl HlsRelay {
    /// Lets go of what has been unused for long. To be called about once a second: what has passed its time is not given back by
    /// itself.
    pub fn forget_unused(&self) {
        let shared = &self.shared;
        shared.segments.run_pending_tasks();
        shared.playlists.run_pending_tasks();
        shared.misses.run_pending_tasks();
        shared.locations.run_pending_tasks();
        shared.names.run_pending_tasks();
        let bytes = i64::try_from(shared.segments.weighted_size()).unwrap_or(i64::MAX);
        shared.metrics().hls_files.cache_bytes.set(bytes);
    }
}

impl Library for HlsRelay {
    fn find<'a>(&'a self, resource: &'a Resource) -> BoxFuture<'a, Result<Object, Absent>> {
        Box::pin(async move {
            match resource.file.is_playlist() {
                true => self.shared.playlist(resource).await,
                false => self.shared.segment(resource).await,
            }
        })
    }
}

impl Shared {
    /// The latest playlist there was, as long as players are kept with it.
    fn kept(&self, resource: &Resource) -> Option<Kept> {
        let keep = self.context.config().upstream.resume_timeout.max(MISSED_FOR);
        self.playlists.get(resource).filter(|kept| kept.seen_at.elapsed() < keep)
    }

    /// A playlist that is young enough, or the latest there was.
    async fn playlist(self: &Arc<Self>, resource: &Resource) -> Result<Object, Absent> {
        let kept = self.kept(resource);
        if let Some(kept) = &kept
            && kept.fresh_until > Instant::now()
        {
            self.count(FileKind::Playlist, RelayResult::Hit);
            return Ok(kept.object.clone());
        }
        if kept.is_none()
            && let Some(absent) = self.misses.get(resource)
        {
            self.count(FileKind::Playlist, RelayResult::Absent);
            return Err(absent);
        }
        let refreshed = self.refreshed(resource);
        match kept {
            None => refreshed.await,
            Some(kept) => match timeout(PATIENCE, refreshed).await {
                Ok(Ok(object)) => Ok(object),
                Ok(Err(absent)) if self.kept(resource).is_none() => Err(absent),
                Ok(Err(_)) | Err(_) => {
                    self.count(FileKind::Playlist, RelayResult::Stale);
                    Ok(kept.object)
                }
            },
        }
    }

    /// The playlist as an origin has it now; one question for all who want it.
    async fn refreshed(self: &Arc<Self>, resource: &Resource) -> Result<Object, Absent> {
        let (shared, wanted) = (Arc::clone(self), resource.clone());
        let (is_first, answer) = self.flights.join(resource, async move { shared.refresh(&wanted).await });
        if !is_first {
            self.count(FileKind::Playlist, RelayResult::Merged);
        }
        answer.await.unwrap_or(Err(Absent::Unreachable))
    }

    async fn refresh(self: Arc<Self>, resource: &Resource) -> Result<Object, Absent> {
        let kept = self.kept(resource);
        let found = tokio::select! {
            found = self.locate(resource, kept.as_ref()) => found,
            () = self.context.stop.cancelled() => Err(Absent::Unreachable),
        };
        let now = Instant::now();
        let resume = self.context.config().upstream.resume_timeout;
        match found {
            Ok((object, summary)) => {
                self.count(FileKind::Playlist, RelayResult::Fetched);
                let fresh_until = now + max_age(&object);
                let stays = |kept: &Kept| now < kept.seen_at + resume && !summary.can_follow(&kept.summary);
                if let Some(kept) = kept.clone().filter(stays) {
                    let object = kept.object.clone();
                    self.playlists.insert(resource.clone(), Kept { fresh_until, ..kept });
                    return Ok(object);
                }
                let unchanged = kept.filter(|kept| kept.object.etag == object.etag);
                let changed_at = unchanged.map_or(now, |kept| kept.changed_at);
                let kept = Kept { object: object.clone(), summary, seen_at: now, changed_at, fresh_until };
                self.playlists.insert(resource.clone(), kept);
                Ok(object)
            }
            Err(absent) => {
                let result = if absent == Absent::Unreachable { RelayResult::Failed } else { RelayResult::Absent };
                self.count(FileKind::Playlist, result);
                match kept.filter(|kept| now < kept.seen_at + resume) {
                    Some(kept) => {
                        let fresh_until = now + STALE_FOR;
                        self.playlists.insert(resource.clone(), Kept { fresh_until, ..kept });
                    }
                    None => {
                        self.playlists.invalidate(resource);
                        self.misses.insert(resource.clone(), absent.clone());
                    }
                }
                Err(absent)
            }
        }
    }

    async fn segment(self: &Arc<Self>, resource: &Resource) -> Result<Object, Absent> {
        if let Some(object) = self.segments.get(resource) {
            self.count(FileKind::Segment, RelayResult::Hit);
            return Ok(object);
        }
        if let Some(absent) = self.misses.get(resource) {
            self.count(FileKind::Segment, RelayResult::Absent);
            return Err(absent);
        }
        let (shared, wanted) = (Arc::clone(self), resource.clone());
        let (is_first, answer) = self.flights.join(resource, async move { shared.fetched(wanted).await });
        if !is_first {
            self.count(FileKind::Segment, RelayResult::Merged);
        }
        answer.await.unwrap_or(Err(Absent::Unreachable))
    }

    async fn fetched(self: Arc<Self>, resource: Resource) -> Result<Object, Absent> {
        // Who came too late to join the flight before this one finds what that one has left.
        if let Some(object) = self.segments.get(&resource) {
            return Ok(object);
        }
        let found = tokio::select! {
            found = self.fetch_segment(&resource) => found,
            () = self.context.stop.cancelled() => Err(Absent::Unreachable),
        };
        match &found {
            Ok(object) => {
                self.count(FileKind::Segment, RelayResult::Fetched);
                self.segments.insert(resource, object.clone());
            }
            Err(absent) => {
                let result = if *absent == Absent::Unreachable { RelayResult::Failed } else { RelayResult::Absent };
                self.count(FileKind::Segment, result);
                self.misses.insert(resource, absent.clone());
            }
        }
        found
    }

    /// Fetches a segment from where its stream is; where that fails it is looked for once more.
    async fn fetch_segment(self: &Arc<Self>, resource: &Resource) -> Result<Object, Absent> {
        let mut failed = Absent::Unreachable;
        for _ in 0..2 {
            let location = match self.locations.get(&resource.key) {
                Some(location) => location,
                None => {
                    self.refreshed(&Resource { key: resource.key.clone(), file: File::Playlist }).await?;
                    self.locations.get(&resource.key).ok_or(Absent::Unreachable)?
                }
            };
            let path = self.path_of(resource, &location).await?;
            match self.ask(&location.candidate, &path, resource, SILENT_FOR).await {
                Ok(answer) => return Ok(object_of(resource, answer.bytes, answer.etag, location.is_ours)),
                // The stream is here, and this is not among its segments.
                Err(FetchError::Absent(Absent::Gone | Absent::Unsupported(_))) => return Err(Absent::Gone),
                Err(error) => {
                    self.note(&location.candidate, &error);
                    self.locations.invalidate(&resource.key);
                    failed = if let FetchError::Absent(absent) = error { absent } else { Absent::Unreachable };
                }
            }
        }
        Err(failed)
    }

    /// What the origin calls a segment. The names of a foreign one are those of its playlist, and no others.
    async fn path_of(self: &Arc<Self>, resource: &Resource, location: &Location) -> Result<String, Absent> {
        if location.is_ours {
            return Ok(format!("/{}", resource.path()));
        }
        let (File::Init(number) | File::Fragments(number) | File::TransportStream(number)) = resource.file else {
            return Err(Absent::Gone);
        };
        let named = (resource.key.clone(), number);
        if let Some(name) = self.names.get(&named) {
            return Ok(name.to_string());
        }
        self.refreshed(&Resource { key: resource.key.clone(), file: File::Playlist }).await?;
        self.names.get(&named).map(|name| name.to_string()).ok_or(Absent::Gone)
    }

    fn count(&self, file: FileKind, result: RelayResult) {
        self.metrics().hls_files.relayed(file, result).inc();
    }

    fn metrics(&self) -> &Metrics {
        &self.context.metrics
    }
}

/// For how long an object may be kept that an origin had a moment ago.
fn max_age(object: &Object) -> Duration {
    match object.freshness {
        Freshness::Immutable => Duration::MAX,
        Freshness::Changing { max_age, .. } => max_age,
    }
}

/// What an origin has sent, as what was asked for.
fn object_of(resource: &Resource, bytes: Bytes, etag: Option<String>, is_ours: bool) -> Object {
    let media_type = match resource.file {
        File::Master | File::Playlist => MediaType::Playlist,
        File::Init(_) => MediaType::Init,
        File::Fragments(_) => MediaType::Fragments,
        File::TransportStream(_) => MediaType::TransportStream,
    };
    // Foreign origins begin to count again when they restart, and then give old names to new segments.
    let freshness = match is_ours {
        true => Freshness::Immutable,
        false => Freshness::Changing { max_age: foreign::SEGMENTS_KEPT_FOR, target: foreign::SEGMENTS_KEPT_FOR },
    };
    let etag = etag.unwrap_or_else(|| playlist::etag(&bytes));
    Object { bytes, media_type, etag, freshness }
}

impl fmt::Debug for HlsRelay {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("HlsRelay").field("bytes", &self.shared.segments.weighted_size()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
