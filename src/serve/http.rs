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
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use http::header::{CONNECTION, CONTENT_TYPE, REFERER, USER_AGENT};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use tokio::time::{sleep, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use tower::ServiceBuilder;
use tracing::{Instrument, Span};

use crate::auth::Standing;
use crate::media::stream_key::StreamKey;
use crate::metrics::{Protocol, Reason};
use crate::net::admission::{OfAddress, TooManyOfAddress};
use crate::net::progress::{Progress, Watched};
use crate::net::socket;
use crate::net::stream::Stream;
use crate::sessions::{About, ClientId, Count, Kind, Session};

use super::hls::{self, Client};
use super::ws::{self, Upgrade};
use super::{Accepted, CONTROL_WRITE_TIMEOUT, HANDSHAKE_TIMEOUT, ServeContext, flv};

pub(super) use body::{Body, FileBody};
use preface::Version;
use route::{Refused, Requester, Target};

/// The most that hyper gathers for a connection, reading or writing, before it asks a body for more.
const BUFFER_BYTES: usize = 64 << 10;
/// The most header fields of a request.
const MAX_HEADERS: usize = 100;
/// How long a connection that has been of use may be idle: longer than load balancers keep theirs, which otherwise send a
/// request at the moment of closing.
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);
/// How long a body that is to end may take to do so by itself.
const KICKED_ENDS_WITHIN: Duration = Duration::from_secs(2);

/// What the parts of one connection tell each other.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) context: Arc<ServeContext>,
    /// The connection's.
    id: ClientId,
    /// What the connection does at present.
    pub(super) session: Mutex<Option<Session>>,
    /// Whether the log knows of a session that has ended.
    has_told: AtomicBool,
    pub(super) accepted: Accepted,
    pub(super) progress: Arc<Progress>,
    /// Why the latest response ended, if that is known.
    pub(super) reason: Mutex<Option<Reason>>,
    /// Whether the latest request was for a file and not for a stream.
    is_for_files: AtomicBool,
    /// Whom the latest request comes from.
    requester: Mutex<Requester>,
    /// What goes on over WebSocket once hyper has let go of the connection.
    pub(super) upgrade: Mutex<Option<Upgrade>>,
}

/// Serves a connection until it ends, for whatever reason.
#[expect(clippy::manual_async_fn, reason = "an async fn is larger by all its arguments")]
pub fn serve(context: Arc<ServeContext>, stream: Stream, accepted: Accepted) -> impl Future<Output = ()> {
    async move {
        let id = context.sessions.next_id();
        let span = tracing::error_span!("http", peer = %accepted.peer, %id);
        let (protocol, reason, has_told) = run(&context, stream, accepted, &span, id).await;
        span.in_scope(|| context.connection_ended(protocol, reason, has_told));
    }
}

/// Only answering is in the span: a span costs at every poll, and a body is polled for every block.
/// Tells, too, whether the log knows why it ended.
async fn run(
    context: &Arc<ServeContext>,
    stream: Stream,
    accepted: Accepted,
    span: &Span,
    id: ClientId,
) -> (Protocol, Reason, bool) {
    if socket::prepare(stream.socket()).is_err() {
        // The peer is gone already.
        return (Protocol::HttpFlv, Reason::Probe, false);
    }
    let deadline = tokio::time::Instant::now() + HANDSHAKE_TIMEOUT;
    let version = tokio::select! {
        version = timeout_at(deadline, preface::version(&stream)) => version,
        () = context.stop.cancelled() => return (Protocol::HttpFlv, Reason::Probe, false),
    };
    match version {
        Ok(Ok(Some(Version::One))) => {
            let exchange = Arc::new(Exchange::new(context, accepted, id));
            let (protocol, reason) = run_http1(&exchange, stream, deadline, span).await;
            exchange.leave(reason);
            (protocol, reason, exchange.has_told.load(Ordering::Relaxed))
        }
        Ok(Ok(Some(Version::Two))) => {
            let reason = Box::pin(multiplexed::run(context, stream, accepted, deadline, span)).await;
            // That files were fetched is no news.
            (Protocol::Hls, reason, matches!(reason, Reason::Done | Reason::PeerClosed))
        }
        Ok(Ok(None) | Err(_)) => (Protocol::HttpFlv, Reason::Probe, false),
        Err(_) => (Protocol::HttpFlv, Reason::CommandTimeout, false),
    }
}

/// The first request has to be there at `deadline`.
async fn run_http1(
    exchange: &Arc<Exchange>,
    stream: Stream,
    deadline: tokio::time::Instant,
    span: &Span,
) -> (Protocol, Reason) {
    let answering = Arc::clone(exchange);
    let answering_in = span.clone();
    // Boxed, as is what goes on over WebSocket: its room is given back while a body is sent, for hours.
    let answer = tower::service_fn(move |request| {
        let (exchange, span) = (Arc::clone(&answering), answering_in.clone());
        Box::pin(async move {
            let answer = tower::service_fn(|request| answer(Arc::clone(&exchange), request));
            cors::answer(&exchange.context, answer, request).instrument(span).await
        })
    });
    let closing = exchange.accepted.closing.clone();
    let service = ServiceBuilder::new()
        .map_response(move |response| say_if_last(response, &closing))
        .map_response(route::keep_from_caches)
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
        () = stuck_when_kicked(exchange) => return (exchange.protocol(), Reason::Kicked),
        end = last_request(exchange, deadline) => match end {
            // Bodies end by themselves; what waits for the next request ends here.
            LastRequest::Answered => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = connection => ended,
                    () = stuck_when_kicked(exchange) => return (exchange.protocol(), Reason::Kicked),
                }
            }
            LastRequest::Missing => return (Protocol::HttpFlv, Reason::CommandTimeout),
        }
    };
    let upgrade = exchange.upgrade.lock().take();
    match upgrade {
        Some(upgrade) if ended.is_ok() => (Protocol::WsFlv, Box::pin(ws::play(exchange, upgrade)).await),
        _ => (exchange.protocol(), reason_of(exchange, ended)),
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
    // Boxed: its room is given back for as long as the connection is of use.
    if let Some(last) = Box::pin(first_request(exchange, deadline)).await {
        return last;
    }
    exchange.accepted.closing.cancelled().await;
    LastRequest::Answered
}

/// Completes when the first request is there, or with why none is waited for.
async fn first_request(exchange: &Exchange, deadline: tokio::time::Instant) -> Option<LastRequest> {
    tokio::select! {
        () = exchange.accepted.closing.cancelled() => {}
        () = sleep_until(deadline) => {}
    }
    if exchange.has_asked() {
        return None;
    }
    tokio::select! {
        () = exchange.context.stop.cancelled() => return Some(LastRequest::Answered),
        () = sleep_until(deadline) => {}
    }
    (!exchange.has_asked()).then_some(LastRequest::Missing)
}

/// Completes some time after the session was kicked. A body that can end by itself has done so by then; one that waits for
/// its client to take something has not. The kick wakes the task, and the task looks here each time that it wakes.
async fn stuck_when_kicked(exchange: &Exchange) {
    let is_kicked = || exchange.session.lock().as_ref().is_some_and(Session::is_kicked);
    loop {
        poll_fn(|_| if is_kicked() { Poll::Ready(()) } else { Poll::Pending }).await;
        // Boxed, as few are ever kicked.
        Box::pin(sleep(KICKED_ENDS_WITHIN)).await;
        if is_kicked() {
            return;
        }
    }
}

impl Exchange {
    fn new(context: &Arc<ServeContext>, accepted: Accepted, id: ClientId) -> Self {
        Self {
            context: Arc::clone(context),
            id,
            session: Mutex::new(None),
            has_told: AtomicBool::new(false),
            requester: Mutex::new(Requester { address: accepted.peer, place: None }),
            accepted,
            progress: Progress::new(),
            reason: Mutex::new(None),
            is_for_files: AtomicBool::new(false),
            upgrade: Mutex::new(None),
        }
    }

    /// The address that the latest request comes from: the peer's, or what a trusted proxy says.
    pub(super) fn requester(&self) -> SocketAddr {
        self.requester.lock().address
    }

    /// The place that the latest request takes among those of its address, for as long as it is answered.
    pub(super) fn take_place(&self) -> Option<OfAddress> {
        self.requester.lock().place.take()
    }

    /// Enters a player of a stream, until it [leaves](Self::leave).
    fn enter<B>(&self, protocol: Protocol, key: &StreamKey, request: &Request<B>, is_server: bool) -> Count {
        let about = About { is_server, ..about(self.requester(), request, self.accepted.is_tls) };
        let session = self.context.sessions.enter(self.id, Kind::Play(protocol), key, about);
        let count = session.count();
        *self.session.lock() = Some(session);
        count
    }

    /// Ends the session, if there is one.
    pub(super) fn leave(&self, reason: Reason) {
        // Taken out first: ending it logs.
        let session = self.session.lock().take();
        if let Some(session) = session {
            self.has_told.store(true, Ordering::Relaxed);
            session.end(reason.label());
        }
    }

    /// Notes how long a player waited for its first media.
    pub(super) fn note_first_frame(&self, after: Duration) {
        self.context.metrics.first_frame.observe(after.as_secs_f64());
        if let Some(session) = &*self.session.lock() {
            session.note_first_frame(after);
        }
    }

    fn latest_reason(&self) -> Reason {
        self.reason.lock().unwrap_or(Reason::Done)
    }

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
    exchange.accepted.handshake.complete();
    exchange.progress.limit(CONTROL_WRITE_TIMEOUT);
    let before = exchange.reason.lock().replace(Reason::Done);
    exchange.leave(before.unwrap_or(Reason::Done));
    let limits = exchange.context.config.current().limits.clone();
    let target = match route::within(&limits, &request).and_then(|()| route::target(&request)) {
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
    match route::requester(&exchange.context, &exchange.accepted, request.headers()) {
        Ok(requester) => *exchange.requester.lock() = requester,
        Err(TooManyOfAddress) => {
            *exchange.reason.lock() = Some(Reason::TooManyConnections);
            return Ok(route::no_room(exchange.accepted.peer));
        }
    }
    let response = respond(&exchange, &mut request, &target, standing.as_ref(), asked_at).await;
    // What goes on has taken it.
    drop(exchange.take_place());
    Ok(response)
}

async fn respond(
    exchange: &Arc<Exchange>,
    request: &mut Request<Incoming>,
    target: &Target,
    standing: Option<&Standing>,
    asked_at: Instant,
) -> Response<Body> {
    if let Target::Flv(key) = target
        && *request.method() == Method::GET
        && ws::is_wanted(request.headers())
    {
        let count = exchange.enter(Protocol::WsFlv, key, request, standing.is_some());
        let answered = async {
            match Box::pin(entrance::admit(exchange, key, request, standing)).await {
                Ok(admission) => ws::answer(exchange, request, key, admission, count.clone(), asked_at).await,
                Err(response) => *response,
            }
        };
        let response = unless_kicked(exchange, count.clone(), answered).await;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            exchange.leave(exchange.latest_reason());
        }
        return response;
    }
    let mark = standing.and_then(Standing::mark);
    let mut response = if exchange.context.is_passed_by(mark) {
        *exchange.reason.lock() = Some(Reason::StreamNotFound);
        route::loop_detected()
    } else {
        match target {
            Target::Flv(key) => {
                let count = exchange.enter(Protocol::HttpFlv, key, request, standing.is_some());
                let answered = async {
                    match Box::pin(entrance::admit(exchange, key, request, standing)).await {
                        Ok(admission) => flv::answer(exchange, key, standing, admission, count.clone(), asked_at).await,
                        Err(response) => *response,
                    }
                };
                unless_kicked(exchange, count.clone(), answered).await
            }
            Target::File(resource) => {
                let client = Client {
                    peer: exchange.requester(),
                    is_tls: exchange.accepted.is_tls,
                    progress: Arc::clone(&exchange.progress),
                    standing,
                };
                // A client that goes away while it waits lets hyper drop this future.
                *exchange.reason.lock() = Some(Reason::PeerClosed);
                let (response, reason) = hls::answer(&exchange.context, client, resource, request).await;
                *exchange.reason.lock() = Some(reason);
                // That a file was fetched is no news.
                exchange.has_told.store(response.status().is_success(), Ordering::Relaxed);
                response
            }
        }
    };
    route::acknowledge(&exchange.context, standing, &mut response);
    if *request.method() == Method::HEAD {
        *response.body_mut() = Body::Empty;
        *exchange.reason.lock() = Some(Reason::Done);
    }
    if !matches!(response.body(), Body::Flv(_)) {
        exchange.leave(exchange.latest_reason());
    }
    response
}

/// The answer, or what a client is told that an operator does not let wait for it.
async fn unless_kicked(
    exchange: &Exchange,
    mut count: Count,
    answer: impl Future<Output = Response<Body>>,
) -> Response<Body> {
    tokio::select! {
        biased;
        () = count.kicked() => {}
        response = answer => return response,
    }
    *exchange.reason.lock() = Some(Reason::Kicked);
    text(StatusCode::FORBIDDEN, "an operator has ended the session\n")
}

/// What a request tells of its sender.
pub(super) fn about<B>(peer: SocketAddr, request: &Request<B>, is_tls: bool) -> About {
    let text = |name| {
        let value = request.headers().get(name);
        value.and_then(|value| value.to_str().ok()).unwrap_or_default()
    };
    About {
        peer,
        is_server: false,
        agent: text(USER_AGENT).to_owned(),
        url: format!("{}{}", route::server_url(request, is_tls), request.uri().path()),
        page: text(REFERER).to_owned(),
    }
}

pub(super) fn text(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::Text(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
