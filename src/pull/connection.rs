//! A connection to an upstream that sends one stream, whatever it speaks.

use std::io;
use std::net::SocketAddr;

use crate::config::UpstreamProtocol;
use crate::hub::Identity;
use crate::media::Tag;
use crate::metrics::{ConnectResult, ReconnectReason};
use crate::rtmp;

use super::PullContext;
use super::http_flv::HttpConnection;
use super::rtmp::RtmpConnection;
use super::target::Target;
use super::upstreams::Candidate;

/// Why an upstream did not come to send media.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    /// No connection.
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    /// No TLS, or it is somebody else.
    #[error("it does not prove over TLS who it is: {0}")]
    Tls(io::Error),
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    /// It said nothing for too long.
    #[error("it takes too long")]
    Timeout,
    /// It closed the connection without a word.
    #[error("it closed the connection")]
    Closed,
    /// It does not speak RTMP as it should.
    #[error("it broke the protocol: {0}")]
    Protocol(#[from] rtmp::Error),
    /// It does not send FLV over HTTP as it should.
    #[error("it does not send FLV: {what}")]
    Invalid {
        /// What was wrong.
        what: String,
    },
    /// It said that it does not have the stream.
    #[error("it does not have the stream ({code})")]
    NotFound {
        /// The status that said so.
        code: String,
        /// Whether it speaks for all its peers: nobody else need be asked.
        knows_all: bool,
    },
    /// It said that the stream would come back to it.
    #[error("the stream would come back to it")]
    Loop,
    /// It is this very edge.
    #[error("it is this edge itself")]
    Itself,
    /// It was to shield the origins, and does not fetch streams for others.
    #[error("it fetches no streams for other edges")]
    NotAShield,
    /// It refused for another reason.
    #[error("it refuses: {code:.100} {description:.200}")]
    Refused {
        /// The status.
        code: String,
        /// What it says about it.
        description: String,
    },
    /// It said who has the stream.
    #[error("it redirects to {location:.200}")]
    Redirected {
        /// A URL.
        location: String,
    },
    /// It redirects to what we cannot follow.
    #[error("it redirects to {location:.200}, which leads nowhere")]
    BadRedirect {
        /// As the upstream sent it.
        location: String,
    },
    /// One redirect led to another and another.
    #[error("too many redirects")]
    TooManyRedirects,
}

impl OpenError {
    /// Whether the upstream did what an upstream does that does not have the stream. All else is a failure of it.
    pub(super) const fn is_answer(&self) -> bool {
        matches!(self, Self::NotFound { .. } | Self::Loop)
    }

    /// What the metric calls it.
    pub(super) const fn result(&self) -> ConnectResult {
        match self {
            Self::NotFound { .. } | Self::Loop => ConnectResult::NotFound,
            Self::Refused { .. } | Self::NotAShield => ConnectResult::Refused,
            _ => ConnectResult::Failed,
        }
    }
}

/// An upstream that sends media.
#[derive(Debug)]
pub(super) enum Connection {
    /// Over RTMP.
    Rtmp(Box<RtmpConnection>),
    /// Over HTTP-FLV.
    HttpFlv(Box<HttpConnection>),
}

impl Connection {
    /// Connects, asks for the stream and waits for its first media. `answered` is told once the upstream is known to live.
    pub(super) async fn open(
        context: &PullContext,
        candidate: &Candidate,
        target: &Target,
        answered: impl FnOnce(),
    ) -> Result<Self, OpenError> {
        match candidate.protocol {
            UpstreamProtocol::Rtmp => RtmpConnection::open(context, candidate, target, answered)
                .await
                .map(|connection| Self::Rtmp(Box::new(connection))),
            UpstreamProtocol::HttpFlv => HttpConnection::open(context, candidate, target, answered)
                .await
                .map(|connection| Self::HttpFlv(Box::new(connection))),
        }
    }

    /// The same at another edge of this one's tier.
    pub(super) async fn open_shield(
        context: &PullContext,
        candidate: &Candidate,
        target: &Target,
    ) -> Result<Self, OpenError> {
        let connection = RtmpConnection::open_shield(context, candidate, target).await?;
        Ok(Self::Rtmp(Box::new(connection)))
    }

    /// Whom it leads to: where redirects have led, if there were any.
    pub(super) const fn address(&self) -> SocketAddr {
        match self {
            Self::Rtmp(connection) => connection.address(),
            Self::HttpFlv(connection) => connection.address(),
        }
    }

    /// The publish session at the far end; the same one, as long as its publisher stays.
    pub(super) fn session(&self) -> &Identity {
        match self {
            Self::Rtmp(connection) => connection.session(),
            Self::HttpFlv(connection) => connection.session(),
        }
    }

    /// The tags read since the last call.
    pub(super) fn take_tags(&mut self) -> Vec<Tag> {
        match self {
            Self::Rtmp(connection) => connection.take_tags(),
            Self::HttpFlv(connection) => connection.take_tags(),
        }
    }

    /// Reads more tags, or says how the upstream was lost. Dropping the future loses nothing.
    pub(super) async fn read(&mut self) -> Result<(), ReconnectReason> {
        match self {
            Self::Rtmp(connection) => connection.read().await,
            Self::HttpFlv(connection) => connection.read().await,
        }
    }

    /// Whether what the upstream sends may wait until [`read_waiting`](Self::read_waiting) takes it.
    pub(super) fn let_input_wait(&mut self, may_wait: bool) {
        match self {
            Self::Rtmp(connection) => connection.let_input_wait(may_wait),
            // Its bytes come through hyper, which reads them when they are there.
            Self::HttpFlv(_) => {}
        }
    }

    /// Reads the tags that wait.
    pub(super) fn read_waiting(&mut self) -> Result<(), ReconnectReason> {
        match self {
            Self::Rtmp(connection) => connection.read_waiting(),
            Self::HttpFlv(_) => Ok(()),
        }
    }

    /// Says that the stream is no longer wanted, and goes.
    pub(super) async fn close(self) {
        match self {
            Self::Rtmp(connection) => connection.close().await,
            Self::HttpFlv(connection) => connection.close().await,
        }
    }
}
