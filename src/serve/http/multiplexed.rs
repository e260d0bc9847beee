//! One HTTP/2 connection, of a player or of a proxy that brings many: playlists and segments only.
//!
//! A stream without end needs a connection of its own, on which it shows whether its player keeps up; so FLV is refused here.
//! Everything that a peer can make us hold is bounded, in size and in time: requests at a time, header lists, and what waits to
//! be sent. A peer that takes none of one answer loses that stream, and one that takes nothing at all its connection.

mod outgoing;
mod streams;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::CONNECTION;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use tokio::time::{Instant, interval, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tower::ServiceBuilder;
use tracing::{Instrument, Span};

use crate::auth::Standing;
use crate::metrics::{Protocol, Reason};
use crate::net::progress::{Progress, Watched};
use crate::net::stream::Stream;
use crate::serve::hls::{self, Client};
use crate::serve::{Accepted, CONTROL_WRITE_TIMEOUT, HANDSHAKE_TIMEOUT, ServeContext};

use super::route::{self, Refused, Target};
use super::{Body, IDLE_TIMEOUT, cors, text};
use outgoing::{Outgoing, PIECE_BYTES, Waiting};
use streams::Streams;

/// Requests that are answered at a time.
const MAX_STREAMS: u32 = 100;
/// How often the connection is looked at, and a silent peer asked for a sign of life.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long a peer may take to show it.
const LIFE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the socket may take nothing.
const WRITE_TIMEOUT: Duration = LIFE_TIMEOUT.saturating_add(LOOK_EVERY);
/// How long a peer has to take note that the connection ends, if nothing is under way.
const BRIEF_FAREWELL: Duration = HANDSHAKE_TIMEOUT;
/// How long requests have to end from then on.
const FAREWELL: Duration = Duration::from_secs(25);

/// What the requests of one connection share.
struct Multiplexed {
    context: Arc<ServeContext>,
    accepted: Accepted,
    /// Cancelled when there is no room for the connection.
    is_surplus: CancellationToken,
    requests: Mutex<Requests>,
}

/// The requests so far.
struct Requests {
    /// Those whose answers have not left.
    open: usize,
    have_begun: bool,
    last_at: Instant,
    /// Why the latest ended.
    reason: Option<Reason>,
}

/// Serves a connection until it ends, and says why. The first request has to be there at `deadline`.
pub(super) async fn run(
    context: &Arc<ServeContext>,
    stream: Stream,
    accepted: Accepted,
    deadline: Instant,
    span: &Span,
) -> Reason {
    let requests = Requests { open: 0, have_begun: false, last_at: Instant::now(), reason: None };
    let shared = Arc::new(Multiplexed {
        context: Arc::clone(context),
        accepted,
        is_surplus: CancellationToken::new(),
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
    let waiting = Waiting::default();
    let service = ServiceBuilder::new()
        .map_response(move |response| watched(response, &waiting))
        .map_response(route::keep_from_caches)
        .service(answer);
    let header_bytes = context.config.current().limits.max_header_bytes;
    let writing = Progress::new();
    writing.limit(WRITE_TIMEOUT);
    let connection = http2::Builder::new(Streams(Arc::clone(&shared)))
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(header_bytes).unwrap_or(u32::MAX))
        .max_send_buf_size(PIECE_BYTES)
        .keep_alive_interval(LOOK_EVERY)
        .keep_alive_timeout(LIFE_TIMEOUT)
        .serve_connection(
            TokioIo::new(Watched::as_written(stream, Arc::clone(&writing))),
            TowerToHyperService::new(service),
        );
    let mut connection = pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return shared.reason_of(ended, &writing),
        () = shared.is_without_request(deadline) => return Reason::CommandTimeout,
        () = shared.last_request() => {}
    }
    connection.as_mut().graceful_shutdown();
    if let Ok(ended) = timeout(BRIEF_FAREWELL, connection.as_mut()).await {
        return shared.reason_of(ended, &writing);
    }
    if shared.requests.lock().open == 0 {
        return shared.latest_reason();
    }
    match timeout(FAREWELL, connection).await {
        Ok(ended) => shared.reason_of(ended, &writing),
        Err(_) => Reason::SlowPlayer,
    }
}

/// An answer that its stream's task can be seen to make progress with.
fn watched(response: Response<Body>, waiting: &Waiting) -> Response<Outgoing> {
    let progress = streams::progress();
    if !matches!(response.body(), Body::File(_)) {
        progress.limit(CONTROL_WRITE_TIMEOUT);
    }
    response.map(|body| Outgoing::new(body, progress, Arc::clone(waiting)))
}

impl Multiplexed {
    /// Completes if there has been no request at `deadline`: whoever is silent is at the beginning until then.
    async fn is_without_request(&self, deadline: Instant) {
        sleep_until(deadline).await;
        if self.requests.lock().have_begun {
            std::future::pending::<()>().await;
        }
    }

    /// Completes when no other request is to be taken: the listener is closed, or nothing has been asked for long.
    async fn last_request(&self) {
        let mut looks = interval(LOOK_EVERY);
        loop {
            tokio::select! {
                () = self.accepted.closing.cancelled() => return,
                () = self.context.stop.cancelled() => return,
                () = self.is_surplus.cancelled() => return,
                _ = looks.tick() => {}
            }
            let requests = self.requests.lock();
            if requests.open == 0 && requests.last_at.elapsed() >= IDLE_TIMEOUT {
                return;
            }
        }
    }

    fn latest_reason(&self) -> Reason {
        self.requests.lock().reason.unwrap_or(Reason::Probe)
    }

    fn reason_of(&self, ended: hyper::Result<()>, writing: &Progress) -> Reason {
        let known = self.requests.lock().reason.take();
        match ended {
            _ if writing.has_stalled() => Reason::SlowPlayer,
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

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.shared.requests.lock().reason = Some(self.reason);
    }
}

async fn answer(shared: Arc<Multiplexed>, request: Request<Incoming>) -> Result<Response<Body>, h2::Error> {
    // Who goes away while it waits lets hyper drop the answer.
    let mut under_way = UnderWay { shared: &shared, reason: Reason::PeerClosed };
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
        let (peer, is_tls, progress) = (requester.address, shared.accepted.is_tls, streams::progress());
        let client = Client { peer, is_tls, progress, standing: standing.as_ref() };
        hls::answer(context, client, &resource, request).await
    };
    route::acknowledge(context, standing.as_ref(), &mut response);
    (response, reason)
}
