//! Whether a client may publish or play, by the address it comes from, the page it is on, and what it shows.
//!
//! Owns the decision, which is a function of the settings, the request and the clock: the sessions bring these together,
//! tell the client, and count. Addresses and pages come first, so that who is not wanted learns nothing about tokens.
//!
//! Where a key of any form is set, the client has to show something that one of them has made: a [signed URL](super::signed_url),
//! a JSON Web Token, or a token in xiu's form. Where several are shown, any is enough.

use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::config::{self, HookUrl, Network, PublicKey, Secret};
use crate::media::stream_key::StreamKey;

use super::parameters::Parameters;
use super::{json_web_token, md5_token, signed_url};

/// The parameter that a token is in.
const TOKEN: &str = "token";

/// What a client wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// To publish.
    Publish,
    /// To play.
    Play,
}

impl fmt::Display for Action {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Publish => "publish",
            Self::Play => "play",
        })
    }
}

/// What a client wants, and what it shows.
#[derive(Debug, Clone, Copy)]
pub struct AccessRequest<'a> {
    /// What it wants to do.
    pub action: Action,
    /// With which stream.
    pub key: &'a StreamKey,
    /// The parameters behind the stream's name, not decoded.
    pub query: &'a str,
    /// The token of the header `Authorization: Bearer`.
    pub bearer: Option<&'a str>,
    /// The URL of the page that it is on.
    pub page: Option<&'a str>,
    /// Where it comes from.
    pub address: IpAddr,
    /// When it asks.
    pub now: SystemTime,
}

impl AccessRequest<'_> {
    /// Seconds since 1970 by the server's clock.
    pub(super) fn seconds(&self) -> u64 {
        self.now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }
}

/// The client may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// Until when, if what it showed says so.
    pub expires_at: Option<SystemTime>,
}

impl Grant {
    /// For ever.
    pub const UNLIMITED: Self = Self { expires_at: None };

    /// Until so many seconds after 1970; for ever, if that is beyond what the clock can show.
    pub(super) fn until(seconds: u64) -> Self {
        Self { expires_at: UNIX_EPOCH.checked_add(Duration::from_secs(seconds)) }
    }
}

/// Why a client may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Denial {
    /// Its address is not among those that may.
    #[error("this address is not allowed")]
    Address,
    /// Its page is not.
    #[error("this page is not allowed")]
    Referer,
    /// It shows nothing.
    #[error("a signed URL or a token is needed")]
    Missing,
    /// What it shows cannot be read.
    #[error("the signature or token is malformed")]
    Malformed,
    /// It was not made with a key of ours, or changed since.
    #[error("the signature or token is not valid")]
    Wrong,
    /// Its time is over.
    #[error("the URL or token has expired")]
    Expired,
    /// Its time has not come.
    #[error("the token is not valid yet")]
    Early,
    /// It is for another action.
    #[error("the token is for something else")]
    OtherAction,
    /// It is for another stream.
    #[error("the token is for another stream")]
    OtherStream,
    /// It is for another client.
    #[error("the URL or token is for another address")]
    OtherAddress,
}

/// The settings for one action.
struct Rules<'a> {
    is_enabled: bool,
    allow: &'a [Network],
    deny: &'a [Network],
    key: Option<&'a Secret>,
    jwt_key: Option<&'a Secret>,
    jwt_public_keys: &'a [PublicKey],
    md5_key: Option<&'a Secret>,
    callback: Option<&'a HookUrl>,
}

impl<'a> Rules<'a> {
    fn of(settings: &'a config::Auth, action: Action) -> Self {
        match action {
            Action::Publish => Self {
                is_enabled: settings.publish,
                allow: &settings.publish_allow,
                deny: &settings.publish_deny,
                key: settings.publish_key.as_ref(),
                jwt_key: settings.publish_jwt_key.as_ref(),
                jwt_public_keys: &settings.publish_jwt_public_keys,
                md5_key: settings.publish_md5_key.as_ref(),
                callback: settings.publish_callback.as_ref(),
            },
            Action::Play => Self {
                is_enabled: settings.play,
                allow: &settings.play_allow,
                deny: &settings.play_deny,
                key: settings.play_key.as_ref(),
                jwt_key: settings.play_jwt_key.as_ref(),
                jwt_public_keys: &settings.play_jwt_public_keys,
                md5_key: settings.play_md5_key.as_ref(),
                callback: settings.play_callback.as_ref(),
            },
        }
    }

    fn takes_jwt(&self) -> bool {
        self.jwt_key.is_some() || !self.jwt_public_keys.is_empty()
    }
}

/// Whether something has to be shown for `action`.
pub fn needs_token(settings: &config::Auth, action: Action) -> bool {
    let rules = Rules::of(settings, action);
    rules.is_enabled && (rules.key.is_some() || rules.md5_key.is_some() || rules.takes_jwt())
}

/// Whether the client may do what it asks for.
///
/// # Errors
///
/// Why not. Where several things that it shows are refused, the reason of the first.
pub fn decide(settings: &config::Auth, request: &AccessRequest<'_>) -> Result<Grant, Denial> {
    let rules = Rules::of(settings, request.action);
    if !rules.is_enabled {
        return Ok(Grant::UNLIMITED);
    }
    let is_among = |networks: &[Network]| networks.iter().any(|network| network.contains(request.address));
    if is_among(rules.deny) || (!rules.allow.is_empty() && !is_among(rules.allow)) {
        return Err(Denial::Address);
    }
    let referers = &settings.play_referers;
    if request.action == Action::Play && !referers.is_empty() && !referers.iter().any(|host| host.matches(request.page))
    {
        return Err(Denial::Referer);
    }
    if !needs_token(settings, request.action) {
        return Ok(Grant::UNLIMITED);
    }
    check_shown(&rules, request)
}

/// Whether not everybody may do `action`, so that what one gets is not for others.
pub fn is_restricted(settings: &config::Auth, action: Action) -> bool {
    let rules = Rules::of(settings, action);
    let pages = if action == Action::Play { !settings.play_referers.is_empty() } else { false };
    needs_token(settings, action)
        || rules.is_enabled && (pages || rules.callback.is_some() || !rules.allow.is_empty() || !rules.deny.is_empty())
}

/// The parameters of `query` in which something is shown, as they stand there.
pub fn shown(query: &str) -> String {
    Parameters::of(query).only(|name| name == TOKEN || signed_url::PARAMETERS.contains(&name))
}

/// Judges each thing that the client shows and that there is a key for, until one is good.
fn check_shown(rules: &Rules<'_>, request: &AccessRequest<'_>) -> Result<Grant, Denial> {
    let parameters = Parameters::of(request.query);
    let mut first = None;
    let mut judge = |verdict: Result<Grant, Denial>| verdict.map_err(|denial| first.get_or_insert(denial)).ok();
    if let Some(key) = rules.key
        && let Some(shown) = signed_url::Shown::find(&parameters)
        && let Some(grant) = judge(signed_url::verify(key, &shown, request))
    {
        return Ok(grant);
    }
    let in_query = parameters.get(TOKEN);
    for token in [in_query.as_deref(), request.bearer].into_iter().flatten() {
        let verdict = if rules.takes_jwt() && json_web_token::is_one(token) {
            json_web_token::verify(rules.jwt_key, rules.jwt_public_keys, token, request)
        } else if let Some(key) = rules.md5_key {
            md5_token::verify(key, token, request.key)
        } else {
            Err(Denial::Malformed)
        };
        if let Some(grant) = judge(verdict) {
            return Ok(grant);
        }
    }
    Err(first.unwrap_or(Denial::Missing))
}

#[cfg(test)]
mod tests;
