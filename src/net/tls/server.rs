//! The server's side: certificates by name, and the handshake.

use std::io;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsStream};

use crate::config::LoadedCertificate;
use crate::net::stream::Stream;

/// What is spoken inside, as far as the handshake has to settle it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alpn {
    /// One protocol, whatever the client names.
    Any,
    /// HTTP/1.1 alone.
    Http1,
    /// HTTP/2, or HTTP/1.1.
    Http,
}

/// The certificates in use, and the settings of all listeners. Clones share them.
#[derive(Clone)]
pub struct ServerTls {
    certificates: Arc<Certificates>,
    any: TlsAcceptor,
    http1: TlsAcceptor,
    http: TlsAcceptor,
}

/// The certificates in use, in the order in which they are configured.
#[derive(Debug, Default)]
pub(super) struct Certificates {
    current: ArcSwap<Vec<LoadedCertificate>>,
}

impl ServerTls {
    /// Presents these certificates, the first one to who names none of them.
    ///
    /// # Errors
    ///
    /// Where the system gives no random bytes for the keys of resumed sessions.
    pub fn new(certificates: Vec<LoadedCertificate>) -> Result<Self, rustls::Error> {
        let certificates = Arc::new(Certificates { current: ArcSwap::from_pointee(certificates) });
        let resumption = ring::Ticketer::new()?;
        let acceptor = |protocols: &[&[u8]]| -> Result<TlsAcceptor, rustls::Error> {
            let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
                .with_safe_default_protocol_versions()?
                .with_no_client_auth()
                .with_cert_resolver(Arc::clone(&certificates) as Arc<dyn ResolvesServerCert>);
            config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
            config.ticketer = Arc::clone(&resumption);
            Ok(TlsAcceptor::from(Arc::new(config)))
        };
        let (any, http1, http) = (acceptor(&[])?, acceptor(&[b"http/1.1"])?, acceptor(&[b"h2", b"http/1.1"])?);
        Ok(Self { certificates, any, http1, http })
    }

    /// Shakes hands with a client. How long that may take is for the caller to say.
    ///
    /// # Errors
    ///
    /// Where the client does not speak TLS, or not as it should, or leaves.
    pub async fn accept(&self, socket: TcpStream, alpn: Alpn) -> io::Result<Stream> {
        let acceptor = match alpn {
            Alpn::Any => &self.any,
            Alpn::Http1 => &self.http1,
            Alpn::Http => &self.http,
        };
        let stream = acceptor.accept(socket).await?;
        Ok(Stream::Tls(Box::new(TlsStream::Server(stream))))
    }

    pub(super) fn current(&self) -> Arc<Vec<LoadedCertificate>> {
        self.certificates.current.load_full()
    }

    /// Presents others from now on. Connections that are there keep what they have.
    pub(super) fn replace(&self, certificates: Vec<LoadedCertificate>) {
        self.certificates.current.store(Arc::new(certificates));
    }
}

impl std::fmt::Debug for ServerTls {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ServerTls").field("certificates", &self.certificates).finish_non_exhaustive()
    }
}

impl Certificates {
    /// The certificate for a name, else the first.
    fn choose(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let current = self.current.load();
        let named = name.map(str::to_ascii_lowercase).and_then(|name| current.iter().find(|one| one.is_for(&name)));
        named.or(current.first()).map(|credentials| Arc::clone(&credentials.key))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.choose(client_hello.server_name())
    }
}
