//! One viewer: it asks for the playlist as often as players do, fetches what is new, and shows it in thought.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::clock::unix_nanoseconds;

use super::Counts;
use super::connection::Connection;
use super::playlist::{Playlist, Segment};

/// How far behind the live end a viewer begins, in segments (RFC 8216, 6.3.3).
const BEGINS_BEHIND: usize = 3;
/// How long it waits after something failed.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// A viewer.
pub(super) struct Viewer {
    name: String,
    path: String,
    host: String,
    connection: Rc<Connection>,
    counts: Rc<RefCell<Counts>>,
    asked_at: Instant,
    /// The number of the next segment, once there was one.
    next: Option<u64>,
    /// Until when there is something to show, once something is shown.
    shows_until: Option<Instant>,
}

impl Viewer {
    pub(super) fn new(
        index: usize,
        path: String,
        host: String,
        connection: Rc<Connection>,
        counts: Rc<RefCell<Counts>>,
    ) -> Self {
        let name = format!("viewer-{index}");
        Self { name, path, host, connection, counts, asked_at: Instant::now(), next: None, shows_until: None }
    }

    /// Watches until it is stopped.
    pub(super) async fn run(mut self) {
        loop {
            let loaded_at = Instant::now();
            let pause = match self.load().await {
                Some(playlist) => {
                    let target = playlist.target;
                    // What has not changed is looked at again after half of the time (RFC 8216, 6.3.4).
                    if self.follow(playlist).await { target } else { target / 2 }
                }
                None => AFTER_FAILURE,
            };
            sleep((loaded_at + pause).saturating_duration_since(Instant::now())).await;
        }
    }

    async fn load(&self) -> Option<Playlist> {
        let text = self.connection.get(&self.host, &self.path, &self.name).await;
        let playlist = text.and_then(|text| {
            let playlist = std::str::from_utf8(&text).ok().and_then(Playlist::parse);
            playlist.ok_or_else(|| anyhow::anyhow!("{}: not a playlist", self.path))
        });
        let mut counts = self.counts.borrow_mut();
        if counts.measuring {
            counts.playlist_requests += 1;
        }
        playlist.inspect_err(|error| counts.fail(format!("{error:#}"))).ok()
    }

    /// Fetches what is new; tells whether there was anything.
    async fn follow(&mut self, playlist: Playlist) -> bool {
        let first = playlist.segments.len().saturating_sub(BEGINS_BEHIND);
        let next = match (self.next, playlist.segments.get(first)) {
            (Some(next), _) => next,
            (None, Some(segment)) => segment.sequence,
            (None, None) => return false,
        };
        if let Some(oldest) = playlist.segments.first()
            && self.next.is_some()
            && oldest.sequence > next
        {
            self.counts.borrow_mut().missed_segments += 1;
        }
        let mut is_new = false;
        for segment in playlist.segments.iter().filter(|segment| segment.sequence >= next) {
            is_new = true;
            self.next = Some(segment.sequence + 1);
            self.fetch(segment).await;
        }
        is_new
    }

    async fn fetch(&mut self, segment: &Segment) {
        let path = resolve(&self.path, &segment.uri);
        let fetched = self.connection.get(&self.host, &path, &self.name).await;
        let now = Instant::now();
        let mut counts = self.counts.borrow_mut();
        if counts.measuring {
            counts.segment_requests += 1;
        }
        let bytes = match fetched {
            Ok(bytes) => bytes,
            Err(error) => return counts.fail(format!("{error:#}")),
        };
        counts.bytes += bytes.len() as u64;
        counts.segments.insert(path);
        if let Some(ended_at) = segment.ended_at.filter(|_| counts.measuring) {
            let now = i64::try_from(unix_nanoseconds() / 1_000).unwrap_or(i64::MAX);
            let delay = u64::try_from(now - ended_at * 1_000).unwrap_or(0);
            counts.delay.saturating_record(delay.max(1));
        }
        let shows_until = match self.shows_until {
            None => {
                counts.started += 1;
                let startup = (now - self.asked_at).as_micros();
                counts.startup.saturating_record(u64::try_from(startup).unwrap_or(u64::MAX).max(1));
                now
            }
            Some(shows_until) if shows_until < now => {
                counts.stalls += 1;
                counts.stalled += now - shows_until;
                now
            }
            Some(shows_until) => shows_until,
        };
        self.shows_until = Some(shows_until + segment.duration);
    }
}

/// The path of a URI that stands in the playlist at `base`.
fn resolve(base: &str, uri: &str) -> String {
    let base = base.split('?').next().unwrap_or(base);
    match base.rsplit_once('/') {
        Some((folder, _)) if !uri.starts_with('/') => format!("{folder}/{uri}"),
        _ => uri.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_beside_the_playlist_or_begin_at_the_root() {
        assert_eq!(resolve("/live/x.m3u8?a=/b", "x/1.ts"), "/live/x/1.ts");
        assert_eq!(resolve("/live/x.m3u8", "/other/1.ts"), "/other/1.ts");
    }
}
