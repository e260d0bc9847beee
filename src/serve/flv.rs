//! HTTP-FLV: a stream as the body of a response that does not end.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use prometheus_client::metrics::counter::Counter;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::auth::{Mark, SESSION_HEADER, Standing};
use crate::hub::{End, Identity, PlayRequest, Reader, WireForm};
use crate::media::flv;
use crate::media::stream_key::StreamKey;
use crate::metrics::{Protocol, Reason};
use crate::net::admission::OfAddress;
use crate::sessions::Count;

use super::access::Admission;
use super::http::{Body, Exchange, text};
use super::{reason_of, retry_after};

/// How long the body of a pull is idle before it shows a sign of life, and between two of them.
const SIGN_OF_LIFE_EVERY: Duration = Duration::from_secs(1);

/// The body: the FLV header, then tags as they come.
#[derive(Debug)]
pub(super) struct FlvBody {
    reader: Reader,
    exchange: Arc<Exchange>,
    /// Its place among those of the client's address, if they are counted.
    _place: Option<OfAddress>,
    /// Until it is sent.
    header: Option<Bytes>,
    /// For a pull: when to show that this server is still there.
    life: Option<Life>,
    /// Until when it may play; dropped when it does not any more.
    admission: Admission,
    /// Until there was media: when the stream was asked for.
    asked_at: Option<Instant>,
    sent: Counter,
    count: Count,
}

/// Answers with the stream, or says why not. Who leaves while waiting is noticed: hyper drops this future.
pub(super) async fn answer(
    exchange: &Arc<Exchange>,
    key: &StreamKey,
    standing: Option<&Standing>,
    admission: Admission,
    count: Count,
    asked_at: Instant,
) -> Response<Body> {
    let mark = standing.and_then(Standing::mark);
    let opened = match mark {
        Some(mark) => open_pull(exchange, key, mark).await,
        None => open(exchange, key, Protocol::HttpFlv).await,
    };
    match opened {
        Ok(opened) => {
            tracing::info!(stream = %key, pull = mark.is_some(), "playing");
            let session = opened.session.as_ref().and_then(|session| HeaderValue::from_str(session.as_str()).ok());
            let body = FlvBody::new(opened, Arc::clone(exchange), admission, count, asked_at);
            let mut response = Response::new(Body::Flv(Box::new(body)));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("video/x-flv"));
            if let Some(session) = session {
                response.headers_mut().insert(SESSION_HEADER, session);
            }
            response
        }
        Err(End::NotFound) => match redirect(exchange, key, standing).await {
            Some(redirect) => redirect,
            None => refusal(exchange, End::NotFound),
        },
        Err(end) => refusal(exchange, end),
    }
}

/// Sends a pull to the origin that has the stream, if it is known.
async fn redirect(exchange: &Exchange, key: &StreamKey, standing: Option<&Standing>) -> Option<Response<Body>> {
    let tls = exchange.accepted.is_tls.then_some(exchange.context.tls_ports);
    let url = exchange.context.elsewhere(key, standing).await?.http_url(key, tls)?;
    tracing::debug!(stream = %key, to = url, "redirecting");
    let mut response = text(StatusCode::FOUND, "the stream is at another origin\n");
    response.headers_mut().insert(LOCATION, HeaderValue::from_str(&url).ok()?);
    *exchange.reason.lock() = Some(Reason::Redirected);
    Some(response)
}

/// The answer to a player that gets no stream.
pub(super) fn refusal(exchange: &Exchange, end: End) -> Response<Body> {
    *exchange.reason.lock() = Some(reason_of(end));
    let line = match end {
        End::NotFound | End::Ended | End::TracksChanged => {
            return text(StatusCode::NOT_FOUND, "nobody publishes this stream\n");
        }
        End::TooManyPlayers => "the server has no room for another player\n",
        End::TooMuchEgress => "the server has no bandwidth left for another player\n",
        End::Drained => "the server is going; the stream is at others\n",
        End::Dismissed => return text(StatusCode::FORBIDDEN, "an operator has ended the session\n"),
        End::Unreachable => "no origin can be reached\n",
        End::Shutdown => "the server is stopping\n",
    };
    let mut response = text(StatusCode::SERVICE_UNAVAILABLE, line);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(retry_after(exchange.requester())));
    response
}

/// A stream that is there, and how its FLV begins.
pub(super) struct Opened {
    pub(super) reader: Reader,
    /// The file header.
    pub(super) header: Bytes,
    /// The publish session, if it is a pull that asks.
    session: Option<Identity>,
}

/// Waits for the stream, and for its tracks if its header is to tell them.
pub(super) async fn open(exchange: &Exchange, key: &StreamKey, protocol: Protocol) -> Result<Opened, End> {
    let request = PlayRequest { protocol, form: WireForm::Flv, shard: exchange.accepted.shard, is_pull: false };
    let waiting = Leaving { exchange, armed: true };
    let mut reader = exchange.context.hub.subscribe(key, request)?;
    let play = exchange.context.config.current().play_for(key.app());
    let (has_audio, has_video) = if play.guess_has_av {
        let tracks = poll_fn(|context| reader.poll_tracks(context)).await?;
        (tracks.audio.is_some(), tracks.video.is_some())
    } else {
        poll_fn(|context| reader.poll_live(context)).await?;
        (play.has_audio, play.has_video)
    };
    waiting.disarm();
    let header = flv::header(has_audio, has_video);
    Ok(Opened { reader, header: Bytes::copy_from_slice(&header), session: None })
}

/// The stream for another server, which takes its tracks as they come: it waits for none, and reads no header flags. Only one
/// that is shielded may have to wait for the stream.
async fn open_pull(exchange: &Exchange, key: &StreamKey, mark: &Mark) -> Result<Opened, End> {
    let shard = exchange.accepted.shard;
    let request = PlayRequest { protocol: Protocol::HttpFlv, form: WireForm::Flv, shard, is_pull: true };
    let waiting = Leaving { exchange, armed: true };
    let mut reader = exchange.context.subscribe(key, request, Some(mark)).await?;
    let session = poll_fn(|context| reader.poll_live(context)).await?;
    waiting.disarm();
    Ok(Opened { reader, header: Bytes::copy_from_slice(&flv::header(true, true)), session: Some(session) })
}

/// Notes that the client left, if the future that holds it is dropped.
struct Leaving<'a> {
    exchange: &'a Exchange,
    armed: bool,
}

impl Leaving<'_> {
    fn disarm(mut self) {
        self.armed = false;
    }
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if self.armed {
            *self.exchange.reason.lock() = Some(Reason::PeerClosed);
        }
    }
}

impl FlvBody {
    fn new(opened: Opened, exchange: Arc<Exchange>, admission: Admission, count: Count, asked_at: Instant) -> Self {
        let Opened { reader, header, session } = opened;
        exchange.progress.limit(reader.hard_lag());
        // A client that goes away lets hyper drop the body; an end of the stream is noted when it comes.
        *exchange.reason.lock() = Some(Reason::PeerClosed);
        let sent = exchange.context.metrics.egress_bytes(Protocol::HttpFlv);
        let life = session.map(|_| Life::new());
        let (place, asked_at) = (exchange.take_place(), Some(asked_at));
        Self { reader, exchange, _place: place, header: Some(header), life, admission, asked_at, sent, count }
    }

    /// The next piece of the body, or its end. Polled whenever hyper has room for more.
    pub(super) fn poll_bytes(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.exchange.progress.advance();
        if self.count.poll_kicked(context).is_ready() {
            return Poll::Ready(self.end(Reason::Kicked));
        }
        if let Some(header) = self.header.take() {
            self.note_sent(&header);
            return Poll::Ready(Some(header));
        }
        if self.admission.expiry.poll_due(context).is_ready() {
            return Poll::Ready(self.end(Reason::AccessExpired));
        }
        Poll::Ready(match ready!(self.poll_wire(context)) {
            Ok(bytes) => {
                self.note_sent(&bytes);
                Some(bytes)
            }
            Err(end) => self.end(reason_of(end)),
        })
    }

    fn note_sent(&self, bytes: &Bytes) {
        self.sent.inc_by(bytes.len() as u64);
        self.count.sent(bytes.len() as u64);
    }

    /// Ends the body, and the session with it: the connection may go on.
    fn end(&self, reason: Reason) -> Option<Bytes> {
        *self.exchange.reason.lock() = Some(reason);
        self.note_delay();
        self.exchange.leave(reason);
        None
    }

    fn note_delay(&self) {
        if let Some(session) = &mut *self.exchange.session.lock() {
            session.note_delay(self.reader.behind(), self.reader.skipped_packets());
        }
    }

    /// The next bytes of the stream, or a sign of life if there have been none for long.
    fn poll_wire(&mut self, context: &mut Context<'_>) -> Poll<Result<Bytes, End>> {
        match self.reader.poll_wire(context) {
            Poll::Ready(Ok(bytes)) => {
                if let Some(asked_at) = self.asked_at.take() {
                    self.exchange.note_first_frame(asked_at.elapsed());
                }
                if let Some(life) = &mut self.life {
                    life.note(&bytes);
                }
                Poll::Ready(Ok(bytes))
            }
            Poll::Ready(Err(end)) => Poll::Ready(Err(end)),
            Poll::Pending => match &mut self.life {
                Some(life) => life.poll_sign(context).map(Ok),
                None => Poll::Pending,
            },
        }
    }
}

impl Drop for FlvBody {
    fn drop(&mut self) {
        self.note_delay();
    }
}

/// Shows a pulling server that a stream stands still and this server does not.
#[derive(Debug)]
struct Life {
    idle: Interval,
    timestamp: u32,
}

impl Life {
    fn new() -> Self {
        let mut idle = interval(SIGN_OF_LIFE_EVERY);
        idle.set_missed_tick_behavior(MissedTickBehavior::Delay);
        idle.reset();
        Self { idle, timestamp: 0 }
    }

    /// Notes that there were tags.
    fn note(&mut self, tags: &[u8]) {
        self.idle.reset();
        self.timestamp = flv::last_timestamp(tags).unwrap_or(self.timestamp);
    }

    fn poll_sign(&mut self, context: &mut Context<'_>) -> Poll<Bytes> {
        self.idle.poll_tick(context).map(|_| flv::sign_of_life(self.timestamp))
    }
}
