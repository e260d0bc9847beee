use super::*;
use crate::media::Kind;
use crate::rtmp::Status;
use crate::rtmp::amf0::Value;
use crate::rtmp::link::DEFAULT_WINDOW;
use crate::rtmp::message::type_id;
use crate::rtmp::tests::support::{
    Listener, SERVER, Sent, command, connect_command, connected_server, fresh_server, plain_handshake, raw,
    server_events, tag,
};

fn stream_command(name: &str, arguments: &[Value]) -> Vec<u8> {
    command(name, 0.0, &[&[Value::Null], arguments].concat())
}

fn publish_command() -> Vec<u8> {
    stream_command("publish", &[Value::string("x"), Value::string("live")])
}

fn play_command() -> Vec<u8> {
    stream_command("play", &[Value::string("x")])
}

fn publishing() -> (ServerSession, Listener) {
    let (mut session, mut listener) = connected_server();
    session.feed(&publish_command()).unwrap();
    session.accept_publish();
    server_events(&mut session);
    listener.hear(&session.take_output());
    (session, listener)
}

fn playing() -> (ServerSession, Listener) {
    let (mut session, mut listener) = connected_server();
    session.feed(&play_command()).unwrap();
    session.accept_play(&[]);
    server_events(&mut session);
    listener.hear(&session.take_output());
    (session, listener)
}

fn codes(sent: &[Sent]) -> Vec<&str> {
    sent.iter().map(|sent| sent.text("code")).filter(|code| !code.is_empty()).collect()
}

#[test]
fn the_handshake_answers_a_plain_client_with_its_own_packet() {
    let mut session = ServerSession::new(SERVER);
    let opening = plain_handshake();
    session.feed(&opening[..1537]).unwrap();
    let answer = session.take_output();
    assert_eq!((answer.len(), answer[0]), (3073, 3));
    assert_eq!(answer[1537..], opening[1..1537]);
    assert!(!session.handshake_done());
    session.feed(&opening[1537..]).unwrap();
    assert!(session.handshake_done());
    assert!(session.take_output().is_empty());
}

#[test]
fn an_accepted_connect_announces_window_bandwidth_and_chunk_size_before_its_result() {
    let (mut session, mut listener) = fresh_server();
    session.feed(&connect_command(&[])).unwrap();
    assert!(session.take_output().is_empty());
    session.accept_connect(&[("rillcast", "node=a")]);
    let sent = listener.hear(&session.take_output());
    assert_eq!(sent[0], Sent::Control(5, 2_500_000_u32.to_be_bytes().to_vec()));
    assert_eq!(sent[1], Sent::Control(6, [2_500_000_u32.to_be_bytes().as_slice(), &[2]].concat()));
    assert_eq!((sent[2].name(), sent[2].text("code")), ("_result", "NetConnection.Connect.Success"));
    assert_eq!(sent[2].text("rillcast"), "node=a");
    assert_eq!(sent[2].property("fourCcList"), None);
}

#[test]
fn a_result_longer_than_the_announced_chunk_size_is_read_back() {
    let mut session = ServerSession::new(ServerSettings { chunk_size: 200, ..SERVER });
    session.feed(&[plain_handshake(), connect_command(&[])].concat()).unwrap();
    let long = "x".repeat(1_000);
    session.accept_connect(&[("rillcast", &long)]);
    let sent = Listener::default().hear(&session.take_output()[3073..]);
    assert_eq!(sent[2].text("rillcast"), long);
}

#[test]
fn a_refusal_longer_than_the_default_chunk_is_read_back() {
    let (mut session, mut listener) = fresh_server();
    session.feed(&connect_command(&[])).unwrap();
    let long = "x".repeat(1_000);
    session.reject_connect(&long);
    let sent = listener.hear(&session.take_output());
    assert_eq!((sent[0].name(), sent[0].text("code")), ("_error", "NetConnection.Connect.Rejected"));
    assert_eq!(sent[0].text("description"), long);
}

#[test]
fn a_peer_that_offers_codecs_by_four_cc_gets_the_whole_list() {
    let (mut session, mut listener) = fresh_server();
    let offer = Value::StrictArray(vec![Value::string("hvc1"), Value::string("av01")]);
    session.feed(&connect_command(&[("fourCcList", offer)])).unwrap();
    let Some(ServerEvent::Connect(request)) = session.next_event() else { panic!("no connect") };
    assert_eq!(request.four_cc_list, ["hvc1", "av01"]);
    session.accept_connect(&[]);
    let sent = listener.hear(&session.take_output());
    let list = sent[2].property("fourCcList").and_then(Value::as_array).unwrap();
    let list: Vec<_> = list.iter().filter_map(Value::as_str).collect();
    let expected = ["av01", "vp08", "vp09", "hvc1", "avc1", "vvc1", "ac-3", "ec-3", "Opus", ".mp3", "fLaC", "mp4a"];
    assert_eq!(list, expected);
    assert_eq!(sent[2].property("capsEx"), Some(&Value::Number(1.0)), "it may be asked to reconnect");
}

#[test]
fn who_can_reconnect_is_told_apart_by_the_first_bit_of_its_capabilities() {
    for (capabilities, can_reconnect) in [
        (Some(Value::Number(1.0)), true),
        (Some(Value::Number(15.0)), true),
        (Some(Value::Number(14.0)), false),
        (Some(Value::Number(-1.0)), false),
        (Some(Value::Number(f64::NAN)), false),
        (Some(Value::string("1")), false),
        (None, false),
    ] {
        let (mut session, _) = fresh_server();
        let properties: Vec<_> = capabilities.iter().map(|value| ("capsEx", value.clone())).collect();
        session.feed(&connect_command(&properties)).unwrap();
        let Some(ServerEvent::Connect(request)) = session.next_event() else { panic!("no connect") };
        assert_eq!(request.can_reconnect, can_reconnect, "{capabilities:?}");
    }
}

#[test]
fn a_request_to_reconnect_is_a_status_of_the_connection_and_ends_nothing() {
    let (mut session, mut listener) = publishing();
    session.request_reconnect(Some("rtmp://other/live"), "moving");
    session.request_reconnect(None, "moving");
    let sent = listener.hear(&session.take_output());
    for (sent, tc_url) in sent.iter().zip(["rtmp://other/live", ""]) {
        assert!(matches!(sent, Sent::Values(0, _)), "on message stream 0: {sent:?}");
        assert_eq!((sent.name(), sent.text("level")), ("onStatus", "status"));
        assert_eq!((sent.text("code"), sent.text("tcUrl")), ("NetConnection.Connect.ReconnectRequest", tc_url));
    }
    assert_eq!(sent[1].property("tcUrl"), None);
    session.feed(&raw(type_id::AUDIO, 1, 0, &[0xAF, 1])).unwrap();
    assert_eq!(server_events(&mut session), [ServerEvent::Media(tag(Kind::Audio, 0, &[0xAF, 1]))]);
}

#[test]
fn nobody_is_asked_to_reconnect_before_it_is_connected() {
    let (mut session, _) = fresh_server();
    session.request_reconnect(None, "moving");
    assert!(session.take_output().is_empty());
}

#[test]
fn commands_before_connect_and_a_second_connect_end_the_connection() {
    let (mut session, _) = fresh_server();
    assert!(matches!(session.feed(&publish_command()), Err(Error::Protocol(_))));
    let (mut session, _) = connected_server();
    assert!(matches!(session.feed(&connect_command(&[])), Err(Error::Protocol(_))));
}

#[test]
fn events_made_before_an_error_stay_available() {
    let (mut session, _) = fresh_server();
    let bytes = [connect_command(&[]), raw(type_id::SET_CHUNK_SIZE, 0, 0, &[0; 4])].concat();
    assert!(session.feed(&bytes).is_err());
    assert!(matches!(session.next_event(), Some(ServerEvent::Connect(_))));
}

#[test]
fn every_create_stream_is_answered_with_stream_1() {
    let (mut session, mut listener) = connected_server();
    session.feed(&command("createStream", 2.0, &[Value::Null])).unwrap();
    session.feed(&command("createStream", 3.0, &[Value::Null])).unwrap();
    let result = |transaction| {
        let values = vec![Value::string("_result"), Value::Number(transaction), Value::Null, Value::Number(1.0)];
        Sent::Values(0, values)
    };
    assert_eq!(listener.hear(&session.take_output()), [result(2.0), result(3.0)]);
}

#[test]
fn what_encoders_ask_on_the_way_gets_its_result() {
    let (mut session, mut listener) = connected_server();
    for (name, transaction) in [("releaseStream", 2.0), ("FCPublish", 3.0), ("_checkbw", 4.0), ("getStreamLength", 5.0)]
    {
        session.feed(&command(name, transaction, &[Value::Null, Value::string("x")])).unwrap();
    }
    let sent = listener.hear(&session.take_output());
    let names: Vec<_> = sent.iter().map(Sent::name).collect();
    assert_eq!(names, ["_result", "_result", "onFCPublish", "_result", "_result"]);
}

#[test]
fn unknown_commands_get_an_error_only_if_they_ask_for_an_answer() {
    let (mut session, mut listener) = connected_server();
    session.feed(&command("whatever", 0.0, &[])).unwrap();
    session.feed(&command("receiveAudio", 3.0, &[Value::Null, Value::Boolean(true)])).unwrap();
    assert!(session.take_output().is_empty());
    session.feed(&command("whatever", 4.0, &[])).unwrap();
    assert_eq!(listener.hear(&session.take_output())[0].name(), "_error");
}

#[test]
fn amf3_commands_are_read_behind_their_leading_0() {
    let (mut session, _) = connected_server();
    let mut payload = vec![0];
    payload.extend(crate::rtmp::amf0::encode(&[
        Value::string("publish"),
        Value::Number(0.0),
        Value::Null,
        Value::string("x"),
    ]));
    session.feed(&raw(type_id::COMMAND_AMF3, 1, 0, &payload)).unwrap();
    let expected = PublishRequest { name: "x".to_owned(), mode: None };
    assert_eq!(server_events(&mut session), [ServerEvent::Publish(expected)]);
}

#[test]
fn a_publish_takes_any_mode_or_none() {
    for mode in [Some("LIVE"), Some("append"), None] {
        let (mut session, _) = connected_server();
        let mut arguments = vec![Value::string("x")];
        arguments.extend(mode.map(Value::string));
        session.feed(&stream_command("publish", &arguments)).unwrap();
        let expected = PublishRequest { name: "x".to_owned(), mode: mode.map(str::to_owned) };
        assert_eq!(server_events(&mut session), [ServerEvent::Publish(expected)]);
    }
}

#[test]
fn media_counts_from_the_publish_command_on() {
    let (mut session, mut listener) = connected_server();
    let audio = raw(type_id::AUDIO, 1, 7, &[0xAF]);
    session.feed(&[audio.clone(), publish_command(), audio.clone()].concat()).unwrap();
    let events = server_events(&mut session);
    assert!(matches!(events[0], ServerEvent::Publish(_)));
    assert_eq!(events[1..], [ServerEvent::Media(tag(Kind::Audio, 7, &[0xAF]))]);
    session.accept_publish();
    assert_eq!(codes(&listener.hear(&session.take_output())), ["NetStream.Publish.Start"]);
    session.feed(&audio).unwrap();
    assert_eq!(server_events(&mut session), [ServerEvent::Media(tag(Kind::Audio, 7, &[0xAF]))]);
}

#[test]
fn a_refused_publish_may_be_asked_again() {
    let (mut session, mut listener) = connected_server();
    session.feed(&publish_command()).unwrap();
    session.reject_publish(Status::PublishBadName, "busy");
    let sent = listener.hear(&session.take_output());
    assert_eq!((sent[0].name(), sent[0].text("code")), ("onStatus", "NetStream.Publish.BadName"));
    assert_eq!(sent[0].text("level"), "error");
    server_events(&mut session);
    session.feed(&publish_command()).unwrap();
    assert_eq!(server_events(&mut session).len(), 1);
}

#[test]
fn one_activity_at_a_time() {
    let (mut session, mut listener) = publishing();
    session.feed(&[play_command(), publish_command()].concat()).unwrap();
    assert_eq!(session.next_event(), None);
    let sent = listener.hear(&session.take_output());
    assert_eq!(codes(&sent), ["NetStream.Play.Failed", "NetStream.Publish.BadName"]);

    let (mut session, mut listener) = connected_server();
    session.feed(&[play_command(), publish_command()].concat()).unwrap();
    assert_eq!(server_events(&mut session).len(), 1);
    assert_eq!(codes(&listener.hear(&session.take_output())), ["NetStream.Publish.BadName"]);
}

#[test]
fn fc_unpublish_and_delete_stream_close_the_stream_once() {
    let (mut session, mut listener) = publishing();
    session.feed(&command("FCUnpublish", 6.0, &[Value::Null, Value::string("x")])).unwrap();
    session.feed(&command("deleteStream", 7.0, &[Value::Null, Value::Number(1.0)])).unwrap();
    assert_eq!(server_events(&mut session), [ServerEvent::StreamClosed]);
    let sent = listener.hear(&session.take_output());
    let names: Vec<_> = sent.iter().map(Sent::name).collect();
    assert_eq!(names, ["_result", "onFCUnpublish", "onStatus"]);
    assert_eq!(sent[2].text("code"), "NetStream.Unpublish.Success");
}

#[test]
fn close_stream_needs_no_argument_and_takes_a_pending_request_back() {
    let (mut session, _) = connected_server();
    session.feed(&[publish_command(), stream_command("closeStream", &[])].concat()).unwrap();
    assert_eq!(server_events(&mut session)[1..], [ServerEvent::StreamClosed]);
    session.accept_publish();
    assert!(session.take_output().is_empty());
}

#[test]
fn after_delete_stream_the_connection_may_publish_and_play_again() {
    let (mut session, _) = publishing();
    session.feed(&[stream_command("deleteStream", &[Value::Number(1.0)]), play_command()].concat()).unwrap();
    let events = server_events(&mut session);
    assert!(matches!(events[..], [ServerEvent::StreamClosed, ServerEvent::Play(_)]));
}

#[test]
fn publish_false_stops_as_flash_does_it() {
    let (mut session, _) = publishing();
    session.feed(&stream_command("publish", &[Value::Boolean(false)])).unwrap();
    assert_eq!(server_events(&mut session), [ServerEvent::StreamClosed]);
}

#[test]
fn an_accepted_play_begins_the_stream_and_carries_properties() {
    let (mut session, mut listener) = connected_server();
    session.feed(&play_command()).unwrap();
    session.accept_play(&[("session", "s-1")]);
    let sent = listener.hear(&session.take_output());
    assert_eq!(sent[0], Sent::Control(4, vec![0, 0, 0, 0, 0, 1]));
    assert_eq!(codes(&sent), ["NetStream.Play.Reset", "NetStream.Play.Start"]);
    assert_eq!(sent[2].text("session"), "s-1");
    assert_eq!(sent[3].name(), "|RtmpSampleAccess");
}

#[test]
fn a_play_names_start_duration_and_reset_in_flash_s_way_too() {
    let (mut session, _) = connected_server();
    let arguments = [Value::string("x"), Value::Number(-2000.0), Value::Number(-1.0), Value::Number(1.0)];
    session.feed(&stream_command("play", &arguments)).unwrap();
    let expected = PlayRequest { name: "x".to_owned(), start: Some(-2000.0), duration: Some(-1.0), reset: Some(true) };
    assert_eq!(server_events(&mut session), [ServerEvent::Play(expected)]);
}

#[test]
fn an_ended_play_says_so_and_ends_the_stream() {
    let (mut session, mut listener) = playing();
    session.end_play(Status::PlayUnpublishNotify);
    let sent = listener.hear(&session.take_output());
    assert_eq!(codes(&sent), ["NetStream.Play.UnpublishNotify"]);
    assert_eq!(sent[1], Sent::Control(4, vec![0, 1, 0, 0, 0, 1]));
    session.end_play(Status::PlayStop);
    assert!(session.take_output().is_empty());
}

#[test]
fn media_from_a_player_is_ignored() {
    let (mut session, _) = playing();
    session.feed(&raw(type_id::VIDEO, 1, 0, &[0x17; 300])).unwrap();
    assert_eq!(session.next_event(), None);
}

#[test]
fn pause_is_answered_and_reported() {
    let (mut session, mut listener) = playing();
    for paused in [true, false] {
        session.feed(&stream_command("pause", &[Value::Boolean(paused), Value::Number(0.0)])).unwrap();
    }
    assert_eq!(server_events(&mut session), [ServerEvent::Pause(true), ServerEvent::Pause(false)]);
    let sent = listener.hear(&session.take_output());
    assert_eq!(codes(&sent), ["NetStream.Pause.Notify", "NetStream.Unpause.Notify"]);
}

#[test]
fn seek_is_refused() {
    let (mut session, mut listener) = playing();
    session.feed(&stream_command("seek", &[Value::Number(1000.0)])).unwrap();
    assert_eq!(codes(&listener.hear(&session.take_output())), ["NetStream.Seek.Failed"]);
}

#[test]
fn ping_requests_are_answered_with_their_timestamp() {
    let (mut session, mut listener) = playing();
    session.feed(&raw(type_id::USER_CONTROL, 0, 0, &[0, 6, 1, 2, 3, 4])).unwrap();
    assert_eq!(listener.hear(&session.take_output()), [Sent::Control(4, vec![0, 7, 1, 2, 3, 4])]);
}

#[test]
fn control_messages_that_are_cut_off_end_the_connection() {
    for (type_id, payload) in [(type_id::USER_CONTROL, &[0][..]), (type_id::USER_CONTROL, &[0, 6, 1]), (5, &[1, 2, 3])]
    {
        let (mut session, _) = fresh_server();
        let error = session.feed(&raw(type_id, 0, 0, payload)).unwrap_err();
        assert_eq!(error.label(), "message_invalid");
    }
}

#[test]
fn a_command_without_a_name_ends_the_connection() {
    let (mut session, _) = fresh_server();
    assert!(matches!(session.feed(&raw(type_id::COMMAND_AMF0, 0, 0, &[])), Err(Error::Message(_))));
}

#[test]
fn a_command_may_be_nothing_but_a_name() {
    let (mut session, _) = connected_server();
    let payload = crate::rtmp::amf0::encode(&[Value::string("publish")]);
    assert_eq!(session.feed(&raw(type_id::COMMAND_AMF0, 1, 0, &payload)), Ok(()));
}

#[test]
fn shared_objects_and_unknown_messages_are_ignored() {
    let (mut session, _) = connected_server();
    for type_id in [7, 16, 19, 21, 200] {
        session.feed(&raw(type_id, 1, 0, &[1, 2, 3])).unwrap();
    }
    assert!(session.next_event().is_none() && session.take_output().is_empty());
}

#[test]
fn acknowledgements_carry_the_running_total() {
    let (mut session, mut listener) = publishing();
    session.feed(&raw(type_id::WINDOW_ACKNOWLEDGEMENT_SIZE, 0, 0, &2_000_u32.to_be_bytes())).unwrap();
    session.take_output();
    let media = raw(type_id::VIDEO, 1, 0, &[0x17; 5_000]);
    let mut totals = Vec::new();
    for _ in 0..3 {
        session.feed(&media).unwrap();
        for sent in listener.hear(&session.take_output()) {
            let Sent::Control(3, payload) = sent else { panic!("no acknowledgement") };
            totals.push(u32::from_be_bytes(payload.try_into().unwrap()));
        }
    }
    let length = u32::try_from(media.len()).unwrap();
    assert_eq!(totals.len(), 3);
    assert_eq!((totals[1] - totals[0], totals[2] - totals[1]), (length, length));
}

#[test]
fn a_peer_that_names_no_window_is_acknowledged_within_the_usual_one() {
    let (mut session, mut listener) = publishing();
    let media = raw(type_id::VIDEO, 1, 0, &[0x17; 60_000]);
    let mut received = 0;
    while received < DEFAULT_WINDOW as usize {
        session.feed(&media).unwrap();
        received += media.len();
    }
    let sent = listener.hear(&session.take_output());
    assert!(!sent.is_empty() && sent.iter().all(|sent| matches!(sent, Sent::Control(3, _))));
}

#[test]
fn a_session_that_plays_is_small() {
    let (session, _) = playing();
    assert!(size_of_val(&session) <= 400, "{} bytes", size_of_val(&session));
    assert_eq!(session.partial_bytes(), 0);
}

#[test]
fn a_peer_whose_requests_nobody_takes_cannot_pile_them_up() {
    let pong = raw(type_id::USER_CONTROL, 0, 0, &[0, 7, 0, 0, 0, 0]);
    let (play, close) = (play_command(), stream_command("closeStream", &[]));
    for flood in [pong, [play, close].concat()] {
        let (mut session, _) = playing();
        let piled_up = (0..100_000).all(|_| session.feed(&flood).is_ok());
        assert!(!piled_up);
        assert!(server_events(&mut session).len() < 200);
    }
}

#[test]
fn media_before_the_answer_is_kept_up_to_a_bound() {
    let (mut session, _) = fresh_server();
    let early = raw(type_id::VIDEO, 1, 0, &[0x27; 1_000]);
    session.feed(&[connect_command(&[]), publish_command()].concat()).unwrap();
    let taken = (0..10_000).take_while(|_| session.feed(&early).is_ok()).count();
    assert!((100..1_000).contains(&taken), "{taken}");
    // Small ones take more memory than they hold.
    let (mut session, _) = fresh_server();
    session.feed(&[connect_command(&[]), publish_command()].concat()).unwrap();
    let small = raw(type_id::VIDEO, 1, 0, &[0x27]);
    let taken = (0..1_000_000).take_while(|_| session.feed(&small).is_ok()).count();
    assert!(taken * size_of::<ServerEvent>() <= MAX_EARLY_BYTES, "{taken}");
}

#[test]
fn media_behind_the_answer_or_taken_as_it_comes_has_no_such_bound() {
    let media = raw(type_id::VIDEO, 1, 0, &[0x27; 50_000]);
    let (mut session, _) = publishing();
    for _ in 0..20 {
        session.feed(&media).unwrap();
    }
    assert_eq!(server_events(&mut session).len(), 20);
    let (mut session, _) = connected_server();
    session.feed(&publish_command()).unwrap();
    for _ in 0..20 {
        session.feed(&media).unwrap();
        server_events(&mut session);
    }
}
