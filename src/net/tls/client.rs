//! The client's side: whom an upstream has to prove to be.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, TlsStream};

use crate::config::{AuthoritiesError, load_authorities};
use crate::net::stream::Stream;

/// Why nobody could prove to be anybody.
#[derive(Debug, thiserror::Error)]
pub enum ClientTlsError {
    /// There are no authorities that could be asked.
    #[error(transparent)]
    Authorities(#[from] AuthoritiesError),
    /// TLS cannot be set up.
    #[error(transparent)]
    Setup(#[from] rustls::Error),
}

/// What connections to upstreams over TLS share. Clones do, too.
#[derive(Clone)]
pub struct ClientTls {
    connector: TlsConnector,
}

impl ClientTls {
    /// Believes the authorities in `ca_file`, and no other; without it, those that the system knows.
    ///
    /// # Errors
    ///
    /// Where there are none.
    pub fn new(ca_file: Option<&Path>) -> Result<Self, ClientTlsError> {
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(load_authorities(ca_file)?)
            .with_no_client_auth();
        Ok(Self { connector: TlsConnector::from(Arc::new(config)) })
    }

    /// Whether the other one is a clone of it.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(self.connector.config(), other.connector.config())
    }

    /// Shakes hands with an upstream that has to be `name`. How long that may take is for the caller to say.
    ///
    /// # Errors
    ///
    /// Where it is somebody else, or does not speak TLS.
    pub async fn connect(&self, socket: TcpStream, name: ServerName<'static>) -> io::Result<Stream> {
        let stream = self.connector.connect(name, socket).await?;
        Ok(Stream::Tls(Box::new(TlsStream::Client(stream))))
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ClientTls").finish_non_exhaustive()
    }
}
