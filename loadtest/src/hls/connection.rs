//! One HTTP/1.1 connection that several viewers share, one request at a time.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use bytes::{Bytes, BytesMut};
use http::Request;
use http::header::{HOST, USER_AGENT};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::timeout;

/// How long a request may take, whatever it is.
const DEADLINE: Duration = Duration::from_secs(15);

/// A connection, opened when it is needed, and again when the server has closed it.
pub(super) struct Connection {
    address: SocketAddr,
    sender: Mutex<Option<SendRequest<Empty<Bytes>>>>,
}

impl Connection {
    pub(super) fn new(address: SocketAddr) -> Self {
        Self { address, sender: Mutex::new(None) }
    }

    /// Fetches a file in the name of a viewer.
    pub(super) async fn get(&self, host: &str, path: &str, viewer: &str) -> anyhow::Result<Bytes> {
        let mut sender = self.sender.lock().await;
        let answer = timeout(DEADLINE, self.exchange(&mut sender, host, path, viewer)).await;
        let answer = answer.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer within {DEADLINE:?}")));
        if answer.is_err() {
            // What is left of the answer is nobody's.
            *sender = None;
        }
        answer.with_context(|| path.to_owned())
    }

    async fn exchange(
        &self,
        sender: &mut Option<SendRequest<Empty<Bytes>>>,
        host: &str,
        path: &str,
        viewer: &str,
    ) -> anyhow::Result<Bytes> {
        let request = || {
            Request::get(path)
                .header(HOST, host)
                .header(USER_AGENT, "rillcast-loadtest")
                .header("x-playback-session-id", viewer)
                .body(Empty::new())
        };
        let open = sender.take().filter(|sender| !sender.is_closed());
        let was_open = open.is_some();
        let mut current = match open {
            Some(open) => open,
            None => self.open().await?,
        };
        let response = match current.send_request(request()?).await {
            // The server may close an idle connection at the very moment at which it is used.
            Err(_) if was_open => {
                current = self.open().await?;
                current.send_request(request()?).await?
            }
            response => response?,
        };
        ensure!(response.status().is_success(), "answered: {}", response.status());
        let mut body = response.into_body();
        let mut bytes = BytesMut::new();
        while let Some(frame) = body.frame().await {
            if let Some(data) = frame?.data_ref() {
                bytes.extend_from_slice(data);
            }
        }
        current.ready().await.ok();
        *sender = Some(current);
        Ok(bytes.freeze())
    }

    async fn open(&self) -> anyhow::Result<SendRequest<Empty<Bytes>>> {
        let stream = TcpStream::connect(self.address).await.context("cannot connect")?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::task::spawn_local(async move {
            // What becomes of it, requests tell.
            let _ = connection.await;
        });
        Ok(sender)
    }
}
