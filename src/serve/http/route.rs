//! What a request asks for, by its path and method; the same over every version of HTTP.

use std::net::SocketAddr;

use http::header::{
    ALLOW, AUTHORIZATION, CACHE_CONTROL, CONNECTION, HOST, HeaderName, ORIGIN, REFERER, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};

use crate::auth::{Denial, MARK_HEADER, Standing};
use crate::config::Limits;
use crate::hls::Resource;
use crate::hooks;
use crate::media::stream_key::{NameError, StreamKey};
use crate::metrics::Reason;
use crate::net::admission::{OfAddress, TooManyOfAddress};
use crate::net::forwarded;
use crate::serve::access::{Refusal, Visitor};
use crate::serve::{Accepted, ServeContext, retry_after};

use super::{Body, text};

/// The header by which nginx is told whether to gather an answer before it passes it on. It keeps only what it gathers.
const BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// What a token is announced by (RFC 6750, section 2.1), in any case (RFC 9110, section 11.1).
const BEARER: &str = "Bearer";

/// What is asked for.
#[derive(Debug)]
pub(super) enum Target {
    /// A stream as one long body.
    Flv(StreamKey),
    /// A playlist or a segment.
    File(Resource),
}

/// A request that is answered at once, and why.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) response: Response<Body>,
    pub(super) reason: Reason,
}

/// Refuses a request that is larger than it may be. What its parts count is what they count in HTTP/2 (RFC 9113,
/// section 6.5.2); of its body, only what it announces: nobody reads it.
pub(super) fn within<B: http_body::Body>(limits: &Limits, request: &Request<B>) -> Result<(), Box<Refused>> {
    const OVERHEAD: usize = 32;
    let uri = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
    let fields = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + OVERHEAD);
    let refused = |status, line| {
        let mut response = text(status, line);
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        Err(Box::new(Refused { response, reason: Reason::HttpInvalid }))
    };
    if uri + fields.sum::<usize>() > limits.max_header_bytes {
        return refused(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "the head of the request is too large\n");
    }
    if request.body().size_hint().lower() > limits.max_body_bytes as u64 {
        return refused(StatusCode::PAYLOAD_TOO_LARGE, "a request for a stream needs no such body\n");
    }
    Ok(())
}

/// Tells what a request asks for, or answers it.
pub(super) fn target<B>(request: &Request<B>) -> Result<Target, Box<Refused>> {
    let path = request.uri().path().strip_prefix('/').unwrap_or_default();
    let found = match path.strip_suffix(".flv") {
        Some(name) => Some(StreamKey::from_path(name).map(Target::Flv)),
        None => Resource::parse(path).map(|resource| resource.map(Target::File)),
    };
    let Some(found) = found else {
        let line = "no such resource; streams are at /APP/STREAM.flv and /APP/STREAM.m3u8\n";
        return Err(Box::new(Refused { response: text(StatusCode::NOT_FOUND, line), reason: Reason::Done }));
    };
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "a stream can only be fetched\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS"));
        return Err(Box::new(Refused { response, reason: Reason::Done }));
    }
    found.map_err(|error| {
        tracing::debug!(%error, "name refused");
        let response = text(status_of(error), "the stream's name is refused\n");
        Box::new(Refused { response, reason: Reason::NameInvalid })
    })
}

const fn status_of(error: NameError) -> StatusCode {
    match error {
        NameError::TooLong => StatusCode::URI_TOO_LONG,
        _ => StatusCode::BAD_REQUEST,
    }
}

/// Whom a request comes from.
#[derive(Debug)]
pub(super) struct Requester {
    /// The address of the client. Where a proxy names it, the port is the proxy's.
    pub(super) address: SocketAddr,
    /// The client's place among those of its address, where a proxy's connection has none.
    pub(super) place: Option<OfAddress>,
}

/// Tells whom a request comes from: the peer, or whom a trusted proxy names (`X-Forwarded-For`).
pub(super) fn requester(
    context: &ServeContext,
    accepted: &Accepted,
    headers: &HeaderMap,
) -> Result<Requester, TooManyOfAddress> {
    let peer = accepted.peer;
    let config = context.config.current();
    let Some(client) = forwarded::client(headers, peer.ip(), |address| config.trusts_proxy(address)) else {
        return Ok(Requester { address: peer, place: None });
    };
    tracing::debug!(%client, "a proxy names its client");
    Ok(Requester { address: SocketAddr::new(client, peer.port()), place: Some(accepted.admitted.place_of(client)?) })
}

/// What the sender of a request is, if it is no ordinary client.
pub(super) fn standing(context: &ServeContext, headers: &HeaderMap) -> Option<Standing> {
    let mark = headers.get(MARK_HEADER).map(|mark| mark.to_str().unwrap_or_default());
    context.marks.judge(mark)
}

/// Who sends a request, as far as it matters to what it may.
pub(in crate::serve) fn visitor<B>(peer: SocketAddr, request: &Request<B>) -> Visitor<'_> {
    let field = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    Visitor {
        address: peer.ip(),
        query: request.uri().query().unwrap_or_default(),
        bearer: field(AUTHORIZATION).and_then(bearer_token),
        // A page that wants to be private names its origin only.
        page: field(REFERER).or_else(|| field(ORIGIN)),
    }
}

/// The token in the value of `Authorization`, if there is one.
fn bearer_token(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case(BEARER).then(|| token.trim_start_matches(' '))
}

/// The server's own URL, as a request names it: over HTTP/2 that is in its target.
pub(in crate::serve) fn server_url<B>(request: &Request<B>, is_tls: bool) -> String {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    // What stands before an @ may be a password.
    let host = host.or_else(|| request.uri().authority()?.as_str().rsplit('@').next()).unwrap_or_default();
    format!("{}://{host}", if is_tls { "https" } else { "http" })
}

/// The answer to who may not play.
pub(in crate::serve) fn refused(refusal: &Refusal) -> Response<Body> {
    let status = match refusal {
        Refusal::Denied(Denial::Missing) => StatusCode::UNAUTHORIZED,
        Refusal::Hook(hooks::Refusal::Failed) => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::FORBIDDEN,
    };
    let mut response = text(status, "");
    *response.body_mut() = Body::Line(format!("{refusal}\n").into());
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// The answer on a connection that is one too many; it ends with it.
pub(super) fn no_room(peer: SocketAddr) -> Response<Body> {
    let mut response = text(StatusCode::SERVICE_UNAVAILABLE, "the server has no room for another connection\n");
    response
        .headers_mut()
        .extend([(RETRY_AFTER, HeaderValue::from(retry_after(peer))), (CONNECTION, HeaderValue::from_static("close"))]);
    response
}

/// The answer to who would be sent what it sends.
pub(super) fn loop_detected() -> Response<Body> {
    text(StatusCode::LOOP_DETECTED, "the stream would come back here\n")
}

/// Tells a server who we are.
pub(super) fn acknowledge(context: &ServeContext, standing: Option<&Standing>, response: &mut Response<Body>) {
    let Some(standing) = standing else { return };
    if let Ok(acknowledgement) = HeaderValue::try_from(context.acknowledgement(standing)) {
        response.headers_mut().insert(HeaderName::from_static(MARK_HEADER), acknowledgement);
    }
}

/// Nobody on the way keeps what does not say that it may be kept.
pub(super) fn keep_from_caches(mut response: Response<Body>) -> Response<Body> {
    let headers = response.headers_mut();
    if !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(BUFFERING, HeaderValue::from_static("no"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_url_tells_how_and_by_which_name_it_was_reached() {
        let request = |uri: &str, host: Option<&str>| {
            let mut request = Request::builder().uri(uri).body(()).unwrap();
            request.headers_mut().extend(host.map(|host| (HOST, HeaderValue::from_str(host).unwrap())));
            request
        };
        // Over HTTP/1 the name is in a field, over HTTP/2 in the target.
        for (uri, host, is_tls, expected) in [
            ("/live/x.flv", Some("live.example:8080"), false, "http://live.example:8080"),
            ("/live/x.flv", Some("live.example"), true, "https://live.example"),
            ("http://live.example:8080/live/x.m3u8", None, false, "http://live.example:8080"),
            ("https://live.example/live/x.m3u8", None, true, "https://live.example"),
            ("https://a:secret@live.example/live/x.m3u8", None, true, "https://live.example"),
            ("/live/x.flv", None, false, "http://"),
        ] {
            assert_eq!(server_url(&request(uri, host), is_tls), expected);
        }
    }
}
