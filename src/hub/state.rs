//! The state of one stream: who publishes it, what it has sent lately, who wants it.
//!
//! Owns every rule of a publisher's packets on their way into the ring. The publisher, reader and demand handles call it,
//! each for the moment that it holds the stream's lock; it does no input or output, and time comes in as an argument.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::media::class::{Class, classify};
use crate::media::codec::Codec;
use crate::media::packet::Packet;
use crate::media::timeline::{Continuation, Timeline};
use crate::media::{Kind, Tag};

use super::block::{OpenBlock, Position};
use super::budget::{Budget, Pressure};
use super::demand::PullStatus;
use super::headers::Headers;
use super::identity::Identity;
use super::rates::Rates;
use super::ring::Ring;
use super::settings::{OnConflict, StreamSettings};
use super::shielding::Shielding;

/// A publisher that has sent nothing for this long can be replaced by the same client (its ghost, usually).
const GHOST_AFTER: Duration = Duration::from_secs(2);
/// How long a session's video may begin without a keyframe before it is let through as it is.
pub(super) const KEYFRAME_WAIT: Duration = Duration::from_secs(10);
/// How long after its first packet a session's tracks are taken for complete.
pub(super) const TRACKS_SETTLE_AFTER: Duration = Duration::from_secs(1);

/// Where a stream's packets come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A client that publishes here.
    Client {
        /// Its address.
        address: IpAddr,
        /// The query it published with.
        query: String,
    },
    /// A pull from an origin.
    Pull,
    /// A pull from another edge that shields the origins.
    ShieldedPull,
}

impl Source {
    /// Whether the packets come from upstream.
    pub const fn is_pull(&self) -> bool {
        matches!(self, Self::Pull | Self::ShieldedPull)
    }
}

/// Who wants to publish.
#[derive(Debug, Clone)]
pub struct PublishRequest {
    /// Where the packets come from.
    pub source: Source,
    /// The publish session.
    pub session: Identity,
    /// Whether it takes the name from a publisher of the same session: what a forward left behind that came another way.
    pub takes_over: bool,
    /// How long players stay when this publisher is gone.
    pub resume_timeout: Duration,
}

/// Why a name was not given to a publisher.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// Another publisher has it.
    #[error("the stream is already being published")]
    Conflict,
    /// All rings together hold as much as they may.
    #[error("the server has no memory left for another stream")]
    RingBudget,
    /// The server that has to agree refused, in these words.
    #[error("{description}")]
    Refused {
        /// The status code of its refusal.
        code: String,
        /// What it says about it.
        description: String,
    },
    /// No server that has to agree could be asked.
    #[error("no origin can be reached")]
    Unreachable,
    /// Others pull the stream through this server, which therefore takes it from an origin only.
    #[error("other edges pull the stream through this one")]
    Shields,
}

/// Another publisher has taken the name over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("another publisher has taken the stream over")]
pub struct Superseded;

#[derive(Debug)]
pub(super) struct State {
    pub(super) ring: Ring,
    pub(super) headers: Arc<Headers>,
    pub(super) live: Option<Live>,
    /// Until when players wait for the publisher's return.
    pub(super) absent_until: Option<Instant>,
    pub(super) readers: usize,
    /// Readers that are no players.
    pub(super) taps: usize,
    /// Those of the readers that other edges are.
    pub(super) shielding: Shielding,
    /// Set as long as a pull task looks after the stream.
    pub(super) pull: Option<PullStatus>,
    /// Set as long as the stream's publisher is passed on upstream: by which session, and how that goes.
    pub(super) forward: Option<(Identity, PullStatus)>,
    pub(super) rates: Rates,
    pub(super) received_bytes: u64,
    pub(super) video_frames: u64,
    settings: Arc<StreamSettings>,
    budget: Arc<Budget>,
    timeline: Timeline,
    open: OpenBlock,
    next: Position,
    /// How many publish sessions there were: the number of the one in force or last in force.
    pub(super) session: u64,
    last_session: Option<Identity>,
    publishers: u64,
    epoch: Instant,
}

/// The publisher in force.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) number: u64,
    pub(super) session: Identity,
    pub(super) source: Source,
    pub(super) since: Instant,
    pub(super) replaced: CancellationToken,
    resume_timeout: Duration,
    last_packet: Instant,
    pub(super) first_media: Option<Instant>,
    /// Whether video goes into the ring: from the session's first keyframe on.
    video_began: bool,
    video_waits_since: Instant,
}

impl State {
    pub(super) fn new(settings: Arc<StreamSettings>, budget: Arc<Budget>, now: Instant) -> Self {
        Self {
            ring: Ring::default(),
            headers: Arc::default(),
            live: None,
            absent_until: None,
            readers: 0,
            taps: 0,
            shielding: Shielding::default(),
            pull: None,
            forward: None,
            rates: Rates::default(),
            received_bytes: 0,
            video_frames: 0,
            settings,
            budget,
            timeline: Timeline::default(),
            open: OpenBlock::default(),
            next: Position::default(),
            session: 0,
            last_session: None,
            publishers: 0,
            epoch: now,
        }
    }

    /// Gives the name to a publisher, or says why not. Returns its number, and the token that tells it that it is replaced.
    pub(super) fn begin_publish(
        &mut self,
        request: PublishRequest,
        now: Instant,
    ) -> Result<(u64, CancellationToken), PublishError> {
        self.may_publish(&request, now)?;
        if let Some(live) = &self.live {
            live.replaced.cancel();
            self.seal(now);
        }
        let continuation = match self.last_session.as_ref() == Some(&request.session) {
            true => Continuation::SameSession,
            false => Continuation::NewSession,
        };
        self.timeline.begin(continuation);
        if continuation == Continuation::NewSession {
            self.ring.begin_session();
            self.session += 1;
            self.headers = Arc::default();
        }
        self.last_session = Some(request.session.clone());
        self.absent_until = None;
        self.publishers += 1;
        let replaced = CancellationToken::new();
        self.live = Some(Live {
            number: self.publishers,
            session: request.session,
            source: request.source,
            since: now,
            replaced: replaced.clone(),
            resume_timeout: request.resume_timeout,
            last_packet: now,
            first_media: None,
            video_began: continuation == Continuation::SameSession,
            video_waits_since: now,
        });
        Ok((self.publishers, replaced))
    }

    /// Frees the name, if `publisher` still has it.
    pub(super) fn end_publish(&mut self, publisher: u64, now: Instant) -> bool {
        let Some(live) = self.live.take_if(|live| live.number == publisher) else { return false };
        self.seal(now);
        self.absent_until = Some(now + live.resume_timeout);
        self.clear_if_unread();
        true
    }

    /// Forgets what nobody will read any more.
    pub(super) fn clear_if_unread(&mut self) {
        if self.live.is_none() && self.readers == 0 && self.taps == 0 {
            self.ring.clear();
        }
    }

    /// Whether it is to be fetched: somebody plays it, and no client publishes it here.
    pub(super) fn is_wanted(&self) -> bool {
        self.readers > 0 && !self.has_client()
    }

    /// Whether a client publishes it here.
    fn has_client(&self) -> bool {
        self.live.as_ref().is_some_and(|live| !live.source.is_pull())
    }

    /// Whether a publisher would be given the name at present.
    pub(super) fn may_publish(&self, request: &PublishRequest, now: Instant) -> Result<(), PublishError> {
        if self.budget.pressure() == Pressure::Exceeded {
            return Err(PublishError::RingBudget);
        }
        if !self.shielding.admits(&request.source) {
            return Err(PublishError::Shields);
        }
        match &self.live {
            Some(live) if !live.yields_to(request, self.settings.on_conflict, now) => Err(PublishError::Conflict),
            _ => Ok(()),
        }
    }

    /// Takes a tag of `publisher`. Returns whether a block was sealed.
    pub(super) fn push(&mut self, publisher: u64, tag: Tag, now: Instant) -> Result<bool, Superseded> {
        let sealed_before = self.ring.end();
        let live = self.live.as_mut().filter(|live| live.number == publisher).ok_or(Superseded)?;
        live.last_packet = now;
        self.received_bytes += tag.payload.len() as u64;
        let (class, codec) = classify(&tag);
        let timestamp = match class {
            Class::Keyframe | Class::Frame => {
                if tag.kind == Kind::Video && !live.lets_video_begin(class, now) {
                    return Ok(false);
                }
                live.first_media.get_or_insert(now);
                let wall_ms = now.saturating_duration_since(self.epoch).as_millis() as u64;
                let Some(timestamp) = self.timeline.place(tag.kind, tag.timestamp, wall_ms) else { return Ok(false) };
                if self.timeline.take_jump() {
                    let sees_keyframe = tag.kind != Kind::Video || class == Class::Keyframe;
                    self.begin_anew(timestamp, now, class);
                    if !sees_keyframe {
                        return Ok(self.ring.end() > sealed_before);
                    }
                }
                timestamp
            }
            Class::Header(_) | Class::Metadata | Class::Data => self.timeline.place_aside(tag.kind, tag.timestamp),
        };
        if tag.kind == Kind::Video && matches!(class, Class::Keyframe | Class::Frame) {
            self.video_frames += 1;
        }
        let packet = Packet { kind: tag.kind, class, timestamp, payload: tag.payload };
        match class {
            Class::Header(_) | Class::Metadata => {
                if self.headers.repeats(&packet) {
                    return Ok(false);
                }
                if !self.open.holds_only_headers() {
                    self.seal(now);
                }
                Arc::make_mut(&mut self.headers).set(&packet);
            }
            Class::Keyframe => self.seal(now),
            Class::Frame | Class::Data if self.open.is_full_with(packet.payload.len()) => self.seal(now),
            Class::Frame | Class::Data => {}
        }
        self.note_track(&packet, codec, now);
        self.open.push(packet, now);
        if self.open.is_full_with(0) {
            self.seal(now);
        }
        Ok(self.ring.end() > sealed_before)
    }

    /// After a jump in the sender's time: headers again, and video from the next keyframe on. Nobody joins before it.
    fn begin_anew(&mut self, timestamp: u64, now: Instant, first: Class) {
        self.seal(now);
        self.ring.begin_session();
        for packet in self.headers.again_at(timestamp) {
            self.open.push(packet, now);
        }
        if let Some(live) = &mut self.live {
            live.video_began = first == Class::Keyframe;
            live.video_waits_since = now;
        }
    }

    /// Makes what was gathered visible to readers.
    pub(super) fn seal(&mut self, now: Instant) {
        let budget = &self.budget;
        let headers = Arc::clone(&self.headers);
        let sealed = self.open.seal(headers, self.next, self.session, now, |bytes| budget.charge(bytes));
        let Some(block) = sealed else { return };
        self.next.packet = block.end_packet();
        self.next.byte += block.payload_bytes() as u64;
        self.ring.push(block, &self.settings.ring, self.budget.pressure(), now);
    }

    /// When what was gathered is to be sealed, if it is gathered for `merge_window`.
    pub(super) fn seal_deadline(&self, merge_window: Duration) -> Option<Instant> {
        self.open.opened_at().map(|opened_at| opened_at + merge_window)
    }

    /// Whether the tracks seen are all there will be, as far as one can tell at `now`.
    pub(super) fn tracks_are_settled(&self, now: Instant) -> bool {
        self.headers.settled || self.settle_deadline().is_some_and(|deadline| now >= deadline)
    }

    /// When the tracks seen are taken for complete if no other track turns up.
    pub(super) fn settle_deadline(&self) -> Option<Instant> {
        self.live.as_ref().and_then(|live| live.first_media).map(|first| first + TRACKS_SETTLE_AFTER)
    }

    /// Keeps account of the session's tracks, and of whether they are complete.
    fn note_track(&mut self, packet: &Packet, codec: Option<Codec>, now: Instant) {
        let mut tracks = self.headers.tracks;
        match (packet.kind, codec) {
            (Kind::Audio, Some(codec)) => tracks.audio = Some(codec),
            (Kind::Video, Some(codec)) => tracks.video = Some(codec),
            _ => {}
        }
        let promised = self
            .headers
            .promise()
            .is_some_and(|promise| (promise.audio, promise.video) == (tracks.audio.is_some(), tracks.video.is_some()));
        let settled = self.headers.settled
            || (tracks.audio.is_some() && tracks.video.is_some())
            || (promised && matches!(packet.class, Class::Keyframe | Class::Frame))
            || self.settle_deadline().is_some_and(|deadline| now >= deadline);
        if tracks != self.headers.tracks || settled != self.headers.settled {
            let headers = Arc::make_mut(&mut self.headers);
            headers.tracks = tracks;
            headers.settled = settled;
        }
    }
}

impl Live {
    /// Whether edges that pull through this one may have it.
    pub(super) fn is_for_others(&self) -> bool {
        self.source != Source::ShieldedPull
    }

    fn yields_to(&self, request: &PublishRequest, on_conflict: OnConflict, now: Instant) -> bool {
        if request.takes_over && self.session == request.session {
            return true;
        }
        let silent = now.saturating_duration_since(self.last_packet) >= GHOST_AFTER;
        self.source.is_pull() || on_conflict == OnConflict::Replace || (silent && self.source == request.source)
    }

    fn lets_video_begin(&mut self, class: Class, now: Instant) -> bool {
        let waited = now.saturating_duration_since(self.video_waits_since);
        self.video_began |= class == Class::Keyframe || waited >= KEYFRAME_WAIT;
        self.video_began
    }
}

#[cfg(test)]
mod tests;
