//! Who a request is from.
//!
//! HLS has no connection that would tell one viewer from another, and a name of ours in the URLs would keep caches from
//! ever having anything twice. So a viewer is recognised by what it says anyway.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::net::IpAddr;
use std::sync::LazyLock;
use std::time::Duration;

use http::header::{AUTHORIZATION, USER_AGENT};
use http::{HeaderMap, HeaderName, Request};
use tokio_util::sync::CancellationToken;

use crate::auth::Standing;
use crate::hls::{File, Freshness, Resource};
use crate::hooks;
use crate::hub::{Attendance, ViewerId};
use crate::media::stream_key::StreamKey;
use crate::metrics::{Protocol, Reason};
use crate::serve::{ServeContext, http as server};
use crate::sessions::{ClientId, Count, Kind, Session};

use super::{Client, tokens};

/// For how many target durations a viewer counts after its last playlist.
const PATIENCE_IN_TARGETS: u32 = 3;
/// For how long one that was asked about counts after another file, which tells no target duration.
const PATIENCE_AFTER_SEGMENT: Duration = Duration::from_secs(10);

/// The header in which Apple's players name each playback.
const PLAYBACK: HeaderName = HeaderName::from_static("x-playback-session-id");
/// Parameters that are each viewer's own, in lower case: tokens and signatures, and the name that SRS's players are given.
const OWN_PARAMETERS: [&str; 8] =
    ["token", "access_token", "auth_key", "jwt", "sign", "signature", "txsecret", "hls_ctx"];

/// Nobody outside may know who has which id: being known is being let in.
static SECRET: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// One request, as far as it matters to whom it is from.
pub(super) struct Visit {
    pub(super) viewer: ViewerId,
    /// Whether somebody decides about viewers of the stream. Then one is let in by its first request, whatever that is for, and
    /// is another one with each parameter that it might be judged by.
    pub(super) is_asked_about: bool,
    /// Whether it is a viewer's, and no server's.
    pub(super) counts: bool,
}

impl Visit {
    pub(super) fn of<B>(
        context: &ServeContext,
        client: &Client<'_>,
        resource: &Resource,
        request: &Request<B>,
    ) -> Self {
        let is_verified = matches!(client.standing, Some(Standing::Verified(_)));
        let is_asked_about = !is_verified && context.asks_about_players(resource.key.app());
        Self {
            viewer: id(client.peer.ip(), request, is_asked_about),
            is_asked_about,
            counts: is_asked_about || client.standing.is_none(),
        }
    }

    /// For how long the viewer counts from now on, if this file makes it count.
    pub(super) fn patience(&self, file: File, freshness: Freshness) -> Option<Duration> {
        match freshness {
            Freshness::Changing { target, .. } if self.counts && file.is_playlist() => {
                Some(target * PATIENCE_IN_TARGETS)
            }
            _ => self.is_asked_about.then_some(PATIENCE_AFTER_SEGMENT),
        }
    }
}

/// A viewer that may begin.
pub(super) struct Arrival {
    /// The id that it was asked about by.
    pub(super) id: ClientId,
    /// Tells hooks when it has gone.
    pub(super) hooked: hooks::Attendance,
}

/// The viewer that a request is from: one for each address, player and token, and one for each set of parameters where
/// `by_all_parameters`.
fn id<B>(address: IpAddr, request: &Request<B>, by_all_parameters: bool) -> ViewerId {
    let mut hasher = SECRET.build_hasher();
    address.hash(&mut hasher);
    let field = |headers: &HeaderMap, name| headers.get(name).map(|value| value.as_bytes().to_vec());
    field(request.headers(), USER_AGENT).hash(&mut hasher);
    field(request.headers(), PLAYBACK).hash(&mut hasher);
    field(request.headers(), AUTHORIZATION).hash(&mut hasher);
    let parameters = request.uri().query().unwrap_or_default().split('&');
    let tells = |parameter: &&str| match by_all_parameters {
        true => !parameter.is_empty() && tokens::is_client_s(parameter),
        false => is_own(parameter),
    };
    for parameter in parameters.filter(tells) {
        parameter.hash(&mut hasher);
    }
    hasher.finish()
}

/// Enters a viewer among the sessions, which it stays in until it has been silent for too long; if it is not to be shown,
/// only what hooks are to be told is kept.
pub(super) fn attend<B>(
    context: &ServeContext,
    client: &Client<'_>,
    key: &StreamKey,
    request: &Request<B>,
    arrival: Option<Arrival>,
    is_shown: bool,
) -> Option<Box<dyn Attendance>> {
    let sessions = &context.sessions;
    let (id, hooked) = match arrival {
        Some(arrival) => (arrival.id, Some(arrival.hooked)),
        None => (sessions.next_id(), None),
    };
    if !is_shown && !hooked.as_ref().is_some_and(hooks::Attendance::tells) {
        return None;
    }
    let enter = || {
        let about = server::about(client.peer, request, client.is_tls);
        sessions.enter(id, Kind::Play(Protocol::Hls), key, about)
    };
    let session = is_shown.then(enter);
    let count = session.as_ref().map(Session::count);
    Some(Box::new(Attending { count, session, stop: context.stop.clone(), _hooked: hooked }))
}

/// A viewer's session.
struct Attending {
    /// None if it is not shown.
    count: Option<Count>,
    session: Option<Session>,
    stop: CancellationToken,
    /// Tells hooks when it has gone.
    _hooked: Option<hooks::Attendance>,
}

impl Attendance for Attending {
    fn note_sent(&self, bytes: u64) {
        if let Some(count) = &self.count {
            count.sent(bytes);
        }
    }

    fn is_shown(&self) -> bool {
        self.count.is_some()
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
        id(address, &request.body(()).unwrap(), false)
    }

    fn viewer_by_all(uri: &str, authorization: &str) -> ViewerId {
        let request = Request::get(uri).header(AUTHORIZATION, authorization);
        id(ONE, &request.body(()).unwrap(), true)
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

    #[test]
    fn whatever_a_viewer_may_be_judged_by_tells_it_apart_where_it_is_judged() {
        let viewers = [
            viewer_by_all("/live/x.m3u8?ok=1", "Bearer a"),
            viewer_by_all("/live/x.m3u8?ok=0", "Bearer a"),
            viewer_by_all("/live/x.m3u8", "Bearer a"),
            viewer_by_all("/live/x.m3u8?ok=1", "Bearer b"),
        ];
        for (index, viewer) in viewers.iter().enumerate() {
            assert!(!viewers[index + 1..].contains(viewer), "{index}");
        }
        assert_eq!(viewer_by_all("/live/x/1.ts?ok=1&_HLS_msn=4", "Bearer a"), viewers[0]);
    }
}
