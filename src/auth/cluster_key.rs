//! The key that the servers of one cluster share, and nobody else has.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::config::Secret;

/// The bytes of an HMAC-SHA256 (RFC 2104, RFC 6234).
pub(super) const MAC_BYTES: usize = 32;

/// `cluster.key`, ready to sign with. It is never shown and never leaves the process.
#[derive(Clone)]
pub struct ClusterKey(Hmac<Sha256>);

impl ClusterKey {
    /// The key that `secret` is, byte for byte as configured.
    #[expect(clippy::expect_used, reason = "no key is too long or too short for HMAC (RFC 2104, section 3)")]
    pub fn new(secret: &Secret) -> Self {
        Self(Hmac::new_from_slice(secret.reveal().as_bytes()).expect("HMAC takes a key of any length"))
    }

    /// The HMAC-SHA256 of `text`.
    pub(super) fn sign(&self, text: &str) -> [u8; MAC_BYTES] {
        self.over(text).finalize().into_bytes().into()
    }

    /// Whether `mac` is the HMAC-SHA256 of `text`. Takes as long for every wrong one.
    pub(super) fn verifies(&self, text: &str, mac: &[u8; MAC_BYTES]) -> bool {
        self.over(text).verify_slice(mac).is_ok()
    }

    fn over(&self, text: &str) -> Hmac<Sha256> {
        self.0.clone().chain_update(text)
    }
}

impl fmt::Debug for ClusterKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ClusterKey(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_signs_as_the_specification_does() {
        // RFC 4231, test case 2.
        let mac = ClusterKey::new(&Secret::new("Jefe")).sign("what do ya want for nothing?");
        let hex: String = mac.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    #[test]
    fn it_verifies_what_it_signed_and_nothing_else() {
        let [key, other] = ["one key of a cluster", "another key"].map(|text| ClusterKey::new(&Secret::new(text)));
        let mac = key.sign("text");
        assert!(key.verifies("text", &mac));
        assert!(!key.verifies("texts", &mac));
        assert!(!other.verifies("text", &mac));
        for bit in 0..MAC_BYTES * 8 {
            let mut changed = mac;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(!key.verifies("text", &changed), "bit {bit}");
        }
    }

    #[test]
    fn it_is_never_shown() {
        assert_eq!(format!("{:?}", ClusterKey::new(&Secret::new("a key"))), "ClusterKey(***)");
    }
}
