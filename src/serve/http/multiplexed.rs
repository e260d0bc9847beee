//! One HTTP/2 connection, of a player or of a proxy that brings many: playlists and segments only.
//!
//! A stream without end needs a connection of its own, on which it shows whether its player keeps up; so FLV is refused here.
//! Everything that a peer can make us hold is bounded: requests at a time, header lists, and what waits to be sent of each.

use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use http::header::CONNECTION;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use tokio::time::{Instant, interval, timeout};
use tokio_util::sync::CancellationToken;
use tower::ServiceBuilder;
use tracing::{Instrument, Span};

use crate::auth::Standing;
use crate::metrics::{Protocol, Reason};
use crate::net::progress::Progress;
use crate::net::stream::Stream;
use crate::serve::hls::{self, Client};
use crate::serve::{Accepted, ServeContext};

use super::route::{self, Refused, Target};
use super::{BUFFER_BYTES, Body, IDLE_TIMEOUT, cors, text};

/// Requests that are answered at a time.
const MAX_STREAMS: u32 = 100;
/// How often the connection is looked at, and a silent peer asked for a sign of life.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long a peer may take to show it.
const LIFE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long requests have to end once the connection is to.
const FAREWELL: Duration = Duration::from_secs(30);

/// What the requests of one connection share.
struct Multiplexed {
    context: Arc<ServeContext>,
    accepted: Accepted,
    /// Cancelled when there is no room for the connection.
    is_surplus: CancellationToken,
    /// Bodies that may not have left yet.
    bodies: Mutex<Vec<Weak<Progress>>>,
    requests: Mutex<Requests>,
}

/// The requests so far.
struct Requests {
    under_way: usize,
    last_at: Instant,
    /// Why the latest ended.
    reason: Option<Reason>,
}

/// Serves a connection until it ends, and says why.
pub(super) async fn run(context: &Arc<ServeContext>, stream: Stream, accepted: Accepted, span: &Span) -> Reason {
    let requests = Requests { under_way: 0, last_at: Instant::now(), reason: None };
    let shared = Arc::new(Multiplexed {
        context: Arc::clone(context),
        accepted,
        is_surplus: CancellationToken::new(),
        bodies: Mutex::default(),
        requests: Mutex::new(requests),
    });
    let answering = Arc::clone(&shared);
    let answering_in = span.clone();
    let answer = tower::service_fn(move |request| {
        let (shared, span) = (Arc::clone(&answering), answering_in.clone());
        Box::pin(async move {
            let answer = tower::service_fn(|request| answer(Arc::clone(&shared), request));
            cors::answer(&shared.context, answer, request).instrument(span).await
        })
    });
    let service = ServiceBuilder::new().map_response(route::keep_from_caches).service(answer);
    let header_bytes = context.config.current().limits.max_header_bytes;
    // What this gives to the executor ends with the connection, whose streams it is.
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(header_bytes).unwrap_or(u32::MAX))
        .max_send_buf_size(BUFFER_BYTES)
        .keep_alive_interval(LOOK_EVERY)
        .keep_alive_timeout(LIFE_TIMEOUT)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    let mut connection = pin!(connection);
    let end = tokio::select! {
        ended = connection.as_mut() => return shared.reason_of(ended),
        end = shared.last_request() => end,
    };
    if end == End::Stuck {
        return Reason::SlowPlayer;
    }
    connection.as_mut().graceful_shutdown();
    match timeout(FAREWELL, connection).await {
        Ok(ended) => shared.reason_of(ended),
        Err(_) => Reason::SlowPlayer,
    }
}

/// Why no other request is taken.
#[derive(PartialEq, Eq)]
enum End {
    /// The listener is closed, or nothing has been asked for long.
    Leaving,
    /// The peer does not take what it asked for.
    Stuck,
}

impl Multiplexed {
    /// Completes when the connection is to end.
    async fn last_request(&self) -> End {
        let mut looks = interval(LOOK_EVERY);
        loop {
            tokio::select! {
                () = self.accepted.closing.cancelled() => return End::Leaving,
                () = self.context.stop.cancelled() => return End::Leaving,
                () = self.is_surplus.cancelled() => return End::Leaving,
                _ = looks.tick() => {}
            }
            let mut bodies = self.bodies.lock();
            bodies.retain(|body| body.strong_count() > 0);
            if bodies.iter().any(|body| body.upgrade().is_some_and(|body| body.is_overdue())) {
                return End::Stuck;
            }
            let requests = self.requests.lock();
            if bodies.is_empty() && requests.under_way == 0 && requests.last_at.elapsed() >= IDLE_TIMEOUT {
                return End::Leaving;
            }
        }
    }

    fn reason_of(&self, ended: hyper::Result<()>) -> Reason {
        let known = self.requests.lock().reason.take();
        match ended {
            Ok(()) => known.unwrap_or(Reason::Probe),
            Err(error) => {
                tracing::debug!(%error, "connection failed");
                known.filter(|reason| *reason != Reason::Done).unwrap_or(Reason::PeerLost)
            }
        }
    }
}

/// One request for as long as it is answered, whatever becomes of it.
struct UnderWay<'a> {
    shared: &'a Multiplexed,
    reason: Reason,
}

impl<'a> UnderWay<'a> {
    fn begin(shared: &'a Multiplexed) -> Self {
        shared.requests.lock().under_way += 1;
        // Who goes away while it waits lets hyper drop the answer.
        Self { shared, reason: Reason::PeerClosed }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut requests = self.shared.requests.lock();
        requests.under_way -= 1;
        requests.last_at = Instant::now();
        requests.reason = Some(self.reason);
    }
}

async fn answer(shared: Arc<Multiplexed>, request: Request<Incoming>) -> Result<Response<Body>, h2::Error> {
    shared.accepted.handshake.complete();
    let mut under_way = UnderWay::begin(&shared);
    if shared.accepted.is_tls && matches!(route::target(&request), Ok(Target::Flv(_))) {
        // Over TLS it is the client's choice of versions that has led here: it is told to choose the other one (RFC 9113,
        // section 7), which browsers and curl do by themselves.
        under_way.reason = Reason::Done;
        return Err(h2::Reason::HTTP_1_1_REQUIRED.into());
    }
    let (mut response, reason) = respond(&shared, &request).await;
    under_way.reason = reason;
    if *request.method() == Method::HEAD {
        *response.body_mut() = Body::Empty;
    }
    Ok(response)
}

async fn respond(shared: &Multiplexed, request: &Request<Incoming>) -> (Response<Body>, Reason) {
    let limits = shared.context.config.current().limits.clone();
    let resource = match route::within(&limits, request).and_then(|()| route::target(request)) {
        Ok(Target::File(resource)) => resource,
        Ok(Target::Flv(_)) => {
            let line = "a stream as FLV is to be had over HTTP/1.1 only\n";
            return (text(StatusCode::HTTP_VERSION_NOT_SUPPORTED, line), Reason::HttpInvalid);
        }
        Err(refused) => {
            let Refused { mut response, reason } = *refused;
            response.headers_mut().remove(CONNECTION);
            return (response, reason);
        }
    };
    let context = &shared.context;
    let standing = route::standing(context, request.headers());
    let no_room = || {
        let mut response = route::no_room(shared.accepted.peer);
        // HTTP/2 has no such field (RFC 9113, section 8.2.2): the connection is told to end by itself.
        response.headers_mut().remove(CONNECTION);
        (response, Reason::TooManyConnections)
    };
    if !context.has_room(&shared.accepted, Protocol::Hls, standing.as_ref()) {
        shared.is_surplus.cancel();
        return no_room();
    }
    let Ok(requester) = route::requester(context, &shared.accepted, request.headers()) else { return no_room() };
    let (mut response, reason) = if context.is_passed_by(standing.as_ref().and_then(Standing::mark)) {
        (route::loop_detected(), Reason::StreamNotFound)
    } else {
        let progress = Progress::new();
        shared.bodies.lock().push(Arc::downgrade(&progress));
        let (peer, is_tls) = (requester.address, shared.accepted.is_tls);
        let client = Client { peer, is_tls, progress, is_multiplexed: true, standing: standing.as_ref() };
        hls::answer(context, client, &resource, request).await
    };
    route::acknowledge(context, standing.as_ref(), &mut response);
    (response, reason)
}
