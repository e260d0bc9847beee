//! An HTTP-FLV connection to an upstream that is to send one stream.

use std::error::Error;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HOST, LOCATION, TRANSFER_ENCODING, USER_AGENT};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use prometheus_client::metrics::counter::Counter;
use tokio::time::{Instant, timeout, timeout_at};
use url::Url;

use crate::auth::{Acknowledgement, MARK_HEADER, Mark, SESSION_HEADER};
use crate::hub::Identity;
use crate::media::flv::{FlvError, FlvReader};
use crate::media::{Kind, Tag};
use crate::metrics::{Protocol, ReconnectReason};
use crate::net::stream::Stream;
use crate::seldom::warn_seldom;

use super::PullContext;
use super::connection::OpenError;
use super::dial::{Way, dial};
use super::target::Target;
use super::upstreams::Candidate;

/// How long an upstream of our own kind may be silent: it shows a sign of life each second.
const OURS_DEAD_AFTER: Duration = Duration::from_secs(3);
/// How long its bytes may come without adding up to a tag, an empty one not even: a connection that trickles is of no use.
const OURS_STALLED_AFTER: Duration = Duration::from_secs(5);
/// The most that is read before it is looked at.
const BUFFER_BYTES: usize = 64 << 10;
/// The most header fields of an answer.
const MAX_HEADERS: usize = 100;
/// Content types that FLV is sent with. What it really is its first bytes tell.
const FLV_TYPES: [&str; 5] =
    ["video/x-flv", "video/flv", "application/x-flv", "application/octet-stream", "binary/octet-stream"];

/// An upstream that sends media.
#[derive(Debug)]
pub(super) struct HttpConnection {
    driver: Driver,
    address: SocketAddr,
    body: Incoming,
    /// Whether the end of the body can be told from the end of the connection.
    is_framed: bool,
    reader: FlvReader,
    received: Counter,
    /// The publish session at the far end.
    session: Identity,
    /// Whether the upstream has acknowledged our mark.
    is_ours: bool,
    /// Tags that were read and not yet taken.
    tags: Vec<Tag>,
    /// For how long a foreign upstream may send no media.
    patience: Duration,
    last_byte: Instant,
    last_tag: Instant,
    last_media: Instant,
}

/// What is asked for, and of whom.
#[derive(Debug, Clone, Copy)]
struct Ask<'a> {
    way: &'a Way,
    /// `host:port`, as the upstream is called.
    host: &'a str,
    /// Path and query.
    path: &'a str,
    mark: &'a str,
}

impl HttpConnection {
    /// Connects, asks for the stream and waits for its first media.
    pub(super) async fn open(
        context: &PullContext,
        candidate: &Candidate,
        target: &Target,
        answered: impl FnOnce(),
    ) -> Result<Self, OpenError> {
        let gate = context.upstreams.gate(candidate.address);
        // The time spent in front of the gate is not the upstream's.
        let permit = gate.acquire().await;
        let (path, mark) = (target.http_path(), context.sign(&Mark::of_pull(&context.node)));
        let way = context.way_to(candidate)?;
        let ask = Ask { way: &way, host: &candidate.name, path: &path, mark: &mark };
        let (driver, answer) =
            ask.answered(context.config().upstream.connect_timeout, context.config().upstream.read_timeout).await?;
        // An upstream that has answered is busy with us no more than with any other.
        drop(permit);
        answered();
        let received = context.metrics.ingress_bytes(Protocol::HttpFlv);
        let mut connection = Self::begin(driver, ask, answer, received, context.config().upstream.read_timeout)?;
        connection.wait_for_media().await?;
        Ok(connection)
    }

    /// Takes the head of an answer for what it is.
    fn begin(
        driver: Driver,
        ask: Ask<'_>,
        answer: Response<Incoming>,
        received: Counter,
        patience: Duration,
    ) -> Result<Self, OpenError> {
        let (head, body) = answer.into_parts();
        let acknowledgement = text(&head.headers, MARK_HEADER).and_then(Acknowledgement::parse);
        tracing::debug!(status = %head.status, ?acknowledgement, "answered");
        let knows_all = acknowledgement.as_ref().is_some_and(|acknowledgement| acknowledgement.has_peers);
        check_status(ask, head.status, &head.headers, knows_all)?;
        check_type(&head.headers)?;
        let is_ours = acknowledgement.is_some();
        // A foreign upstream tells no session: each connection to it is one.
        let session = text(&head.headers, SESSION_HEADER).filter(|_| is_ours).and_then(Identity::from_peer);
        let now = Instant::now();
        Ok(Self {
            driver,
            address: ask.way.address,
            body,
            is_framed: [TRANSFER_ENCODING, CONTENT_LENGTH].iter().any(|name| head.headers.contains_key(name)),
            reader: FlvReader::default(),
            received,
            session: session.unwrap_or_else(Identity::random),
            is_ours,
            tags: Vec::new(),
            patience,
            last_byte: now,
            last_tag: now,
            last_media: now,
        })
    }

    /// Reads until there is audio or video. One of our own kind that has a publisher may take its time to send some.
    async fn wait_for_media(&mut self) -> Result<(), OpenError> {
        while self.tags.iter().all(|tag| tag.kind == Kind::Data) {
            // Of script data before the first media the latest is enough.
            let superseded = self.tags.len().saturating_sub(1);
            self.tags.drain(..superseded);
            self.listen().await.map_err(Failure::while_opening)?;
        }
        Ok(())
    }

    /// Whom it leads to.
    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The publish session at the far end; the same one, as long as its publisher stays.
    pub(super) fn session(&self) -> &Identity {
        &self.session
    }

    /// The tags read since the last call.
    pub(super) fn take_tags(&mut self) -> Vec<Tag> {
        std::mem::take(&mut self.tags)
    }

    /// Reads more tags, or says how the upstream was lost. Dropping the future loses nothing.
    pub(super) async fn read(&mut self) -> Result<(), ReconnectReason> {
        self.listen().await.map_err(Failure::while_pulling)
    }

    /// Goes: there is nothing to be said to an upstream over HTTP.
    pub(super) async fn close(self) {}

    /// Waits for bytes, as long as the upstream may be silent, and takes the tags out of them.
    async fn listen(&mut self) -> Result<(), Failure> {
        let dead_at = match self.is_ours {
            true => (self.last_byte + OURS_DEAD_AFTER).min(self.last_tag + OURS_STALLED_AFTER),
            false => self.last_media + self.patience,
        };
        let data = poll_fn(|context| self.poll_data(context));
        match timeout_at(dead_at, data).await.map_err(|_| Failure::Silent)? {
            Some(data) => self.take(&data?),
            None if !self.is_framed => Err(Failure::Closed),
            None if !self.reader.is_at_border() => Err(Failure::Truncated),
            None => Err(Failure::Ended),
        }
    }

    fn take(&mut self, data: &[u8]) -> Result<(), Failure> {
        self.received.inc_by(data.len() as u64);
        self.last_byte = Instant::now();
        self.reader.feed(data);
        while let Some(tag) = self.reader.next_tag()? {
            self.last_tag = self.last_byte;
            if tag.kind != Kind::Data {
                self.last_media = self.last_byte;
            }
            self.tags.push(tag);
        }
        // An empty tag, the sign of life, is not handed out.
        if self.reader.is_at_border() {
            self.last_tag = self.last_byte;
        }
        Ok(())
    }

    /// The next piece of the body; `None` at its end.
    fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Option<hyper::Result<Bytes>>> {
        self.driver.poll(context);
        loop {
            match std::task::ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => {
                    // Trailers say nothing that is asked for.
                    if let Ok(data) = frame.into_data() {
                        return Poll::Ready(Some(Ok(data)));
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }
}

impl Ask<'_> {
    /// Connects and asks: the connect may take `connect_timeout`, the head of the answer then `patience`.
    async fn answered(
        self,
        connect_timeout: Duration,
        patience: Duration,
    ) -> Result<(Driver, Response<Incoming>), OpenError> {
        let connect = timeout(connect_timeout, dial(self.way)).await;
        let stream = connect.map_err(|_| OpenError::Timeout)??;
        let request = Request::get(self.path)
            .header(HOST, self.host)
            .header(USER_AGENT, concat!("Rillcast/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT, "video/x-flv, */*")
            .header(MARK_HEADER, self.mark)
            .body(Empty::new())
            .map_err(|error| OpenError::Invalid { what: error.to_string() })?;
        let while_opening = |error: hyper::Error| Failure::from(error).while_opening();
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(BUFFER_BYTES)
            .max_headers(MAX_HEADERS)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(while_opening)?;
        let mut driver = Driver { connection: Some(Box::pin(connection)) };
        let mut answer = pin!(sender.send_request(request));
        let answer = poll_fn(|context| {
            driver.poll(context);
            answer.as_mut().poll(context)
        });
        let answer = timeout(patience, answer).await.map_err(|_| OpenError::Timeout)?.map_err(while_opening)?;
        Ok((driver, answer))
    }
}

type Connection = http1::Connection<TokioIo<Stream>, Empty<Bytes>>;

/// Moves the bytes of one connection. Dropping it closes the connection.
#[derive(Debug)]
struct Driver {
    /// Until it is at its end.
    connection: Option<Pin<Box<Connection>>>,
}

impl Driver {
    /// Goes on as far as it can. What becomes of the connection, answer and body tell.
    fn poll(&mut self, context: &mut Context<'_>) {
        if let Some(connection) = &mut self.connection
            && connection.as_mut().poll(context).is_ready()
        {
            self.connection = None;
        }
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// `knows_all` says that the upstream speaks for all its peers.
fn check_status(ask: Ask<'_>, status: StatusCode, headers: &HeaderMap, knows_all: bool) -> Result<(), OpenError> {
    match status {
        StatusCode::OK => Ok(()),
        StatusCode::NOT_FOUND => Err(OpenError::NotFound { code: status.to_string(), knows_all }),
        StatusCode::LOOP_DETECTED => Err(OpenError::Loop),
        _ if status.is_redirection() => match text(headers, LOCATION.as_str()) {
            Some(location) => Err(OpenError::Redirected { location: ask.resolve(location) }),
            None => Err(OpenError::Refused { code: status.to_string(), description: "without a Location".to_owned() }),
        },
        _ => Err(OpenError::Refused { code: status.to_string(), description: String::new() }),
    }
}

impl Ask<'_> {
    /// A `Location`, which may be relative to what was asked for (RFC 9110, section 10.2.2), as a whole URL.
    fn resolve(self, location: &str) -> String {
        let scheme = if self.way.tls.is_some() { "https" } else { "http" };
        let base = Url::parse(&format!("{scheme}://{}{}", self.host, self.path));
        base.and_then(|base| base.join(location)).map_or_else(|_| location.to_owned(), String::from)
    }
}

fn check_type(headers: &HeaderMap) -> Result<(), OpenError> {
    let Some(content_type) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    let content_type = String::from_utf8_lossy(content_type.as_bytes());
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if FLV_TYPES.iter().any(|known| essence.eq_ignore_ascii_case(known)) {
        return Ok(());
    }
    Err(OpenError::Invalid { what: format!("its content is {essence:?}") })
}

/// How reading failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the connection broke: {0}")]
    Io(io::ErrorKind),
    #[error("it closed the connection")]
    Closed,
    #[error("it ended the stream")]
    Ended,
    #[error("it ended the stream in the middle of a tag")]
    Truncated,
    #[error("it is silent")]
    Silent,
    #[error("it does not speak HTTP/1: {0}")]
    Http(hyper::Error),
    #[error(transparent)]
    Flv(#[from] FlvError),
}

impl From<hyper::Error> for Failure {
    fn from(error: hyper::Error) -> Self {
        let kind = error.source().and_then(|source| source.downcast_ref::<io::Error>()).map(io::Error::kind);
        match kind {
            // What hyper's decoders say of bytes that cannot be.
            Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) => Self::Http(error),
            Some(io::ErrorKind::UnexpectedEof) => Self::Closed,
            Some(kind) => Self::Io(kind),
            None if error.is_incomplete_message() || error.is_canceled() || error.is_closed() => Self::Closed,
            None => Self::Http(error),
        }
    }
}

impl Failure {
    fn while_opening(self) -> OpenError {
        match self {
            Self::Io(kind) => OpenError::Io(kind.into()),
            Self::Closed | Self::Ended => OpenError::Closed,
            Self::Silent => OpenError::Timeout,
            Self::Truncated | Self::Http(_) | Self::Flv(_) => OpenError::Invalid { what: self.to_string() },
        }
    }

    fn while_pulling(self) -> ReconnectReason {
        match self {
            Self::Io(_) | Self::Closed => ReconnectReason::Closed,
            Self::Ended => ReconnectReason::Ended,
            Self::Silent => ReconnectReason::Silent,
            Self::Truncated | Self::Http(_) | Self::Flv(_) => {
                warn_seldom!(key = self.to_string(), error = %self, "the upstream broke the protocol");
                ReconnectReason::Invalid
            }
        }
    }
}

#[cfg(test)]
mod tests;
