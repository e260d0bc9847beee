//! Who may publish a name, and when it is free again.

use std::time::Duration;

use bytes::Bytes;
use rillcast::media::Kind;
use rml_rtmp::rml_amf0::Amf0Value;

use super::harness::player::{Player, Protocol};
use super::harness::publisher::{Content, Feed, Publisher};
use super::harness::rtmp::{Message, RtmpClient, chunks, message_type, text};
use super::harness::server::Server;
use super::harness::{let_pass, wait_until};

const STREAM: &str = "live/publishing";
const BAD_NAME: &str = "NetStream.Publish.BadName";
const PATIENT: &str = "[publish]\nnormal_timeout = \"10m\"\nfirstpkt_timeout = \"10m\"\n";

#[test]
fn a_second_publisher_of_a_name_is_refused_with_bad_name() {
    let origin = Server::origin("");
    let feed = Publisher::start(&origin, STREAM).feed();
    let player = Player::join(Protocol::Rtmp, &origin, STREAM);
    player.wait_for_media();
    assert_eq!(refusal(&origin, STREAM), BAD_NAME);
    assert!(origin.metrics().sum("rillcast_stream_conflicts_total") >= 1.0);
    goes_on(&player, &feed);
}

#[test]
fn a_second_publisher_replaces_the_first_where_the_configuration_says_so() {
    let origin = Server::origin("[publish]\non_conflict = \"replace\"\n");
    let first = Publisher::start(&origin, STREAM).feed();
    let player = Player::join(Protocol::HttpFlv, &origin, STREAM);
    player.wait_for_frame(first.session, first.last_number());
    let second = Publisher::start(&origin, STREAM).feed();
    wait_until("the first publisher is closed", || first.is_closed());
    player.wait_for_frame(second.session, second.last_number());
    player.assert_monotonic();
    let statuses = first.stop().statuses();
    assert!(statuses.iter().any(|status| status == BAD_NAME), "the first was told: {statuses:?}");
}

#[test]
fn a_conflict_policy_may_differ_from_app_to_app() {
    let origin = Server::origin("[[apps]]\nmatch = \"takeover*\"\npublish.on_conflict = \"replace\"\n");
    let _first = Publisher::start(&origin, "takeover/x").feed();
    let _second = Publisher::start(&origin, "takeover/x").feed();
    let _other = Publisher::start(&origin, STREAM).feed();
    assert_eq!(refusal(&origin, STREAM), BAD_NAME);
}

#[test]
fn a_publisher_silent_for_two_seconds_is_replaced_from_the_same_address_with_the_same_query() {
    let origin = Server::origin(PATIENT);
    let name = format!("{STREAM}?token=one");
    let mut silent = Publisher::start(&origin, &name);
    silent.push(5);
    let mut again = Publisher::start_when_free(&origin, &name);
    silent.wait_for_close();
    again.push(5);
    let player = Player::join(Protocol::Rtmp, &origin, STREAM);
    player.wait_for_frame(again.session, again.last_number());
}

#[test]
fn a_silent_publisher_is_not_replaced_by_one_with_another_query() {
    let origin = Server::origin(PATIENT);
    let mut silent = Publisher::start(&origin, &format!("{STREAM}?token=one"));
    silent.push(5);
    let_pass(Duration::from_secs(3));
    assert_eq!(refusal(&origin, &format!("{STREAM}?token=two")), BAD_NAME);
    assert!(!silent.is_closed());
    silent.push(1);
}

#[test]
fn a_publisher_that_sends_is_not_replaced_by_one_with_the_same_query() {
    let origin = Server::origin("");
    let name = format!("{STREAM}?token=one");
    let feed = Publisher::start(&origin, &name).feed();
    let_pass(Duration::from_secs(3));
    assert_eq!(refusal(&origin, &name), BAD_NAME);
    assert!(!feed.is_closed());
}

#[test]
fn a_name_is_free_after_fc_unpublish() {
    let origin = Server::origin(PATIENT);
    let mut publisher = Publisher::start(&origin, STREAM);
    publisher.push(5);
    publisher.unpublish();
    let mut next = Publisher::start_when_free(&origin, STREAM);
    next.push(5);
}

#[test]
fn a_name_is_free_after_the_connection_closed() {
    let origin = Server::origin(PATIENT);
    let mut publisher = Publisher::start(&origin, STREAM);
    publisher.push(5);
    publisher.close();
    free_at_once(&origin);
}

#[test]
fn a_name_is_free_after_a_tcp_reset() {
    let origin = Server::origin(PATIENT);
    let mut publisher = Publisher::start(&origin, STREAM);
    publisher.push(5);
    publisher.reset();
    free_at_once(&origin);
}

#[test]
fn a_name_is_free_when_its_publisher_leaves_before_any_media() {
    let origin = Server::origin(PATIENT);
    Publisher::start(&origin, STREAM).close();
    free_at_once(&origin);
}

#[test]
fn a_name_is_free_after_a_second_publisher_was_refused_and_the_first_left() {
    let origin = Server::origin(PATIENT);
    let mut publisher = Publisher::start(&origin, STREAM);
    publisher.push(5);
    assert_eq!(refusal(&origin, STREAM), BAD_NAME);
    publisher.close();
    free_at_once(&origin);
}

#[test]
fn a_publisher_that_falls_silent_is_closed_after_normal_timeout_and_its_name_is_free() {
    let origin = Server::origin("[publish]\nnormal_timeout = \"1s\"\n");
    let mut publisher = Publisher::start(&origin, STREAM);
    publisher.push(5);
    publisher.wait_for_close();
    free_at_once(&origin);
}

#[test]
fn a_publisher_that_never_sends_is_closed_after_firstpkt_timeout() {
    let origin = Server::origin("[publish]\nfirstpkt_timeout = \"1s\"\n");
    let publisher = Publisher::start(&origin, STREAM);
    publisher.wait_for_close();
    free_at_once(&origin);
}

#[test]
fn an_edge_takes_no_publishers() {
    let (_origin, edge) = Server::origin_and_edge("", "");
    let refusal = refusal(&edge, STREAM);
    assert!(refusal.starts_with("NetStream.Publish."), "{refusal}");
}

#[test]
fn a_publisher_may_interleave_the_chunks_of_its_tracks() {
    let origin = Server::origin(PATIENT);
    let mut publisher = Publisher::start(&origin, STREAM);
    publisher.push(1);
    let player = Player::join(Protocol::Rtmp, &origin, STREAM);
    player.wait_for_media();

    let video = message(message_type::VIDEO, [&[0x27, 1, 0, 0, 0][..], &[7; 1_000]].concat());
    let audio = message(message_type::AUDIO, [&[0xaf, 1][..], &[8; 300]].concat());
    publisher.sink().set_chunk_size(128).unwrap();
    let (mut one, mut other) = (chunks(6, &video, 128).into_iter(), chunks(4, &audio, 128).into_iter());
    loop {
        let (of_video, of_audio) = (one.next(), other.next());
        if of_video.is_none() && of_audio.is_none() {
            break;
        }
        publisher.sink().send_raw(&[of_video, of_audio].into_iter().flatten().flatten().collect::<Vec<u8>>()).unwrap();
    }
    for (kind, sent) in [(Kind::Video, video), (Kind::Audio, audio)] {
        wait_until(&format!("the {kind:?} message arrives whole"), || {
            player.see(|recording| recording.tags.iter().any(|tag| tag.kind == kind && tag.payload == sent.payload))
        });
    }
}

#[test]
fn an_aggregate_message_is_split_into_its_parts() {
    const AGGREGATE: u8 = 22;
    let origin = Server::origin(PATIENT);
    let mut publisher = Publisher::start(&origin, STREAM);
    publisher.push(1);
    let player = Player::join(Protocol::HttpFlv, &origin, STREAM);
    player.wait_for_media();
    let parts = [(Kind::Video, vec![0x27, 1, 0, 0, 0, 1, 2, 3]), (Kind::Audio, vec![0xaf, 1, 4, 5, 6])];
    let mut body = Vec::new();
    for (kind, payload) in &parts {
        body.push(kind.type_id());
        body.extend(&(payload.len() as u32).to_be_bytes()[1..]);
        body.extend([0, 0, 0, 0, 0, 0, 0]);
        body.extend(payload);
        body.extend((payload.len() as u32 + 11).to_be_bytes());
    }
    publisher.sink().send(&message(AGGREGATE, body)).unwrap();
    for (kind, payload) in parts {
        wait_until(&format!("the {kind:?} part arrives"), || {
            player.see(|recording| recording.tags.iter().any(|tag| tag.kind == kind && tag.payload == payload))
        });
    }
}

/// A media message on the message stream that every publisher here has got.
fn message(type_id: u8, payload: Vec<u8>) -> Message {
    Message { type_id, stream_id: 1, timestamp: 100, payload: Bytes::from(payload) }
}

#[track_caller]
fn refusal(server: &Server, stream: &str) -> String {
    let attempt = Publisher::attempt(server.rtmp, stream, Content::default());
    attempt.err().unwrap_or_else(|| panic!("{stream} was accepted"))
}

/// The name is free without the rule for silent publishers: the next one has another query.
#[track_caller]
fn free_at_once(origin: &Server) {
    let mut next = Publisher::start_when_free(origin, &format!("{STREAM}?another=query"));
    next.push(5);
    let player = Player::join(Protocol::Rtmp, origin, STREAM);
    player.wait_for_frame(next.session, next.last_number());
}

#[track_caller]
fn goes_on(player: &Player, feed: &Feed) {
    player.wait_for_frame(feed.session, feed.last_number() + 10);
    player.assert_no_frame_missing();
}

#[test]
fn a_publish_right_behind_the_end_of_another_one_is_answered() {
    let origin = Server::origin("");
    let mut client = RtmpClient::open(origin.rtmp).unwrap();
    client.connect("live", &[]).unwrap();
    let stream_id = client.publish("first").unwrap();
    let commands = [
        Message::command(0, "deleteStream", 0.0, &[Amf0Value::Null, Amf0Value::Number(f64::from(stream_id))]),
        Message::command(stream_id, "publish", 0.0, &[Amf0Value::Null, text("second"), text("live")]),
    ];
    let mut started = 0;
    while let Ok(Some(message)) = client.receive() {
        if message.status().as_deref() == Some("NetStream.Publish.Start") {
            started += 1;
            if started == 2 {
                return;
            }
            let bytes: Vec<u8> = commands.iter().flat_map(|command| chunks(3, command, 60_000).concat()).collect();
            client.sink.send_raw(&bytes).unwrap();
        }
    }
    panic!("publishing was answered {started} times");
}
