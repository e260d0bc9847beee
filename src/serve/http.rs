//! One HTTP connection on the payload port: routes, and the layers around them.
//!
//! The server calls [`serve`] with an accepted socket, whose first bytes tell the version of HTTP. hyper speaks the
//! protocol, tower and tower-http add what every answer has (CORS, caching headers); no layer wraps a body, so media bytes
//! pass none of them. A request that asks for WebSocket ends HTTP on its connection, which `ws` then takes over.

mod body;
mod cors;
pub(super) mod entrance;
mod multiplexed;
mod preface;
pub(super) mod route;

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use http::header::{CONNECTION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::time::{sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use tower::ServiceBuilder;
use tracing::{Instrument, Span};

use crate::auth::Standing;
use crate::hub::Identity;
use crate::metrics::{Protocol, Reason};
use crate::net::progress::{Progress, Watched};
use crate::net::socket;

use super::hls::{self, Client};
use super::ws::{self, Upgrade};
use super::{Accepted, CONTROL_WRITE_TIMEOUT, HANDSHAKE_TIMEOUT, ServeContext, flv};

pub(super) use body::{Body, FileBody};
use preface::Version;
use route::{Refused, Target};

/// The most that hyper gathers for a connection, reading or writing, before it asks a body for more.
const BUFFER_BYTES: usize = 64 << 10;
/// The most header fields of a request.
const MAX_HEADERS: usize = 100;
/// How long a connection that has been of use may be idle: longer than load balancers keep theirs, which otherwise send a
/// request at the moment of closing.
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);

/// What the parts of one connection tell each other.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) context: Arc<ServeContext>,
    pub(super) accepted: Accepted,
    /// The connection's.
    id: String,
    pub(super) progress: Arc<Progress>,
    /// Why the latest response ended, if that is known.
    pub(super) reason: Mutex<Option<Reason>>,
    /// Whether the latest request was for a file and not for a stream.
    is_for_files: AtomicBool,
    /// What goes on over WebSocket once hyper has let go of the connection.
    pub(super) upgrade: Mutex<Option<Upgrade>>,
}

/// Serves a connection until it ends, for whatever reason.
pub async fn serve(context: Arc<ServeContext>, socket: TcpStream, accepted: Accepted) {
    let id = Identity::random();
    let span = tracing::info_span!("http", peer = %accepted.peer, %id);
    let (protocol, reason) = run(&context, socket, accepted, &id, &span).await;
    span.in_scope(|| context.connection_ended(protocol, reason));
}

/// Only answering is in the span: a span costs at every poll, and a body is polled for every block.
async fn run(
    context: &Arc<ServeContext>,
    stream: TcpStream,
    accepted: Accepted,
    id: &Identity,
    span: &Span,
) -> (Protocol, Reason) {
    if socket::prepare(&stream).is_err() {
        // The peer is gone already.
        return (Protocol::HttpFlv, Reason::Probe);
    }
    let deadline = tokio::time::Instant::now() + HANDSHAKE_TIMEOUT;
    let version = tokio::select! {
        version = timeout_at(deadline, preface::version(&stream)) => version,
        () = context.stop.cancelled() => return (Protocol::HttpFlv, Reason::Probe),
    };
    match version {
        Ok(Ok(Some(Version::One))) => run_http1(context, stream, accepted, id, deadline, span).await,
        Ok(Ok(Some(Version::Two))) => {
            (Protocol::Hls, Box::pin(multiplexed::run(context, stream, accepted, span)).await)
        }
        Ok(Ok(None) | Err(_)) => (Protocol::HttpFlv, Reason::Probe),
        Err(_) => (Protocol::HttpFlv, Reason::CommandTimeout),
    }
}

/// The first request has to be there at `deadline`.
async fn run_http1(
    context: &Arc<ServeContext>,
    stream: TcpStream,
    accepted: Accepted,
    id: &Identity,
    deadline: tokio::time::Instant,
    span: &Span,
) -> (Protocol, Reason) {
    let exchange = Arc::new(Exchange {
        context: Arc::clone(context),
        accepted,
        id: id.to_string(),
        progress: Progress::new(),
        reason: Mutex::new(None),
        is_for_files: AtomicBool::new(false),
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
        .map_response(route::keep_from_caches)
        .layer(cors::layer(&context.config.current().http.cors_origins))
        .service(answer);
    let watched = Watched::new(stream, Arc::clone(&exchange.progress));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_TIMEOUT)
        .max_buf_size(BUFFER_BYTES)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(watched), TowerToHyperService::new(service))
        .with_upgrades();
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        end = last_request(&exchange, deadline) => match end {
            // Bodies end by themselves; what waits for the next request ends here.
            LastRequest::Answered => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
            LastRequest::Missing => return (Protocol::HttpFlv, Reason::CommandTimeout),
        }
    };
    let upgrade = exchange.upgrade.lock().take();
    match upgrade {
        Some(upgrade) if ended.is_ok() => (Protocol::WsFlv, Box::pin(ws::play(&exchange, upgrade)).await),
        _ => (exchange.protocol(), reason_of(&exchange, ended)),
    }
}

/// Why no other request is waited for.
enum LastRequest {
    /// The listener is closed, and a request has been answered.
    Answered,
    /// The first one did not come in time.
    Missing,
}

/// Completes when no other request is to be waited for: when the first one is not there at `deadline`, or the listener is
/// closed. The one that the connection was made for is answered, though it may not have come yet.
async fn last_request(exchange: &Exchange, deadline: tokio::time::Instant) -> LastRequest {
    let closing = &exchange.accepted.closing;
    tokio::select! {
        () = closing.cancelled() => {}
        () = sleep_until(deadline) => {}
    }
    if !exchange.has_asked() {
        tokio::select! {
            () = exchange.context.stop.cancelled() => return LastRequest::Answered,
            () = sleep_until(deadline) => {}
        }
        if !exchange.has_asked() {
            return LastRequest::Missing;
        }
    }
    closing.cancelled().await;
    LastRequest::Answered
}

impl Exchange {
    fn has_asked(&self) -> bool {
        self.reason.lock().is_some()
    }

    fn protocol(&self) -> Protocol {
        if self.is_for_files.load(Ordering::Relaxed) { Protocol::Hls } else { Protocol::HttpFlv }
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
    let target = match route::target(&request) {
        Ok(target) => target,
        Err(refused) => {
            let Refused { response, reason } = *refused;
            *exchange.reason.lock() = Some(reason);
            return Ok(response);
        }
    };
    exchange.is_for_files.store(matches!(target, Target::File(_)), Ordering::Relaxed);
    let standing = route::standing(&exchange.context, request.headers());
    if !exchange.context.has_room(&exchange.accepted, exchange.protocol(), standing.as_ref()) {
        *exchange.reason.lock() = Some(Reason::TooManyConnections);
        return Ok(route::no_room(exchange.accepted.peer));
    }
    if let Target::Flv(key) = &target
        && *request.method() == Method::GET
        && ws::is_wanted(request.headers())
    {
        return Ok(match Box::pin(entrance::admit(&exchange, key, &request, standing.as_ref())).await {
            Ok(admission) => ws::answer(&exchange, &mut request, key, admission, asked_at).await,
            Err(response) => *response,
        });
    }
    let mark = standing.as_ref().and_then(Standing::mark);
    let mut response = if exchange.context.is_passed_by(mark) {
        *exchange.reason.lock() = Some(Reason::StreamNotFound);
        route::loop_detected()
    } else {
        match &target {
            Target::Flv(key) => match Box::pin(entrance::admit(&exchange, key, &request, standing.as_ref())).await {
                Ok(admission) => flv::answer(&exchange, key, standing.as_ref(), admission, asked_at).await,
                Err(response) => *response,
            },
            Target::File(resource) => {
                let client = Client {
                    peer: exchange.accepted.peer,
                    progress: Arc::clone(&exchange.progress),
                    is_multiplexed: false,
                    standing: standing.as_ref(),
                };
                // A client that goes away while it waits lets hyper drop this future.
                *exchange.reason.lock() = Some(Reason::PeerClosed);
                let (response, reason) = hls::answer(&exchange.context, client, resource, &request).await;
                *exchange.reason.lock() = Some(reason);
                response
            }
        }
    };
    route::acknowledge(&exchange.context, standing.as_ref(), &mut response);
    if *request.method() == Method::HEAD {
        *response.body_mut() = Body::Empty;
        *exchange.reason.lock() = Some(Reason::Done);
    }
    Ok(response)
}

pub(super) fn text(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::Text(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
