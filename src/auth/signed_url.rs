//! Signed URLs: parameters that let whoever has the URL do one thing with one stream, until a certain second.
//!
//! | parameter | |
//! | --- | --- |
//! | `expires` | the second since 1970 (UTC) from which on it is worth nothing, in decimal digits |
//! | `ip` | the address or network that it is for, if it is for one only |
//! | `sign` | in 64 hexadecimal digits the HMAC-SHA256 under the key of the five lines below |
//!
//! The lines, joined by line feeds: `rillcast-1`, the action (`publish` or `play`), the stream (`app/stream`, decoded),
//! `expires` and `ip` as they stand in the parameters (decoded; empty if there is none). No line can hold a line feed, so no
//! two things that may be asked for have the same lines.

use std::borrow::Cow;
use std::fmt::Write;

use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::Sha256;

use crate::config::{Network, Secret};
use crate::media::stream_key::StreamKey;

use super::access::{AccessRequest, Action, Denial, Grant};
use super::hexadecimal;
use super::parameters::Parameters;

const VERSION: &str = "rillcast-1";
const EXPIRES: &str = "expires";
const ADDRESS: &str = "ip";
const SIGNATURE: &str = "sign";
/// All of them.
pub(super) const PARAMETERS: [&str; 3] = [EXPIRES, ADDRESS, SIGNATURE];

/// The bytes of an HMAC-SHA256.
const MAC_BYTES: usize = 32;

/// What a URL allows.
#[derive(Debug, Clone, Copy)]
pub struct Permission<'a> {
    /// What may be done.
    pub action: Action,
    /// With which stream.
    pub key: &'a StreamKey,
    /// Until when, in seconds since 1970.
    pub expires: u64,
    /// From where only.
    pub client: Option<Network>,
}

/// The parameters that give `permission`, to follow the `?` of a URL.
pub fn sign(key: &Secret, permission: &Permission<'_>) -> String {
    let (expires, client) = (permission.expires.to_string(), permission.client.map(shown));
    let lines = lines(permission.action, permission.key, &expires, client.as_deref().unwrap_or_default());
    let mac = over(key, &lines).finalize().into_bytes();
    let mut text = format!("{EXPIRES}={expires}");
    if let Some(client) = client {
        // Writing to a string cannot fail, here and below.
        let _ = write!(text, "&{ADDRESS}={}", utf8_percent_encode(&client, NON_ALPHANUMERIC));
    }
    let _ = write!(text, "&{SIGNATURE}=");
    mac.iter().for_each(|byte| {
        let _ = write!(text, "{byte:02x}");
    });
    text
}

/// A network as it stands in a URL: a single address without its length.
fn shown(network: Network) -> String {
    let text = network.to_string();
    let address =
        text.strip_suffix("/128").or_else(|| text.strip_suffix("/32").filter(|address| address.contains('.')));
    address.map_or_else(|| text.clone(), str::to_owned)
}

/// What a client shows; nothing of it is known to be true.
#[derive(Debug)]
pub(super) struct Shown<'a> {
    expires: Option<Cow<'a, str>>,
    address: Option<Cow<'a, str>>,
    signature: Cow<'a, str>,
}

impl<'a> Shown<'a> {
    /// `None` if there is no signature among the parameters.
    pub(super) fn find(parameters: &Parameters<'a>) -> Option<Self> {
        let signature = parameters.get(SIGNATURE)?;
        Some(Self { expires: parameters.get(EXPIRES), address: parameters.get(ADDRESS), signature })
    }
}

/// Whether what is shown allows the request. The signature comes first: who has no key learns nothing else.
pub(super) fn verify(key: &Secret, shown: &Shown<'_>, request: &AccessRequest<'_>) -> Result<Grant, Denial> {
    let expires = shown.expires.as_deref().ok_or(Denial::Malformed)?;
    let address = shown.address.as_deref().unwrap_or_default();
    let signature: [u8; MAC_BYTES] = hexadecimal::bytes(&shown.signature).ok_or(Denial::Malformed)?;
    // A decoded parameter may hold anything.
    if expires.contains('\n') || address.contains('\n') {
        return Err(Denial::Malformed);
    }
    let lines = lines(request.action, request.key, expires, address);
    over(key, &lines).verify_slice(&signature).map_err(|_| Denial::Wrong)?;
    let expires: u64 = expires.parse().map_err(|_| Denial::Malformed)?;
    if !address.is_empty() {
        let network: Network = address.parse().map_err(|_| Denial::Malformed)?;
        if !network.contains(request.address) {
            return Err(Denial::OtherAddress);
        }
    }
    if request.seconds() >= expires {
        return Err(Denial::Expired);
    }
    Ok(Grant::until(expires))
}

fn lines(action: Action, key: &StreamKey, expires: &str, address: &str) -> String {
    format!("{VERSION}\n{action}\n{key}\n{expires}\n{address}")
}

#[expect(clippy::expect_used, reason = "no key is too long or too short for HMAC (RFC 2104, section 3)")]
fn over(key: &Secret, lines: &str) -> Hmac<Sha256> {
    let mac: Hmac<Sha256> = Hmac::new_from_slice(key.reveal().as_bytes()).expect("HMAC takes a key of any length");
    mac.chain_update(lines)
}

#[cfg(test)]
mod tests;
