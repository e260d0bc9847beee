//! The header of the PROXY protocol, read off a socket before anything else.
//!
//! Owns the reading; what a header says is `proxy_protocol`'s part. Only the header is taken: what follows stays in the
//! socket for whoever comes next, be it TLS or the session. Called for peers that are trusted, and for no other.

use std::io;
use std::net::SocketAddr;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::peek;
use super::proxy_protocol::{HeaderError, MAX_HEADER_BYTES, Preamble, parse};

/// Why there is no header where one has begun.
#[derive(Debug, thiserror::Error)]
pub enum PreambleError {
    /// The connection broke.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is no header.
    #[error(transparent)]
    Header(#[from] HeaderError),
}

/// Takes the header, if there is one, and gives the client that it names. How long that may take is for the caller to
/// say: a peer that is silent is waited for.
///
/// # Errors
///
/// Where what comes begins like a header and is none, or the connection breaks.
pub async fn take(socket: &mut TcpStream) -> Result<Option<SocketAddr>, PreambleError> {
    let mut start = [0; MAX_HEADER_BYTES];
    let mut least = 1;
    loop {
        let count = peek::at_least(socket, &mut start, least).await?;
        match parse(&start[..count])? {
            Preamble::Header { length, client } => {
                // It is there already.
                socket.read_exact(&mut start[..length]).await?;
                return Ok(client);
            }
            Preamble::None => return Ok(None),
            // The peer has closed without a word: that is for the session to say.
            Preamble::Incomplete if count == 0 => return Ok(None),
            // Nor will it say any more.
            Preamble::Incomplete if count < least => return Err(HeaderError::Malformed.into()),
            Preamble::Incomplete => least = count + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        client.set_nodelay(true).unwrap();
        (client, listener.accept().await.unwrap().0)
    }

    const HEADER: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 1935\r\n";

    #[tokio::test]
    async fn a_header_is_taken_and_not_one_byte_more() {
        let (mut proxy, mut server) = pair().await;
        proxy.write_all(&[HEADER, b"GET"].concat()).await.unwrap();
        assert_eq!(take(&mut server).await.unwrap(), Some("192.0.2.7:56324".parse().unwrap()));
        let mut rest = [0; 3];
        server.read_exact(&mut rest).await.unwrap();
        assert_eq!(&rest, b"GET");
    }

    #[tokio::test]
    async fn a_header_that_comes_byte_by_byte_is_waited_for() {
        let (mut proxy, mut server) = pair().await;
        let taken = tokio::spawn(async move { take(&mut server).await.unwrap() });
        for byte in HEADER {
            proxy.write_all(&[*byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        assert_eq!(taken.await.unwrap(), Some("192.0.2.7:56324".parse().unwrap()));
    }

    #[tokio::test]
    async fn who_sends_none_loses_nothing() {
        let (mut client, mut server) = pair().await;
        client.write_all(b"\x03\0\0").await.unwrap();
        assert_eq!(take(&mut server).await.unwrap(), None);
        let mut rest = [0; 3];
        server.read_exact(&mut rest).await.unwrap();
        assert_eq!(&rest, b"\x03\0\0");
    }

    #[tokio::test]
    async fn who_leaves_without_a_word_is_no_error() {
        let (client, mut server) = pair().await;
        drop(client);
        assert_eq!(take(&mut server).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_header_that_is_closed_in_the_middle_is_an_error() {
        let (mut proxy, mut server) = pair().await;
        proxy.write_all(&HEADER[..20]).await.unwrap();
        drop(proxy);
        assert!(matches!(take(&mut server).await, Err(PreambleError::Header(HeaderError::Malformed))));
    }

    #[tokio::test]
    async fn a_bad_header_is_an_error() {
        let (mut proxy, mut server) = pair().await;
        proxy.write_all(b"PROXY TCP4 nobody\r\n").await.unwrap();
        assert!(matches!(take(&mut server).await, Err(PreambleError::Header(HeaderError::Malformed))));
    }
}
