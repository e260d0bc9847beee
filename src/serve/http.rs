//! One HTTP connection on the payload port: routes, and the layers around them.
//!
//! The server calls [`serve`] with an accepted socket. hyper speaks the protocol, tower and tower-http add what every
//! answer has (CORS, caching headers); no layer wraps a body, so media bytes pass none of them. A request that asks for
//! WebSocket ends HTTP on its connection, which `ws` then takes over.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderName};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tower::ServiceBuilder;
use tower_http::cors::{AllowHeaders, AllowMethods, AllowOrigin, CorsLayer};
use tower_http::set_header::SetResponseHeaderLayer;
use tracing::{Instrument, Span};

use crate::auth::{MARK_HEADER, Standing};
use crate::hub::Identity;
use crate::media::stream_key::{NameError, StreamKey};
use crate::metrics::{Protocol, Reason};
use crate::net::progress::{Progress, Watched};
use crate::net::socket;

use super::flv::{self, FlvBody};
use super::ws::{self, Upgrade};
use super::{Accepted, CONTROL_WRITE_TIMEOUT, HANDSHAKE_TIMEOUT, ServeContext};

/// The most that hyper gathers for a connection, reading or writing, before it asks a body for more.
const BUFFER_BYTES: usize = 64 << 10;
/// The most header fields of a request.
const MAX_HEADERS: usize = 100;

/// What the parts of one connection tell each other.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) context: Arc<ServeContext>,
    pub(super) accepted: Accepted,
    pub(super) progress: Arc<Progress>,
    /// Why the latest response ended, if that is known.
    pub(super) reason: Mutex<Option<Reason>>,
    /// What goes on over WebSocket once hyper has let go of the connection.
    pub(super) upgrade: Mutex<Option<Upgrade>>,
}

/// The body of a response.
#[derive(Debug, Default)]
pub(super) enum Body {
    /// Nothing, as in every answer to HEAD.
    #[default]
    Empty,
    /// A line for whoever reads it.
    Text(&'static str),
    /// A stream without end.
    Flv(Box<FlvBody>),
}

/// Serves a connection until it ends, for whatever reason.
pub async fn serve(context: Arc<ServeContext>, socket: TcpStream, accepted: Accepted) {
    let span = tracing::info_span!("http", peer = %accepted.peer, id = %Identity::random());
    let (protocol, reason) = run(&context, socket, accepted, &span).await;
    span.in_scope(|| context.connection_ended(protocol, reason));
}

/// Only answering is in the span: a span costs at every poll, and a body is polled for every block.
async fn run(context: &Arc<ServeContext>, stream: TcpStream, accepted: Accepted, span: &Span) -> (Protocol, Reason) {
    if socket::prepare(&stream).is_err() {
        // The peer is gone already.
        return (Protocol::HttpFlv, Reason::Probe);
    }
    let exchange = Arc::new(Exchange {
        context: Arc::clone(context),
        accepted,
        progress: Progress::new(),
        reason: Mutex::new(None),
        upgrade: Mutex::new(None),
    });
    let answering = Arc::clone(&exchange);
    let answering_in = span.clone();
    // Boxed, as is what goes on over WebSocket: its room is given back while a body is sent, for hours.
    let answer = tower::service_fn(move |request| {
        Box::pin(answer(Arc::clone(&answering), request).instrument(answering_in.clone()))
    });
    let closing = exchange.accepted.closing.clone();
    let service = ServiceBuilder::new()
        .map_response(move |response| say_if_last(response, &closing))
        .layer(fixed_header(CACHE_CONTROL, "no-store"))
        .layer(fixed_header(HeaderName::from_static("x-accel-buffering"), "no"))
        .layer(cors(&context.config.http.cors_origins))
        .service(answer);
    let watched = Watched::new(stream, Arc::clone(&exchange.progress));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HANDSHAKE_TIMEOUT)
        .max_buf_size(BUFFER_BYTES)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(watched), TowerToHyperService::new(service))
        .with_upgrades();
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = last_request(&exchange) => {
            // Bodies end by themselves; what waits for the next request ends here.
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    let upgrade = exchange.upgrade.lock().take();
    match upgrade {
        Some(upgrade) if ended.is_ok() => (Protocol::WsFlv, Box::pin(ws::play(&exchange, upgrade)).await),
        _ => (Protocol::HttpFlv, reason_of(&exchange, ended)),
    }
}

/// Completes when no other request is to be waited for on a connection whose listener is closed. The one that it was made
/// for is answered, though it may not have come yet.
async fn last_request(exchange: &Exchange) {
    exchange.accepted.closing.cancelled().await;
    let has_asked = exchange.reason.lock().is_some();
    if !has_asked {
        exchange.context.stop.cancelled().await;
    }
}

fn reason_of(exchange: &Exchange, ended: hyper::Result<()>) -> Reason {
    let known = exchange.reason.lock().take();
    match ended {
        _ if exchange.progress.has_stalled() => Reason::SlowPlayer,
        Ok(()) => known.unwrap_or(Reason::Probe),
        Err(error) if error.is_parse() || error.is_parse_too_large() => Reason::HttpInvalid,
        Err(error) if error.is_timeout() => known.unwrap_or(Reason::CommandTimeout),
        Err(error) => {
            tracing::debug!(%error, "connection failed");
            known.filter(|reason| *reason != Reason::Done).unwrap_or(Reason::PeerLost)
        }
    }
}

/// Tells the client that its connection ends with this answer, where the listener is closed.
fn say_if_last(mut response: Response<Body>, closing: &CancellationToken) -> Response<Body> {
    if closing.is_cancelled() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

async fn answer(exchange: Arc<Exchange>, mut request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let asked_at = Instant::now();
    exchange.progress.limit(CONTROL_WRITE_TIMEOUT);
    *exchange.reason.lock() = Some(Reason::Done);
    let Some(path) = request.uri().path().strip_prefix('/').and_then(|path| path.strip_suffix(".flv")) else {
        return Ok(text(StatusCode::NOT_FOUND, "no such resource; streams are at /APP/STREAM.flv\n"));
    };
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "a stream can only be fetched\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS"));
        return Ok(response);
    }
    let key = match StreamKey::from_path(path) {
        Ok(key) => key,
        Err(error) => {
            tracing::debug!(%error, "name refused");
            *exchange.reason.lock() = Some(Reason::NameInvalid);
            return Ok(text(status_of(error), "the stream's name is refused\n"));
        }
    };
    if *request.method() == Method::GET && ws::is_wanted(request.headers()) {
        return Ok(ws::answer(&exchange, &mut request, &key, asked_at).await);
    }
    let mark = request.headers().get(MARK_HEADER).map(|mark| mark.to_str().unwrap_or_default());
    let standing = exchange.context.marks.judge(mark);
    let mark = standing.as_ref().and_then(Standing::mark);
    let mut response = match exchange.context.is_passed_by(mark) {
        true => {
            *exchange.reason.lock() = Some(Reason::StreamNotFound);
            text(StatusCode::LOOP_DETECTED, "the stream would come back here\n")
        }
        false => flv::answer(&exchange, &key, standing.as_ref(), asked_at).await,
    };
    if let Some(standing) = &standing {
        let acknowledgement = exchange.context.acknowledgement(standing);
        response.headers_mut().extend(
            HeaderValue::try_from(acknowledgement).ok().map(|text| (HeaderName::from_static(MARK_HEADER), text)),
        );
    }
    if *request.method() == Method::HEAD {
        *response.body_mut() = Body::Empty;
        *exchange.reason.lock() = Some(Reason::Done);
    }
    Ok(response)
}

const fn status_of(error: NameError) -> StatusCode {
    match error {
        NameError::TooLong => StatusCode::URI_TOO_LONG,
        _ => StatusCode::BAD_REQUEST,
    }
}

pub(super) fn text(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::Text(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

fn fixed_header(name: HeaderName, value: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::overriding(name, HeaderValue::from_static(value))
}

/// Lets pages of `origins` play, all if `*` is among them; answers preflight requests by itself.
fn cors(origins: &[String]) -> CorsLayer {
    let allowed = if origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()))
    };
    CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods(AllowMethods::list([Method::GET, Method::HEAD, Method::OPTIONS]))
        .allow_headers(AllowHeaders::any())
        // A page on the Internet may play from a server in the house of whoever looks at it.
        .allow_private_network(true)
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut *self {
            Self::Empty => Poll::Ready(None),
            Self::Text(text) => {
                let bytes = Bytes::from_static(text.as_bytes());
                *self = Self::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Self::Flv(body) => body.poll_bytes(context).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Empty)
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Text(text) => SizeHint::with_exact(text.len() as u64),
            Self::Flv(_) => SizeHint::default(),
        }
    }
}
