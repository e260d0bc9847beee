//! How files are fetched: the connections behind hyper's pool.
//!
//! Owns nothing but the way to an address. The pool knows origins by their addresses, so what else there is to know of
//! the way to one of them is kept here until it connects.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use dashmap::DashMap;
use futures_util::future::BoxFuture;
use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::time::timeout;
use tower::Service;

use crate::net::stream::Stream;
use crate::pull::dial::{Way, dial};

/// Connects where a URL's authority, an address, says. Clones share what they know.
#[derive(Clone, Default)]
pub(super) struct Connector {
    /// How long the next one may take to connect, the handshake of TLS included.
    connect_timeout: Arc<Mutex<Duration>>,
    /// The ways over TLS.
    ways: Arc<DashMap<SocketAddr, Way>>,
}

impl Connector {
    /// From now on this is how its address is reached, if it is over TLS, and how long connecting may take anywhere.
    pub(super) fn expect(&self, way: &Way, connect_timeout: Duration) {
        *self.connect_timeout.lock() = connect_timeout;
        if way.tls.is_some() {
            self.ways.insert(way.address, way.clone());
        }
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Self::Response>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let Self { connect_timeout, ways } = self.clone();
        Box::pin(async move {
            let authority = uri.authority().map_or("", |authority| authority.as_str());
            let address: SocketAddr = authority.parse().map_err(io::Error::other)?;
            let way = match uri.scheme_str() {
                Some("https") => ways.get(&address).map(|way| way.clone()),
                _ => Some(Way { address, tls: None }),
            };
            let way = way.ok_or_else(|| io::Error::other("nobody has said whom to expect there"))?;
            let limit = *connect_timeout.lock();
            let connected = timeout(limit, dial(&way)).await;
            let stream = connected.map_err(|_| io::ErrorKind::TimedOut)?.map_err(io::Error::other)?;
            Ok(TokioIo::new(stream))
        })
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use crate::net::tls::ClientTls;

    use super::*;

    /// A way over TLS to somebody who never says anything.
    fn way_to(silent: &TcpListener) -> Way {
        let directory = tempfile::tempdir().unwrap();
        let ca_file = directory.path().join("ca.pem");
        let key = rcgen::KeyPair::generate().unwrap();
        let authority = rcgen::CertificateParams::new(["a.example".to_owned()]).unwrap().self_signed(&key).unwrap();
        std::fs::write(&ca_file, authority.pem()).unwrap();
        let tls = ClientTls::new(Some(&ca_file)).unwrap();
        Way { address: silent.local_addr().unwrap(), tls: Some((tls, "a.example".try_into().unwrap())) }
    }

    #[tokio::test]
    async fn connecting_may_take_as_long_as_was_said_last() {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let way = way_to(&silent);
        let mut connector = Connector::default();
        connector.expect(&way, Duration::from_secs(3_600));
        connector.expect(&way, Duration::from_millis(1));
        let error = connector.call(format!("https://{}/", way.address).parse().unwrap()).await.map(drop).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
