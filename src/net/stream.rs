//! A connection as sessions see it: bytes both ways, over TCP as they are or over TLS.
//!
//! Owns the difference. Sessions of clients and of upstreams read and write it and need not know; over plain TCP it adds
//! one branch to what the socket does, and readiness of the socket is all there is to know. TLS keeps bytes of its own
//! in both directions, so what looks past it at the socket is only for plain TCP.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

use super::{scratch, socket};

/// A connection.
#[derive(Debug)]
pub enum Stream {
    /// TCP and nothing else.
    Plain(TcpStream),
    /// TLS on TCP, after its handshake.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// The socket below, to be set up and not to be read or written.
    pub fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }

    /// Whether nobody on the way can read it.
    pub const fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// The protocol that both sides have agreed upon by ALPN, if they have.
    pub fn agreed_protocol(&self) -> Option<&[u8]> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(stream) => stream.get_ref().1.alpn_protocol(),
        }
    }

    /// Whether what comes in may wait in the socket until [`read_waiting`](Self::read_waiting) takes it. Over TLS it cannot,
    /// and is read as it comes.
    pub fn let_input_wait(&self, may_wait: bool) {
        if let Self::Plain(stream) = self {
            // If the socket cannot, it is read as its bytes come.
            let _ = socket::let_input_wait(stream, may_wait);
        }
    }

    /// Reads what waits in the socket, as [`scratch::read_waiting`] does. Over TLS nothing waits there for long.
    pub fn read_waiting(&self, take: impl FnOnce(&[u8])) -> io::Result<Option<usize>> {
        match self {
            Self::Plain(stream) => scratch::read_waiting(stream, take),
            Self::Tls(_) => Ok(None),
        }
    }

    /// Whether written bytes are held back that a flush would send.
    pub fn has_unsent(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(stream) => stream.get_ref().1.wants_write(),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => match Pin::new(&mut **stream).poll_read(context, buffer) {
                // Many a client closes without the goodbye of TLS. What is sent here tells its own end.
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(())),
                read => read,
            },
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_shutdown(context),
        }
    }
}
