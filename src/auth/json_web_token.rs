//! JSON Web Tokens (RFC 7519), signed by HS256, RS256 or ES256.
//!
//! | claim | |
//! | --- | --- |
//! | `exp` | the second since 1970 from which on it is worth nothing; required |
//! | `nbf` | the second before which it is worth nothing |
//! | `action` | `"publish"` or `"play"`, or both in a list; required |
//! | `stream` | `"app/stream"`, in which `*` stands for any characters, or a list of these; required |
//! | `ip` | the address or network that it is for, if it is for one only |
//!
//! All others are ignored. The algorithm follows from the key that is tried and never from what the token says; a token
//! for another algorithm is tried with no key.

use std::collections::HashSet;

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;

use crate::config::{AppPattern, Network, PublicKey, Secret};

use super::access::{AccessRequest, Denial, Grant};
use super::jwt_provider;

/// How far the clock of who makes tokens may be ahead of ours, in seconds.
const MAX_SKEW: u64 = 60;

#[derive(Debug, Deserialize)]
struct Claims {
    exp: f64,
    #[serde(default)]
    nbf: f64,
    action: OneOrMany,
    stream: OneOrMany,
    ip: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    fn any(&self, is_it: impl Fn(&str) -> bool) -> bool {
        match self {
            Self::One(text) => is_it(text),
            Self::Many(texts) => texts.iter().any(|text| is_it(text)),
        }
    }
}

/// Whether a token looks like one of this kind: three parts with dots between.
pub(super) fn is_one(token: &str) -> bool {
    token.split('.').count() == 3
}

/// Whether the token allows the request.
pub(super) fn verify(
    key: Option<&Secret>,
    public_keys: &[PublicKey],
    token: &str,
    request: &AccessRequest<'_>,
) -> Result<Grant, Denial> {
    jwt_provider::install();
    let algorithm = decode_header(token).map_err(|_| Denial::Malformed)?.alg;
    let secret = key.map(|key| DecodingKey::from_secret(key.reveal().as_bytes()));
    let secret = secret.iter().map(|key| (Algorithm::HS256, key));
    let keys = secret.chain(public_keys.iter().map(|key| (key.algorithm(), key.key())));
    for (_, key) in keys.filter(|(of_key, _)| *of_key == algorithm) {
        if let Ok(decoded) = decode::<serde_json::Value>(token, key, &signature_only(algorithm)) {
            let claims = serde_json::from_value(decoded.claims).map_err(|_| Denial::Malformed)?;
            return check(&claims, request);
        }
    }
    Err(Denial::Wrong)
}

/// The crate has a clock of its own; what the claims say is looked at here.
fn signature_only(algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims = HashSet::new();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation
}

fn check(claims: &Claims, request: &AccessRequest<'_>) -> Result<Grant, Denial> {
    let action = request.action.to_string();
    if !claims.action.any(|allowed| allowed == action) {
        return Err(Denial::OtherAction);
    }
    let stream = request.key.as_str();
    let names_it = |pattern: &str| pattern.parse::<AppPattern>().is_ok_and(|pattern| pattern.matches(stream));
    if !claims.stream.any(names_it) {
        return Err(Denial::OtherStream);
    }
    if let Some(address) = &claims.ip {
        let network: Network = address.parse().map_err(|_| Denial::Malformed)?;
        if !network.contains(request.address) {
            return Err(Denial::OtherAddress);
        }
    }
    let now = request.seconds();
    let (expires, begins) = (whole_seconds(claims.exp)?, whole_seconds(claims.nbf)?);
    if begins > now.saturating_add(MAX_SKEW) {
        return Err(Denial::Early);
    }
    if now >= expires {
        return Err(Denial::Expired);
    }
    Ok(Grant::until(expires))
}

/// A time in seconds, which may have a fraction (RFC 7519, section 2, "NumericDate").
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked before, and whole seconds are meant"
)]
fn whole_seconds(time: f64) -> Result<u64, Denial> {
    if time.is_finite() && time >= 0.0 { Ok(time as u64) } else { Err(Denial::Malformed) }
}

#[cfg(test)]
mod tests;
