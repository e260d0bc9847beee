//! Whoever comes late gets metadata, sequence headers and the newest GOP, at origin and edge, over both protocols.

use bytes::Bytes;
use rillcast::media::{Kind, Tag};
use rml_rtmp::rml_amf0::Amf0Value;

use super::harness::flv::Flags;
use super::harness::numbered::{audio_header, metadata, video_header};
use super::harness::player::{Headers, Player, Protocol};
use super::harness::publisher::{Content, Publisher, TICK};
use super::harness::rtmp::Message;
use super::harness::server::Server;
use super::harness::wait_until;

const STREAM: &str = "live/late";

/// The publishers here push when the tests say so, and are silent otherwise.
const PATIENT: &str = "[publish]\nnormal_timeout = \"10m\"\nfirstpkt_timeout = \"10m\"\n";

#[test]
fn a_late_joiner_gets_metadata_headers_and_the_newest_gop() {
    let (origin, edge) = Server::origin_and_edge(PATIENT, "");
    let mut publisher = Publisher::start(&origin, STREAM);
    let witness = Player::join(Protocol::Rtmp, &origin, STREAM);
    publisher.push(60);
    witness.wait_for_frame(publisher.session, publisher.last_number());
    for server in [&origin, &edge] {
        for protocol in Protocol::ALL {
            let player = Player::join(protocol, server, STREAM);
            player.wait_for_frame(publisher.session, publisher.last_number());
            let first = player.frames()[0];
            assert!(first.key, "{protocol:?} starts with {first:?}");
            // Keyframes are pushed at ticks 0, 25 and 50; each tick has a video and an audio frame.
            assert_eq!(first.number, 100, "{protocol:?} starts at the newest keyframe");
            player.assert_no_frame_missing();
            let expected = Headers {
                metadata: Some(metadata(publisher.session)),
                video: Some(video_header(publisher.session)),
                audio: Some(audio_header()),
            };
            assert_eq!(player.headers(), expected, "{protocol:?}");
        }
    }
}

#[test]
fn unknown_data_messages_pass_through_as_bytes() {
    let (origin, edge) = Server::origin_and_edge(PATIENT, "");
    let mut publisher = Publisher::start(&origin, STREAM);
    let players = Protocol::ALL.map(|protocol| Player::join(protocol, &edge, STREAM));
    publisher.push(1);
    players.iter().for_each(Player::expect_media);
    // The second value is an AMF0 date, which many a decoder does not know.
    let cue_point = Bytes::from_static(b"\x02\x00\x0aonCuePoint\x0b\x42\x73\x00\x00\x00\x00\x00\x00\x00\x00");
    publisher.send(Kind::Data, 50, cue_point.clone()).unwrap();
    publisher.push(1);
    for player in players {
        player.wait_for_frame(publisher.session, publisher.last_number());
        let has_it = |tag: &Tag| tag.kind == Kind::Data && tag.payload == cue_point;
        assert!(player.see(|recording| recording.tags.iter().any(has_it)));
    }
}

#[test]
fn flv_flags_name_exactly_the_tracks_there_are() {
    for (audio, video) in [(true, true), (true, false), (false, true)] {
        let (origin, edge) = Server::origin_and_edge("", "");
        let content = Content { audio, video, ..Content::default() };
        let _feed = Publisher::start_with(&origin, STREAM, content).feed();
        for server in [&edge, &origin] {
            let player = Player::join(Protocol::HttpFlv, server, STREAM);
            player.wait_for_media();
            assert_eq!(player.see(|recording| recording.flags), Some(Flags { audio, video }));
        }
    }
}

#[test]
fn an_audio_only_stream_reaches_late_joiners_at_the_live_end() {
    let (origin, edge) = Server::origin_and_edge(PATIENT, "");
    let content = Content { video: false, ..Content::default() };
    let mut publisher = Publisher::start_with(&origin, STREAM, content);
    publisher.push(50);
    let players = Protocol::ALL.map(|protocol| Player::join(protocol, &edge, STREAM));
    for player in &players {
        wait_until("the headers have come", || player.headers().audio == Some(audio_header()));
    }
    publisher.push(10);
    for player in players {
        player.wait_for_frame(publisher.session, publisher.last_number());
        player.assert_no_frame_missing();
    }
}

#[test]
fn a_changed_sequence_header_reaches_those_who_play_and_those_who_come() {
    let (origin, edge) = Server::origin_and_edge(PATIENT, "");
    let mut publisher = Publisher::start(&origin, STREAM);
    publisher.push(30);
    let early = Protocol::ALL.map(|protocol| Player::join(protocol, &edge, STREAM));
    early.iter().for_each(Player::expect_media);
    let changed = video_header(publisher.session + 1_000_000);
    publisher.send(Kind::Video, 1_200, changed.clone()).unwrap();
    publisher.push(30);
    for player in early {
        player.wait_for_frame(publisher.session, publisher.last_number());
        assert!(player.see(|recording| recording.tags.iter().any(|tag| tag.payload == changed)));
    }
    for protocol in Protocol::ALL {
        let late = Player::join(protocol, &edge, STREAM);
        late.wait_for_frame(publisher.session, publisher.last_number());
        assert_eq!(late.headers().video, Some(changed.clone()));
    }
}

#[test]
fn timestamps_beyond_24_bits_arrive_with_their_distances() {
    let (origin, edge) = Server::origin_and_edge(PATIENT, "");
    let content = Content { first_timestamp: 0x00ff_ff00, ..Content::default() };
    let mut publisher = Publisher::start_with(&origin, STREAM, content);
    let players = Protocol::ALL.map(|protocol| Player::join(protocol, &edge, STREAM));
    publisher.push(50);
    for player in players {
        player.wait_for_frame(publisher.session, publisher.last_number());
        player.assert_no_frame_missing();
        let video: Vec<_> = player.frames().into_iter().filter(|frame| frame.kind == Kind::Video).collect();
        for pair in video.windows(2) {
            assert_eq!(u128::from(pair[1].timestamp - pair[0].timestamp), TICK.as_millis());
        }
    }
}

#[test]
fn large_frames_arrive_whole() {
    let (origin, edge) = Server::origin_and_edge(PATIENT, "");
    let content = Content { frame_size: 300_000, ..Content::default() };
    let mut publisher = Publisher::start_with(&origin, STREAM, content);
    let players = Protocol::ALL.map(|protocol| Player::join(protocol, &edge, STREAM));
    publisher.push(5);
    for player in players {
        player.wait_for_frame(publisher.session, publisher.last_number());
        player.assert_no_frame_missing();
        let sizes = player.see(|recording| {
            recording
                .tags
                .iter()
                .filter(|tag| tag.payload.len() > 300_000)
                .map(|tag| tag.payload.len())
                .collect::<Vec<_>>()
        });
        assert_eq!(sizes, [300_009; 5]);
    }
}

#[test]
fn an_edge_that_begins_to_pull_in_the_middle_of_a_stream_gets_its_headers_whatever_data_is_in_it() {
    let (origin, edge) = Server::origin_and_edge("", "");
    let mut publisher = Publisher::start(&origin, STREAM);
    publisher.push(3);
    publisher.send(Kind::Data, 120, Bytes::from_static(b"\x02\x00\x0aonCuePoint\x05")).unwrap();
    publisher.push(3);
    wait_until("the origin has it all", || {
        let player = Player::join(Protocol::Rtmp, &origin, STREAM);
        player.wait_for_media();
        player.last_frame().is_some_and(|frame| frame.number == publisher.last_number())
    });
    let _feed = publisher.feed();
    let player = Player::join(Protocol::Rtmp, &edge, STREAM);
    player.wait_for_media();
    let headers = player.headers();
    assert!(headers.metadata.is_some() && headers.video.is_some() && headers.audio.is_some(), "{headers:?}");
}

#[test]
fn players_of_an_edge_get_the_very_last_frame() {
    for _ in 0..10 {
        let (origin, edge) = Server::origin_and_edge("", "[upstream]\nresume_timeout = \"1s\"\n");
        let mut publisher = Publisher::start(&origin, STREAM);
        publisher.push(3);
        let player = Player::join(Protocol::Rtmp, &edge, STREAM);
        player.wait_for_frame(publisher.session, publisher.last_number());
        publisher.push(30);
        let (session, last) = (publisher.session, publisher.last_number());
        publisher
            .sink()
            .send(&Message::command(0, "deleteStream", 0.0, &[Amf0Value::Null, Amf0Value::Number(1.0)]))
            .unwrap();
        player.wait_for_end();
        assert_eq!(player.last_frame().map(|frame| (frame.session, frame.number)), Some((session, last)));
    }
}
