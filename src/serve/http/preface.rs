//! Which HTTP a connection speaks: what the handshake of TLS has settled, or told from its first bytes without taking them.

use std::io;

use tokio::net::TcpStream;

use crate::net::peek;
use crate::net::stream::Stream;

/// The method that no HTTP/1 request has, and with which every HTTP/2 connection begins (RFC 9113, 3.4 and 11.6).
const HTTP2_BEGINS: [u8; 4] = *b"PRI ";

/// A version of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// HTTP/1.0 or HTTP/1.1, or what is no HTTP at all.
    One,
    /// HTTP/2 with prior knowledge.
    Two,
}

/// The version; waits for the first bytes where only they tell it. `None` if there are none: the peer has closed.
pub(super) async fn version(stream: &Stream) -> io::Result<Option<Version>> {
    match stream {
        Stream::Plain(stream) => first_bytes(stream).await,
        // Without ALPN it is what every client of HTTPS speaks (RFC 9113, section 3.2).
        Stream::Tls(_) if stream.agreed_protocol() == Some(b"h2") => Ok(Some(Version::Two)),
        Stream::Tls(_) => Ok(Some(Version::One)),
    }
}

/// Waits for the first bytes, which stay where they are. Those that could become either are waited for all at once.
async fn first_bytes(stream: &TcpStream) -> io::Result<Option<Version>> {
    let mut start = [0; HTTP2_BEGINS.len()];
    let mut least = 1;
    loop {
        let count = peek::at_least(stream, &mut start, least).await?;
        match &start[..count] {
            [] => return Ok(None),
            begun if begun == HTTP2_BEGINS => return Ok(Some(Version::Two)),
            // One that has closed says no more.
            begun if count < least || !HTTP2_BEGINS.starts_with(begun) => return Ok(Some(Version::One)),
            _ => least = HTTP2_BEGINS.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (client, listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn the_version_is_told_and_no_byte_is_lost() {
        for (sent, expected) in [
            (&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], Version::Two),
            (b"GET / HTTP/1.1\r\n\r\n", Version::One),
            (b"PUT / HTTP/1.1\r\n\r\n", Version::One),
            (b"PRO", Version::One),
            (b"\x16\x03\x01", Version::One),
        ] {
            let (mut client, mut server) = pair().await;
            client.write_all(sent).await.unwrap();
            assert_eq!(first_bytes(&server).await.unwrap(), Some(expected));
            let mut read = vec![0; sent.len()];
            server.read_exact(&mut read).await.unwrap();
            assert_eq!(read, sent);
        }
    }

    #[tokio::test]
    async fn a_preface_that_comes_byte_by_byte_is_waited_for() {
        let (mut client, server) = pair().await;
        client.set_nodelay(true).unwrap();
        let told = tokio::spawn(async move { first_bytes(&server).await.unwrap() });
        for byte in HTTP2_BEGINS {
            client.write_all(&[byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        assert_eq!(told.await.unwrap(), Some(Version::Two));
    }

    #[tokio::test]
    async fn what_could_have_become_either_and_was_closed_is_no_http_2() {
        let (mut client, server) = pair().await;
        client.write_all(b"PR").await.unwrap();
        drop(client);
        assert_eq!(first_bytes(&server).await.unwrap(), Some(Version::One));
    }

    #[tokio::test]
    async fn a_connection_that_is_closed_before_it_said_anything_has_none() {
        let (client, server) = pair().await;
        drop(client);
        assert_eq!(first_bytes(&server).await.unwrap(), None);
    }
}
