//! Who a request is from.
//!
//! HLS has no connection that would tell one viewer from another, and a name of ours in the URLs would keep caches from
//! ever having anything twice. So a viewer is recognised by what it says anyway.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;

use http::header::USER_AGENT;
use http::{HeaderMap, HeaderName, Request};
use tokio_util::sync::CancellationToken;

use crate::hooks;
use crate::hub::{Attendance, ViewerId};
use crate::media::stream_key::StreamKey;
use crate::metrics::{Protocol, Reason};
use crate::serve::{ServeContext, http as server};
use crate::sessions::{Count, Kind, Session};

use super::Client;

/// For how many target durations a viewer counts after its last request.
pub(super) const PATIENCE_IN_TARGETS: u32 = 3;

/// The header in which Apple's players name each playback.
const PLAYBACK: HeaderName = HeaderName::from_static("x-playback-session-id");
/// Parameters that are each viewer's own, in lower case: tokens and signatures, and the name that SRS's players are given.
const OWN_PARAMETERS: [&str; 8] =
    ["token", "access_token", "auth_key", "jwt", "sign", "signature", "txsecret", "hls_ctx"];

/// The viewer that a request is from: one for each address, player and token.
pub(super) fn id<B>(address: IpAddr, request: &Request<B>) -> ViewerId {
    let mut hasher = DefaultHasher::new();
    address.hash(&mut hasher);
    let field = |headers: &HeaderMap, name| headers.get(name).map(|value| value.as_bytes().to_vec());
    field(request.headers(), USER_AGENT).hash(&mut hasher);
    field(request.headers(), PLAYBACK).hash(&mut hasher);
    let parameters = request.uri().query().unwrap_or_default().split('&');
    for parameter in parameters.filter(|parameter| is_own(parameter)) {
        parameter.hash(&mut hasher);
    }
    hasher.finish()
}

/// Enters a viewer among the sessions, which it stays in until it has been silent for too long.
pub(super) fn attend<B>(
    context: &ServeContext,
    client: &Client<'_>,
    key: &StreamKey,
    request: &Request<B>,
    hooked: Option<hooks::Attendance>,
) -> Box<dyn Attendance> {
    let (sessions, about) = (&context.sessions, server::about(client.peer, request, client.is_tls));
    let session = sessions.enter(sessions.next_id(), Kind::Play(Protocol::Hls), key, about);
    Box::new(Attending { count: session.count(), session: Some(session), stop: context.stop.clone(), _hooked: hooked })
}

/// A viewer's session.
struct Attending {
    count: Count,
    session: Option<Session>,
    stop: CancellationToken,
    /// Tells hooks when it has gone.
    _hooked: Option<hooks::Attendance>,
}

impl Attendance for Attending {
    fn note_sent(&self, bytes: u64) {
        self.count.sent(bytes);
    }

    fn is_dismissed(&self) -> bool {
        self.session.as_ref().is_some_and(Session::is_kicked)
    }
}

impl Drop for Attending {
    fn drop(&mut self) {
        let reason = match self.is_dismissed() {
            true => Reason::Kicked,
            false if self.stop.is_cancelled() => Reason::Shutdown,
            false => Reason::PeerClosed,
        };
        if let Some(session) = self.session.take() {
            session.end(reason.label());
        }
    }
}

fn is_own(parameter: &str) -> bool {
    let is_own = |name: &str| OWN_PARAMETERS.iter().any(|own| name.eq_ignore_ascii_case(own));
    parameter.split_once('=').is_some_and(|(name, _)| is_own(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    fn viewer(address: IpAddr, uri: &str, player: &str, playback: &str) -> ViewerId {
        let request = Request::get(uri).header(USER_AGENT, player).header(PLAYBACK, playback);
        id(address, &request.body(()).unwrap())
    }

    #[test]
    fn address_player_playback_and_token_tell_viewers_apart() {
        let viewers = [
            viewer(ONE, "/live/x.m3u8", "a", "1"),
            viewer(OTHER, "/live/x.m3u8", "a", "1"),
            viewer(ONE, "/live/x.m3u8", "b", "1"),
            viewer(ONE, "/live/x.m3u8", "a", "2"),
            viewer(ONE, "/live/x.m3u8?token=secret", "a", "1"),
        ];
        for (index, viewer) in viewers.iter().enumerate() {
            assert!(!viewers[index + 1..].contains(viewer), "{index}");
        }
    }

    #[test]
    fn parameters_that_change_with_each_request_make_no_new_viewer() {
        let first = viewer(ONE, "/live/x.m3u8?token=t&_HLS_msn=4", "a", "1");
        assert_eq!(viewer(ONE, "/live/x.m3u8?token=t&_HLS_msn=5&_=177", "a", "1"), first);
    }
}
