//! Time at the players goes on, whatever time does at the publisher.

use std::time::Duration;

use rillcast::media::Kind;

use super::harness::numbered::{Frame, video_header};
use super::harness::player::{Player, Protocol};
use super::harness::proxy::Proxy;
use super::harness::publisher::{Content, Publisher, TICK};
use super::harness::server::Server;
use super::harness::wait_until;

const STREAM: &str = "live/time";

/// The most that one frame may be after the one before, where the publisher's clock jumps: what passes meanwhile on the
/// wall, and more for a machine that is busy.
const LEAP_AT_MOST: u32 = 10_000;

struct Scene {
    _origin: Server,
    _edge: Server,
    publisher: Publisher,
    players: Vec<Player>,
}

impl Scene {
    /// Origin and edge with a player on each protocol, which have seen the first ticks.
    fn start(content: Content, first_ticks: u32) -> Self {
        let (origin, edge) = Server::origin_and_edge("[publish]\nnormal_timeout = \"10m\"\n", "");
        let mut publisher = Publisher::start_with(&origin, STREAM, content);
        publisher.push(first_ticks);
        let players: Vec<Player> = [&origin, &edge]
            .into_iter()
            .flat_map(|server| Protocol::ALL.map(|protocol| Player::join(protocol, server, STREAM)))
            .collect();
        let scene = Self { _origin: origin, _edge: edge, publisher, players };
        scene.wait_for_players();
        scene
    }

    fn push(&mut self, ticks: u32) {
        self.publisher.push(ticks);
        self.wait_for_players();
    }

    fn wait_for_players(&self) {
        for player in &self.players {
            player.wait_for_frame(self.publisher.session, self.publisher.last_number());
        }
    }

    /// No frame is missing, and time goes on by at most so much from one to the next of each track.
    #[track_caller]
    fn time_goes_on(&self, most: u32) {
        for player in &self.players {
            player.assert_no_frame_missing();
            for kind in [Kind::Audio, Kind::Video] {
                let frames: Vec<Frame> = player.frames().into_iter().filter(|frame| frame.kind == kind).collect();
                for pair in frames.windows(2) {
                    let passed = pair[1].timestamp.wrapping_sub(pair[0].timestamp);
                    assert!(passed <= most, "{:?} follows {:?}", pair[1], pair[0]);
                }
            }
        }
    }
}

#[test]
fn timestamps_that_wrap_go_on_behind_the_wrap() {
    let content = Content { first_timestamp: u32::MAX - 2_000, ..Content::default() };
    let mut scene = Scene::start(content, 30);
    scene.push(100);
    assert!(scene.publisher.clock() < 10_000, "the publisher's clock has wrapped");
    scene.time_goes_on(TICK.as_millis() as u32);
}

/// Every tenth frame a keyframe, so that clocks can jump at one: there video goes on after a jump.
const SHORT_GOP: Content = Content { audio: true, video: true, gop: 10, frame_size: 400, first_timestamp: 100_000 };

#[test]
fn a_clock_that_starts_again_at_0_does_not_turn_time_back() {
    let content = Content { first_timestamp: 3_600_000, ..SHORT_GOP };
    let mut scene = Scene::start(content, 30);
    scene.publisher.set_clock(0);
    scene.push(100);
    scene.time_goes_on(LEAP_AT_MOST);
}

#[test]
fn a_clock_that_jumps_an_hour_ahead_does_not_make_players_wait_for_an_hour() {
    let mut scene = Scene::start(SHORT_GOP, 30);
    scene.publisher.set_clock(scene.publisher.clock() + 3_600_000);
    scene.push(100);
    scene.time_goes_on(LEAP_AT_MOST);
}

#[test]
fn a_clock_that_jumps_back_and_forth_does_not_turn_time_back() {
    let mut scene = Scene::start(SHORT_GOP, 30);
    for clock in [40_000, 90_000, 50_000, 2_000_000_000, 1_000] {
        scene.publisher.set_clock(clock);
        scene.push(30);
    }
    scene.time_goes_on(LEAP_AT_MOST);
}

#[test]
fn after_a_jump_between_keyframes_video_goes_on_at_the_next_one_and_headers_come_again() {
    let mut scene = Scene::start(SHORT_GOP, 35);
    scene.publisher.set_clock(0);
    scene.push(30);
    let header = video_header(scene.publisher.session);
    for (number, player) in scene.players.iter().enumerate() {
        player.assert_only_gaps_before_keyframes();
        player.assert_monotonic();
        // The origin's players come first. To an edge time has not jumped, and it passes on no headers that are in force.
        let expected = if number < Protocol::ALL.len() { 2 } else { 1 };
        let headers = player.see(|seen| seen.tags.iter().filter(|tag| tag.payload == header).count());
        assert!(headers >= expected, "the headers have come again");
    }
}

#[test]
fn a_clock_that_stands_still_loses_no_frame() {
    let mut scene = Scene::start(Content::default(), 30);
    scene.publisher.set_clock_step(Duration::ZERO);
    scene.push(50);
    scene.publisher.set_clock_step(TICK);
    scene.push(50);
    scene.time_goes_on(LEAP_AT_MOST);
}

#[test]
fn a_session_that_is_pulled_again_from_another_address_goes_on_without_a_frame_twice() {
    let origin = Server::origin("[publish]\nnormal_timeout = \"10m\"\n");
    let proxies = [Proxy::to(origin.rtmp), Proxy::to(origin.rtmp)];
    let edge = Server::edge(&proxies.each_ref().map(|proxy| proxy.address), "");
    let mut publisher = Publisher::start_with(&origin, STREAM, Content { gop: 500, ..Content::default() });
    publisher.push(40);
    let players = Protocol::ALL.map(|protocol| Player::join(protocol, &edge, STREAM));
    for round in 1..=4_u32 {
        players.iter().for_each(|player| player.wait_for_frame(publisher.session, publisher.last_number()));
        let in_use = edge.upstream(STREAM);
        let (hit, other) = if in_use == Some(proxies[0].address) { (0, 1) } else { (1, 0) };
        proxies[other].heal();
        proxies[hit].refuse();
        // These are the new upstream's to send, together with all that was sent before since the keyframe.
        publisher.push(20);
        wait_until("the stream is pulled from the other address", || {
            let live = edge.stream(STREAM).is_some_and(|stream| stream["upstream"]["state"] == "live");
            live && edge.upstream(STREAM) == Some(proxies[other].address)
        });
        publisher.push(20);
        let reconnects = edge.metrics().sum("rillcast_upstream_reconnects_total");
        assert_eq!(reconnects, f64::from(round), "one reconnect a round");
    }
    for player in &players {
        player.wait_for_frame(publisher.session, publisher.last_number());
        player.assert_no_frame_missing();
        player.assert_monotonic();
        let first = player.frames()[0];
        let last = player.last_frame().expect("there are some");
        let passed = last.timestamp - first.timestamp;
        assert_eq!(u128::from(passed), u128::from((last.number - first.number) / 2) * TICK.as_millis());
    }
}
