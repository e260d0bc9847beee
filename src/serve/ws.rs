//! WebSocket-FLV: the FLV of HTTP-FLV as binary messages (RFC 6455), one for the file header and one a block.
//!
//! `http` calls [`answer`] with a request that asks for the upgrade and [`play`] once the connection is no longer
//! HTTP's. tungstenite reads what the client says and speaks the control frames; media frames go past its buffers, from
//! the ring to the socket, so that a player holds no memory but the batch being written.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{Sink, StreamExt};
use http::header::{CONNECTION, HOST, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use prometheus_client::metrics::counter::Counter;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, FrameHeader};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use crate::hub::{End, Reader};
use crate::media::stream_key::StreamKey;
use crate::metrics::{Protocol, Reason};
use crate::net::admission::OfAddress;
use crate::net::progress::Watched;
use crate::net::scratch;
use crate::net::stream::Stream;
use crate::sessions::Count;

use super::access::Admission;
use super::flv::{self, Opened};
use super::http::{Body, Exchange, text};
use super::outbound::Outbound;
use super::reason_of;

/// The only version there is (RFC 6455, section 4.1).
const VERSION: &str = "13";
/// The most that a client may say in one message: nothing that it says matters.
const MAX_MESSAGE_BYTES: usize = 64 << 10;
/// What is read at once.
const READ_BUFFER_BYTES: usize = 1 << 10;
/// How long a client may take for its side of the closing handshake.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(2);

/// A player whose connection is about to become a WebSocket.
#[derive(Debug)]
pub(super) struct Upgrade {
    connection: OnUpgrade,
    reader: Reader,
    header: Bytes,
    admission: Admission,
    count: Count,
    asked_at: Instant,
    /// Its place among those of the client's address, if they are counted.
    place: Option<OfAddress>,
}

/// Whether a request is a WebSocket client's, be it a flawed one: such a client cannot use any other answer.
pub(super) fn is_wanted(headers: &HeaderMap) -> bool {
    has_token(headers, &UPGRADE, "websocket") || headers.contains_key(SEC_WEBSOCKET_KEY)
}

/// Answers with the switch to WebSocket, or says over HTTP why not.
pub(super) async fn answer(
    exchange: &Arc<Exchange>,
    request: &mut Request<Incoming>,
    key: &StreamKey,
    admission: Admission,
    count: Count,
    asked_at: Instant,
) -> Response<Body> {
    let accept = match check(request.version(), request.headers(), &exchange.context.config.current().http.cors_origins)
    {
        Ok(accept) => accept,
        Err(flaw) => {
            tracing::debug!(%flaw, "handshake refused");
            *exchange.reason.lock() = Some(Reason::HttpInvalid);
            return flaw.answer();
        }
    };
    match flv::open(exchange, key, Protocol::WsFlv).await {
        Ok(Opened { reader, header, .. }) => {
            tracing::info!(stream = %key, websocket = true, "playing");
            let connection = hyper::upgrade::on(request);
            let place = exchange.take_place();
            *exchange.upgrade.lock() = Some(Upgrade { connection, reader, header, admission, count, asked_at, place });
            let mut response = Response::new(Body::Empty);
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            let headers = response.headers_mut();
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
            response
        }
        Err(end) => flv::refusal(exchange, end),
    }
}

/// Why a handshake is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Flaw {
    #[error("WebSocket needs HTTP/1.1")]
    HttpVersion,
    #[error("a handshake needs \"Upgrade: websocket\" and \"Connection: Upgrade\"")]
    NoUpgrade,
    #[error("only version 13 of WebSocket is spoken")]
    Version,
    #[error("Sec-WebSocket-Key is not 16 bytes in base64")]
    Key,
    #[error("pages of this origin may not play")]
    Origin,
}

impl Flaw {
    fn answer(self) -> Response<Body> {
        let (status, line) = match self {
            Self::HttpVersion => (StatusCode::BAD_REQUEST, "WebSocket needs HTTP/1.1\n"),
            Self::Key => (StatusCode::BAD_REQUEST, "Sec-WebSocket-Key is not 16 bytes in base64\n"),
            Self::Origin => (StatusCode::FORBIDDEN, "pages of this origin may not play\n"),
            Self::NoUpgrade => (StatusCode::UPGRADE_REQUIRED, "a handshake asks for the upgrade to websocket\n"),
            Self::Version => (StatusCode::UPGRADE_REQUIRED, "only version 13 of WebSocket is spoken\n"),
        };
        let mut response = text(status, line);
        if status == StatusCode::UPGRADE_REQUIRED {
            // RFC 9110, section 15.5.22, and RFC 6455, section 4.4.
            let headers = response.headers_mut();
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION));
        }
        response
    }
}

/// Checks the client's handshake (RFC 6455, section 4.2.1) and gives the value of `Sec-WebSocket-Accept`.
///
/// Browsers hold WebSocket to no CORS, so `origins`, as in `http.cors_origins`, are checked here.
fn check(version: Version, headers: &HeaderMap, origins: &[String]) -> Result<HeaderValue, Flaw> {
    if version < Version::HTTP_11 {
        return Err(Flaw::HttpVersion);
    }
    if !has_token(headers, &UPGRADE, "websocket") || !has_token(headers, &CONNECTION, "upgrade") {
        return Err(Flaw::NoUpgrade);
    }
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version.as_bytes() != VERSION.as_bytes()) {
        return Err(Flaw::Version);
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes).filter(|key| is_key(key)).ok_or(Flaw::Key)?;
    if !may_play(headers, origins) {
        return Err(Flaw::Origin);
    }
    HeaderValue::try_from(derive_accept_key(key)).map_err(|_| Flaw::Key)
}

/// Whether the page that asks, if it is one, is of an origin that may play, or of this server's own.
fn may_play(headers: &HeaderMap, origins: &[String]) -> bool {
    let Some(origin) = headers.get(ORIGIN) else { return true };
    let host_of = |origin: &HeaderValue| Some(origin.to_str().ok()?.split_once("://")?.1.to_owned());
    let is_own =
        headers.get(HOST).is_some_and(|host| host_of(origin).is_some_and(|own| own.as_bytes() == host.as_bytes()));
    is_own || origins.iter().any(|allowed| allowed == "*" || allowed.as_bytes() == origin.as_bytes())
}

/// Whether 16 bytes stand here in base64 (RFC 4648, section 4).
fn is_key(key: &[u8]) -> bool {
    let symbol = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    matches!(key.strip_suffix(b"=="), Some(symbols) if symbols.len() == 22 && symbols.iter().all(symbol))
}

/// Whether a header that is a list has `token` in it, in any case.
fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let mut lists = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    lists.any(|list| list.split(',').any(|one| one.trim().eq_ignore_ascii_case(token)))
}

/// Plays until one side has had enough, and says why.
pub(super) async fn play(exchange: &Exchange, upgrade: Upgrade) -> Reason {
    let Upgrade { connection, reader, header, admission, count, asked_at, place: _place } = upgrade;
    // What hyper hands over is what it was given.
    let parts = connection.await.ok().and_then(|upgraded| upgraded.downcast::<TokioIo<Watched<Stream>>>().ok());
    let Some(parts) = parts else { return Reason::PeerLost };
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_message_size(Some(MAX_MESSAGE_BYTES))
        .max_frame_size(Some(MAX_MESSAGE_BYTES));
    let (stream, early) = (parts.io.into_inner(), parts.read_buf.to_vec());
    let socket = WebSocketStream::from_partially_read(stream, early, Role::Server, Some(config)).await;
    exchange.progress.limit(reader.hard_lag());
    let mut player = Player {
        exchange,
        socket,
        reader,
        outbound: Outbound::default(),
        admission,
        asked_at: Some(asked_at),
        sent: exchange.context.metrics.egress_bytes(Protocol::WsFlv),
        count,
    };
    let reason = match player.run(header).await {
        Ok(end) => reason_of(end),
        Err(reason) => reason,
    };
    if let Some(session) = &mut *exchange.session.lock() {
        session.note_delay(player.reader.behind(), player.reader.skipped_packets());
    }
    exchange.leave(reason);
    player.say_goodbye(reason).await;
    reason
}

/// One player on its WebSocket.
struct Player<'a> {
    exchange: &'a Exchange,
    socket: WebSocketStream<Watched<Stream>>,
    reader: Reader,
    outbound: Outbound,
    /// Until when it may play; dropped when it does not any more.
    admission: Admission,
    /// Until there was media: when the stream was asked for.
    asked_at: Option<Instant>,
    sent: Counter,
    count: Count,
}

impl Player<'_> {
    /// Moves blocks from the ring to the socket: one write for who keeps up, many blocks a write for who does not.
    async fn run(&mut self, header: Bytes) -> Result<End, Reason> {
        self.push(header);
        loop {
            self.write().await?;
            tokio::select! {
                biased;
                left = listen(&mut self.socket) => return Err(left),
                () = self.admission.expiry.due() => return Err(Reason::AccessExpired),
                () = self.count.kicked() => return Err(Reason::Kicked),
                wire = poll_fn(|context| self.reader.poll_wire(context)) => match wire {
                    Ok(bytes) => self.push(bytes),
                    Err(end) => return Ok(end),
                },
            }
            while self.outbound.has_room() {
                match poll_fn(|context| Poll::Ready(self.reader.poll_wire(context))).await {
                    Poll::Ready(Ok(bytes)) => self.push(bytes),
                    // An end comes again when it is asked for again.
                    Poll::Ready(Err(_)) | Poll::Pending => break,
                }
            }
            if let Some(asked_at) = self.asked_at.take() {
                self.exchange.note_first_frame(asked_at.elapsed());
            }
        }
    }

    /// Takes `payload` as the next message. A server's frames are not masked (RFC 6455, section 5.1).
    fn push(&mut self, payload: Bytes) {
        let header = FrameHeader { opcode: OpCode::Data(Data::Binary), ..FrameHeader::default() };
        let mut head = Vec::with_capacity(header.len(payload.len() as u64));
        // A vector takes everything.
        let _ = header.format(payload.len() as u64, &mut head);
        self.outbound.push(head.into());
        self.outbound.push(payload);
    }

    /// Writes the batch, which the client has to take within the hard lag.
    ///
    /// Nothing is read meanwhile: an answer to it might come to stand in the middle of a frame.
    async fn write(&mut self) -> Result<(), Reason> {
        self.exchange.progress.advance();
        self.sent.inc_by(self.outbound.bytes() as u64);
        self.count.sent(self.outbound.bytes() as u64);
        let Self { socket, outbound, count, .. } = self;
        // A pong that is half out goes first.
        let write = async {
            poll_fn(|context| Pin::new(&mut *socket).poll_flush(context)).await?;
            poll_fn(|context| outbound.poll_write(socket.get_mut(), context)).await.map_err(Error::Io)
        };
        let written = tokio::select! {
            biased;
            written = write => written,
            () = count.kicked() => return Err(Reason::Kicked),
        };
        written.map_err(|error| {
            tracing::debug!(%error, "the player takes nothing");
            if self.exchange.progress.has_stalled() { Reason::SlowPlayer } else { Reason::PeerLost }
        })
    }

    /// Closes as `reason` demands and waits for the client to have heard it.
    async fn say_goodbye(&mut self, reason: Reason) {
        let (code, text) = match reason {
            Reason::PeerLost | Reason::SlowPlayer => return,
            // Behind a part of a frame nothing else can be said.
            Reason::Kicked if !self.outbound.is_empty() => return,
            Reason::Kicked => (CloseCode::Policy, reason.label()),
            Reason::StreamEnded | Reason::TracksChanged => (CloseCode::Normal, reason.label()),
            Reason::Shutdown | Reason::Drained => (CloseCode::Away, reason.label()),
            Reason::AccessExpired => (CloseCode::Policy, reason.label()),
            Reason::MessageTooLarge => (CloseCode::Size, reason.label()),
            Reason::ProtocolViolation => (CloseCode::Protocol, reason.label()),
            // The client has closed; this only sends what answers it.
            _ => (CloseCode::Normal, ""),
        };
        let goodbye = async {
            // Refused where a closing frame went before.
            let _ = self.socket.close(Some(CloseFrame { code, reason: text.into() })).await;
            while let Some(Ok(_)) = self.socket.next().await {}
            let stream = self.socket.get_mut();
            if stream.shutdown().await.is_ok() {
                // A socket that is closed while bytes of the peer are unread resets the connection.
                while scratch::read(stream, |_| {}).await.is_ok_and(|count| count > 0) {}
            }
        };
        // Who does not close in time is closed upon.
        let _ = timeout(FAREWELL_TIMEOUT, goodbye).await;
    }
}

/// Takes what the client says, of which only its leaving matters, and answers its pings.
async fn listen(socket: &mut WebSocketStream<Watched<Stream>>) -> Reason {
    loop {
        match socket.next().await {
            None => return Reason::PeerClosed,
            Some(Ok(message)) if message.is_close() => return Reason::PeerClosed,
            Some(Ok(_)) => {}
            Some(Err(Error::Capacity(_))) => return Reason::MessageTooLarge,
            Some(Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake))) => return Reason::PeerClosed,
            Some(Err(Error::Io(_))) => return Reason::PeerLost,
            Some(Err(error)) => {
                tracing::debug!(%error, "the player broke the protocol");
                return Reason::ProtocolViolation;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The handshake of RFC 6455, section 1.3.
    fn handshake() -> HeaderMap {
        let fields = [
            (HOST, "server.example"),
            (UPGRADE, "websocket"),
            (CONNECTION, "keep-alive, Upgrade"),
            (SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ=="),
            (ORIGIN, "http://example.com"),
            (SEC_WEBSOCKET_VERSION, "13"),
        ];
        fields.into_iter().map(|(name, value)| (name, HeaderValue::from_static(value))).collect()
    }

    fn with(name: HeaderName, value: &'static str) -> HeaderMap {
        let mut headers = handshake();
        headers.insert(name, HeaderValue::from_static(value));
        headers
    }

    fn check_of_anybody(headers: &HeaderMap) -> Result<HeaderValue, Flaw> {
        check(Version::HTTP_11, headers, &["*".to_owned()])
    }

    #[test]
    fn the_sample_handshake_is_accepted_with_the_sample_key() {
        assert!(is_wanted(&handshake()));
        assert_eq!(check_of_anybody(&handshake()).unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn tokens_count_in_any_case_and_place() {
        let mut headers = with(UPGRADE, "WebSocket");
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        headers.append(CONNECTION, HeaderValue::from_static("UPGRADE ,x"));
        assert!(check_of_anybody(&headers).is_ok());
    }

    #[test]
    fn a_flawed_handshake_is_still_one_and_refused_with_its_flaw() {
        for (headers, flaw) in [
            (with(UPGRADE, "h2c"), Flaw::NoUpgrade),
            (with(CONNECTION, "keep-alive"), Flaw::NoUpgrade),
            (with(SEC_WEBSOCKET_VERSION, "8"), Flaw::Version),
            (with(SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ"), Flaw::Key),
            (with(SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZSE="), Flaw::Key),
            (with(SEC_WEBSOCKET_KEY, ""), Flaw::Key),
        ] {
            assert!(is_wanted(&headers));
            assert_eq!(check_of_anybody(&headers), Err(flaw), "{headers:?}");
        }
        assert_eq!(check(Version::HTTP_10, &handshake(), &[]), Err(Flaw::HttpVersion));
    }

    #[test]
    fn a_request_without_a_sign_of_websocket_is_none() {
        let mut headers = with(UPGRADE, "h2c");
        headers.remove(SEC_WEBSOCKET_KEY);
        assert!(!is_wanted(&headers));
    }

    #[test]
    fn pages_play_if_their_origin_may_or_is_the_server_itself() {
        let origins = ["https://player.example".to_owned()];
        let check = |headers: &HeaderMap| check(Version::HTTP_11, headers, &origins).map(drop);
        assert_eq!(check(&handshake()), Err(Flaw::Origin));
        assert_eq!(check(&with(ORIGIN, "null")), Err(Flaw::Origin));
        assert_eq!(check(&with(ORIGIN, "https://player.example")), Ok(()));
        assert_eq!(check(&with(ORIGIN, "http://server.example")), Ok(()));
        let mut no_page = handshake();
        no_page.remove(ORIGIN);
        assert_eq!(check(&no_page), Ok(()));
    }
}
