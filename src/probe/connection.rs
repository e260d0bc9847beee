//! One connection that plays, over RTMP or HTTP.

use std::io;
use std::path::Path;

use bytes::Bytes;
use http::header::{HOST, USER_AGENT};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio_util::task::AbortOnDropHandle;
use url::{Position, Url};

use crate::media::Tag;
use crate::media::flv::FlvReader;
use crate::net::dial::{Transport, dial};
use crate::net::scratch;
use crate::net::stream::Stream;
use crate::rtmp::url::RtmpUrl;
use crate::rtmp::{ClientEvent, ClientSession, ClientSettings, Goal};

use super::{ProbeError, ProbeUrl};

/// The size in bytes of the chunks sent: a few commands.
const CHUNK_SIZE: u32 = 128;

/// A connection that has asked for the stream.
pub(super) enum Connection {
    Rtmp(Box<Rtmp>),
    Http(Box<Http>),
}

impl Connection {
    pub(super) async fn open(url: &ProbeUrl, ca_file: Option<&Path>) -> Result<Self, ProbeError> {
        Ok(match url {
            ProbeUrl::Rtmp(url) => Self::Rtmp(Box::new(Rtmp::open(url, ca_file).await?)),
            ProbeUrl::HttpFlv(url) => Self::Http(Box::new(Http::open(url, ca_file).await?)),
        })
    }

    /// Waits for bytes and hands out the tags in them. Dropping the future loses nothing.
    pub(super) async fn read(&mut self, take: impl FnMut(Tag)) -> Result<(), ProbeError> {
        match self {
            Self::Rtmp(rtmp) => rtmp.read(take).await,
            Self::Http(http) => http.read(take).await,
        }
    }
}

/// A player over RTMP.
pub(super) struct Rtmp {
    stream: Stream,
    client: ClientSession,
    /// What is to be sent, and has not been.
    unsent: Bytes,
}

impl Rtmp {
    async fn open(url: &RtmpUrl, ca_file: Option<&Path>) -> Result<Self, ProbeError> {
        let stream = dial(&url.host, url.port, Transport::of(url.tls, ca_file)).await?;
        let client = ClientSession::new(ClientSettings {
            tc_url: url.tc_url(),
            app: url.app.clone(),
            goal: Goal::Play { name: url.stream.clone() },
            mark: None,
            chunk_size: CHUNK_SIZE,
            four_cc: true,
            reconnects: false,
        })
        .map_err(invalid)?;
        Ok(Self { stream, client, unsent: Bytes::new() })
    }

    async fn read(&mut self, take: impl FnMut(Tag)) -> Result<(), ProbeError> {
        self.flush().await?;
        let Self { stream, client, .. } = self;
        let mut fed = Ok(());
        if scratch::read(stream, |bytes| fed = client.feed(bytes)).await? == 0 {
            return Err(ProbeError::Ended);
        }
        // What was said before a mistake counts.
        self.handle_events(take)?;
        fed.map_err(invalid)
    }

    fn handle_events(&mut self, mut take: impl FnMut(Tag)) -> Result<(), ProbeError> {
        while let Some(event) = self.client.next_event() {
            match event {
                ClientEvent::Media(tag) => take(tag),
                ClientEvent::Refused { code, description, .. } => {
                    return Err(ProbeError::Refused(format!("{code} {description}").trim_end().to_owned()));
                }
                ClientEvent::Ended { .. } => return Err(ProbeError::Ended),
                ClientEvent::Connected { .. }
                | ClientEvent::Started { .. }
                | ClientEvent::ReconnectRequested { .. }
                | ClientEvent::Pong(_)
                | ClientEvent::Answered { .. } => {}
            }
        }
        Ok(())
    }

    /// Sends what is to be sent: little, and therefore before the next read.
    async fn flush(&mut self) -> Result<(), ProbeError> {
        loop {
            if self.unsent.is_empty() {
                self.unsent = self.client.take_output();
            }
            if self.unsent.is_empty() {
                return Ok(self.stream.flush().await?);
            }
            // Takes out of the buffer exactly what was written.
            self.stream.write_buf(&mut self.unsent).await?;
        }
    }
}

/// A player over HTTP.
pub(super) struct Http {
    body: Incoming,
    reader: FlvReader,
    /// Moves the bytes.
    _driver: AbortOnDropHandle<()>,
}

impl Http {
    async fn open(url: &Url, ca_file: Option<&Path>) -> Result<Self, ProbeError> {
        let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let transport = Transport::of(url.scheme() == "https", ca_file);
        let stream = dial(host, url.port_or_known_default().unwrap_or_default(), transport).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(invalid)?;
        // How the connection ends, answer and body tell.
        let driver = AbortOnDropHandle::new(tokio::spawn(async move { drop(connection.await) }));
        let request = Request::get(&url[Position::BeforePath..Position::AfterQuery])
            .header(HOST, &url[Position::BeforeHost..Position::AfterPort])
            .header(USER_AGENT, concat!("Rillcast/", env!("CARGO_PKG_VERSION")))
            .body(Empty::<Bytes>::new())
            .map_err(invalid)?;
        let answer = sender.send_request(request).await.map_err(broken)?;
        match answer.status() {
            StatusCode::OK => Ok(Self { body: answer.into_body(), reader: FlvReader::default(), _driver: driver }),
            status => Err(ProbeError::Refused(status.to_string())),
        }
    }

    async fn read(&mut self, mut take: impl FnMut(Tag)) -> Result<(), ProbeError> {
        match self.body.frame().await {
            None => Err(ProbeError::Ended),
            Some(Err(error)) if error.is_incomplete_message() => Err(ProbeError::Ended),
            Some(Err(error)) => Err(broken(error)),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    self.reader.feed(&data);
                    while let Some(tag) = self.reader.next_tag()? {
                        take(tag);
                    }
                }
                Ok(())
            }
        }
    }
}

fn invalid(error: impl std::fmt::Display) -> ProbeError {
    ProbeError::Invalid(error.to_string())
}

/// What a failed exchange over HTTP means: a connection that breaks is no bad answer.
fn broken(error: hyper::Error) -> ProbeError {
    let cause = std::error::Error::source(&error).and_then(|cause| cause.downcast_ref::<io::Error>());
    cause.map(|cause| io::Error::new(cause.kind(), cause.to_string()).into()).unwrap_or_else(|| invalid(error))
}

#[cfg(test)]
mod tests {
    use socket2::SockRef;
    use std::time::Duration;
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_connection_that_is_reset_is_no_bad_answer() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/live/x.flv", listener.local_addr().unwrap()).parse().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            assert_ne!(stream.read(&mut [0; 1024]).await.unwrap(), 0);
            stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await.unwrap();
            // What is closed then is reset.
            SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        });
        let play = async { Http::open(&url, None).await?.read(|_| ()).await };
        let error = play.await.unwrap_err();
        server.await.unwrap();
        assert!(matches!(error, ProbeError::Io(_)), "{error}");
    }
}
