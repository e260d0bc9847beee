use super::*;
use crate::rtmp::message::type_id;
use crate::rtmp::tests::support::{
    Listener, Sent, client, client_events, command, plain_handshake, play, publish, raw, tag,
};

const CONNECT_RESULT: &str = "NetConnection.Connect.Success";

fn information(code: &str, level: &str) -> Value {
    let text = |name: &str, text: &str| (name.to_owned(), Value::string(text));
    Value::Object(vec![text("level", level), text("code", code), text("description", "why")])
}

fn status(code: &str, level: &str) -> Vec<u8> {
    command("onStatus", 0.0, &[Value::Null, information(code, level)])
}

fn result(transaction: f64, value: Value) -> Vec<u8> {
    command("_result", transaction, &[Value::Null, value])
}

/// A client behind the handshake, whose connect has been heard.
fn connecting(goal: Goal) -> (ClientSession, Listener, Vec<Sent>) {
    let mut session = client(goal);
    assert_eq!(session.take_output().len(), 1537);
    session.feed(&plain_handshake()).unwrap();
    let output = session.take_output();
    let mut listener = Listener::default();
    let sent = listener.hear(&output[1536..]);
    (session, listener, sent)
}

/// A client that has sent play or publish on message stream 5.
fn requested(goal: Goal) -> (ClientSession, Listener) {
    let (mut session, mut listener, _) = connecting(goal);
    session.feed(&result(1.0, information(CONNECT_RESULT, "status"))).unwrap();
    session.feed(&result(4.0, Value::Number(5.0))).unwrap();
    listener.hear(&session.take_output());
    client_events(&mut session);
    (session, listener)
}

fn names(sent: &[Sent]) -> Vec<&str> {
    sent.iter().map(Sent::name).filter(|name| !name.is_empty()).collect()
}

fn ended(code: &str) -> ClientEvent {
    ClientEvent::Ended { code: code.to_owned() }
}

fn refused(code: &str, redirect: Option<&str>) -> ClientEvent {
    let redirect = redirect.map(str::to_owned);
    ClientEvent::Refused { code: code.to_owned(), description: "why".to_owned(), redirect }
}

#[test]
fn a_connect_carries_url_mark_and_codecs() {
    let (_, _, sent) = connecting(play("x"));
    assert_eq!(names(&sent), ["connect"]);
    assert_eq!(sent[0].text("app"), "live");
    assert_eq!(sent[0].text("tcUrl"), "rtmp://origin.example:1935/live");
    assert_eq!(sent[0].text("rillcast"), "v=1;node=edge-1");
    assert_eq!(sent[0].property("fourCcList").and_then(Value::as_array).map(<[_]>::len), Some(12));
    assert_eq!(sent[0].property("capsEx"), Some(&Value::Number(1.0)));
}

#[test]
fn a_player_creates_a_stream_and_plays_on_it_with_a_buffer() {
    let (mut session, mut listener, _) = connecting(play("x?token=1"));
    session.feed(&result(1.0, information(CONNECT_RESULT, "status"))).unwrap();
    let sent = listener.hear(&session.take_output());
    assert_eq!(sent[0], Sent::Control(5, 2_500_000_u32.to_be_bytes().to_vec()));
    assert_eq!(names(&sent), ["createStream"]);

    session.feed(&result(4.0, Value::Number(5.0))).unwrap();
    let sent = listener.hear(&session.take_output());
    let play = vec![Value::string("play"), Value::Number(5.0), Value::Null, Value::string("x?token=1")];
    assert_eq!(sent[0], Sent::Values(5, play));
    assert_eq!(sent[1], Sent::Control(4, vec![0, 3, 0, 0, 0, 5, 0, 0, 0x0B, 0xB8]));
}

#[test]
fn a_publisher_releases_and_announces_its_name_first() {
    let (mut session, mut listener, _) = connecting(publish("x"));
    session.feed(&result(1.0, information(CONNECT_RESULT, "status"))).unwrap();
    assert_eq!(names(&listener.hear(&session.take_output())), ["releaseStream", "FCPublish", "createStream"]);
    session.feed(&result(4.0, Value::Number(5.0))).unwrap();
    let values =
        vec![Value::string("publish"), Value::Number(5.0), Value::Null, Value::string("x"), Value::string("live")];
    assert_eq!(listener.hear(&session.take_output()), [Sent::Values(5, values)]);
}

#[test]
fn a_publisher_may_have_another_name_for_servers_that_acknowledge_its_mark() {
    let ours = Value::Object(vec![("rillcast".to_owned(), Value::string("v=1;node=origin-1"))]);
    for (answer, name) in [(ours, "x"), (information(CONNECT_RESULT, "status"), "x?token=1")] {
        let (mut session, mut listener, _) = connecting(publish("x?token=1"));
        session.publish_to_ours_as("x".to_owned());
        session.feed(&result(1.0, answer)).unwrap();
        let mut sent = listener.hear(&session.take_output());
        session.feed(&result(4.0, Value::Number(5.0))).unwrap();
        sent.extend(listener.hear(&session.take_output()));
        for command in ["releaseStream", "FCPublish", "publish"] {
            let values = sent.iter().find_map(|sent| match sent {
                Sent::Values(_, values) if values[0] == Value::string(command) => Some(values),
                _ => None,
            });
            assert_eq!(values.map(|values| &values[3]), Some(&Value::string(name)), "{command}");
        }
    }
}

#[test]
fn errors_to_release_stream_and_fc_publish_are_no_refusals() {
    let (mut session, _, _) = connecting(publish("x"));
    session.feed(&result(1.0, information(CONNECT_RESULT, "status"))).unwrap();
    client_events(&mut session);
    for transaction in [2.0, 3.0] {
        let error = command("_error", transaction, &[Value::Null, information("NetConnection.Call.Failed", "error")]);
        session.feed(&error).unwrap();
    }
    assert_eq!(session.next_event(), None);
}

#[test]
fn media_before_play_start_counts() {
    let (mut session, _) = requested(play("x"));
    session.feed(&raw(type_id::AUDIO, 5, 3, &[0xAF])).unwrap();
    session.feed(&status("NetStream.Play.Reset", "status")).unwrap();
    session.feed(&status("NetStream.Play.Start", "status")).unwrap();
    let expected = [ClientEvent::Media(tag(Kind::Audio, 3, &[0xAF])), ClientEvent::Started { session: None }];
    assert_eq!(client_events(&mut session), expected);
}

#[test]
fn what_servers_say_in_the_form_of_data_is_no_media() {
    let (mut session, _) = requested(play("x"));
    for name in ["|RtmpSampleAccess", "onStatus"] {
        session.feed(&raw(type_id::DATA_AMF0, 5, 0, &amf0::encode(&[Value::string(name)]))).unwrap();
    }
    assert_eq!(session.next_event(), None);
}

#[test]
fn play_complete_in_the_form_of_data_ends_the_play() {
    let (mut session, _) = requested(play("x"));
    session.feed(&status("NetStream.Play.Start", "status")).unwrap();
    let values = [Value::string("onPlayStatus"), information("NetStream.Play.Complete", "status")];
    session.feed(&raw(type_id::DATA_AMF0, 5, 0, &amf0::encode(&values))).unwrap();
    assert_eq!(client_events(&mut session)[1..], [ended("NetStream.Play.Complete")]);
}

#[test]
fn a_play_ends_once_however_the_server_says_it() {
    let eof = raw(type_id::USER_CONTROL, 0, 0, &[0, 1, 0, 0, 0, 5]);
    let stop = status("NetStream.Play.Stop", "status");
    for (said, code) in [([eof.clone(), stop.clone()], "StreamEOF"), ([stop, eof], "NetStream.Play.Stop")] {
        let (mut session, _) = requested(play("x"));
        session.feed(&status("NetStream.Play.Start", "status")).unwrap();
        session.feed(&said.concat()).unwrap();
        assert_eq!(client_events(&mut session)[1..], [ended(code)]);
    }
}

#[test]
fn a_stream_eof_before_the_start_means_nothing() {
    let (mut session, _) = requested(play("x"));
    session.feed(&raw(type_id::USER_CONTROL, 0, 0, &[0, 1, 0, 0, 0, 5])).unwrap();
    assert_eq!(session.next_event(), None);
}

#[test]
fn a_stream_that_is_not_found_is_a_refusal() {
    let (mut session, _) = requested(play("x"));
    session.feed(&status("NetStream.Play.StreamNotFound", "error")).unwrap();
    assert_eq!(client_events(&mut session), [refused("NetStream.Play.StreamNotFound", None)]);
}

#[test]
fn an_error_without_a_transaction_is_a_refusal_too() {
    let (mut session, _) = requested(publish("x"));
    let error = command("_error", 0.0, &[Value::Null, information("NetStream.Publish.BadName", "_error")]);
    session.feed(&error).unwrap();
    assert_eq!(client_events(&mut session), [refused("NetStream.Publish.BadName", None)]);
}

#[test]
fn a_redirect_is_handed_on_as_srs_says_it() {
    for by_status in [true, false] {
        let (mut session, _, _) = connecting(play("x"));
        let Value::Object(mut properties) = information("NetConnection.Connect.Rejected", "error") else { return };
        let extra = vec![
            ("code".to_owned(), Value::Number(302.0)),
            ("redirect".to_owned(), Value::string("rtmp://other/live")),
        ];
        properties.push(("ex".to_owned(), Value::Object(extra)));
        let arguments = [Value::Null, Value::Object(properties)];
        let (name, transaction) = if by_status { ("onStatus", 0.0) } else { ("_error", 1.0) };
        session.feed(&command(name, transaction, &arguments)).unwrap();
        let expected = refused("NetConnection.Connect.Rejected", Some("rtmp://other/live"));
        assert_eq!(client_events(&mut session), [expected]);
    }
}

#[test]
fn a_result_of_create_stream_that_is_no_stream_ends_the_connection() {
    for value in [Value::Null, Value::Number(0.0), Value::Number(-1.0), Value::Number(1.5), Value::Number(f64::NAN)] {
        let (mut session, _, _) = connecting(play("x"));
        session.feed(&result(1.0, information(CONNECT_RESULT, "status"))).unwrap();
        assert!(matches!(session.feed(&result(4.0, value)), Err(Error::Message(_))));
    }
}

#[test]
fn metadata_is_published_as_the_server_s_data_frame_on_the_server_s_stream() {
    let (mut session, mut listener) = requested(publish("x"));
    session.feed(&status("NetStream.Publish.Start", "status")).unwrap();
    session.write_tag(&tag(Kind::Data, 0, &amf0::encode(&[Value::string("onMetaData"), Value::Null])));
    session.write_tag(&tag(Kind::Data, 0, &amf0::encode(&[Value::string("onTextData")])));
    let framed = vec![Value::string("@setDataFrame"), Value::string("onMetaData"), Value::Null];
    let expected = [Sent::Values(5, framed), Sent::Values(5, vec![Value::string("onTextData")])];
    assert_eq!(listener.hear(&session.take_output()), expected);
}

#[test]
fn nothing_is_published_before_the_start() {
    let (mut session, _) = requested(publish("x"));
    session.write_tag(&tag(Kind::Audio, 0, &[0xAF]));
    assert!(session.take_output().is_empty());
}

#[test]
fn a_request_to_reconnect_is_handed_on_and_ends_nothing() {
    let (mut session, mut listener) = requested(publish("x"));
    session.feed(&status("NetStream.Publish.Start", "status")).unwrap();
    client_events(&mut session);
    for tc_url in [None, Some("rtmp://other:1935/live")] {
        let Value::Object(mut properties) = information("NetConnection.Connect.ReconnectRequest", "status") else {
            panic!("no object")
        };
        properties.extend(tc_url.map(|url| ("tcUrl".to_owned(), Value::string(url))));
        session.feed(&command("onStatus", 0.0, &[Value::Null, Value::Object(properties)])).unwrap();
        let expected = ClientEvent::ReconnectRequested { tc_url: tc_url.map(str::to_owned) };
        assert_eq!(client_events(&mut session), [expected]);
    }
    session.write_tag(&tag(Kind::Audio, 0, &[0xAF]));
    assert!(!listener.hear(&session.take_output()).is_empty(), "it goes on publishing");
}

#[test]
fn a_publisher_says_goodbye_as_encoders_do() {
    let (mut session, mut listener) = requested(publish("x"));
    session.close();
    session.close();
    assert_eq!(names(&listener.hear(&session.take_output())), ["FCUnpublish", "deleteStream"]);
}

#[test]
fn media_to_a_publisher_is_ignored() {
    let (mut session, _) = requested(publish("x"));
    session.feed(&raw(type_id::VIDEO, 5, 0, &[0x17])).unwrap();
    assert_eq!(session.next_event(), None);
}
