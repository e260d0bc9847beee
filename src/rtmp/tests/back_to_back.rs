use super::support::*;
use crate::media::Kind;
use crate::rtmp::amf0::Value;
use crate::rtmp::chunk_writer::write_media;
use crate::rtmp::server::STREAM_ID;
use crate::rtmp::{ClientEvent, Goal, PlayRequest, PublishRequest, ServerEvent, ServerSession, Status};

const METADATA: &[u8] = b"\x02\x00\x0AonMetaData\x08\x00\x00\x00\x00\x00\x00\x09";

fn connected() -> ClientEvent {
    ClientEvent::Connected { acknowledgement: Some("node=origin-1".to_owned()) }
}

#[test]
fn a_publisher_s_tags_arrive_as_they_were_written() {
    let (mut client, mut server) = (client(publish("x?token=1")), ServerSession::new(SERVER));
    let opening = converse(&mut client, &mut server);
    assert_eq!(opening.client, [connected(), ClientEvent::Started { session: None }]);
    let expected = PublishRequest { name: "x?token=1".to_owned(), mode: Some("live".to_owned()) };
    assert_eq!(opening.server[1..], [ServerEvent::Publish(expected)]);

    let tags = [
        tag(Kind::Data, 0, METADATA),
        tag(Kind::Video, 0, &[0x17; 20_000]),
        tag(Kind::Audio, 23, &[0xAF, 1, 2]),
        tag(Kind::Data, 40, b"\x02\x00\x0AonTextData\x05"),
        tag(Kind::Video, 0x0123_4567, &[0x27; 5_000]),
    ];
    for tag in &tags {
        client.write_tag(tag);
    }
    let media = converse(&mut client, &mut server);
    assert_eq!(media.server, tags.map(ServerEvent::Media));
}

#[test]
fn a_player_gets_what_the_shared_writer_wrote() {
    let (mut client, mut server) = (client(play("x")), ServerSession::new(SERVER));
    let opening = converse(&mut client, &mut server);
    assert_eq!(opening.client, [connected(), ClientEvent::Started { session: Some("s-1".to_owned()) }]);
    let expected = PlayRequest { name: "x".to_owned(), start: None, duration: None, reset: None };
    assert_eq!(opening.server[1..], [ServerEvent::Play(expected)]);

    let tags =
        [tag(Kind::Data, 0, METADATA), tag(Kind::Video, u32::MAX, &[0x17; 200_000]), tag(Kind::Audio, 5, &[0xAF])];
    let mut wire = Vec::new();
    for tag in &tags {
        write_media(&mut wire, tag.kind, tag.timestamp, STREAM_ID, &tag.payload, SERVER.chunk_size as usize);
    }
    client.feed(&wire).unwrap();
    assert_eq!(client_events(&mut client), tags.map(ClientEvent::Media));
}

#[test]
fn a_connect_tells_the_server_who_pulls_and_what_it_can_take() {
    let (mut client, mut server) = (client(play("x")), ServerSession::new(SERVER));
    let opening = converse(&mut client, &mut server);
    let ServerEvent::Connect(request) = &opening.server[0] else { panic!("no connect") };
    assert_eq!(request.app, "live");
    assert_eq!(request.tc_url.as_deref(), Some("rtmp://origin.example:1935/live"));
    assert_eq!(request.mark.as_deref(), Some("v=1;node=edge-1"));
    assert!(request.four_cc_list.iter().any(|code| code == "hvc1"));
    assert_eq!(request.object_encoding, 0.0);
}

#[test]
fn a_refused_play_names_its_code() {
    let (mut client, mut server) = (client(play("x")), ServerSession::new(SERVER));
    let mut refused = Vec::new();
    for _ in 0..20 {
        server.feed(&client.take_output()).unwrap();
        for event in server_events(&mut server) {
            match event {
                ServerEvent::Play(_) => server.reject_play(Status::PlayStreamNotFound, "nobody publishes it"),
                other => grant(&mut server, &other),
            }
        }
        client.feed(&server.take_output()).unwrap();
        refused.extend(client_events(&mut client));
    }
    let expected = ClientEvent::Refused {
        code: "NetStream.Play.StreamNotFound".to_owned(),
        description: "nobody publishes it".to_owned(),
        redirect: None,
    };
    assert_eq!(refused, [connected(), expected]);
}

#[test]
fn a_refused_connect_is_a_refusal() {
    let (mut client, mut server) = (client(play("x")), ServerSession::new(SERVER));
    for _ in 0..4 {
        server.feed(&client.take_output()).unwrap();
        server_events(&mut server);
        server.reject_connect("not here");
        client.feed(&server.take_output()).unwrap();
    }
    let expected = ClientEvent::Refused {
        code: "NetConnection.Connect.Rejected".to_owned(),
        description: "not here".to_owned(),
        redirect: None,
    };
    assert_eq!(client_events(&mut client), [expected]);
}

#[test]
fn a_play_that_the_server_ends_is_reported_once() {
    let (mut client, mut server) = (client(play("x")), ServerSession::new(SERVER));
    converse(&mut client, &mut server);
    server.end_play(Status::PlayUnpublishNotify);
    let end = converse(&mut client, &mut server);
    assert_eq!(end.client, [ClientEvent::Ended { code: "NetStream.Play.UnpublishNotify".to_owned() }]);
}

#[test]
fn a_publisher_that_is_replaced_learns_it() {
    let (mut client, mut server) = (client(publish("x")), ServerSession::new(SERVER));
    converse(&mut client, &mut server);
    server.end_publish(Status::PublishBadName, "another publisher took over");
    let end = converse(&mut client, &mut server);
    assert_eq!(end.client, [ClientEvent::Ended { code: "NetStream.Publish.BadName".to_owned() }]);

    client.write_tag(&tag(Kind::Audio, 0, &[0xAF, 1]));
    assert!(client.take_output().is_empty());
}

#[test]
fn a_publisher_that_closes_ends_its_stream_once() {
    let (mut client, mut server) = (client(publish("x")), ServerSession::new(SERVER));
    converse(&mut client, &mut server);
    client.close();
    let end = converse(&mut client, &mut server);
    assert_eq!(end.server, [ServerEvent::StreamClosed]);
}

#[test]
fn a_player_that_closes_ends_its_stream() {
    let (mut client, mut server) = (client(play("x")), ServerSession::new(SERVER));
    converse(&mut client, &mut server);
    client.close();
    let end = converse(&mut client, &mut server);
    assert_eq!(end.server, [ServerEvent::StreamClosed]);
}

#[test]
fn pings_come_back_on_both_sides() {
    let (mut client, mut server) = (client(play("x")), ServerSession::new(SERVER));
    converse(&mut client, &mut server);
    client.ping(7);
    server.ping(0xFFFF_FFFF);
    let pongs = converse(&mut client, &mut server);
    assert_eq!(pongs.client, [ClientEvent::Pong(7)]);
    assert_eq!(pongs.server, [ServerEvent::Pong(0xFFFF_FFFF)]);
}

#[test]
fn a_conversation_byte_by_byte_is_the_same() {
    let (mut client, mut server) = (client(publish("x")), ServerSession::new(SERVER));
    let mut seen = Vec::new();
    for _ in 0..20 {
        for byte in client.take_output() {
            server.feed(&[byte]).unwrap();
            for event in server_events(&mut server) {
                grant(&mut server, &event);
            }
        }
        for byte in server.take_output() {
            client.feed(&[byte]).unwrap();
            seen.extend(client_events(&mut client));
        }
    }
    assert_eq!(seen, [connected(), ClientEvent::Started { session: None }]);
}

#[test]
fn a_server_of_the_cluster_asks_and_is_answered() {
    let (mut client, mut server) = (client(Goal::Ask), ServerSession::new(SERVER));
    assert_eq!(converse(&mut client, &mut server).client, [connected()]);
    server.take_calls();
    let calls = [client.call("lookup", Value::string("x")), client.call("lease", Value::Null)];
    let asked = converse(&mut client, &mut server).server;
    let transactions: Vec<f64> = asked
        .iter()
        .map(|event| match event {
            ServerEvent::Call(call) => call.transaction,
            other => panic!("not a call: {other:?}"),
        })
        .collect();
    assert!(
        matches!(&asked[0], ServerEvent::Call(call) if call.name == "lookup" && call.argument == Value::string("x"))
    );

    // In any order.
    server.answer_call(transactions[1], None);
    server.answer_call(transactions[0], Some(Value::Number(7.0)));
    let answers = [(calls[1], None), (calls[0], Some(Value::Number(7.0)))];
    let answers = answers.map(|(call, argument)| ClientEvent::Answered { call, argument });
    assert_eq!(converse(&mut client, &mut server).client, answers);
}

#[test]
fn who_is_no_server_of_the_cluster_asks_in_vain() {
    let (mut client, mut server) = (client(Goal::Ask), ServerSession::new(SERVER));
    converse(&mut client, &mut server);
    let call = client.call("lookup", Value::string("x"));
    let asked = converse(&mut client, &mut server);
    assert_eq!(asked.server, []);
    assert_eq!(asked.client, [ClientEvent::Answered { call, argument: None }]);
}

#[test]
fn a_play_that_is_redirected_is_refused_with_the_place() {
    let (mut client, mut server) = (client(play("elsewhere")), ServerSession::new(SERVER));
    let mut told = Vec::new();
    for _ in 0..10 {
        server.feed(&client.take_output()).unwrap();
        for event in server_events(&mut server) {
            match event {
                ServerEvent::Play(_) => server.redirect_play("rtmp://origin-2:1935/live/elsewhere"),
                event => grant(&mut server, &event),
            }
        }
        client.feed(&server.take_output()).unwrap();
        told.extend(client_events(&mut client));
    }
    let [_, ClientEvent::Refused { redirect, .. }] = &told[..] else { panic!("{told:?}") };
    assert_eq!(redirect.as_deref(), Some("rtmp://origin-2:1935/live/elsewhere"));
}
