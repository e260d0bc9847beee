//! One stream has one name, however a peer spells it.

use super::harness::player::{Player, Protocol};
use super::harness::publisher::Publisher;
use super::harness::server::Server;

/// Publishes under one spelling and plays under another, over both protocols, at origin and edge.
#[track_caller]
fn is_the_same(published: &str, played: &str) {
    let (origin, edge) = Server::origin_and_edge("", "");
    let feed = Publisher::start(&origin, published).feed();
    for server in [&edge, &origin] {
        for protocol in Protocol::ALL {
            let player = Player::join(protocol, server, played);
            player.wait_for_frame(feed.session, feed.last_number());
        }
    }
}

#[test]
fn a_query_is_no_part_of_the_name() {
    is_the_same("live/x?token=publisher", "live/x?token=player&other=1");
}

#[test]
fn a_name_is_percent_decoded_once() {
    is_the_same("live/caf%C3%A9", "live/caf%c3%a9");
}

#[test]
fn an_app_may_hold_slashes() {
    is_the_same("live/region/one/x", "live/region/one/x");
}

#[test]
fn a_name_may_hold_a_dot() {
    is_the_same("live/camera.front", "live/camera.front");
}

#[test]
fn the_same_name_in_another_app_is_another_stream() {
    let config = "[play]\nplay_wait = \"200ms\"\n";
    let (origin, edge) = Server::origin_and_edge(config, config);
    let _feed = Publisher::start(&origin, "live/x").feed();
    for protocol in Protocol::ALL {
        assert!(Player::join(protocol, &edge, "other/x").answer().is_err());
        assert!(Player::join(protocol, &edge, "live/X").answer().is_err());
    }
}
