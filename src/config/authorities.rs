//! The authorities that others prove by who they are: those in a file, or those that the system knows.
//!
//! Owns their reading. Configurations are checked with it, so that what is found valid can start; whoever connects over TLS
//! reads them here as well.

use std::path::{Path, PathBuf};

use rustls::RootCertStore;

use super::certificate::{CertificateError, load_certificates};

/// Why nobody could prove to be anybody.
#[derive(Debug, thiserror::Error)]
pub enum AuthoritiesError {
    /// The file cannot be used.
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
    /// The system knows none.
    #[error("this system has no certificates of authorities: install them, or name a file")]
    None,
}

/// The authorities in `ca_file`, and no other; without it, those that the system knows.
///
/// # Errors
///
/// Where there are none.
pub fn load_authorities(ca_file: Option<&Path>) -> Result<RootCertStore, AuthoritiesError> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = ca_file {
        add_authorities(&mut roots, path)?;
        return Ok(roots);
    }
    // Among the system's there may be some that rustls cannot use.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() { Err(AuthoritiesError::None) } else { Ok(roots) }
}

/// Believes those in a file, too.
///
/// # Errors
///
/// Where there are none in it.
pub fn add_authorities(roots: &mut RootCertStore, path: &Path) -> Result<(), AuthoritiesError> {
    for certificate in load_certificates(path)? {
        let added = roots.add(certificate);
        added.map_err(|error| AuthoritiesError::Authority { path: path.to_owned(), error })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_holds_authorities_or_is_no_use() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.pem");
        assert!(load_authorities(Some(&path)).unwrap_err().to_string().contains("cannot be read"));
        std::fs::write(&path, "nothing").unwrap();
        assert!(load_authorities(Some(&path)).unwrap_err().to_string().contains("holds no certificate"));
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(["a.example".to_owned()]).unwrap().self_signed(&key).unwrap();
        std::fs::write(&path, certificate.pem()).unwrap();
        assert_eq!(load_authorities(Some(&path)).unwrap().len(), 1);
    }
}
