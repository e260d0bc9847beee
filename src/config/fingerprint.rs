//! One value that tells whether two processes have the same configuration.
//!
//! Owns its making: SHA-256 over everything that is configured. Secrets go in as argon2id hashes with a salt that is the
//! same everywhere: so processes can be compared, and who sees the value and guesses at a password pays for each guess as
//! with any stored hash.

use std::collections::HashMap;

use argon2::Argon2;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use super::Config;
use super::secret::Secret;

const SALT: &[u8] = b"rillcast configuration";
const DIGEST_BYTES: usize = 32;

/// Makes fingerprints, and remembers what secrets are hashed to: that takes long, and secrets seldom change.
#[derive(Debug, Default)]
pub struct Fingerprints {
    /// By the SHA-256 of the secret.
    known: Mutex<HashMap<[u8; 32], String>>,
}

impl Fingerprints {
    /// The fingerprint of a configuration. Blocks for some hundredths of a second for each secret that is new.
    pub fn of(&self, config: &Config) -> String {
        let mut known = self.known.lock();
        let used = Mutex::new(HashMap::new());
        let text = config.canonical(&|secret| {
            let name: [u8; 32] = Sha256::digest(secret.reveal()).into();
            let digest = known.get(&name).cloned().unwrap_or_else(|| hashed(secret));
            used.lock().insert(name, digest.clone());
            digest
        });
        // Secrets that are no longer there are forgotten.
        *known = used.into_inner();
        hexadecimal(&Sha256::digest(text))
    }
}

/// What stands for a secret. Without memory for the hash it stands for nothing: then only a change of it is not seen.
fn hashed(secret: &Secret) -> String {
    let mut digest = [0; DIGEST_BYTES];
    match Argon2::default().hash_password_into(secret.reveal().as_bytes(), SALT, &mut digest) {
        Ok(()) => hexadecimal(&digest),
        Err(_) => secret.to_string(),
    }
}

pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::super::public_key::tests::{EC, RSA};
    use super::super::{PublicKey, Role};
    use super::*;

    #[test]
    fn the_same_configuration_has_the_same_fingerprint_everywhere() {
        let mut config = Config::defaults(Role::Edge);
        config.cluster.key = Some(Secret::new("correct horse battery staple"));
        let here = Fingerprints::default();
        let first = here.of(&config);
        assert_eq!(first.len(), 64);
        assert_eq!(here.of(&config), first);
        assert_eq!(Fingerprints::default().of(&config), first);
    }

    #[test]
    fn every_change_changes_it_a_secret_s_too() {
        let fingerprints = Fingerprints::default();
        let mut config = Config::defaults(Role::Edge);
        let mut seen = vec![fingerprints.of(&config), fingerprints.of(&Config::defaults(Role::Origin))];
        for key in ["correct horse battery staple", "correct horse battery stapler"] {
            config.cluster.key = Some(Secret::new(key));
            seen.push(fingerprints.of(&config));
        }
        config.admin.edit_auth = "admin:one".parse().ok();
        seen.push(fingerprints.of(&config));
        config.admin.edit_auth = "admin:two".parse().ok();
        seen.push(fingerprints.of(&config));
        config.limits.max_players = 7;
        seen.push(fingerprints.of(&config));
        for query in ["one", "two"] {
            config.hooks.on_play = vec![format!("http://a.example/?key={query}").parse().unwrap()];
            seen.push(fingerprints.of(&config));
            config.auth.play_callback = format!("http://a.example/?key={query}").parse().ok();
            seen.push(fingerprints.of(&config));
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key.pem");
        for pem in [RSA, EC] {
            std::fs::write(&path, pem).unwrap();
            config.auth.play_jwt_public_keys = vec![PublicKey::read(&path).unwrap()];
            seen.push(fingerprints.of(&config));
        }
        let count = seen.len();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), count);
    }
}
