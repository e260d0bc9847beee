//! HTTP-FLV: a stream as the body of a response that does not end.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use prometheus_client::metrics::counter::Counter;

use crate::hub::{End, PlayRequest, Reader, WireForm};
use crate::media::flv;
use crate::media::stream_key::StreamKey;
use crate::metrics::{Protocol, Reason};

use super::http::{Body, Exchange, text};
use super::reason_of;

/// The body: the FLV header, then tags as they come.
#[derive(Debug)]
pub(super) struct FlvBody {
    reader: Reader,
    exchange: Arc<Exchange>,
    /// Until it is sent.
    header: Option<Bytes>,
    /// Until there was media: when the stream was asked for.
    asked_at: Option<Instant>,
    sent: Counter,
}

/// Answers with the stream, or says why not. Who leaves while waiting is noticed: hyper drops this future.
pub(super) async fn answer(exchange: &Arc<Exchange>, key: &StreamKey, asked_at: Instant) -> Response<Body> {
    match open(exchange, key).await {
        Ok((reader, header)) => {
            tracing::info!(stream = %key, "playing");
            let body = FlvBody::new(reader, header, Arc::clone(exchange), asked_at);
            let mut response = Response::new(Body::Flv(Box::new(body)));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("video/x-flv"));
            response
        }
        Err(end) => {
            *exchange.reason.lock() = Some(reason_of(end));
            match end {
                End::Shutdown => text(StatusCode::SERVICE_UNAVAILABLE, "the server is stopping\n"),
                _ => text(StatusCode::NOT_FOUND, "nobody publishes this stream\n"),
            }
        }
    }
}

/// Waits for the stream, and for its tracks if its header is to tell them.
async fn open(exchange: &Arc<Exchange>, key: &StreamKey) -> Result<(Reader, Bytes), End> {
    let request = PlayRequest {
        protocol: Protocol::HttpFlv,
        form: WireForm::Flv,
        shard: exchange.accepted.shard,
        is_pull: false,
    };
    let waiting = Leaving { exchange, armed: true };
    let mut reader = exchange.context.hub.subscribe(key, request)?;
    let play = exchange.context.config.play_for(key.app());
    let (has_audio, has_video) = if play.guess_has_av {
        let tracks = poll_fn(|context| reader.poll_tracks(context)).await?;
        (tracks.audio.is_some(), tracks.video.is_some())
    } else {
        poll_fn(|context| reader.poll_live(context)).await?;
        (play.has_audio, play.has_video)
    };
    waiting.disarm();
    Ok((reader, Bytes::copy_from_slice(&flv::header(has_audio, has_video))))
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
    fn new(reader: Reader, header: Bytes, exchange: Arc<Exchange>, asked_at: Instant) -> Self {
        exchange.progress.limit(reader.hard_lag());
        // A client that goes away lets hyper drop the body; an end of the stream is noted when it comes.
        *exchange.reason.lock() = Some(Reason::PeerClosed);
        let sent = exchange.context.metrics.egress_bytes(Protocol::HttpFlv);
        Self { reader, exchange, header: Some(header), asked_at: Some(asked_at), sent }
    }

    /// The next piece of the body, or its end. Polled whenever hyper has room for more.
    pub(super) fn poll_bytes(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.exchange.progress.advance();
        if let Some(header) = self.header.take() {
            self.sent.inc_by(header.len() as u64);
            return Poll::Ready(Some(header));
        }
        match ready!(self.reader.poll_wire(context)) {
            Ok(bytes) => {
                self.sent.inc_by(bytes.len() as u64);
                if let Some(asked_at) = self.asked_at.take() {
                    self.exchange.context.metrics.first_frame.observe(asked_at.elapsed().as_secs_f64());
                }
                Poll::Ready(Some(bytes))
            }
            Err(end) => {
                *self.exchange.reason.lock() = Some(reason_of(end));
                Poll::Ready(None)
            }
        }
    }
}
