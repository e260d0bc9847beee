//! What the crate `jsonwebtoken` computes with: verification by ring, and nothing else.

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind, new_error};
use jsonwebtoken::signature::{self, Verifier};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, EncodingKey};
use ring::hmac;
use ring::signature::{ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

static PROVIDER: CryptoProvider =
    CryptoProvider { signer_factory: signer, verifier_factory: verifier, key_utils: KeyUtils::new_unimplemented() };

/// Has the crate use it. Every call but the first does nothing.
pub(super) fn install() {
    let _ = PROVIDER.install_default();
}

/// Nothing is signed here.
fn signer(_: &Algorithm, _: &EncodingKey) -> Result<Box<dyn JwtSigner>, Error> {
    Err(new_error(ErrorKind::InvalidAlgorithm))
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    let (family, key_bytes) = (key.family(), key.try_get_as_bytes()?);
    let kind = match (algorithm, family) {
        (Algorithm::HS256, AlgorithmFamily::Hmac) => VerifierKind::Secret(hmac::Key::new(hmac::HMAC_SHA256, key_bytes)),
        (Algorithm::RS256, AlgorithmFamily::Rsa) => {
            VerifierKind::Public(UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key_bytes.to_vec()))
        }
        (Algorithm::ES256, AlgorithmFamily::Ec) => {
            VerifierKind::Public(UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key_bytes.to_vec()))
        }
        _ => return Err(new_error(ErrorKind::InvalidAlgorithm)),
    };
    Ok(Box::new(RingVerifier { algorithm: *algorithm, kind }))
}

struct RingVerifier {
    algorithm: Algorithm,
    kind: VerifierKind,
}

enum VerifierKind {
    Secret(hmac::Key),
    Public(UnparsedPublicKey<Vec<u8>>),
}

impl Verifier<Vec<u8>> for RingVerifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        let verified = match &self.kind {
            VerifierKind::Secret(key) => hmac::verify(key, message, signature),
            VerifierKind::Public(key) => key.verify(message, signature),
        };
        verified.map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for RingVerifier {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}
