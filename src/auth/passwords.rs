//! Logins and passwords, compared with what is configured.
//!
//! Owns the comparison: in constant time for passwords in clear, by argon2 or bcrypt for hashed ones, which takes long and
//! must not be done where media is handled. A hashed password that was right once is known again at once. Who may try
//! how often is not decided here.

use std::fmt;

use argon2::Argon2;
use argon2::password_hash::PasswordVerifier;
use argon2::password_hash::phc::PasswordHash;
use hmac::{Hmac, KeyInit, Mac};
use parking_lot::Mutex;
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};

use crate::config::{Credentials, Password};

const DIGEST_BYTES: usize = 32;
/// How many right passwords are remembered: there are two keys, and each may just have changed.
const REMEMBERED: usize = 4;

/// What a client presents. Never shown.
#[derive(Clone)]
pub struct Presented {
    /// Without it the password alone has to do, as a token does.
    pub login: Option<String>,
    /// The password.
    pub password: String,
}

impl fmt::Debug for Presented {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Presented").finish_non_exhaustive()
    }
}

/// Compares passwords, and remembers which hashed ones were right.
pub struct Passwords {
    /// Of this process only: what is remembered is of no use to anybody else.
    key: Hmac<Sha256>,
    remembered: Mutex<Vec<(Credentials, [u8; DIGEST_BYTES])>>,
}

impl Passwords {
    /// Remembers nothing yet.
    ///
    /// # Errors
    ///
    /// The system has no random bytes to give.
    #[expect(clippy::expect_used, reason = "no key is too long or too short for HMAC (RFC 2104, section 3)")]
    pub fn new() -> Result<Self, getrandom::Error> {
        let mut key = [0; DIGEST_BYTES];
        getrandom::fill(&mut key)?;
        let key = Hmac::new_from_slice(&key).expect("HMAC takes a key of any length");
        Ok(Self { key, remembered: Mutex::default() })
    }

    /// Whether `presented` is right, if that can be told at once. `None`: it has to be [verified](Self::verify).
    pub fn recall(&self, configured: &Credentials, presented: &Presented) -> Option<bool> {
        let digest = self.digest(&presented.password);
        let known = match configured.password() {
            Password::Clear(password) => self.digest(password.reveal()),
            Password::Argon2(_) | Password::Bcrypt(_) => {
                let remembered = self.remembered.lock();
                remembered.iter().find(|(other, _)| other == configured).map(|(_, digest)| *digest)?
            }
        };
        let is_right = digest.ct_eq(&known);
        match configured.password() {
            Password::Clear(_) => Some((is_right & self.is_login(configured, presented)).into()),
            // What is not the one that was right may be right too: bcrypt looks at 72 bytes only.
            _ => bool::from(is_right).then(|| self.is_login(configured, presented).into()),
        }
    }

    /// Whether `presented` is right. Blocks, for a hashed password as long as its hash takes.
    pub fn verify(&self, configured: &Credentials, presented: &Presented) -> bool {
        if let Some(known) = self.recall(configured, presented) {
            return known;
        }
        let is_right = match configured.password() {
            Password::Clear(_) => return false,
            Password::Argon2(hash) => PasswordHash::new(hash.reveal())
                .is_ok_and(|hash| Argon2::default().verify_password(presented.password.as_bytes(), &hash).is_ok()),
            Password::Bcrypt(hash) => bcrypt::verify(&presented.password, hash.reveal()).unwrap_or(false),
        };
        if is_right {
            let mut remembered = self.remembered.lock();
            remembered.retain(|(other, _)| other != configured);
            remembered.insert(0, (configured.clone(), self.digest(&presented.password)));
            remembered.truncate(REMEMBERED);
        }
        is_right && self.is_login(configured, presented).into()
    }

    fn is_login(&self, configured: &Credentials, presented: &Presented) -> Choice {
        match &presented.login {
            Some(login) => self.digest(login).ct_eq(&self.digest(configured.login())),
            None => Choice::from(1),
        }
    }

    /// Of the same length for every text, so that comparing tells nothing of theirs.
    fn digest(&self, text: &str) -> [u8; DIGEST_BYTES] {
        self.key.clone().chain_update(text).finalize().into_bytes().into()
    }
}

impl fmt::Debug for Passwords {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Passwords").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// "secret", by `argon2 somesalt -id -m 6 -t 1 -p 1 -l 16` and by PHP's `password_hash`.
    fn each() -> Vec<Credentials> {
        let argon2 = {
            use argon2::{Algorithm, Params, Version};
            let mut digest = [0; 16];
            let params = Params::new(64, 1, 1, Some(16)).unwrap();
            let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
            argon2.hash_password_into(b"secret", b"somesalt", &mut digest).unwrap();
            let digest = <base64ct::Base64Unpadded as base64ct::Encoding>::encode_string(&digest);
            format!("$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ${digest}")
        };
        let bcrypt = bcrypt::hash("secret", 4).unwrap().replacen("$2b$", "$2y$", 1);
        ["secret".to_owned(), argon2, bcrypt].map(|password| format!("admin:{password}").parse().unwrap()).to_vec()
    }

    fn presented(login: Option<&str>, password: &str) -> Presented {
        Presented { login: login.map(str::to_owned), password: password.to_owned() }
    }

    #[test]
    fn only_the_right_password_with_the_right_login_or_none_is_right() {
        for configured in each() {
            let passwords = Passwords::new().unwrap();
            // Twice: hashed ones are known the second time.
            for _ in 0..2 {
                assert!(passwords.verify(&configured, &presented(Some("admin"), "secret")));
                assert!(passwords.verify(&configured, &presented(None, "secret")));
                assert!(!passwords.verify(&configured, &presented(Some("root"), "secret")));
                for wrong in ["", "Secret", "secret ", "secre", "admin:secret"] {
                    assert!(!passwords.verify(&configured, &presented(Some("admin"), wrong)), "{wrong:?}");
                    assert!(!passwords.verify(&configured, &presented(None, wrong)), "{wrong:?}");
                }
            }
        }
    }

    #[test]
    fn a_hash_itself_is_not_the_password() {
        for configured in &each()[1..] {
            let (Password::Argon2(hash) | Password::Bcrypt(hash)) = configured.password() else { panic!() };
            assert!(!Passwords::new().unwrap().verify(configured, &presented(None, hash.reveal())));
        }
    }

    #[test]
    fn what_was_right_is_known_at_once_and_not_for_other_credentials() {
        let passwords = Passwords::new().unwrap();
        let each = each();
        assert_eq!(passwords.recall(&each[0], &presented(None, "secret")), Some(true));
        for configured in &each[1..] {
            assert_eq!(passwords.recall(configured, &presented(None, "secret")), None);
            assert!(passwords.verify(configured, &presented(None, "secret")));
            assert_eq!(passwords.recall(configured, &presented(None, "secret")), Some(true));
            assert_eq!(passwords.recall(configured, &presented(Some("root"), "secret")), Some(false));
            assert_eq!(passwords.recall(configured, &presented(None, "other")), None);
        }
        let bcrypt = bcrypt::hash("other", 4).unwrap();
        let changed: Credentials = format!("admin:{bcrypt}").parse().unwrap();
        assert_eq!(passwords.recall(&changed, &presented(None, "secret")), None);
    }
}
