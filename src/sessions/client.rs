//! What is known of one session, for everybody who looks: its own task and those who list or kick.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::task::AtomicWaker;

use crate::media::stream_key::StreamKey;
use crate::metrics::Protocol;

use super::id::ClientId;

/// The longest text that is kept of what a peer says about itself, in bytes: any number of peers may say something.
const MAX_TEXT_BYTES: usize = 200;

/// What a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A publisher, over RTMP.
    Publish,
    /// A player, or another server's pull.
    Play(Protocol),
    /// A pull from an upstream.
    Pull(Protocol),
}

impl Kind {
    /// The kind as SRS's API calls it; of what SRS does not have, a name of the same form.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Publish => "fmle-publish",
            Self::Play(Protocol::Rtmp) => "rtmp-play",
            Self::Play(Protocol::HttpFlv) => "flv-play",
            Self::Play(Protocol::WsFlv) => "ws-flv-play",
            Self::Play(Protocol::Hls) => "hls-play",
            Self::Pull(Protocol::Rtmp) => "rtmp-pull",
            Self::Pull(_) => "flv-pull",
        }
    }

    /// Whether media comes from it.
    pub const fn publishes(self) -> bool {
        !matches!(self, Self::Play(_))
    }
}

/// Who a session is with.
#[derive(Debug, Clone)]
pub struct About {
    /// The other end's address.
    pub peer: SocketAddr,
    /// Whether it is another server.
    pub is_server: bool,
    /// The program, as it calls itself; empty if it does not.
    pub agent: String,
    /// The URL that it connected to, as it says; empty if it does not.
    pub url: String,
    /// The page that it plays on; empty if it says none.
    pub page: String,
}

impl About {
    /// Somebody who says nothing of itself.
    pub fn peer(peer: SocketAddr) -> Self {
        Self { peer, is_server: false, agent: String::new(), url: String::new(), page: String::new() }
    }
}

/// One session.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) id: ClientId,
    pub(super) kind: Kind,
    pub(super) key: StreamKey,
    pub(super) peer: SocketAddr,
    pub(super) is_server: bool,
    pub(super) agent: Box<str>,
    pub(super) url: Box<str>,
    pub(super) page: Box<str>,
    pub(super) since: Instant,
    sent: AtomicU64,
    received: AtomicU64,
    /// Milliseconds until the first media was written, and one; 0 before.
    first_frame: AtomicU32,
    /// The last but one, and the last.
    samples: [Sample; 2],
    is_kicked: AtomicBool,
    /// Of the task that is to look when it is kicked.
    waker: AtomicWaker,
}

/// Totals at one moment, from which rates are taken.
#[derive(Debug, Default)]
struct Sample {
    /// Milliseconds since the session began.
    at: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
}

impl Sample {
    fn get(&self) -> [u64; 3] {
        [&self.at, &self.sent, &self.received].map(|number| number.load(Ordering::Relaxed))
    }

    fn set(&self, at: u64, sent: u64, received: u64) {
        self.at.store(at, Ordering::Relaxed);
        self.sent.store(sent, Ordering::Relaxed);
        self.received.store(received, Ordering::Relaxed);
    }
}

impl Client {
    pub(super) fn new(id: ClientId, kind: Kind, key: StreamKey, about: About) -> Self {
        Self {
            id,
            kind,
            key,
            peer: about.peer,
            is_server: about.is_server,
            agent: shown(&about.agent),
            // What stands behind it may be a secret of the viewer's.
            url: shown(about.url.split('?').next().unwrap_or_default()),
            page: shown(about.page.split('?').next().unwrap_or_default()),
            since: Instant::now(),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            first_frame: AtomicU32::new(0),
            samples: Default::default(),
            is_kicked: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        }
    }

    pub(super) fn add_sent(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn add_received(&self, bytes: u64) {
        self.received.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    pub(super) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    pub(super) fn set_first_frame(&self, after: Duration) {
        let milliseconds = u32::try_from(after.as_millis()).unwrap_or(u32::MAX);
        self.first_frame.store(milliseconds.saturating_add(1), Ordering::Relaxed);
    }

    /// How long the first media took, in milliseconds, if there was any.
    pub(super) fn first_frame(&self) -> Option<u32> {
        self.first_frame.load(Ordering::Relaxed).checked_sub(1)
    }

    /// Notes the totals, for rates from the next time on.
    pub(super) fn sample(&self) {
        let [before, last] = &self.samples;
        let [at, sent, received] = last.get();
        before.set(at, sent, received);
        last.set(self.since.elapsed().as_millis() as u64, self.sent(), self.received());
    }

    /// Kilobits a second received and sent since the last sample but one, or since the session began.
    pub(super) fn kilobits(&self) -> (u64, u64) {
        let now = self.since.elapsed().as_millis() as u64;
        let [at, sent, received] = self.samples[0].get();
        let milliseconds = now.saturating_sub(at).max(1);
        let rate = |total: u64, before: u64| total.saturating_sub(before).saturating_mul(8) / milliseconds;
        (rate(self.received(), received), rate(self.sent(), sent))
    }

    pub(super) fn kick(&self) {
        self.is_kicked.store(true, Ordering::Release);
        self.waker.wake();
    }

    pub(super) fn is_kicked(&self) -> bool {
        self.is_kicked.load(Ordering::Acquire)
    }

    /// Ready once it is kicked.
    pub(super) fn poll_kicked(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.is_kicked() {
            return Poll::Ready(());
        }
        self.waker.register(context.waker());
        // It may have come between the look and the waker.
        if self.is_kicked() { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// What a stranger says, as far as it can be shown: not endless, and without what would break a line.
fn shown(text: &str) -> Box<str> {
    let fits = |(at, character): &(usize, char)| at + character.len_utf8() <= MAX_TEXT_BYTES;
    let kept = text.char_indices().take_while(fits).map(|(_, character)| character);
    kept.filter(|character| !character.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_stranger_says_is_cut_between_characters_and_stays_on_its_line() {
        assert_eq!(&*shown("ffmpeg\r\n7.1"), "ffmpeg7.1");
        assert_eq!(shown(&"é".repeat(1_000)).len(), MAX_TEXT_BYTES);
    }
}
