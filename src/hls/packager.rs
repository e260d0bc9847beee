//! The task that packages one stream.
//!
//! Owns the way from the publish sessions of a stream, one after the other, to its shelf and to the disk; and when all of it
//! ends. The origin's library starts it. It reads the ring as a player does that lags rather than be waited for, so nothing
//! that happens here holds a live player up.

use std::future::{pending, poll_fn};
use std::path::Path;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, watch};
use tokio::task::yield_now;
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

use crate::hooks::{self, Hooks};
use crate::hub::{End, Following, ShardId, Tap, TapStart, Tapped};
use crate::media::stream_key::StreamKey;

use super::disk::Volume;
use super::packer::{Means, Packed, Packer};
use super::resource::{File, Resource};
use super::segment::Entry;
use super::shelf::Shelf;

/// How many blocks are packaged before others on the shard have a turn.
const BATCH: usize = 64;
/// How often it is looked whether something is due.
const TICK: Duration = Duration::from_secs(1);

/// When what a stream has ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// For how long after its publisher has gone its playlist may still go on.
    pub(super) resume: Duration,
    /// For how long after that moment everything stays.
    pub(super) dispose: Duration,
    /// For how long it is packaged after somebody has asked for it; for ever if none.
    pub(super) idle: Option<Duration>,
    /// Whether every session begins a playlist: where others may have had the stream in between.
    pub(super) is_one_of_several: bool,
}

/// Packages one stream.
#[derive(Debug)]
pub(super) struct Packager {
    pub(super) shard: ShardId,
    pub(super) shelf: Arc<Shelf>,
    pub(super) packer: Packer,
    pub(super) means: Means,
    pub(super) times: Times,
    /// Where segments go as well, if anywhere.
    pub(super) volume: Option<Volume>,
    /// The sessions to package, each as it begins.
    pub(super) sessions: mpsc::UnboundedReceiver<Following>,
    /// Told whenever the shelf has changed.
    pub(super) changed: watch::Sender<()>,
    pub(super) stop: CancellationToken,
    pub(super) progress: Progress,
}

/// How far the packager has come.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// The session in force, or the last one as long as it may return.
    session: Option<Following>,
    /// The number of the next packet of the stream.
    next_packet: u64,
    /// Since when there is no publisher.
    gone_since: Option<Instant>,
    has_ended: bool,
    has_logged: bool,
}

/// Why the task is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// The stream has no publisher, and what it had has been let go of.
    Disposed,
    /// Nobody asks for it.
    Idle,
    /// The server stops.
    Stopped,
}

impl Packager {
    /// Packages until one of the reasons to end holds and `may_end` agrees; it is asked with the sessions that have not begun.
    pub(super) async fn run(mut self, may_end: impl Fn(Over, &mpsc::UnboundedReceiver<Following>) -> bool) -> Over {
        self.means.metrics.hls.streams.inc();
        let mut tap = None;
        let mut ticks = interval(TICK);
        let mut has_more = false;
        let over = loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break Over::Stopped,
                (batch, end) = next_batch(&mut tap, has_more) => {
                    has_more = end.is_none() && batch.len() == BATCH;
                    self.take(batch);
                    if let Some(end) = end {
                        tap = None;
                        self.packer.break_off();
                        self.publish();
                        if end == End::Shutdown {
                            break Over::Stopped;
                        }
                        self.progress.gone_since = Some(now());
                    } else if has_more {
                        // Only the newest packets tell what time it is.
                        yield_now().await;
                    } else {
                        self.publish();
                    }
                }
                // The end of the session before comes first.
                Some(session) = self.sessions.recv(), if tap.is_none() => tap = Some(self.begin(session)),
                _ = ticks.tick() => if let Some(over) = self.look_around() && may_end(over, &self.sessions) {
                    break over;
                },
            }
        };
        self.packer.break_off();
        self.publish();
        if let Some(volume) = self.volume.as_ref().filter(|_| over != Over::Stopped) {
            volume.dispose();
        }
        self.means.metrics.hls.streams.dec();
        over
    }

    /// Begins a session, or goes on with one that has returned.
    fn begin(&mut self, session: Following) -> Tap {
        let is_same = self.progress.session.as_ref().is_some_and(|former| former.session() == session.session());
        if !is_same {
            self.packer.begin_session();
            self.shelf.set_problem(None);
            self.progress.has_logged = false;
        }
        if self.progress.has_ended || self.times.is_one_of_several {
            self.packer.begin_playlist();
        }
        self.packer.break_off();
        if let Some(volume) = &self.volume {
            volume.note_session(session.session());
        }
        let tap = session.tap(self.shard, TapStart::Recent);
        self.progress = Progress {
            session: Some(session),
            gone_since: None,
            has_ended: false,
            ..std::mem::take(&mut self.progress)
        };
        tap
    }

    fn take(&mut self, batch: Vec<(Tapped, u64)>) {
        let now_ms = unix_ms();
        for (tapped, skipped) in batch {
            if skipped > 0 {
                self.means.metrics.hls.dropped_packets.inc_by(skipped);
                self.packer.break_off();
            }
            match tapped {
                Tapped::Headers(packets) => self.packer.take_headers(&packets, now_ms),
                Tapped::Block(block) => {
                    // A session that has returned is read from its beginning.
                    let had = self.progress.next_packet.saturating_sub(block.first_packet());
                    let had = usize::try_from(had).unwrap_or(usize::MAX).min(block.packets().len());
                    self.packer.take_packets(&block.packets()[had..], block.headers().settled, now_ms);
                    let end = block.first_packet() + block.packets().len() as u64;
                    self.progress.next_packet = self.progress.next_packet.max(end);
                }
            }
        }
    }

    /// Puts what is complete where players find it.
    fn publish(&mut self) {
        let finished = self.packer.take_finished();
        for packed in &finished {
            self.shelf.put(packed, self.packer.tracks(), now());
            match &self.volume {
                // It is told of once it is written.
                Some(volume) => volume.put(packed),
                None => {
                    if let Some(session) = &self.progress.session {
                        let (key, entry) = (session.key(), &packed.segment.entry);
                        tell(&self.means.hooks, key, session.session().as_str(), entry, None, None);
                    }
                }
            }
        }
        if let Some(problem) = self.packer.problem() {
            self.shelf.set_problem(Some(problem));
        }
        self.log(&finished);
        if !finished.is_empty() || self.packer.problem().is_some() {
            self.changed.send_replace(());
        }
    }

    /// Says once a session what an operator should know of it.
    fn log(&mut self, finished: &[Packed]) {
        if self.progress.has_logged {
            return;
        }
        let Some(session) = &self.progress.session else { return };
        let stream = session.key();
        if let Some(problem) = self.packer.problem() {
            tracing::warn!(%stream, problem, "the stream cannot be had as HLS");
            self.progress.has_logged = true;
        } else if self.packer.forced_cuts() > 0 {
            let target_seconds = finished.first().map(|packed| packed.target_s);
            tracing::warn!(
                %stream,
                target_seconds,
                "keyframes are further apart than the segments of HLS may be long; they are cut without"
            );
            self.progress.has_logged = true;
        }
    }

    /// Does what is due, and says why the task may be over.
    fn look_around(&mut self) -> Option<Over> {
        let now = now();
        self.shelf.let_go(now);
        if let Some(idle) = self.times.idle
            && now.saturating_duration_since(self.shelf.asked_at()) >= idle
        {
            return Some(Over::Idle);
        }
        let gone_for = now.saturating_duration_since(self.progress.gone_since?);
        if gone_for >= self.times.resume && !self.progress.has_ended {
            self.progress.has_ended = true;
            // The hub need not keep its place any longer; should it return, its packets are counted anew.
            self.progress.session = None;
            self.progress.next_packet = 0;
            self.shelf.end();
            if let Some(volume) = &self.volume {
                volume.end();
            }
            self.changed.send_replace(());
        }
        (gone_for >= self.times.dispose.max(self.times.resume)).then_some(Over::Disposed)
    }
}

/// What a tap has at once, at most a batch, each piece with how many packets were skipped before it; and its end. Waits until
/// there is something, unless there may be more of what was there.
async fn next_batch(tap: &mut Option<Tap>, may_have_more: bool) -> (Vec<(Tapped, u64)>, Option<End>) {
    let Some(tap) = tap else { return pending().await };
    let mut batch = Vec::new();
    poll_fn(move |context| {
        while batch.len() < BATCH {
            match tap.poll_next(context) {
                Poll::Ready(Ok(tapped)) => {
                    let skipped = tap.take_skipped().packets;
                    batch.push((tapped, skipped));
                }
                Poll::Ready(Err(end)) => return Poll::Ready((std::mem::take(&mut batch), Some(end))),
                Poll::Pending if batch.is_empty() && !may_have_more => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        Poll::Ready((std::mem::take(&mut batch), None))
    })
    .await
}

/// The clock that is waited by: tokio's, so that tests can turn it.
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Milliseconds since 1970.
pub(super) fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// Tells `hooks` of a segment of `session`, and of the files that it and its playlist are in, if they are.
pub(super) fn tell(
    hooks: &Hooks,
    key: &StreamKey,
    session: &str,
    entry: &Entry,
    file: Option<&Path>,
    playlist: Option<&Path>,
) {
    let path = |file| Resource { key: key.clone(), file }.path();
    let (url, playlist_url) = (path(entry.file()), path(File::Playlist));
    let segment = hooks::Segment {
        duration: Duration::from_millis(entry.duration_ms),
        file,
        url: &url,
        playlist,
        playlist_url: &playlist_url,
        number: entry.number,
    };
    hooks.segment(key, session, &segment);
}
