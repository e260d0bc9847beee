//! The client's side: whom an upstream has to prove to be.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, TlsStream};

use crate::config::{CertificateError, load_certificates};
use crate::net::stream::Stream;

/// Why nobody could prove to be anybody.
#[derive(Debug, thiserror::Error)]
pub enum ClientTlsError {
    /// The file of authorities cannot be used.
    #[error(transparent)]
    File(#[from] CertificateError),
    /// A certificate in it is none of an authority.
    #[error("{}: holds what is no certificate of an authority: {error}", path.display())]
    Authority {
        /// The file.
        path: PathBuf,
        /// What rustls says about it.
        error: rustls::Error,
    },
    /// The system knows no authority.
    #[error("this system has no certificates of authorities: install them, or name a file")]
    NoAuthorities,
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
        let mut roots = RootCertStore::empty();
        match ca_file {
            Some(path) => {
                for certificate in load_certificates(path)? {
                    roots
                        .add(certificate)
                        .map_err(|error| ClientTlsError::Authority { path: path.to_owned(), error })?;
                }
            }
            None => {
                // Among the system's there may be some that rustls cannot use.
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                if roots.is_empty() {
                    return Err(ClientTlsError::NoAuthorities);
                }
            }
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
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
