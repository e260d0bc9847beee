//! Certificates for TLS: where a pair of certificate and key lies, and what the files hold.
//!
//! Owns the text of a pair, `"DIRECTORY"` or `{ cert_file = "...", key_file = "..." }`, and reading it as rustls wants
//! it. Configurations are checked with it, and `net::tls` reads the same files again when they change. A key is in
//! memory as long as it is in use, and no message ever shows any of it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::config::{Value, ValueKind};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::files::read_regular;
use super::form::{Form, Shape, quoted};
use super::mistake::Mistake;
use super::section::known_table;

/// What the files are called in a directory: as Kubernetes mounts a Secret of the type `kubernetes.io/tls`.
const CERT_NAME: &str = "tls.crt";
const KEY_NAME: &str = "tls.key";
/// The longest file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Where a certificate and its key lie, both in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificatePair {
    /// The certificate, and behind it those that lead to one that clients know.
    pub cert_file: PathBuf,
    /// The key: PKCS #8, PKCS #1 or SEC1.
    pub key_file: PathBuf,
}

/// A certificate with its key, ready for use.
#[derive(Clone)]
pub struct LoadedCertificate {
    /// What rustls presents.
    pub key: Arc<CertifiedKey>,
    /// The names that it is for, in lower case; one may begin with `*.`.
    pub names: Vec<String>,
    /// When it begins to hold, in seconds since 1970.
    pub not_before: i64,
    /// When it expires, in seconds since 1970.
    pub not_after: i64,
    /// What tells the content of the files from any other.
    pub digest: [u8; 32],
}

/// Why two files make no certificate. The text names the file.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("{}: cannot be read: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{}: {what}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Each is good, and they do not belong together.
    #[error("{}: is not the key of the certificate in {}", key.display(), cert.display())]
    Mismatch {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
}

impl CertificatePair {
    /// The pair in a directory.
    pub fn in_directory(directory: &Path) -> Self {
        Self { cert_file: directory.join(CERT_NAME), key_file: directory.join(KEY_NAME) }
    }

    /// What tells the content of the files from any other, without looking into them.
    ///
    /// # Errors
    ///
    /// Where one of them cannot be read.
    pub fn digest(&self) -> Result<[u8; 32], CertificateError> {
        Ok(digest(&read(&self.cert_file)?, &read(&self.key_file)?))
    }

    /// Reads the files.
    ///
    /// # Errors
    ///
    /// Where they cannot be read, hold something else, or do not belong together.
    pub fn load(&self) -> Result<LoadedCertificate, CertificateError> {
        let (cert, key) = (read(&self.cert_file)?, read(&self.key_file)?);
        let chain = certificates(&self.cert_file, &cert)?;
        let (names, not_before, not_after) = describe(&chain[0]).map_err(|what| self.bad_cert(&what))?;
        // No text of a parser that has seen the key goes anywhere.
        let parsed = PrivateKeyDer::from_pem_slice(&key)
            .map_err(|_| content(&self.key_file, "holds no private key in PEM (PKCS #8, PKCS #1 or SEC1)"))?;
        let certified =
            CertifiedKey::from_der(chain, parsed, &ring::default_provider()).map_err(|error| match error {
                rustls::Error::InconsistentKeys(_) => {
                    CertificateError::Mismatch { cert: self.cert_file.clone(), key: self.key_file.clone() }
                }
                rustls::Error::InvalidCertificate(error) => self.bad_cert(&format!("{error:?}")),
                _ => content(
                    &self.key_file,
                    "holds a key that is of no use: RSA (2048 to 8192 bits), P-256, P-384 or Ed25519",
                ),
            })?;
        Ok(LoadedCertificate { key: Arc::new(certified), names, not_before, not_after, digest: digest(&cert, &key) })
    }

    fn bad_cert(&self, what: &str) -> CertificateError {
        content(&self.cert_file, &format!("its first certificate is of no use: {what}"))
    }
}

/// Reads the certificates of a file, of which there is at least one: those that are trusted, or a chain.
///
/// # Errors
///
/// Where it cannot be read, or holds none.
pub(super) fn load_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    certificates(path, &read(path)?)
}

fn certificates(path: &Path, bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    match found {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        _ => Err(content(path, "holds no certificate in PEM")),
    }
}

fn content(path: &Path, what: &str) -> CertificateError {
    CertificateError::Content { path: path.to_owned(), what: what.to_owned() }
}

fn read(path: &Path) -> Result<Vec<u8>, CertificateError> {
    read_regular(path, MAX_FILE_BYTES).map_err(|error| CertificateError::Io { path: path.to_owned(), error })
}

fn digest(cert: &[u8], key: &[u8]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update((cert.len() as u64).to_be_bytes());
    hasher.update(cert);
    hasher.update(key);
    hasher.finalize().into()
}

/// The names of a certificate, and from when to when it holds.
fn describe(certificate: &CertificateDer<'_>) -> Result<(Vec<String>, i64, i64), String> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|error| error.to_string())?;
    let mut names = Vec::new();
    if let Ok(Some(extension)) = parsed.subject_alternative_name() {
        for name in &extension.value.general_names {
            if let GeneralName::DNSName(name) = name {
                names.push(name.to_ascii_lowercase());
            }
        }
    }
    let validity = parsed.validity();
    Ok((names, validity.not_before.timestamp(), validity.not_after.timestamp()))
}

impl LoadedCertificate {
    /// Whether it is for a name, in lower case.
    pub fn is_for(&self, name: &str) -> bool {
        // A star stands for one label (RFC 9525, section 6.3).
        let parent = name.split_once('.').map(|(_, parent)| parent);
        self.names.iter().any(|known| match known.strip_prefix("*.") {
            Some(rest) => parent == Some(rest),
            None => known == name,
        })
    }
}

impl fmt::Debug for LoadedCertificate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { names, not_before, not_after, .. } = self;
        formatter
            .debug_struct("LoadedCertificate")
            .field("names", names)
            .field("not_before", not_before)
            .field("not_after", not_after)
            .finish_non_exhaustive()
    }
}

/// Whether a text is what a file should hold, so no path, and not to be repeated.
fn is_pem(text: &str) -> bool {
    text.contains("-----BEGIN") || text.contains('\n')
}

/// The form of a pair.
pub(super) struct Pair;

impl Form<CertificatePair> for Pair {
    const SHAPE: Shape = Shape::Text;

    fn read(value: &Value, key: &str, mistakes: &mut Vec<Mistake>) -> Option<CertificatePair> {
        const EXPECTED: &str =
            "a directory that holds tls.crt and tls.key, or { cert_file = \"...\", key_file = \"...\" }";
        match &value.kind {
            ValueKind::String(text) if is_pem(text) => {
                mistakes.push(Mistake::at(value, key, format!("expected {EXPECTED}, found what belongs into them")));
                None
            }
            ValueKind::String(directory) if !directory.is_empty() => {
                Some(CertificatePair::in_directory(Path::new(directory)))
            }
            ValueKind::Table(_) => {
                let table = known_table(value, key, ["cert_file", "key_file"].into_iter(), mistakes)?;
                let mut path = |name: &str| match table.get(name).map(|value| &value.kind) {
                    Some(ValueKind::String(path)) if !path.is_empty() && !is_pem(path) => Some(PathBuf::from(path)),
                    _ => {
                        let at = table.get(name).unwrap_or(value);
                        mistakes.push(Mistake::at(
                            at,
                            &format!("{key}.{name}"),
                            "expected the path of a file".to_owned(),
                        ));
                        None
                    }
                };
                let (cert_file, key_file) = (path("cert_file"), path("key_file"));
                Some(CertificatePair { cert_file: cert_file?, key_file: key_file? })
            }
            _ => {
                mistakes.push(Mistake::unexpected(value, key, &EXPECTED));
                None
            }
        }
    }

    fn write(pair: &CertificatePair) -> String {
        match pair.cert_file.parent() {
            Some(directory) if *pair == CertificatePair::in_directory(directory) => quoted(&directory.display()),
            _ => format!(
                "{{ cert_file = {}, key_file = {} }}",
                quoted(&pair.cert_file.display()),
                quoted(&pair.key_file.display())
            ),
        }
    }
}

#[cfg(test)]
mod tests;
