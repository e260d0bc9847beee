//! HLS over HTTP: playlists and segments, to players and to caches between them and us.
//!
//! Owns what HTTP adds to a file: who asks counts as a viewer, how long it may be kept and by what it is told from others,
//! and parts of it. The files come from a [`Library`](crate::hls::Library); where they come from there is none of its business.

mod conditions;
mod headers;
mod tokens;
mod viewer;

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, LOCATION, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};

use crate::auth::{Action, Denial, Standing, access};
use crate::hls::{Absent, Object, Resource};
use crate::hooks::{self, Caller};
use crate::hub::{End, Presence};
use crate::metrics::{FileKind, FileResult, Protocol, Reason};
use crate::net::byte_range::ByteRange;
use crate::net::progress::Progress;
use crate::sessions::Kind;

use super::access::Refusal;
use super::http::{Body, FileBody, about, entrance, route, text};
use super::{ServeContext, reason_of, retry_after};
use viewer::{Arrival, Visit};

/// Who asks, and how it is answered.
pub(super) struct Client<'a> {
    pub(super) peer: SocketAddr,
    pub(super) is_tls: bool,
    /// Told when there is room for more of the answer.
    pub(super) progress: Arc<Progress>,
    /// What it is, if it is no viewer but a server.
    pub(super) standing: Option<&'a Standing>,
}

/// Answers with the file, or says why not. Dropping the future is the client's leaving.
pub(super) async fn answer<B>(
    context: &ServeContext,
    client: Client<'_>,
    resource: &Resource,
    request: &Request<B>,
) -> (Response<Body>, Reason) {
    let (response, reason) = answer_uncounted(context, client, resource, request).await;
    let file = if resource.file.is_playlist() { FileKind::Playlist } else { FileKind::Segment };
    let result = match response.status() {
        StatusCode::NOT_MODIFIED => FileResult::NotModified,
        StatusCode::FOUND => FileResult::Redirected,
        status if status.is_success() => FileResult::Sent,
        StatusCode::NOT_FOUND => FileResult::Absent,
        _ => FileResult::Refused,
    };
    context.metrics.hls_files.requests(file, result).inc();
    (response, reason)
}

async fn answer_uncounted<B>(
    context: &ServeContext,
    client: Client<'_>,
    resource: &Resource,
    request: &Request<B>,
) -> (Response<Body>, Reason) {
    let library = context.hls.as_ref().filter(|_| context.config.current().hls_for(resource.key.app()).enabled);
    let Some(library) = library else {
        return (text(StatusCode::NOT_FOUND, "this stream is not to be had as HLS here\n"), Reason::StreamNotFound);
    };
    let visit = Visit::of(context, &client, resource, request);
    let access = match may_have(context, &client, resource, request, &visit) {
        Ok(access) => access,
        Err(denial) => {
            return refused(context, &client, resource, request, &denial.into());
        }
    };
    let arrival = match Box::pin(attend(context, &client, resource, request, &visit)).await {
        Ok(arrival) => arrival,
        Err(Rejection::Dismissed) => return refusal(&client, End::Dismissed),
        Err(Rejection::Refused(refusal)) => return refused(context, &client, resource, request, &refusal.into()),
    };
    if let Some(redirect) = redirect_early(context, &client, resource).await {
        return (redirect, Reason::Redirected);
    }
    let found = tokio::select! {
        found = library.find(resource) => found,
        () = context.stop.cancelled() => return refusal(&client, End::Shutdown),
    };
    let object = match found {
        Ok(object) => object,
        Err(absent) => {
            let elsewhere = match absent {
                Absent::NoStream => redirect(context, &client, resource).await,
                _ => None,
            };
            return elsewhere.map_or_else(|| not_there(&absent), |redirect| (redirect, Reason::Redirected));
        }
    };
    if let Some(patience) = visit.patience(resource.file, object.freshness) {
        let attend = |is_shown| viewer::attend(context, &client, &resource.key, request, arrival, is_shown);
        if let Err(end) = context.hub.note_viewer(&resource.key, visit.viewer, patience, attend) {
            return refusal(&client, end);
        }
    }
    tracing::trace!(file = %resource, bytes = object.bytes.len(), "found");
    let object = match request.uri().query().filter(|_| resource.file.is_playlist()) {
        Some(query) if visit.is_asked_about => tokens::carry_all(object, query),
        Some(query) if access.needs_token => tokens::carry(object, query),
        _ => object,
    };
    (respond(context, client, resource, request, object, &visit, access.is_restricted), Reason::Done)
}

/// Why a viewer does not begin.
enum Rejection {
    /// An operator has ended what it had begun, and it has not been silent since.
    Dismissed,
    /// Who was asked about it is against it.
    Refused(hooks::Refusal),
}

/// Asks about a viewer that is not known yet, by what it begins with: its first playlist, or, where somebody decides about
/// viewers, its first file of any kind. What it gives is held until the viewer has gone.
async fn attend<B>(
    context: &ServeContext,
    client: &Client<'_>,
    resource: &Resource,
    request: &Request<B>,
    visit: &Visit,
) -> Result<Option<Arrival>, Rejection> {
    let may_begin = visit.is_asked_about || resource.file.is_playlist();
    if matches!(client.standing, Some(Standing::Verified(_))) || !may_begin {
        return Ok(None);
    }
    match context.hub.presence(&resource.key, visit.viewer) {
        Presence::Watching => return Ok(None),
        Presence::Dismissed => return Err(Rejection::Dismissed),
        Presence::Unknown => {}
    }
    let id = context.sessions.next_id();
    let visitor = route::visitor(client.peer, request);
    let (app, page) = (resource.key.app().to_owned(), visitor.page.map(str::to_owned));
    let url = entrance::url_of_app(request, client.is_tls, &app);
    let caller = Arc::new(Caller::new(id.to_string(), client.peer.ip(), app, url, page));
    let query = visitor.query.to_owned();
    let asked = context.attend(Action::Play, caller, resource.key.clone(), query, false);
    asked.await.map(|hooked| Some(Arrival { id, hooked })).map_err(Rejection::Refused)
}

fn refused<B>(
    context: &ServeContext,
    client: &Client<'_>,
    resource: &Resource,
    request: &Request<B>,
    refusal: &Refusal,
) -> (Response<Body>, Reason) {
    context.note_refusal(Action::Play, &resource.key, refusal);
    if resource.file.is_playlist() {
        // The log has a line of it, as of everybody who wanted to play.
        let about = about(client.peer, request, client.is_tls);
        let session =
            context.sessions.enter(context.sessions.next_id(), Kind::Play(Protocol::Hls), &resource.key, about);
        session.end(Reason::AccessDenied.label());
    }
    (route::refused(refusal), Reason::AccessDenied)
}

/// How a client has access to a stream's files.
#[derive(Debug, Default)]
struct Access {
    /// It had to show something, and has to for each file.
    needs_token: bool,
    /// Not everybody has access.
    is_restricted: bool,
}

/// Whether the client may have the file. A viewer that is there when its URL or token expires may go on, unless sessions
/// are to end with it.
fn may_have<B>(
    context: &ServeContext,
    client: &Client<'_>,
    resource: &Resource,
    request: &Request<B>,
    visit: &Visit,
) -> Result<Access, Denial> {
    if matches!(client.standing, Some(Standing::Verified(_))) {
        return Ok(Access::default());
    }
    let settings = context.config.current().auth_for(resource.key.app());
    let is_restricted = visit.is_asked_about || access::is_restricted(&settings, Action::Play);
    let needs_token = access::needs_token(&settings, Action::Play);
    let visitor = route::visitor(client.peer, request);
    match context.decide(Action::Play, &resource.key, &visitor, client.standing) {
        Err(Denial::Expired) if !settings.end_at_expiry && is_watching(context, resource, visit) => {}
        Err(denial) => return Err(denial),
        Ok(_) => {}
    }
    Ok(Access { needs_token, is_restricted })
}

fn is_watching(context: &ServeContext, resource: &Resource, visit: &Visit) -> bool {
    context.hub.presence(&resource.key, visit.viewer) == Presence::Watching
}

/// The answer with a file, or with as much of it as is asked for.
fn respond<B>(
    context: &ServeContext,
    client: Client<'_>,
    resource: &Resource,
    request: &Request<B>,
    object: Object,
    visit: &Visit,
    is_private: bool,
) -> Response<Body> {
    let length = object.bytes.len();
    let range = match *request.method() == Method::GET && !resource.file.is_playlist() {
        true => ByteRange::wanted(request.headers(), &object.etag, length as u64),
        false => ByteRange::Whole,
    };
    let content_range = range.content_range(length as u64);
    let mut response = if conditions::is_known(request.headers(), &object.etag) {
        status(StatusCode::NOT_MODIFIED)
    } else {
        match range {
            ByteRange::Unsatisfiable => {
                let mut response = text(StatusCode::RANGE_NOT_SATISFIABLE, "the file is shorter than that\n");
                set(response.headers_mut(), CONTENT_RANGE, content_range.as_deref());
                response.headers_mut().extend([headers::brief()]);
                return response;
            }
            ByteRange::Part(part) => {
                let mut response = status(StatusCode::PARTIAL_CONTENT);
                // Within the object's length, and so within what can be addressed.
                let part = object.bytes.slice(part.start as usize..part.end as usize);
                set(response.headers_mut(), CONTENT_RANGE, content_range.as_deref());
                *response.body_mut() = file(context, client, resource, visit, part);
                response
            }
            ByteRange::Whole => {
                let mut response = status(StatusCode::OK);
                set(response.headers_mut(), CONTENT_LENGTH, Some(&length.to_string()));
                if *request.method() == Method::GET {
                    *response.body_mut() = file(context, client, resource, visit, object.bytes);
                }
                response
            }
        }
    };
    let fields = response.headers_mut();
    set(fields, ETAG, Some(&object.etag));
    fields.extend([headers::cache_control(object.freshness, is_private)]);
    fields.insert(CONTENT_TYPE, HeaderValue::from_static(object.media_type.content_type()));
    if !resource.file.is_playlist() {
        fields.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    }
    response
}

/// The body, which the client has to take at a pace.
fn file(context: &ServeContext, client: Client<'_>, resource: &Resource, visit: &Visit, bytes: Bytes) -> Body {
    let limit = context.config.current().play_for(resource.key.app()).hard_lag;
    client.progress.limit(limit);
    if visit.counts {
        context.hub.note_sent_to_viewer(&resource.key, visit.viewer, bytes.len() as u64);
    }
    let sent = context.metrics.egress_bytes(Protocol::Hls);
    Body::File(Box::new(FileBody::new(bytes, client.progress, sent)))
}

/// The same where the stream was published here and is no longer: what is left of it must not hide where it goes on.
async fn redirect_early(context: &ServeContext, client: &Client<'_>, resource: &Resource) -> Option<Response<Body>> {
    if client.standing.is_none() || !resource.file.is_playlist() || context.hub.is_live(&resource.key) {
        return None;
    }
    redirect(context, client, resource).await
}

/// Sends a server to the origin that has the stream, if it is known.
async fn redirect(context: &ServeContext, client: &Client<'_>, resource: &Resource) -> Option<Response<Body>> {
    let tls = client.is_tls.then_some(context.tls_ports);
    let base = context.elsewhere(&resource.key, client.standing).await?.http_base(tls)?;
    let url = format!("{base}/{}", resource.path());
    tracing::debug!(file = %resource, to = url, "redirecting");
    let mut response = text(StatusCode::FOUND, "the stream is at another origin\n");
    response.headers_mut().insert(LOCATION, HeaderValue::from_str(&url).ok()?);
    Some(response)
}

/// The answer where there is no such file. Caches may keep it for a moment: a crowd asks once.
fn not_there(absent: &Absent) -> (Response<Body>, Reason) {
    let (status, reason) = match absent {
        Absent::NoStream => (StatusCode::NOT_FOUND, Reason::StreamNotFound),
        Absent::Gone | Absent::Unsupported(_) => (StatusCode::NOT_FOUND, Reason::Done),
        Absent::NotYet => (StatusCode::SERVICE_UNAVAILABLE, Reason::StreamNotFound),
        Absent::Full => (StatusCode::SERVICE_UNAVAILABLE, Reason::Done),
        Absent::Unreachable => (StatusCode::SERVICE_UNAVAILABLE, Reason::UpstreamLost),
    };
    let mut response = text(status, "");
    *response.body_mut() = Body::Line(format!("{absent}\n").into());
    let fields = response.headers_mut();
    fields.extend([headers::brief()]);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        fields.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    (response, reason)
}

/// The answer to a viewer for whom there is no room.
fn refusal(client: &Client<'_>, end: End) -> (Response<Body>, Reason) {
    let line = match end {
        End::TooManyPlayers => "the server has no room for another player\n",
        End::TooMuchEgress => "the server has no bandwidth left for another player\n",
        End::Dismissed => {
            return (text(StatusCode::FORBIDDEN, "an operator has ended the session\n"), reason_of(end));
        }
        _ => "the server is stopping\n",
    };
    let mut response = text(StatusCode::SERVICE_UNAVAILABLE, line);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(retry_after(client.peer)));
    (response, reason_of(end))
}

fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = status;
    response
}

/// Sets a field, if there is a value for it that a field can have.
fn set(fields: &mut HeaderMap, name: http::HeaderName, value: Option<&str>) {
    if let Some(Ok(value)) = value.map(HeaderValue::from_str) {
        fields.insert(name, value);
    }
}

#[cfg(test)]
mod tests;
