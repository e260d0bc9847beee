//! Public keys in PEM files, which verify JSON Web Tokens.
//!
//! Owns reading them, when the configuration is read: a file that is missing or holds something else is a mistake like any
//! other. Which token a key is good for is the part of `auth`.

use std::fmt;
use std::path::{Path, PathBuf};

use ::config::{Value, ValueKind};
use jsonwebtoken::{Algorithm, DecodingKey};
use sha2::{Digest, Sha256};

use super::files::read_regular;
use super::fingerprint::hexadecimal;
use super::form::{Form, Seal, Shape, quoted};
use super::mistake::Mistake;
use super::secret_file::shown;

/// The longest file that is read, in bytes.
const MAX_BYTES: u64 = 64 << 10;
/// The least bytes of an RSA key of 2,048 bits, and what its encoding adds.
const MIN_RSA_BYTES: usize = 256;
/// The bytes of an uncompressed point on P-256 (SEC 1, section 2.3.3).
const P256_POINT_BYTES: usize = 65;

/// A public key: RSA of at least 2,048 bits, or one on the curve P-256.
#[derive(Clone)]
pub struct PublicKey {
    path: PathBuf,
    pem: Vec<u8>,
    algorithm: Algorithm,
    key: DecodingKey,
}

impl PublicKey {
    /// Reads it from a file.
    ///
    /// # Errors
    ///
    /// What is wrong with the file, to follow its name.
    pub fn read(path: &Path) -> Result<Self, String> {
        let pem = read_regular(path, MAX_BYTES).map_err(|error| format!("cannot be read: {error}"))?;
        let (algorithm, key) = parse(&pem)
            .ok_or("is not the PEM of a public key that verifies RS256 (at least 2,048 bits) or ES256 (P-256)")?;
        Ok(Self { path: path.to_owned(), pem, algorithm, key })
    }

    /// The algorithm that it verifies.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The key itself.
    pub const fn key(&self) -> &DecodingKey {
        &self.key
    }
}

fn parse(pem: &[u8]) -> Option<(Algorithm, DecodingKey)> {
    let bytes_of = |key: &DecodingKey| key.try_get_as_bytes().map_or(0, <[u8]>::len);
    if let Ok(key) = DecodingKey::from_rsa_pem(pem) {
        return (bytes_of(&key) > MIN_RSA_BYTES).then_some((Algorithm::RS256, key));
    }
    let key = DecodingKey::from_ec_pem(pem).ok()?;
    (bytes_of(&key) == P256_POINT_BYTES).then_some((Algorithm::ES256, key))
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path && self.pem == other.pem
    }
}

impl Eq for PublicKey {}

impl fmt::Debug for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("PublicKey").field(&self.path).finish()
    }
}

/// The path of a file that holds a public key.
pub(super) struct PublicKeyFile;

impl Form<PublicKey> for PublicKeyFile {
    const SHAPE: Shape = Shape::Text;
    const NAMES_FILES: bool = true;

    fn read(value: &Value, key: &str, mistakes: &mut Vec<Mistake>) -> Option<PublicKey> {
        let ValueKind::String(path) = &value.kind else {
            mistakes.push(Mistake::unexpected(value, key, &"the path of a PEM file"));
            return None;
        };
        let read = PublicKey::read(Path::new(path));
        read.map_err(|error| mistakes.push(Mistake::at(value, key, format!("{} {error}", shown(Path::new(path)))))).ok()
    }

    fn write(key: &PublicKey) -> String {
        quoted(&key.path.display())
    }

    fn sealed(key: &PublicKey, _: &Seal<'_>) -> String {
        format!("{} {}", Self::write(key), hexadecimal(&Sha256::digest(&key.pem)))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Made by `openssl genrsa 2048 | openssl rsa -pubout` and `openssl ecparam -name prime256v1 -genkey | openssl ec -pubout`.
    pub(in crate::config) const RSA: &str = "-----BEGIN PUBLIC KEY-----\n\
        MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAuRzCEfXKHn1dWpZpkEE2\n\
        wmYHri3UruatteRRby72SinozISuiTWi9ZkK3ohmFsdmHcBuJ8HTc4lrZgVbMZOM\n\
        P8VT338OkGH9GPvAtBYUxeZQb5ix6Kc/LfrYbBS5HKDt3NwO3JgKbkp+QCXdbSWm\n\
        iKyAWFbDTN+VouxtKEF7LDR38mJCx+vIDLLMqIf1c5DIUQbwW6amC/Qn0myBmcWu\n\
        e5jkj00RLSPJ7v4gFCUx4D2X1CnZvJccg2+Q6lAJjAMQeokur/h1o35UfDuMZpAj\n\
        CMxpfPqLX3EzIp0xy08LaHQ4IlWD0TVCfi4U8Pj8k04ju9eFXpaKVGXBFtQhH3Hc\n\
        TwIDAQAB\n\
        -----END PUBLIC KEY-----";
    pub(in crate::config) const EC: &str = "-----BEGIN PUBLIC KEY-----\n\
        MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAENriaAr9MuphREI4lL1PfuBIfKK/b\n\
        cFwvzaSRVLGcnS0DMAc0Lc/aHAUJGcOkwip4PK1akwe9dsoFc14dYCRgZg==\n\
        -----END PUBLIC KEY-----";
    /// The same with `openssl genrsa 1024` and `secp384r1`.
    const SHORT: &str = "-----BEGIN PUBLIC KEY-----\n\
        MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQC4CF8EmS8BE8cJcPwr3714Mime\n\
        2B2w0abjYC0mscHQg+7k0NOdLI/svyh5n6rX8QaUYSPCpRjB+bIwIonRJXoy3FZ4\n\
        IuEMmF/Z0caatXN4l6ZDcVNBPvqCa3xwAHh6UrL4geAQKbWuNs9Efr2cMt930ELc\n\
        OSpHAmrbvJAOvU/6KQIDAQAB\n\
        -----END PUBLIC KEY-----";
    const OTHER_CURVE: &str = "-----BEGIN PUBLIC KEY-----\n\
        MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAE0p0dfRaneLya2A54INtfpoelc1YQp6Yn\n\
        PP+KRkUfr+WwG/gKiaWs7JzWUKijlSwE+ehDXZYo+HfAL9xTqYkTMJAeYhE9ndjN\n\
        TB4ZGq4IZs58R0iW7exJkbk83tN7Z3Hu\n\
        -----END PUBLIC KEY-----";

    fn read(text: &str) -> Result<PublicKey, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key.pem");
        std::fs::write(&path, text).unwrap();
        PublicKey::read(&path)
    }

    #[test]
    fn a_key_tells_the_algorithm_that_it_verifies() {
        assert_eq!(read(RSA).unwrap().algorithm(), Algorithm::RS256);
        assert_eq!(read(EC).unwrap().algorithm(), Algorithm::ES256);
    }

    #[test]
    fn what_is_no_such_key_is_refused() {
        for text in ["", "not a key", SHORT, OTHER_CURVE] {
            assert!(read(text).unwrap_err().starts_with("is not the PEM"), "{text}");
        }
        let missing = PublicKey::read(Path::new("/nonexistent/key.pem")).unwrap_err();
        assert!(missing.starts_with("cannot be read"), "{missing}");
    }

    #[test]
    fn two_keys_are_the_same_if_file_and_content_are() {
        let key = read(RSA).unwrap();
        assert_eq!(key, key.clone());
        assert_ne!(key, PublicKey { pem: EC.into(), ..key.clone() });
    }
}
