//! The audio and video flags of the FLV header: guessed from the stream, or as configured.

use super::harness::flv::Flags;
use super::harness::player::{Player, Protocol};
use super::harness::publisher::{Content, Publisher};
use super::harness::server::Server;
use super::harness::wait_for;

const STREAM: &str = "live/flags";
const BOTH: Flags = Flags { audio: true, video: true };
const AUDIO: Flags = Flags { audio: true, video: false };

/// The flags in the header of the player's body, once it has come.
fn flags(player: &Player) -> Flags {
    wait_for("the FLV header comes", || player.see(|recording| recording.flags))
}

fn audio_only() -> Content {
    Content { video: false, ..Content::default() }
}

#[test]
fn guessed_flags_are_the_tracks_that_there_are() {
    let origin = Server::origin("");
    let _both = Publisher::start(&origin, STREAM).feed();
    let _audio = Publisher::start_with(&origin, "live/radio", audio_only()).feed();
    assert_eq!(flags(&Player::join(Protocol::HttpFlv, &origin, STREAM)), BOTH);
    assert_eq!(flags(&Player::join(Protocol::HttpFlv, &origin, "live/radio")), AUDIO);
}

#[test]
fn flags_that_are_not_guessed_are_as_configured_whatever_the_tracks() {
    let origin = Server::origin("[play]\nguess_has_av = false\n[[apps]]\nmatch = \"radio\"\nplay.has_video = false\n");
    let _audio = Publisher::start_with(&origin, STREAM, audio_only()).feed();
    let feed = Publisher::start(&origin, "radio/flags").feed();
    assert_eq!(flags(&Player::join(Protocol::HttpFlv, &origin, STREAM)), BOTH);
    let player = Player::join(Protocol::HttpFlv, &origin, "radio/flags");
    assert_eq!(flags(&player), AUDIO);
    player.wait_for_frame(feed.session, feed.last_number());
}

#[test]
fn a_body_whose_flags_are_not_guessed_begins_before_there_is_media() {
    let origin = Server::origin("[play]\nguess_has_av = false\n");
    let player = Player::join(Protocol::HttpFlv, &origin, STREAM);
    let mut publisher = Publisher::start(&origin, STREAM);
    assert_eq!(flags(&player), BOTH);
    assert_eq!(player.see(|recording| recording.tags.len()), 0);
    publisher.push(10);
    player.wait_for_frame(publisher.session, 0);
}

#[test]
fn a_stream_whose_flags_are_not_guessed_may_gain_a_track() {
    let origin = Server::origin("[play]\nguess_has_av = false\n");
    let player = Player::join(Protocol::HttpFlv, &origin, STREAM);
    let mut first = Publisher::start_with(&origin, STREAM, audio_only());
    first.push(50);
    player.wait_for_frame(first.session, 0);
    first.unpublish();
    let feed = Publisher::start_when_free(&origin, STREAM).feed();
    player.wait_for_frame(feed.session, feed.last_number());
    assert_eq!(player.ending(), None);
}
