//! What strangers may send: whatever it is, it ends in an error or in nothing, never in a panic, and it takes no more
//! memory than it has bytes.

use proptest::prelude::*;

use super::support::*;
use crate::media::Kind;
use crate::rtmp::amf0::Value;
use crate::rtmp::message::type_id;
use crate::rtmp::{AmfError, ChunkError, Error, Goal, ServerEvent, ServerSession};

#[test]
fn interleaved_chunk_streams_before_connect_are_no_panic() {
    let (mut session, _) = fresh_server();
    let mut bytes = vec![6, 0, 0, 0, 0, 0, 200, type_id::VIDEO, 1, 0, 0, 0];
    bytes.extend_from_slice(&[1; 128]);
    bytes.extend_from_slice(&[4, 0, 0, 0, 0, 0, 10, type_id::AUDIO, 1, 0, 0, 0]);
    bytes.extend_from_slice(&[2; 10]);
    bytes.push(0xC6);
    bytes.extend_from_slice(&[1; 72]);
    assert_eq!(session.feed(&bytes), Ok(()));
    assert_eq!(session.partial_bytes(), 0);
}

#[test]
fn twenty_thousand_nested_objects_in_a_command_are_an_error() {
    let (mut session, _) = fresh_server();
    let mut payload = b"\x02\x00\x07connect\x00\x3f\xf0\x00\x00\x00\x00\x00\x00".to_vec();
    payload.extend(b"\x03\x00\x01a".repeat(16_000));
    let error = session.feed(&raw(type_id::COMMAND_AMF0, 0, 0, &payload)).unwrap_err();
    assert_eq!(error, Error::Amf(AmfError::TooDeep));
    assert_eq!(error.label(), "amf_invalid");
}

#[test]
fn set_data_frame_without_arguments_is_ignored() {
    let data = raw(type_id::DATA_AMF0, 1, 0, b"\x02\x00\x0D@setDataFrame");
    let (mut session, _) = fresh_server();
    assert_eq!(session.feed(&data), Ok(()));

    let (mut session, _) = connected_server();
    session.feed(&command("publish", 0.0, &[Value::Null, Value::string("x")])).unwrap();
    server_events(&mut session);
    session.accept_publish();
    assert_eq!(session.feed(&data), Ok(()));
    assert_eq!(session.next_event(), None);
}

#[test]
fn a_chunk_size_of_0_ends_the_connection() {
    let (mut session, _) = fresh_server();
    let error = session.feed(&raw(type_id::SET_CHUNK_SIZE, 0, 0, &[0; 4])).unwrap_err();
    assert_eq!(error, Error::Chunk(ChunkError::ChunkSize(0)));
    assert_eq!(error.label(), "chunk_invalid");
}

#[test]
fn a_command_of_16_mib_is_refused_by_its_announcement() {
    let (mut session, _) = fresh_server();
    let error = session.feed(&[3, 0, 0, 0, 0xFF, 0xFF, 0xFF, type_id::COMMAND_AMF0, 0, 0, 0, 0]).unwrap_err();
    assert_eq!(error.label(), "message_too_large");
}

#[test]
fn announced_media_that_never_comes_takes_no_memory() {
    let (mut session, _) = fresh_server();
    session.feed(&raw(type_id::SET_CHUNK_SIZE, 0, 0, &0x7F_FFFF_u32.to_be_bytes())).unwrap();
    session.feed(&[4, 0, 0, 0, 0x7F, 0xFF, 0xFF, type_id::VIDEO, 1, 0, 0, 0]).unwrap();
    assert_eq!(session.partial_bytes(), 0);
}

#[test]
fn a_peer_whose_version_byte_is_not_3_is_refused_without_an_answer() {
    for version in [0, 6, b'G', 0x16] {
        let mut session = ServerSession::new(SERVER);
        let error = session.feed(&[version]).unwrap_err();
        assert_eq!((&error, error.label()), (&Error::Handshake, "handshake_invalid"));
        assert!(session.take_output().is_empty());
        assert!(session.received_any());
    }
}

#[test]
fn a_server_whose_version_byte_is_not_3_is_refused() {
    assert_eq!(client(play("x")).feed(b"HTTP/1.1 400 Bad Request"), Err(Error::Handshake));
}

#[test]
fn a_peer_that_only_connects_has_sent_nothing() {
    let mut session = ServerSession::new(SERVER);
    session.feed(&[]).unwrap();
    assert!(!session.received_any());
    assert!(session.take_output().is_empty());
}

#[test]
fn a_peer_that_asks_and_never_reads_is_refused() {
    let (mut session, _) = connected_server();
    let question = command("getStreamLength", 9.0, &[Value::Null, Value::string("x")]);
    let error = (0..100_000).find_map(|_| session.feed(&question).err());
    assert_eq!(error, Some(Error::RepliesUnread));
    assert!(session.take_output().len() < 512 << 10);
}

#[test]
fn a_flood_of_pings_in_one_input_is_bounded() {
    let (mut session, _) = fresh_server();
    let ping = raw(type_id::USER_CONTROL, 0, 0, &[0, 6, 0, 0, 0, 1]);
    assert_eq!(session.feed(&ping.repeat(100_000)), Err(Error::RepliesUnread));
    assert!(session.take_output().len() < 512 << 10);
}

#[test]
fn a_peer_that_reads_may_ask_for_ever() {
    let (mut session, _) = connected_server();
    let question = command("getStreamLength", 9.0, &[Value::Null, Value::string("x")]);
    for _ in 0..20_000 {
        session.feed(&question).unwrap();
        assert!(!session.take_output().is_empty());
    }
}

/// Both directions of a whole session of ours, for mutation.
fn recorded(goal: Goal) -> (Vec<u8>, Vec<u8>) {
    let (mut client, mut server) = (client(goal), ServerSession::new(SERVER));
    let mut heard = converse(&mut client, &mut server);
    for kind in [Kind::Data, Kind::Video, Kind::Audio] {
        client.write_tag(&tag(kind, 0x0100_0000, &[2; 600]));
    }
    client.close();
    let end = converse(&mut client, &mut server);
    heard.to_server.extend(end.to_server);
    heard.to_client.extend(end.to_client);
    (heard.to_server, heard.to_client)
}

#[derive(Debug, Clone)]
enum Mutation {
    Overwrite(prop::sample::Index, u8),
    Remove(prop::sample::Index),
    Insert(prop::sample::Index, u8),
    Cut(prop::sample::Index),
}

/// Handshakes survive anything, so mutations go behind them.
const HANDSHAKE_BYTES: usize = 3073;

fn mutate(bytes: &mut Vec<u8>, mutations: &[Mutation]) {
    for mutation in mutations {
        let place = |index: &prop::sample::Index| HANDSHAKE_BYTES + index.index(bytes.len() - HANDSHAKE_BYTES);
        match mutation {
            Mutation::Overwrite(index, value) => {
                let place = place(index);
                bytes[place] = *value;
            }
            Mutation::Remove(index) => {
                let place = place(index);
                if bytes.len() > HANDSHAKE_BYTES + 1 {
                    bytes.remove(place);
                }
            }
            Mutation::Insert(index, value) => {
                let place = place(index);
                bytes.insert(place, *value);
            }
            Mutation::Cut(index) => {
                let place = place(index);
                bytes.truncate(place.max(HANDSHAKE_BYTES + 1));
            }
        }
    }
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        4 => (index(), any::<u8>()).prop_map(|(index, value)| Mutation::Overwrite(index, value)),
        1 => index().prop_map(Mutation::Remove),
        1 => (index(), any::<u8>()).prop_map(|(index, value)| Mutation::Insert(index, value)),
        1 => index().prop_map(Mutation::Cut),
    ]
}

/// Feeds a server that grants everything, in pieces, up to the first error.
fn attack_server(bytes: &[u8], piece: usize) -> ServerSession {
    let mut session = ServerSession::new(SERVER);
    for piece in bytes.chunks(piece) {
        let outcome = session.feed(piece);
        for event in server_events(&mut session) {
            grant(&mut session, &event);
        }
        if outcome.is_err() {
            break;
        }
    }
    session
}

proptest! {
    #[test]
    fn a_mutated_publisher_never_panics_the_server(
        mutations in proptest::collection::vec(mutation(), 0..12),
        piece in 1_usize..2000,
    ) {
        let (mut bytes, _) = recorded(publish("x"));
        mutate(&mut bytes, &mutations);
        prop_assert!(attack_server(&bytes, piece).partial_bytes() <= 2 * bytes.len());
    }

    #[test]
    fn a_mutated_player_never_panics_the_server(
        mutations in proptest::collection::vec(mutation(), 0..12),
        piece in 1_usize..2000,
    ) {
        let (mut bytes, _) = recorded(play("x"));
        mutate(&mut bytes, &mutations);
        prop_assert!(attack_server(&bytes, piece).partial_bytes() <= 2 * bytes.len());
    }

    #[test]
    fn a_mutated_server_never_panics_the_client(
        mutations in proptest::collection::vec(mutation(), 0..12),
        piece in 1_usize..2000,
        publishes: bool,
    ) {
        let goal = if publishes { publish("x") } else { play("x") };
        let (_, mut bytes) = recorded(goal.clone());
        mutate(&mut bytes, &mutations);
        let mut session = client(goal);
        for piece in bytes.chunks(piece) {
            if session.feed(piece).is_err() {
                break;
            }
            session.write_tag(&tag(Kind::Data, 0, b"\x02\x00\x0AonMetaData"));
        }
        prop_assert!(session.partial_bytes() <= 2 * bytes.len());
    }

    #[test]
    fn arbitrary_bytes_behind_the_handshake_never_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..3000),
        piece in 1_usize..500,
    ) {
        attack_server(&[plain_handshake(), bytes.clone()].concat(), piece);
        let mut session = client(play("x"));
        let _ = session.feed(&[plain_handshake(), bytes].concat());
    }

    #[test]
    fn arbitrary_message_bodies_never_panic(
        bodies in proptest::collection::vec((0_u8..24, proptest::collection::vec(0_u8..32, 0..200)), 1..20),
    ) {
        let mut bytes = [plain_handshake(), connect_command(&[])].concat();
        bytes.extend(command("publish", 0.0, &[Value::Null, Value::string("x")]));
        // Messages that the reader keeps to itself are tested there; here they would only break the framing.
        for (type_id, body) in bodies.iter().filter(|(type_id, _)| !(1..=2).contains(type_id)) {
            bytes.extend(raw(*type_id, 1, 0, body));
        }
        attack_server(&bytes, 4096);
    }
}

#[test]
fn a_recorded_session_is_worth_mutating() {
    let (bytes, _) = recorded(publish("x"));
    let mut session = ServerSession::new(SERVER);
    let mut seen = Vec::new();
    for piece in bytes.chunks(100) {
        session.feed(piece).unwrap();
        for event in server_events(&mut session) {
            grant(&mut session, &event);
            seen.push(event);
        }
    }
    assert_eq!(seen.iter().filter(|event| matches!(event, ServerEvent::Media(_))).count(), 3);
    assert_eq!(seen.last(), Some(&ServerEvent::StreamClosed));
}
