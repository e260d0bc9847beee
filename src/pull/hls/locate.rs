//! Which origin has a stream as HLS, and its playlist from there.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http::Uri;
use tokio::time::{Instant, timeout};

use crate::auth::Mark;
use crate::config::UpstreamProtocol;
use crate::hls::{Absent, File, Freshness, MediaType, Object, Resource};
use crate::metrics::Protocol;
use crate::pull::health::LONGEST_REST_WHILE_WAITED_FOR;
use crate::pull::upstreams::{Candidate, Place, Tier};
use crate::seldom::warn_seldom;

use super::fetch::{Answer, Ask, FetchError, SILENT_FOR};
use super::foreign::{self, Foreign, Misfit};
use super::playlist::{self, Summary};
use super::{Kept, STANDS_STILL_AFTER, Shared};

/// How long one origin is asked before the next one is asked as well.
const STAGGER: Duration = Duration::from_millis(250);
/// How long a playlist may be waited for that nobody has had yet: at an origin that begins with it when it is asked.
const FIRST_PLAYLIST_WITHIN: Duration = Duration::from_secs(15);
/// How many redirects in a row are followed.
const MAX_REDIRECTS: usize = 3;
/// The most that a playlist may have, in bytes.
const MAX_PLAYLIST_BYTES: usize = 1 << 20;
/// The most that a segment may have, in bytes.
const MAX_SEGMENT_BYTES: usize = 64 << 20;
/// For how long a playlist counts that does not say it.
const DEFAULT_AGE: Duration = Duration::from_secs(1);

/// Where a stream is.
#[derive(Debug, Clone)]
pub(super) struct Location {
    pub(super) candidate: Candidate,
    /// Whether it is one of our own kind, whose names are ours.
    pub(super) is_ours: bool,
    /// The path of the media playlist there.
    playlist: String,
}

/// A playlist and where it is from.
struct Found {
    object: Object,
    location: Location,
    summary: Summary,
}

impl Shared {
    /// The playlist from where the stream was last, or from whoever has it now.
    pub(super) async fn locate(&self, resource: &Resource, kept: Option<&Kept>) -> Result<(Object, Summary), Absent> {
        // A playlist of playlists is always the same.
        let asks_everybody = resource.file == File::Playlist && kept.is_some_and(Kept::stands_still);
        if let Some(location) = self.locations.get(&resource.key)
            && !asks_everybody
        {
            match self.playlist_at(location.candidate.clone(), Some(&location), resource).await {
                Ok(found) => return Ok(self.settle(resource, found)),
                // The stream is there, and has no file yet.
                Err(FetchError::Absent(absent @ (Absent::NotYet | Absent::Unsupported(_)))) => return Err(absent),
                Err(error) => {
                    self.note(&location.candidate, &error);
                    self.locations.invalidate(&resource.key);
                }
            }
        }
        // Who has it may not be among those that are found: it may be draining.
        let mut known = self.locations.get(&resource.key).map(|location| location.candidate);
        let mut missing = Absent::Unreachable;
        for tier in [Tier::Primary, Tier::Backup] {
            let mut candidates = self.context.upstreams.ranked(&resource.key, tier, UpstreamProtocol::HttpFlv).await;
            let is_new = |known: &Candidate| candidates.iter().all(|other| other.address != known.address);
            candidates.extend(known.take().filter(is_new));
            match self.race(resource, candidates, asks_everybody).await {
                Ok(found) => return Ok(self.settle(resource, found)),
                Err(Absent::Unreachable) => {}
                Err(absent) => {
                    missing = absent;
                    break;
                }
            }
        }
        Err(missing)
    }

    /// Remembers where the stream is.
    fn settle(&self, resource: &Resource, found: Found) -> (Object, Summary) {
        self.locations.insert(resource.key.clone(), found.location);
        (found.object, found.summary)
    }

    /// Asks one origin after the other, the next one each 250 ms or at once when one does not have the stream. The first that
    /// has it wins; where everybody is asked, who has the newest.
    async fn race(
        &self,
        resource: &Resource,
        mut candidates: Vec<Candidate>,
        asks_everybody: bool,
    ) -> Result<Found, Absent> {
        let now = std::time::Instant::now();
        if candidates.len() > 1 {
            // They come last instead of not at all: a playlist is little to ask for.
            candidates.sort_by_key(|candidate| self.context.upstreams.rests(candidate, now));
        }
        let mut waiting = candidates.into_iter();
        let mut asked = FuturesUnordered::new();
        let mut newest: Option<Found> = None;
        let mut missing = Absent::Unreachable;
        loop {
            if asked.is_empty() || asks_everybody {
                let count = if asks_everybody { usize::MAX } else { 1 };
                let next = waiting.by_ref().take(count);
                asked.extend(next.map(|candidate| self.ask_candidate(candidate, resource)));
            }
            if asked.is_empty() {
                return newest.ok_or(missing);
            }
            let Ok(answered) = timeout(STAGGER, asked.next()).await else {
                let next = waiting.next();
                asked.extend(next.map(|candidate| self.ask_candidate(candidate, resource)));
                continue;
            };
            match answered {
                Some((_, Ok(found))) if asks_everybody => {
                    newest = Some(match newest.take() {
                        Some(newest) if newest.summary.end >= found.summary.end => newest,
                        _ => found,
                    });
                }
                Some((_, Ok(found))) => return Ok(found),
                Some((candidate, Err(error))) => {
                    self.note(&candidate, &error);
                    match error {
                        FetchError::Nowhere => return newest.ok_or(Absent::NoStream),
                        FetchError::Absent(absent) => missing = more_telling(missing, absent),
                        _ => {}
                    }
                    let next = waiting.next();
                    asked.extend(next.map(|candidate| self.ask_candidate(candidate, resource)));
                }
                None => {}
            }
        }
    }

    async fn ask_candidate(&self, candidate: Candidate, resource: &Resource) -> (Candidate, Result<Found, FetchError>) {
        let found = self.playlist_at(candidate.clone(), None, resource).await;
        (candidate, found)
    }

    /// The playlist at one origin, or at whom it sends us to.
    async fn playlist_at(
        &self,
        mut candidate: Candidate,
        known: Option<&Location>,
        resource: &Resource,
    ) -> Result<Found, FetchError> {
        let own = format!("/{}", resource.path());
        let mut path = match known {
            Some(location) if !location.is_ours && resource.file == File::Playlist => location.playlist.clone(),
            _ => own.clone(),
        };
        let is_first = self.playlists.get(resource).is_none();
        let patience = if is_first { FIRST_PLAYLIST_WITHIN } else { SILENT_FOR };
        for _ in 0..=MAX_REDIRECTS {
            match self.ask(&candidate, &path, resource, patience).await {
                Err(FetchError::Redirected(location)) => {
                    tracing::debug!(from = %candidate.address, to = location, "redirected");
                    let place = read_location(&location, &own).ok_or(FetchError::Invalid("it redirects elsewhere"))?;
                    let next = self.context.upstreams.redirected_to(&place, &candidate).await;
                    candidate = next.ok_or(FetchError::Invalid("it redirects to nobody"))?;
                    path = own.clone();
                }
                Ok(answer) if answer.is_ours => return found(resource, answer, candidate, own),
                Ok(answer) => return self.foreign(resource, answer, candidate, path).await,
                Err(error) => return Err(error),
            }
        }
        Err(FetchError::Invalid("it sends us round in a circle"))
    }

    /// A foreign origin's playlist, in our names.
    async fn foreign(
        &self,
        resource: &Resource,
        mut answer: Answer,
        candidate: Candidate,
        mut path: String,
    ) -> Result<Found, FetchError> {
        // Its playlist of playlists leads to one of media; there are no two others below each other.
        for _ in 0..2 {
            let text = std::str::from_utf8(&answer.bytes).map_err(|_| FetchError::Invalid("no text"))?;
            let foreign = Foreign { key: &resource.key, host: &candidate.name, path: &path };
            match foreign.read(text).map_err(misfit)? {
                foreign::Read::Media { text, names } => {
                    for (number, name) in names {
                        self.names.insert((resource.key.clone(), number), name.into());
                    }
                    let answer = Answer { bytes: text.into(), etag: None, max_age: None, is_ours: false };
                    return found(resource, answer, candidate, path);
                }
                foreign::Read::Variant(variant) => path = variant,
            }
            answer = self.ask(&candidate, &path, resource, SILENT_FOR).await?;
        }
        Err(FetchError::Invalid("playlists of playlists of playlists"))
    }

    /// Asks an origin for a file, whatever it is called there.
    pub(super) async fn ask(
        &self,
        candidate: &Candidate,
        path: &str,
        resource: &Resource,
        patience: Duration,
    ) -> Result<Answer, FetchError> {
        let mark = self.context.sign(&Mark::of_pull(&self.context.node));
        let limit = if resource.file.is_playlist() { MAX_PLAYLIST_BYTES } else { MAX_SEGMENT_BYTES };
        let way = self.context.way_to(candidate).map_err(|error| FetchError::Broken(error.to_string()))?;
        let ask = Ask { way: &way, host: &candidate.name, path, mark: &mark, limit, patience };
        let answer = self.client.get(ask, self.context.config().upstream.connect_timeout).await;
        if let Ok(answer) = &answer {
            self.metrics().ingress_bytes(Protocol::Hls).inc_by(answer.bytes.len() as u64);
            self.context.upstreams.note_answer(candidate);
        }
        answer
    }

    /// Notes what an origin did instead of sending a file.
    pub(super) fn note(&self, candidate: &Candidate, error: &FetchError) {
        if error.is_answer() {
            tracing::debug!(upstream = %candidate.address, %error, "not here");
            self.context.upstreams.note_answer(candidate);
        } else {
            let key = (candidate.address, error.to_string());
            warn_seldom!(key = key, upstream = %candidate.address, %error, "cannot fetch from this upstream");
            self.context.upstreams.note_failure(candidate, LONGEST_REST_WHILE_WAITED_FOR);
        }
    }
}

impl Kept {
    /// Whether it has been the same for so long that somebody else may have a newer one.
    fn stands_still(&self) -> bool {
        let Freshness::Changing { target, .. } = self.object.freshness else { return false };
        self.changed_at + target.mul_f64(STANDS_STILL_AFTER) < Instant::now()
    }
}

/// What tells more of why there is no file: that there is a stream without it, before that there is none.
fn more_telling(one: Absent, other: Absent) -> Absent {
    match one {
        Absent::Unreachable | Absent::NoStream => other,
        one => one,
    }
}

fn misfit(misfit: Misfit) -> FetchError {
    match misfit {
        Misfit::NoPlaylist => FetchError::Invalid("what is no playlist"),
        Misfit::Elsewhere => FetchError::Invalid("segments that are not below the playlist"),
        Misfit::Unsupported(what) => FetchError::Absent(Absent::Unsupported(what.to_owned())),
    }
}

/// A playlist that is in our names.
fn found(resource: &Resource, answer: Answer, candidate: Candidate, path: String) -> Result<Found, FetchError> {
    let text = std::str::from_utf8(&answer.bytes).map_err(|_| FetchError::Invalid("no text"))?;
    let summary = Summary::of(text).ok_or(FetchError::Invalid("what is no playlist"))?;
    let said = answer.max_age.unwrap_or(DEFAULT_AGE);
    let target = summary.target.unwrap_or(said * 2).max(DEFAULT_AGE);
    let object = Object {
        etag: answer.etag.unwrap_or_else(|| playlist::etag(&answer.bytes)),
        bytes: answer.bytes,
        media_type: MediaType::Playlist,
        freshness: Freshness::Changing { max_age: target / 2, target },
    };
    tracing::debug!(file = %resource, upstream = %candidate.address, ours = answer.is_ours, "fetched");
    let location = Location { candidate, is_ours: answer.is_ours, playlist: path };
    Ok(Found { object, location, summary })
}

/// Where a redirect leads: to the same file of another server, and nowhere else.
fn read_location(location: &str, path: &str) -> Option<Place> {
    let uri: Uri = location.parse().ok()?;
    let (is_tls, default_port) = match uri.scheme_str() {
        Some("http") => (false, 80),
        Some("https") => (true, 443),
        _ => return None,
    };
    if uri.path() != path {
        return None;
    }
    let host = uri.host()?.trim_matches(['[', ']']).to_owned();
    let port = uri.port_u16().unwrap_or(default_port);
    Some(Place { protocol: UpstreamProtocol::HttpFlv, is_tls, host, port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_leads_to_the_same_file_of_another_server_and_nowhere_else() {
        let read = |location| read_location(location, "/live/x.m3u8").map(|place| (place.host, place.port));
        assert_eq!(read("http://192.0.2.7:8080/live/x.m3u8"), Some(("192.0.2.7".to_owned(), 8080)));
        assert_eq!(read("http://[2001:db8::1]/live/x.m3u8"), Some(("2001:db8::1".to_owned(), 80)));
        assert_eq!(read("https://192.0.2.7/live/x.m3u8"), Some(("192.0.2.7".to_owned(), 443)));
        for location in ["http://a/live/y.m3u8", "/live/x.m3u8", "file:///live/x.m3u8", "", "http://a/latest"] {
            assert_eq!(read(location), None, "{location}");
        }
    }

    #[test]
    fn that_a_stream_is_there_tells_more_than_that_it_is_not() {
        assert_eq!(more_telling(Absent::Unreachable, Absent::NoStream), Absent::NoStream);
        assert_eq!(more_telling(Absent::NoStream, Absent::NotYet), Absent::NotYet);
        assert_eq!(more_telling(Absent::NotYet, Absent::NoStream), Absent::NotYet);
    }
}
