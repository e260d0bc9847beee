//! Who may use the API: a login and a password, in clear or hashed.
//!
//! Owns the form `login:password` of `admin.edit_auth` and `admin.view_auth`, and which hashes are taken. Nothing is
//! verified here: that is the part of `auth`.

use std::fmt;
use std::str::FromStr;

use ::config::{Value, ValueKind};
use argon2::Params;
use argon2::password_hash::phc::PasswordHash;

use super::form::{Form, Seal, Shape, quoted};
use super::mistake::Mistake;
use super::secret::Secret;

/// The most memory that a hash may ask for, in KiB: each verification takes it.
const MAX_ARGON2_MEMORY: u32 = 1 << 20;
/// The most rounds of argon2.
const MAX_ARGON2_ROUNDS: u32 = 64;
/// The highest cost of bcrypt: some seconds on a slow processor.
const MAX_BCRYPT_COST: u32 = 16;

/// A login, and how its password is known.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    login: String,
    password: Password,
    /// All of it as it was written.
    written: Secret,
}

/// A password as it is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Password {
    /// The password itself.
    Clear(Secret),
    /// Its hash in the PHC format, beginning with `$argon2`.
    Argon2(Secret),
    /// Its hash as bcrypt writes it, beginning with `$2a$`, `$2b$` or `$2y$`.
    Bcrypt(Secret),
}

impl Credentials {
    /// The login.
    pub fn login(&self) -> &str {
        &self.login
    }

    /// What is known of the password.
    pub const fn password(&self) -> &Password {
        &self.password
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Credentials").field("password", &self.password).finish_non_exhaustive()
    }
}

/// Why a text is not credentials. Never repeats any of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// There is no colon.
    #[error("a string without a colon")]
    NoColon,
    /// Nothing stands before it.
    #[error("no login before the colon")]
    NoLogin,
    /// Nothing stands behind it.
    #[error("no password behind the colon")]
    NoPassword,
    /// Nobody could send that.
    #[error("a control character")]
    Control,
    /// It begins as a hash of argon2 and is none.
    #[error("an argon2 hash that cannot be read")]
    Argon2,
    /// Every request would take too much.
    #[error("an argon2 hash that takes more than 1 GiB or 64 rounds")]
    CostlyArgon2,
    /// It begins as a hash of bcrypt and is none.
    #[error("a bcrypt hash that cannot be read")]
    Bcrypt,
    /// Every request would take too long.
    #[error("a bcrypt hash whose cost is above {MAX_BCRYPT_COST}")]
    CostlyBcrypt,
}

impl FromStr for Credentials {
    type Err = CredentialsError;

    fn from_str(text: &str) -> Result<Self, CredentialsError> {
        let (login, password) = text.split_once(':').ok_or(CredentialsError::NoColon)?;
        if text.contains(char::is_control) {
            return Err(CredentialsError::Control);
        }
        if login.is_empty() {
            return Err(CredentialsError::NoLogin);
        }
        Ok(Self { login: login.to_owned(), password: password.parse()?, written: Secret::new(text) })
    }
}

impl FromStr for Password {
    type Err = CredentialsError;

    fn from_str(text: &str) -> Result<Self, CredentialsError> {
        let secret = Secret::new(text);
        if text.is_empty() {
            return Err(CredentialsError::NoPassword);
        }
        if text.starts_with("$argon2") {
            let hash = PasswordHash::new(text).map_err(|_| CredentialsError::Argon2)?;
            let params = Params::try_from(&hash).map_err(|_| CredentialsError::Argon2)?;
            if hash.hash.is_none() || hash.salt.is_none() {
                return Err(CredentialsError::Argon2);
            }
            if params.m_cost() > MAX_ARGON2_MEMORY || params.t_cost() > MAX_ARGON2_ROUNDS {
                return Err(CredentialsError::CostlyArgon2);
            }
            return Ok(Self::Argon2(secret));
        }
        if ["$2a$", "$2b$", "$2x$", "$2y$"].iter().any(|prefix| text.starts_with(prefix)) {
            let hash = bcrypt::HashParts::from_str(text).map_err(|_| CredentialsError::Bcrypt)?;
            if hash.get_cost() > MAX_BCRYPT_COST {
                return Err(CredentialsError::CostlyBcrypt);
            }
            return Ok(Self::Bcrypt(secret));
        }
        Ok(Self::Clear(secret))
    }
}

/// `login:password`. No message repeats anything of it.
pub(super) struct LoginAndPassword;

impl Form<Credentials> for LoginAndPassword {
    const SHAPE: Shape = Shape::Secret;

    fn read(value: &Value, key: &str, mistakes: &mut Vec<Mistake>) -> Option<Credentials> {
        let found = match &value.kind {
            ValueKind::String(text) => match text.parse() {
                Ok(credentials) => return Some(credentials),
                Err(error) => error.to_string(),
            },
            _ => "something else".to_owned(),
        };
        let message = format!("expected \"login:password\", the password in clear or hashed, found {found}");
        mistakes.push(Mistake::at(value, key, message));
        None
    }

    fn write(credentials: &Credentials) -> String {
        quoted(&credentials.written)
    }

    fn sealed(credentials: &Credentials, seal: &Seal<'_>) -> String {
        quoted(&seal(&credentials.written))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of "secret", by the reference implementations.
    const ARGON2: &str = "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$9a2x3KUrbTnVg5gQEG0vbRyYBJx/vmwmLbUhWQ5hT8w";
    const BCRYPT: &str = "$2y$04$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui";

    #[test]
    fn the_password_begins_behind_the_first_colon() {
        let credentials: Credentials = "admin:with:colons".parse().unwrap();
        assert_eq!(credentials.login(), "admin");
        assert_eq!(credentials.password(), &Password::Clear(Secret::new("with:colons")));
    }

    #[test]
    fn hashes_are_known_by_how_they_begin() {
        let password = |text: &str| format!("admin:{text}").parse::<Credentials>().map(|found| found.password);
        assert_eq!(password(ARGON2), Ok(Password::Argon2(Secret::new(ARGON2))));
        assert_eq!(password(BCRYPT), Ok(Password::Bcrypt(Secret::new(BCRYPT))));
        assert_eq!(password("$1$other"), Ok(Password::Clear(Secret::new("$1$other"))));
    }

    #[test]
    fn a_hash_that_nobody_could_verify_is_refused() {
        let error = |text: &str| format!("admin:{text}").parse::<Credentials>().unwrap_err();
        assert_eq!(error("$argon2id$v=19$m=64"), CredentialsError::Argon2);
        assert_eq!(error("$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ"), CredentialsError::Argon2);
        assert_eq!(error(&ARGON2.replace("m=64", "m=1048577")), CredentialsError::CostlyArgon2);
        assert_eq!(error("$2y$04$abcdef"), CredentialsError::Bcrypt);
        assert_eq!(error(&BCRYPT.replace("$04$", "$17$")), CredentialsError::CostlyBcrypt);
    }

    #[test]
    fn no_message_repeats_what_was_meant_to_be_a_secret() {
        for kind in [
            ValueKind::from("hunter2"),
            ValueKind::from(":hunter2"),
            ValueKind::from("hunter2:"),
            ValueKind::from("admin:hunter2\n"),
            ValueKind::from(vec!["admin:hunter2"]),
        ] {
            let mut mistakes = Vec::new();
            assert_eq!(LoginAndPassword::read(&Value::new(None, kind), "key", &mut mistakes), None);
            assert_eq!(mistakes.len(), 1);
            assert!(!mistakes[0].to_string().contains("hunter2"), "{}", mistakes[0]);
        }
    }

    #[test]
    fn credentials_are_never_shown() {
        let credentials: Credentials = "admin:hunter2".parse().unwrap();
        assert!(!format!("{credentials:?}").contains("hunter2"));
        assert_eq!(LoginAndPassword::write(&credentials), "\"***\"");
    }
}
