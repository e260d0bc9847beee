//! An authority of a test's own, and the certificates that it signs.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;

/// An authority that nobody knows but who is given its file.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: TempDir,
}

impl Authority {
    /// A new one.
    pub fn new() -> Self {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.distinguished_name.push(rcgen::DnType::CommonName, "a test's own authority");
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(parameters, key).expect("a certificate");
        let directory = tempfile::tempdir().expect("a temporary directory");
        fs::write(directory.path().join("ca.pem"), issuer.pem()).expect("ca.pem is written");
        Self { issuer, directory }
    }

    /// The authority's own certificate.
    pub fn file(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// A directory with a certificate for these names or addresses, and its key.
    pub fn certificate(&self, names: &[&str]) -> PathBuf {
        let path = self.directory.path().join(names[0].replace('*', "any"));
        fs::create_dir_all(&path).expect("a directory");
        self.write(names, &path);
        path
    }

    /// Puts a new certificate with a new key into a directory, in the place of what is there.
    pub fn write(&self, names: &[&str], directory: &Path) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate().expect("a key");
        let parameters = CertificateParams::new(names).expect("names");
        let certificate = parameters.signed_by(&key, &self.issuer).expect("a certificate");
        fs::write(directory.join("tls.crt"), certificate.pem()).expect("tls.crt is written");
        fs::write(directory.join("tls.key"), key.serialize_pem()).expect("tls.key is written");
    }
}
