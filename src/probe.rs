//! The probe: a player that tells whether media flows.
//!
//! Owns the plays of one stream, and the judgement of them. The command line calls it, for people and for checks of a
//! deployment. It decodes nothing and follows no redirect: it tells what the server says to a public player. Only a
//! [`Watch`] plays again after a play has ended.

mod connection;
mod url;
mod watch;

use std::fmt;
use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::media::class::{Class, classify};
use crate::media::flv::FlvError;
use crate::media::{Kind, Tag};
use crate::net::dial::DialError;

pub use url::{ProbeUrl, ProbeUrlError};
pub use watch::{Watch, WatchEvent, Watched};

use connection::Connection;

/// How long the server may take until the first picture or sound: longer than it keeps players of an absent stream waiting.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long to rest between attempts.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How long media may then pause.
const SILENCE: Duration = Duration::from_secs(5);

/// Why no media flows.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// There is no connection.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The server says no.
    #[error("the server refuses: {0}")]
    Refused(String),
    /// What the server sends cannot be understood.
    #[error("the server sends what cannot be understood: {0}")]
    Invalid(String),
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    /// The server ended the stream.
    #[error("the server ended the stream")]
    Ended,
    /// Connected, and nothing came.
    #[error("no picture and no sound came within {} s", PATIENCE.as_secs())]
    NoMedia,
    /// Media came, and then none.
    #[error("media stopped: nothing came for {} s, after {seen}", SILENCE.as_secs())]
    Silent {
        /// What came before.
        seen: Seen,
    },
    /// Media came, and then the end.
    #[error("the server ended the stream, after {seen}")]
    EndedEarly {
        /// What came before.
        seen: Seen,
    },
    /// Media came, and then for too long no other play.
    #[error("not playing again within {} s: {reason}", patience.as_secs())]
    Lost {
        /// How long would have been good enough.
        patience: Duration,
        /// Why the last attempt failed, or else why the play before ended.
        reason: Box<Self>,
    },
}

impl ProbeError {
    /// Whether another attempt may find what was not there yet.
    const fn is_before_media(&self) -> bool {
        matches!(self, Self::Dial(_) | Self::Refused(_) | Self::Ended | Self::NoMedia)
    }
}

impl From<FlvError> for ProbeError {
    fn from(error: FlvError) -> Self {
        Self::Invalid(error.to_string())
    }
}

/// What was played.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// Audio packets, headers not counted.
    pub audio: u64,
    /// Video packets, headers not counted.
    pub video: u64,
    /// Those of the video packets at which decoding can begin.
    pub keyframes: u64,
    /// Payload of all of them, in bytes.
    pub bytes: u64,
    /// From the attempt to connect to the first audio or video.
    pub first: Duration,
    /// From then to the last.
    pub played: Duration,
}

impl Seen {
    fn take(&mut self, tag: &Tag) {
        let (class, _) = classify(tag);
        if !matches!(class, Class::Keyframe | Class::Frame) {
            return;
        }
        match tag.kind {
            Kind::Audio => self.audio += 1,
            Kind::Video => self.video += 1,
            Kind::Data => return,
        }
        self.keyframes += u64::from(class == Class::Keyframe);
        self.bytes += tag.payload.len() as u64;
    }

    /// How many packets carry picture or sound.
    const fn packets(&self) -> u64 {
        self.audio + self.video
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{:.1} s of media: {} video packets ({} keyframes), {} audio packets, {} bytes, the first after {} ms",
            self.played.as_secs_f64(),
            self.video,
            self.keyframes,
            self.audio,
            self.bytes,
            self.first.as_millis(),
        )
    }
}

/// Plays `url` for `duration` from its first picture or sound on, and tries again for as long as `wait` while nothing comes: for a
/// server or a stream that is about to start. Over TLS the server has to prove its name by an authority in `ca_file`, or else by one
/// that the system knows.
///
/// # Errors
///
/// Says why the last attempt failed. Once media has come, nothing is tried again.
pub async fn play_when_there(
    url: &ProbeUrl,
    ca_file: Option<&Path>,
    duration: Duration,
    wait: Duration,
) -> Result<Seen, ProbeError> {
    let mut play = Play::begin_when_there(url, ca_file, wait).await?;
    play.play_until(play.first + duration).await?;
    Ok(play.seen)
}

/// A connection from which media has come.
struct Play {
    connection: Connection,
    seen: Seen,
    /// When the first audio or video came, and the last.
    first: Instant,
    last: Instant,
}

impl Play {
    /// [`Self::begin`], again and again for as long as `wait`.
    async fn begin_when_there(url: &ProbeUrl, ca_file: Option<&Path>, wait: Duration) -> Result<Self, ProbeError> {
        let give_up_at = Instant::now() + wait;
        loop {
            let error = match Self::begin(url, ca_file).await {
                Err(error) if error.is_before_media() && Instant::now() + RETRY_AFTER < give_up_at => error,
                decided => return decided,
            };
            tracing::debug!(%error, "trying again");
            sleep(RETRY_AFTER).await;
        }
    }

    /// Connects, and waits for the first picture or sound.
    async fn begin(url: &ProbeUrl, ca_file: Option<&Path>) -> Result<Self, ProbeError> {
        let began = Instant::now();
        let mut seen = Seen::default();
        let begin = async {
            let mut connection = Connection::open(url, ca_file).await?;
            while seen.packets() == 0 {
                connection.read(|tag| seen.take(&tag)).await?;
            }
            Ok::<_, ProbeError>(connection)
        };
        let connection = timeout(PATIENCE, begin).await.map_err(|_| ProbeError::NoMedia)??;
        let first = Instant::now();
        seen.first = first - began;
        Ok(Self { connection, seen, first, last: first })
    }

    /// Plays on until `end`: an error if the media ends or pauses for 5 s before that. Dropping the future loses nothing.
    async fn play_until(&mut self, end: Instant) -> Result<(), ProbeError> {
        let Self { connection, seen, first, last } = self;
        while Instant::now() < end {
            let until = (*last + SILENCE).min(end);
            let before = seen.packets();
            match timeout_at(until, connection.read(|tag| seen.take(&tag))).await {
                Ok(Ok(())) => {}
                Ok(Err(ProbeError::Ended)) => return Err(ProbeError::EndedEarly { seen: *seen }),
                Ok(Err(error)) => return Err(error),
                Err(_) if last.elapsed() >= SILENCE => return Err(ProbeError::Silent { seen: *seen }),
                Err(_) => {}
            }
            if seen.packets() > before {
                *last = Instant::now();
                seen.played = *last - *first;
            }
        }
        Ok(())
    }
}
