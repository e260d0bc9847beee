//! A player that comes back: what a deployment's changes cost those who play.

use std::fmt;
use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

use super::{Play, ProbeError, ProbeUrl, RETRY_AFTER};

/// How one stream is to be watched.
#[derive(Debug, Clone, Copy)]
pub struct Watch<'a> {
    /// The stream.
    pub url: &'a ProbeUrl,
    /// Whom to believe over TLS, instead of whom the system believes.
    pub ca_file: Option<&'a Path>,
    /// For how long, from the first picture or sound on.
    pub duration: Duration,
    /// How long the stream may take to be there at first.
    pub wait: Duration,
    /// For how long media may be missing later.
    pub patience: Duration,
}

/// What happens to who watches.
#[derive(Debug)]
pub enum WatchEvent<'a> {
    /// The first picture or sound, and how long after the attempt to connect.
    Playing {
        /// How long.
        after: Duration,
    },
    /// A play is over before its time.
    Lost {
        /// Why.
        reason: &'a ProbeError,
    },
    /// The first picture or sound of another play.
    PlayingAgain {
        /// How long after the last one of the play before.
        after: Duration,
    },
}

impl fmt::Display for WatchEvent<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Playing { after } => write!(formatter, "playing after {} ms", after.as_millis()),
            Self::Lost { reason } => write!(formatter, "lost: {reason}"),
            Self::PlayingAgain { after } => write!(formatter, "playing again after {} ms", after.as_millis()),
        }
    }
}

/// What was watched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Watched {
    /// For how long media came, in all plays together.
    pub played: Duration,
    /// How many plays were over before their time.
    pub losses: u64,
    /// For how long media was missing at most between two plays.
    pub longest_gap: Duration,
}

impl fmt::Display for Watched {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (played, gap) = (self.played.as_secs_f64(), self.longest_gap.as_millis());
        write!(formatter, "{played:.1} s of media, lost {} times, at most {gap} ms without media", self.losses)
    }
}

impl Watch<'_> {
    /// Watches until the time is up or `stop` completes, and plays again at once whenever a play is over: sent away, cut off,
    /// or without media for 5 s. Tells `report` of each.
    ///
    /// # Errors
    ///
    /// Says why it did not play at first, or not again within `patience`.
    pub async fn run(
        &self,
        stop: impl Future<Output = ()>,
        mut report: impl FnMut(WatchEvent<'_>),
    ) -> Result<Watched, ProbeError> {
        let mut stop = pin!(stop);
        let mut watched = Watched::default();
        let mut play = tokio::select! {
            begun = Play::begin_when_there(self.url, self.ca_file, self.wait) => begun?,
            () = &mut stop => return Ok(watched),
        };
        report(WatchEvent::Playing { after: play.seen.first });
        let end = play.first + self.duration;
        loop {
            let ended = tokio::select! {
                ended = play.play_until(end) => ended,
                () = &mut stop => Ok(()),
            };
            watched.played += play.seen.played;
            let Err(reason) = ended else { return Ok(watched) };
            watched.losses += 1;
            report(WatchEvent::Lost { reason: &reason });
            let last = play.last;
            play = tokio::select! {
                begun = self.begin_again(&play, reason) => begun?,
                () = &mut stop => return Ok(watched),
            };
            let gap = play.first - last;
            watched.longest_gap = watched.longest_gap.max(gap);
            report(WatchEvent::PlayingAgain { after: gap });
        }
    }

    /// Another play after `over`, of which media has come in time. Whatever goes wrong until then may be the same trouble, and is
    /// tried again: at once, but not before a second after the attempt before.
    async fn begin_again(&self, over: &Play, mut reason: ProbeError) -> Result<Play, ProbeError> {
        let mut began = over.first;
        let attempts = async {
            loop {
                sleep_until(began + RETRY_AFTER).await;
                began = Instant::now();
                match Play::begin(self.url, self.ca_file).await {
                    Ok(play) => return play,
                    Err(error) => reason = error,
                }
                tracing::debug!(error = %reason, "trying again");
            }
        };
        let begun = timeout_at(over.last + self.patience, attempts).await;
        begun.map_err(|_| ProbeError::Lost { patience: self.patience, reason: Box::new(reason) })
    }
}
