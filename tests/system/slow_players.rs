//! Slow players cost nobody anything but themselves.

use std::collections::BTreeMap;
use std::time::Duration;

use rillcast::media::Kind;

use super::harness::metrics::new_disconnects;
use super::harness::numbered::Frame;
use super::harness::paced::Pace;
use super::harness::player::{Player, Protocol};
use super::harness::publisher::{Content, Feed, Publisher};
use super::harness::server::Server;
use super::harness::{wait_at_most, wait_until};

const STREAM: &str = "live/slow";
const MEBIBYTE: u64 = 1024 * 1024;

/// About 1.5 MB a second: kernel buffers are full soon.
const HEAVY: Content = Content { audio: true, video: true, gop: 25, frame_size: 60_000, first_timestamp: 0 };

#[test]
fn a_player_that_stops_reading_is_closed_with_its_reason_and_others_miss_nothing() {
    for protocol in Protocol::ALL {
        let (origin, edge) = Server::origin_and_edge("", "[play]\nqueue_length = \"2s\"\nhard_lag = \"4s\"\n");
        let feed = Publisher::start_with(&origin, STREAM, HEAVY).feed();
        let healthy = Protocol::ALL.map(|protocol| Player::join(protocol, &edge, STREAM));
        healthy.iter().for_each(Player::expect_media);
        let pace = Pace::unlimited();
        let stopped = Player::join_paced(protocol, &edge, STREAM, pace.clone());
        stopped.wait_for_media();
        let (before, memory) = (edge.metrics(), edge.resident_memory());
        pace.limit(0);

        let patience = Duration::from_secs(90);
        wait_at_most(patience, "the player that does not read is closed", || {
            assert!(edge.resident_memory() < memory + 64 * MEBIBYTE, "memory grows with a stopped player");
            edge.metrics().sum("rillcast_players") == 2.0
        });
        let reasons = new_disconnects(&before, &edge.metrics());
        assert_eq!(reasons, BTreeMap::from([("slow_player".to_owned(), 1.0)]), "{protocol:?}");
        wait_until("the reason is in the log", || {
            edge.log().iter().any(|line| line["fields"]["reason"] == "slow_player")
        });

        pace.release();
        stopped.wait_for_end();
        feed_is_complete(&feed, &healthy);
    }
}

#[test]
fn a_slow_reader_skips_to_keyframes_and_goes_on() {
    for protocol in Protocol::ALL {
        let (origin, edge) = Server::origin_and_edge("", "[play]\nqueue_length = \"2s\"\nhard_lag = \"10m\"\n");
        let feed = Publisher::start_with(&origin, STREAM, HEAVY).feed();
        let healthy = [Player::join(Protocol::Rtmp, &edge, STREAM)];
        let pace = Pace::unlimited();
        let slow = Player::join_paced(protocol, &edge, STREAM, pace.clone());
        slow.wait_for_media();
        let dropped = edge.metrics().sum("rillcast_dropped_packets_total");
        pace.limit(700_000);
        wait_at_most(Duration::from_secs(90), "the slow player has skipped twice", || gaps(&slow).len() >= 2);
        pace.release();
        slow.wait_for_frame(feed.session, feed.last_number());

        assert_eq!(slow.ending(), None);
        for after_gap in gaps(&slow) {
            assert!(after_gap.key, "the first picture after a gap is {after_gap:?}");
        }
        slow.assert_monotonic();
        assert!(edge.metrics().sum("rillcast_dropped_packets_total") > dropped);
        feed_is_complete(&feed, &healthy);
    }
}

#[test]
fn the_ring_stays_within_its_caps_however_long_the_publisher_sends_no_keyframe() {
    let config = "[play]\ngop_max_bytes = \"2MiB\"\n[publish]\nnormal_timeout = \"10m\"\n";
    let origin = Server::origin(config);
    let mut publisher =
        Publisher::start_with(&origin, STREAM, Content { gop: u32::MAX, frame_size: 20_000, ..Content::default() });
    let player = Player::join(Protocol::Rtmp, &origin, STREAM);
    // Ten times the cap is pushed. Packets and the two wire forms made of them may each be as large as the cap.
    let limit = 3.5 * 2.0 * MEBIBYTE as f64;
    for _ in 0..20 {
        publisher.push(50);
        player.wait_for_frame(publisher.session, publisher.last_number());
        let held = origin.metrics().sum("rillcast_ring_bytes");
        assert!(held <= limit, "the ring holds {held} bytes");
    }
    player.assert_no_frame_missing();
}

#[test]
fn all_rings_together_stay_within_the_budget_of_the_process() {
    const STREAMS: usize = 6;
    let config = "[limits]\nring_bytes = \"8MiB\"\n[publish]\nnormal_timeout = \"10m\"\n";
    let origin = Server::origin(config);
    let content = Content { gop: 50, frame_size: 20_000, ..Content::default() };
    let names: Vec<String> = (0..STREAMS).map(|index| format!("live/budget-{index}")).collect();
    let mut publishers: Vec<Publisher> =
        names.iter().map(|name| Publisher::start_with(&origin, name, content)).collect();
    let players: Vec<Player> = names.iter().map(|name| Player::join(Protocol::Rtmp, &origin, name)).collect();
    let peak = (0..12).map(|_| {
        for (publisher, player) in publishers.iter_mut().zip(&players) {
            publisher.push(25);
            player.wait_for_frame(publisher.session, publisher.last_number());
        }
        origin.metrics().sum("rillcast_ring_bytes")
    });
    // 36 MB are pushed. What is being sent may stand beside the budget.
    let peak = peak.fold(0.0, f64::max);
    println!("the rings held {peak} bytes at most");
    assert!(peak <= 12.0 * MEBIBYTE as f64, "the rings held {peak} bytes");
}

/// The first video frame after each gap.
fn gaps(player: &Player) -> Vec<Frame> {
    let frames = player.frames();
    let gap_ends = (1..frames.len()).filter(|&at| frames[at].number != frames[at - 1].number + 1);
    gap_ends.filter_map(|at| frames[at..].iter().find(|frame| frame.kind == Kind::Video).copied()).collect()
}

#[track_caller]
fn feed_is_complete(feed: &Feed, players: &[Player]) {
    for player in players {
        player.wait_for_frame(feed.session, feed.last_number());
        player.assert_no_frame_missing();
    }
}
