//! Who may look at the API, and who may change something over it.
//!
//! Owns the one layer around all routes that decides it, from the method, the credentials and the peer's address. Health
//! checks and metrics are open to everybody. A route that is reached needs no further check.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use base64ct::{Base64, Encoding};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::auth::{Passwords, Presented};
use crate::config::{Admin, Credentials};
use crate::metrics::AdminRefusal;
use crate::seldom::warn_seldom;

use super::AdminContext;
use super::api::Failure;
use super::attempts::Attempts;

/// The paths that are open to everybody.
const OPEN: [&str; 4] = ["/livez", "/readyz", "/startupz", "/metrics"];
/// How many hashes are computed at a time: each takes a core, and memory.
const HASHES_AT_A_TIME: usize = 2;
/// How long a request waits for its turn.
const HASH_PATIENCE: Duration = Duration::from_secs(10);
/// What is said in a refusal for want of credentials (RFC 9110, section 11.6.1).
const CHALLENGE: &str = "Basic realm=\"rillcast\", charset=\"UTF-8\", Bearer realm=\"rillcast\"";

/// The peer of a connection to the admin port.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) SocketAddr);

/// What is known of those who come.
#[derive(Debug)]
pub struct Access {
    passwords: Arc<Passwords>,
    attempts: Attempts,
    hashes: Semaphore,
}

impl Access {
    /// Nobody has come yet.
    ///
    /// # Errors
    ///
    /// The system has no random bytes to give.
    pub fn new() -> Result<Self, getrandom::Error> {
        let passwords = Arc::new(Passwords::new()?);
        Ok(Self { passwords, attempts: Attempts::default(), hashes: Semaphore::new(HASHES_AT_A_TIME) })
    }
}

/// What a request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Intent {
    View,
    Edit,
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    Because(AdminRefusal),
    /// There were too many wrong attempts; for how long others are refused.
    TooManyFailures(Duration),
    /// Too many hashes are being computed.
    Busy,
}

/// Lets a request pass, or answers why not.
pub(super) async fn guard(
    State(context): State<Arc<AdminContext>>,
    Extension(peer): Extension<Peer>,
    request: Request,
    next: Next,
) -> Response {
    if OPEN.contains(&request.uri().path()) {
        return next.run(request).await;
    }
    let intent = match *request.method() {
        Method::GET | Method::HEAD => Intent::View,
        _ => Intent::Edit,
    };
    match context.may(intent, peer, request.headers()).await {
        Ok(()) => next.run(request).await,
        Err(refusal) => refuse(&context, peer, refusal),
    }
}

impl AdminContext {
    async fn may(&self, intent: Intent, peer: Peer, headers: &HeaderMap) -> Result<(), Refusal> {
        let config = self.config.current();
        let Admin { edit_auth, view_auth, .. } = &config.admin;
        if intent == Intent::Edit && !is_own_page(headers) {
            return Err(Refusal::Because(AdminRefusal::ForeignPage));
        }
        match intent {
            Intent::View if edit_auth.is_none() && view_auth.is_none() => return Ok(()),
            Intent::Edit if edit_auth.is_none() => {
                let is_here = peer.0.ip().to_canonical().is_loopback() && is_loopback_page(headers);
                return if is_here { Ok(()) } else { Err(Refusal::Because(AdminRefusal::Remote)) };
            }
            _ => {}
        }
        let Some(presented) = presented(headers) else {
            return Err(Refusal::Because(AdminRefusal::NoCredentials));
        };
        self.may_try(peer)?;
        // Who may look is known at once, be it that what allows more is hashed.
        let is_known = |configured: &Credentials| self.access.passwords.recall(configured, &presented) == Some(true);
        if intent == Intent::View && [edit_auth, view_auth].into_iter().flatten().any(is_known) {
            return Ok(());
        }
        if self.is(edit_auth.as_ref(), peer, &presented).await? {
            return Ok(());
        }
        if self.is(view_auth.as_ref(), peer, &presented).await? {
            return match intent {
                Intent::View => Ok(()),
                Intent::Edit => Err(Refusal::Because(AdminRefusal::ViewOnly)),
            };
        }
        self.access.attempts.note_failure(peer.0.ip(), Instant::now());
        Err(Refusal::Because(AdminRefusal::WrongCredentials))
    }

    /// Whether what is presented is what is configured, if anything is.
    async fn is(&self, configured: Option<&Credentials>, peer: Peer, presented: &Presented) -> Result<bool, Refusal> {
        let Some(configured) = configured else { return Ok(false) };
        let Access { passwords, hashes, .. } = &self.access;
        if let Some(known) = passwords.recall(configured, presented) {
            return Ok(known);
        }
        let turn = timeout(HASH_PATIENCE, hashes.acquire()).await;
        let Ok(Ok(_turn)) = turn else { return Err(Refusal::Busy) };
        // Others from there may have failed meanwhile, or one has been right.
        self.may_try(peer)?;
        let (passwords, configured, presented) = (Arc::clone(passwords), configured.clone(), presented.clone());
        let verified = spawn_blocking(move || passwords.verify(&configured, &presented)).await;
        verified.map_err(|_| Refusal::Busy)
    }

    fn may_try(&self, peer: Peer) -> Result<(), Refusal> {
        self.access.attempts.may_try(peer.0.ip(), Instant::now()).map_err(Refusal::TooManyFailures)
    }
}

/// What a request presents by HTTP Basic (RFC 7617) or as a bearer token (RFC 6750).
fn presented(headers: &HeaderMap) -> Option<Presented> {
    let (scheme, value) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let value = value.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(Presented { login: None, password: value.to_owned() });
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(Base64::decode_vec(value).ok()?).ok()?;
    let (login, password) = decoded.split_once(':')?;
    Some(Presented { login: Some(login.to_owned()), password: password.to_owned() })
}

/// Whether a request comes from no web page, or from one of this very port: a browser sends credentials that it knows, and reaches
/// what only this host reaches, whichever page makes it.
fn is_own_page(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, authority)| authority);
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    origin.is_some() && origin == host
}

/// Whether a request comes from no web page, or from one that its browser has got from this host: the name of another may be made
/// to lead here.
fn is_loopback_page(headers: &HeaderMap) -> bool {
    if !headers.contains_key(header::ORIGIN) {
        return true;
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()?.parse::<Authority>().ok());
    host.is_some_and(|host| {
        let host = host.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    })
}

fn refuse(context: &AdminContext, peer: Peer, refusal: Refusal) -> Response {
    let reason = match refusal {
        Refusal::Because(reason) => reason,
        Refusal::TooManyFailures(_) => AdminRefusal::TooManyFailures,
        Refusal::Busy => {
            let text = "too many passwords are being checked; try again".to_owned();
            return retry_after(Failure::of(context, StatusCode::SERVICE_UNAVAILABLE, text), HASH_PATIENCE);
        }
    };
    context.metrics.operating.refusals(reason).inc();
    match reason {
        // Who has credentials is asked for them first.
        AdminRefusal::NoCredentials | AdminRefusal::TooManyFailures => {
            tracing::debug!(peer = %peer.0, reason = reason.label(), "a request to the admin port is refused");
        }
        _ => {
            warn_seldom!(key = peer.0.ip(), peer = %peer.0, reason = reason.label(), "a request to the admin port is refused")
        }
    }
    let (status, text) = match reason {
        AdminRefusal::Remote => {
            (StatusCode::FORBIDDEN, "only a client on the same host may change anything, until admin.edit_auth is set")
        }
        AdminRefusal::NoCredentials => (StatusCode::UNAUTHORIZED, "credentials are needed"),
        AdminRefusal::WrongCredentials => (StatusCode::UNAUTHORIZED, "the credentials are wrong"),
        AdminRefusal::ViewOnly => (StatusCode::FORBIDDEN, "these credentials allow to look, not to change anything"),
        AdminRefusal::TooManyFailures => (StatusCode::TOO_MANY_REQUESTS, "too many wrong credentials from there"),
        AdminRefusal::ForeignPage => (StatusCode::FORBIDDEN, "a page of another site may not change anything"),
    };
    let mut response = Failure::of(context, status, text.to_owned());
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(CHALLENGE));
    }
    match refusal {
        Refusal::TooManyFailures(wait) => retry_after(response, wait),
        _ => response,
    }
}

fn retry_after(mut response: Response, wait: Duration) -> Response {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}

#[cfg(test)]
mod tests;
