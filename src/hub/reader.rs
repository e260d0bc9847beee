//! A player's side of a stream: a cursor into the ring, and nothing else.
//!
//! Owns where a player begins, what it gets before its first block, when it skips and when it ends. The serving sessions
//! poll it for one piece of wire bytes at a time; there is no queue between them and the ring.

mod lagging;
mod leaving;
mod pacing;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::time::Sleep;

use crate::drain::spread::Share;
use crate::metrics::Protocol;

use super::block::{Block, WireForm};
use super::dispatcher::ShardId;
use super::headers::{Headers, Tracks};
use super::identity::Identity;
use super::now;
use super::shielding::Waiting;
use super::state::{KEYFRAME_WAIT, Live, State};
use super::stream::StreamHandle;
use super::wake::WakerSlot;

use pacing::CatchUp;

/// Who wants to play.
#[derive(Debug, Clone, Copy)]
pub struct PlayRequest {
    /// The protocol that the player is counted under.
    pub protocol: Protocol,
    /// How its bytes stand on the wire.
    pub form: WireForm,
    /// The shard that its task runs on.
    pub shard: ShardId,
    /// Whether it is another server's pull: such a one never waits, and ends with the publisher that it began with.
    pub is_pull: bool,
}

/// Why a reader has nothing more to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum End {
    /// Nobody publishes the stream, and nobody came while the player waited.
    #[error("nobody publishes the stream")]
    NotFound,
    /// The publisher is gone and did not come back in time.
    #[error("the stream has ended")]
    Ended,
    /// The tracks or codecs are no longer those that the player was told.
    #[error("the stream's tracks have changed")]
    TracksChanged,
    /// No origin could be asked whether anybody publishes the stream.
    #[error("no origin can be reached")]
    Unreachable,
    /// There are as many players as there may be.
    #[error("the server has no room for another player")]
    TooManyPlayers,
    /// As much is sent as may be sent.
    #[error("the server has no bandwidth left for another player")]
    TooMuchEgress,
    /// The server lets its players go, who find the stream at another one.
    #[error("the server is going; the stream is at others")]
    Drained,
    /// An operator wants it to go.
    #[error("an operator has ended the session")]
    Dismissed,
    /// The server is stopping.
    #[error("the server is stopping")]
    Shutdown,
}

/// Plays one stream. Dropping it is leaving.
#[derive(Debug)]
pub struct Reader {
    handle: StreamHandle,
    request: PlayRequest,
    /// When among all players it is let go, if they are.
    share: Share,
    waker: WakerSlot,
    since: Instant,
    /// The next block, once the player has begun.
    cursor: Option<u64>,
    /// Where to begin at the earliest when there is no GOP cache.
    begin_at: u64,
    /// The number of the next packet, to count what is skipped.
    next_packet: u64,
    /// The headers that the player was sent last, or has had with the blocks.
    headers: Option<Arc<Headers>>,
    /// Whether the next block is not the one behind the last.
    skipped: bool,
    /// Packets that the player was not sent because it lagged.
    skipped_packets: u64,
    /// Set for another edge's pull that this one shields the origins from.
    waiting: Option<Waiting>,
    /// The session that a pull began with, and its number.
    session: Option<(Identity, u64)>,
    /// The tracks that the player was told, where they cannot change, and the first block that they must hold for: in
    /// those before it, a track may not have begun.
    tracks: Option<(Tracks, u64)>,
    timer: Option<Pin<Box<Sleep>>>,
    /// Until a player has all there is.
    catch_up: Option<CatchUp>,
    /// Set if it plays for nobody here: it is not counted, keeps no pull alive and waits for no turn.
    tap: Option<TapStart>,
}

/// Where a reader begins that is no player.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TapStart {
    /// At the oldest block of the session that is held.
    Session,
    /// At the oldest block of the session that is not about to be skipped for its age.
    Recent,
    /// At the newest keyframe, GOP cache or not.
    Keyframe,
}

/// What comes next for a reader, before it has a wire form.
#[derive(Debug)]
pub(super) enum Piece {
    /// Headers that the reader lacks, as they go before a block at `sequence_at`; all timestamps in wire milliseconds.
    Headers { headers: Arc<Headers>, metadata_at: u32, sequence_at: u32 },
    /// The next block.
    Block(Arc<Block>),
}

/// What a look at the stream brought.
enum Look {
    /// The next block.
    Block(Arc<Block>),
    /// Nothing yet; look again at the latest then.
    Wait(Option<Instant>),
    /// Nothing more.
    End(End),
}

impl Reader {
    /// A reader for another edge that pulls through this one.
    pub(super) fn shielded(handle: StreamHandle, request: PlayRequest) -> Self {
        let mut reader = Self::new(handle, request);
        let stream = &reader.handle.stream;
        let (waiting, is_first) = stream.state().shielding.enter(reader.since);
        if is_first {
            stream.shielding_changed.notify_one();
        }
        reader.waiting = Some(waiting);
        reader
    }

    pub(super) fn new(handle: StreamHandle, request: PlayRequest) -> Self {
        let stream = &handle.stream;
        let mut state = stream.state();
        state.readers += 1;
        if state.readers == 1 {
            stream.demand_changed.notify_one();
        }
        let begin_at = state.ring.end();
        drop(state);
        handle.shared.metrics.players(request.protocol).inc();
        if request.is_pull {
            handle.shared.metrics.downstream_pulls.inc();
        }
        Self::at(handle, request, begin_at, None)
    }

    /// A reader that is no player.
    pub(super) fn tap(handle: StreamHandle, request: PlayRequest, start: TapStart) -> Self {
        handle.stream.state().taps += 1;
        Self::at(handle, request, 0, Some(start))
    }

    fn at(handle: StreamHandle, request: PlayRequest, begin_at: u64, tap: Option<TapStart>) -> Self {
        let waker = handle.stream.wakers.enter(request.shard);
        // Servers have players who wait, and taps are none.
        let is_held = tap.is_none() && !request.is_pull;
        let catch_up = CatchUp::new(handle.stream.settings.join_speed).filter(|_| is_held);
        Self {
            share: handle.shared.releases.next_share(),
            handle,
            request,
            waker,
            since: now(),
            cursor: None,
            begin_at,
            next_packet: 0,
            headers: None,
            skipped: false,
            skipped_packets: 0,
            waiting: None,
            session: None,
            tracks: None,
            timer: None,
            catch_up,
            tap,
        }
    }

    /// How long one write to the player may take.
    pub fn hard_lag(&self) -> Duration {
        self.handle.stream.settings.hard_lag
    }

    /// Waits for a publisher, and tells its session.
    pub fn poll_live(&mut self, context: &mut Context<'_>) -> Poll<Result<Identity, End>> {
        self.poll_until(context, |reader, state| {
            let live = state.live.as_ref().filter(|live| reader.may_have(live))?;
            reader.session.get_or_insert_with(|| (live.session.clone(), state.session));
            Some(live.session.clone())
        })
    }

    /// Keeps to the publish session with that `number`, which has begun.
    pub(super) fn keep_to(&mut self, session: Identity, number: u64) {
        self.session = Some((session, number));
    }

    /// Waits until a publish session has begun, and keeps to it.
    pub(super) fn poll_session(&mut self, context: &mut Context<'_>, session: &Identity) -> Poll<Result<(), End>> {
        let stream = Arc::clone(&self.handle.stream);
        let state = stream.state();
        if self.handle.shared.is_ending() {
            return Poll::Ready(Err(End::Shutdown));
        }
        if state.live.as_ref().is_some_and(|live| live.session == *session) {
            self.keep_to(session.clone(), state.session);
            return Poll::Ready(Ok(()));
        }
        self.waker.register(context, true);
        Poll::Pending
    }

    /// Waits until the stream's tracks are known, and holds the player to them: when they change, it ends.
    pub fn poll_tracks(&mut self, context: &mut Context<'_>) -> Poll<Result<Tracks, End>> {
        let (tracks, from) = ready!(self.poll_until(context, |reader, state| {
            if reader.media_deadline(state).is_some_and(|deadline| now() >= deadline) {
                return Some(Err(End::NotFound));
            }
            let settled = state.live.is_some() && state.tracks_are_settled(now());
            settled.then(|| Ok((state.headers.tracks, state.ring.end())))
        }))??;
        self.tracks = Some((tracks, from));
        Poll::Ready(Ok(tracks))
    }

    /// The next bytes for the player: first the headers, then block after block.
    pub fn poll_wire(&mut self, context: &mut Context<'_>) -> Poll<Result<Bytes, End>> {
        let form = self.request.form;
        let bytes = match ready!(self.poll_piece(context))? {
            Piece::Headers { headers, metadata_at, sequence_at } => headers.wire(form, metadata_at, sequence_at),
            Piece::Block(block) => block.wire(form),
        };
        self.handle.stream.sent_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Poll::Ready(Ok(bytes))
    }

    /// The same before it has a wire form.
    pub(super) fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Result<Piece, End>> {
        let block = loop {
            let stream = Arc::clone(&self.handle.stream);
            let state = stream.state();
            match self.look(&state, now()) {
                Look::Block(block) => break block,
                Look::End(end) => return Poll::Ready(Err(end)),
                Look::Wait(deadline) => {
                    self.waker.register(context, self.is_eager());
                    drop(state);
                    ready!(self.poll_timer(context, deadline));
                }
            }
        };
        if self.tracks_have_changed(&block) {
            return Poll::Ready(Err(End::TracksChanged));
        }
        if let Some(headers) = self.missing_headers(&block) {
            return Poll::Ready(Ok(headers));
        }
        ready!(self.poll_pace(context, &block));
        self.next_packet = block.end_packet();
        self.cursor = self.cursor.map(|cursor| cursor + 1);
        self.note_pace();
        Poll::Ready(Ok(Piece::Block(block)))
    }

    /// Whether polling for wire bytes at once may bring more. Cheaper than polling: a player that keeps up is asked this
    /// after every block.
    pub fn has_more(&self) -> bool {
        self.cursor.is_none_or(|cursor| cursor < self.handle.stream.ring_end.load(Ordering::Acquire))
    }

    /// What the player needs before `block`. Who reads on has had every change of headers in the blocks themselves.
    fn missing_headers(&mut self, block: &Block) -> Option<Piece> {
        let headers = block.headers();
        let skipped = std::mem::take(&mut self.skipped);
        let had = self.headers.replace(Arc::clone(headers));
        let timestamp = block.wire_timestamp();
        let metadata_at = match had {
            // ffmpeg takes metadata that comes later than at 0 for subtitles.
            None => 0,
            Some(had) if skipped && !Arc::ptr_eq(&had, headers) => timestamp,
            Some(_) => return None,
        };
        let headers = Arc::clone(headers);
        (!headers.is_empty()).then_some(Piece::Headers { headers, metadata_at, sequence_at: timestamp })
    }

    /// Whether `block` holds other tracks than the player was told.
    fn tracks_have_changed(&self, block: &Block) -> bool {
        let Some((told, from)) = self.tracks else { return false };
        self.cursor.is_some_and(|cursor| cursor >= from) && block.headers().contradict(told)
    }

    /// Waits until `found` finds something in a stream that has not ended for this player.
    fn poll_until<T>(
        &mut self,
        context: &mut Context<'_>,
        found: impl Fn(&mut Self, &State) -> Option<T>,
    ) -> Poll<Result<T, End>> {
        let stream = Arc::clone(&self.handle.stream);
        loop {
            let state = stream.state();
            let now = now();
            if let Some(end) = self.end(&state, now) {
                return Poll::Ready(Err(end));
            }
            if let Some(found) = found(self, &state) {
                return Poll::Ready(Ok(found));
            }
            self.waker.register(context, self.is_eager());
            let settled_at = state.settle_deadline().filter(|deadline| *deadline > now);
            let deadline = self.deadline(&state).or(settled_at).or_else(|| self.media_deadline(&state));
            drop(state);
            ready!(self.poll_timer(context, deadline));
        }
    }

    fn look(&mut self, state: &State, now: Instant) -> Look {
        let cursor = match self.cursor.or_else(|| self.place_to_begin(state, now)) {
            Some(cursor) => self.skip_if_behind(cursor, state, now),
            None => return self.nothing_there(state, now),
        };
        let Some(block) = state.ring.get(cursor) else { return self.nothing_there(state, now) };
        // What the session had sealed before it ended is a pull's due.
        if self.request.is_pull && self.session.as_ref().is_some_and(|(_, number)| *number != block.session()) {
            return Look::End(End::Ended);
        }
        if self.goes_before(block, state, now) {
            return Look::End(End::Drained);
        }
        self.cursor = Some(cursor);
        Look::Block(Arc::clone(block))
    }

    fn nothing_there(&self, state: &State, now: Instant) -> Look {
        match self.end(state, now) {
            Some(end) => Look::End(end),
            None => Look::Wait(self.deadline(state)),
        }
    }

    /// Where the player begins, once the session in force has something for it.
    fn place_to_begin(&self, state: &State, now: Instant) -> Option<u64> {
        let ring = &state.ring;
        if state.live.is_none() || !ring.session_has_media() {
            return None;
        }
        match self.tap {
            Some(TapStart::Session) => return Some(ring.session_start()),
            Some(TapStart::Recent) => {
                return Some(ring.recent_start(now, self.handle.stream.settings.ring.queue_length));
            }
            Some(TapStart::Keyframe) | None => {}
        }
        if self.tap.is_some() || self.handle.stream.settings.ring.gop_cache || state.headers.tracks.video.is_none() {
            return Some(ring.newest_keyframe().unwrap_or_else(|| ring.live_end()));
        }
        let waited = now.saturating_duration_since(self.since);
        ring.keyframe_from(self.begin_at).or_else(|| (waited >= KEYFRAME_WAIT).then(|| ring.live_end()))
    }

    /// Why the player ends now, if it does.
    fn end(&self, state: &State, now: Instant) -> Option<End> {
        if self.handle.shared.is_ending() {
            return Some(End::Shutdown);
        }
        if self.session_has_changed(state) {
            return Some(End::Ended);
        }
        if self.departs_at(state).is_some_and(|departs_at| now >= departs_at) {
            return Some(End::Drained);
        }
        if state.live.as_ref().is_some_and(|live| self.may_have(live)) {
            return None;
        }
        if let Some(waiting) = self.waiting.filter(|_| self.session.is_none()) {
            return state.shielding.refuses(waiting, now);
        }
        if self.request.is_pull {
            return Some(if self.session.is_some() || self.has_begun() { End::Ended } else { End::NotFound });
        }
        let deadline = self.publisher_deadline(state)?;
        if now < deadline {
            return None;
        }
        if self.has_begun() {
            return Some(End::Ended);
        }
        self.handle.shared.misses.note(&self.handle.stream.key, now);
        Some(End::NotFound)
    }

    /// When the player, while there is nothing for it, ends at the latest.
    fn deadline(&self, state: &State) -> Option<Instant> {
        [self.publisher_deadline(state), self.departs_at(state)].into_iter().flatten().min()
    }

    /// Whether what `live` publishes is for this reader.
    fn may_have(&self, live: &Live) -> bool {
        self.waiting.is_none() || live.is_for_others()
    }

    fn has_begun(&self) -> bool {
        self.headers.is_some()
    }

    /// Whether it is to be woken as soon as there is anything, without waiting for its turn.
    fn is_eager(&self) -> bool {
        self.tap.is_some() || !self.has_begun()
    }

    fn session_has_changed(&self, state: &State) -> bool {
        let current = state.live.as_ref().map(|live| &live.session);
        self.request.is_pull && self.session.as_ref().is_some_and(|(session, _)| Some(session) != current)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let stream = &self.handle.stream;
        let mut state = stream.state();
        if self.tap.is_some() {
            state.taps -= 1;
            state.clear_if_unread();
            return;
        }
        state.readers -= 1;
        state.clear_if_unread();
        if state.readers == 0 {
            stream.demand_changed.notify_one();
        }
        if self.waiting.is_some() && state.shielding.leave() {
            stream.shielding_changed.notify_one();
        }
        drop(state);
        let shared = &self.handle.shared;
        shared.metrics.players(self.request.protocol).dec();
        if self.request.is_pull {
            shared.metrics.downstream_pulls.dec();
        } else {
            shared.capacity.leave();
        }
    }
}

#[cfg(test)]
mod tests;
