//! rml_rtmp's sessions as foreign peers: another reading of the specification than ours.

use rml_rtmp::handshake::{Handshake, HandshakeProcessResult, PeerType};
use rml_rtmp::sessions::{
    ClientSession as ForeignClient, ClientSessionConfig, ClientSessionEvent, ClientSessionResult, PublishRequestType,
    ServerSession as ForeignServer, ServerSessionConfig, ServerSessionEvent, ServerSessionResult, StreamMetadata,
};
use rml_rtmp::time::RtmpTimestamp;

use super::support::*;
use crate::media::Kind;
use crate::rtmp::chunk_writer::write_media;
use crate::rtmp::server::STREAM_ID;
use crate::rtmp::{ClientEvent, ClientSession, ServerEvent, ServerSession, Status};

/// rml_rtmp's client, with a digest handshake, connected to a session of ours.
struct Publisher {
    client: ForeignClient,
    server: ServerSession,
    events: Vec<ClientSessionEvent>,
    server_events: Vec<ServerEvent>,
}

impl Publisher {
    fn connected() -> Self {
        let mut server = ServerSession::new(SERVER);
        let mut handshake = Handshake::new(PeerType::Client);
        server.feed(&handshake.generate_outbound_p0_and_p1().unwrap()).unwrap();
        let answer = handshake.process_bytes(&server.take_output()).unwrap();
        let HandshakeProcessResult::Completed { response_bytes, remaining_bytes } = answer else {
            panic!("the handshake is not complete")
        };
        assert!(remaining_bytes.is_empty());
        server.feed(&response_bytes).unwrap();
        assert!(server.handshake_done());

        let (client, opening) = ForeignClient::new(ClientSessionConfig::new()).unwrap();
        let mut this = Self { client, server, events: Vec::new(), server_events: Vec::new() };
        this.carry(opening);
        let connect = this.client.request_connection("live".to_owned()).unwrap();
        this.carry(vec![connect]);
        this
    }

    /// Carries results over to the server and its output back, until nothing more is said.
    fn carry(&mut self, mut results: Vec<ClientSessionResult>) {
        while !results.is_empty() {
            for result in std::mem::take(&mut results) {
                match result {
                    ClientSessionResult::OutboundResponse(packet) => self.server.feed(&packet.bytes).unwrap(),
                    ClientSessionResult::RaisedEvent(event) => self.events.push(event),
                    ClientSessionResult::UnhandleableMessageReceived(_) => {}
                }
            }
            for event in server_events(&mut self.server) {
                grant(&mut self.server, &event);
                self.server_events.push(event);
            }
            let output = self.server.take_output();
            if !output.is_empty() {
                results = self.client.handle_input(&output).unwrap();
            }
        }
    }
}

#[test]
fn rml_rtmp_publishes_to_us() {
    let mut publisher = Publisher::connected();
    assert!(publisher.events.contains(&ClientSessionEvent::ConnectionRequestAccepted));
    let request = publisher.client.request_publishing("x".to_owned(), PublishRequestType::Live).unwrap();
    publisher.carry(vec![request]);
    assert!(publisher.events.contains(&ClientSessionEvent::PublishRequestAccepted));

    publisher.server_events.clear();
    let mut metadata = StreamMetadata::new();
    metadata.video_width = Some(640);
    let results = vec![
        publisher.client.publish_metadata(&metadata).unwrap(),
        publisher.client.publish_video_data(vec![0x17; 9_000].into(), RtmpTimestamp::new(10), false).unwrap(),
        publisher.client.publish_audio_data(vec![0xAF, 1].into(), RtmpTimestamp::new(12), false).unwrap(),
        publisher.client.publish_video_data(vec![0x27; 10].into(), RtmpTimestamp::new(0x0200_0000), false).unwrap(),
    ];
    publisher.carry(results);
    let ServerEvent::Media(first) = &publisher.server_events[0] else { panic!("no metadata") };
    assert_eq!((first.kind, &first.payload[..13]), (Kind::Data, &b"\x02\x00\x0AonMetaData"[..]));
    let media = [
        tag(Kind::Video, 10, &[0x17; 9_000]),
        tag(Kind::Audio, 12, &[0xAF, 1]),
        tag(Kind::Video, 0x0200_0000, &[0x27; 10]),
    ];
    assert_eq!(publisher.server_events[1..], media.map(ServerEvent::Media));

    publisher.server_events.clear();
    let goodbye = publisher.client.stop_publishing().unwrap();
    publisher.carry(goodbye);
    assert_eq!(publisher.server_events, [ServerEvent::StreamClosed]);
}

#[test]
fn rml_rtmp_plays_from_us() {
    let mut player = Publisher::connected();
    let request = player.client.request_playback("x".to_owned()).unwrap();
    player.carry(vec![request]);
    assert!(player.events.contains(&ClientSessionEvent::PlaybackRequestAccepted));

    player.events.clear();
    let mut wire = Vec::new();
    write_media(&mut wire, Kind::Video, 40, STREAM_ID, &[0x17; 150_000], SERVER.chunk_size as usize);
    write_media(&mut wire, Kind::Audio, 0x0200_0000, STREAM_ID, &[0xAF, 1], SERVER.chunk_size as usize);
    let results = player.client.handle_input(&wire).unwrap();
    player.carry(results);
    let expected = [
        ClientSessionEvent::VideoDataReceived { timestamp: RtmpTimestamp::new(40), data: vec![0x17; 150_000].into() },
        ClientSessionEvent::AudioDataReceived {
            timestamp: RtmpTimestamp::new(0x0200_0000),
            data: vec![0xAF, 1].into(),
        },
    ];
    assert_eq!(player.events, expected);
}

#[test]
fn rml_rtmp_hears_why_its_publish_is_refused() {
    let mut publisher = Publisher::connected();
    let create_stream = publisher.client.request_publishing("x".to_owned(), PublishRequestType::Live).unwrap();
    let ClientSessionResult::OutboundResponse(packet) = create_stream else { panic!("nothing is sent") };
    publisher.server.feed(&packet.bytes).unwrap();
    for result in publisher.client.handle_input(&publisher.server.take_output()).unwrap() {
        if let ClientSessionResult::OutboundResponse(packet) = result {
            publisher.server.feed(&packet.bytes).unwrap();
        }
    }
    assert!(matches!(publisher.server.next_event(), Some(ServerEvent::Publish(_))));
    publisher.server.reject_publish(Status::PublishBadName, "taken");
    let results = publisher.client.handle_input(&publisher.server.take_output()).unwrap();
    publisher.carry(results);
    let expected = ClientSessionEvent::UnhandleableOnStatusCode { code: "NetStream.Publish.BadName".to_owned() };
    assert!(publisher.events.contains(&expected));
}

/// rml_rtmp's server, granting everything, and the client of ours that is connected to it.
struct Origin {
    server: ForeignServer,
    client: ClientSession,
    server_events: Vec<ServerSessionEvent>,
    events: Vec<ClientEvent>,
}

impl Origin {
    fn with(mut client: ClientSession) -> Self {
        let mut handshake = Handshake::new(PeerType::Server);
        let mut answer = handshake.process_bytes(&client.take_output()).unwrap();
        if let HandshakeProcessResult::InProgress { response_bytes } = &answer {
            client.feed(response_bytes).unwrap();
            answer = handshake.process_bytes(&client.take_output()).unwrap();
        }
        let HandshakeProcessResult::Completed { remaining_bytes, .. } = answer else {
            panic!("the handshake is not complete")
        };
        let (server, opening) = ForeignServer::new(ServerSessionConfig::new()).unwrap();
        let mut this = Self { server, client, server_events: Vec::new(), events: Vec::new() };
        this.carry(opening);
        let results = this.server.handle_input(&remaining_bytes).unwrap();
        this.carry(results);
        this
    }

    fn carry(&mut self, mut results: Vec<ServerSessionResult>) {
        while !results.is_empty() {
            let mut next = Vec::new();
            for result in results {
                match result {
                    ServerSessionResult::OutboundResponse(packet) => self.client.feed(&packet.bytes).unwrap(),
                    ServerSessionResult::RaisedEvent(event) => {
                        next.extend(self.grant(&event));
                        self.server_events.push(event);
                    }
                    ServerSessionResult::UnhandleableMessageReceived(_) => {}
                }
            }
            self.events.extend(client_events(&mut self.client));
            next.extend(self.server.handle_input(&self.client.take_output()).unwrap());
            results = next;
        }
    }

    fn grant(&mut self, event: &ServerSessionEvent) -> Vec<ServerSessionResult> {
        match event {
            ServerSessionEvent::ConnectionRequested { request_id, .. }
            | ServerSessionEvent::PublishStreamRequested { request_id, .. }
            | ServerSessionEvent::PlayStreamRequested { request_id, .. } => {
                self.server.accept_request(*request_id).unwrap()
            }
            _ => Vec::new(),
        }
    }
}

#[test]
fn we_publish_to_rml_rtmp() {
    let mut origin = Origin::with(client(publish("x")));
    let expected = [ClientEvent::Connected { acknowledgement: None }, ClientEvent::Started { session: None }];
    assert_eq!(origin.events, expected);

    origin.server_events.clear();
    origin.client.write_tag(&tag(
        Kind::Data,
        0,
        b"\x02\x00\x0AonMetaData\x03\x00\x05width\x00\x40\x84\0\0\0\0\0\0\0\0\x09",
    ));
    origin.client.write_tag(&tag(Kind::Video, 40, &[0x17; 9_000]));
    let results = origin.server.handle_input(&origin.client.take_output()).unwrap();
    origin.carry(results);
    let ServerSessionEvent::StreamMetadataChanged { metadata, .. } = &origin.server_events[0] else {
        panic!("no metadata")
    };
    assert_eq!(metadata.video_width, Some(640));
    let ServerSessionEvent::VideoDataReceived { data, timestamp, .. } = &origin.server_events[1] else {
        panic!("no video")
    };
    assert_eq!((data.len(), timestamp.value), (9_000, 40));
}

#[test]
fn we_play_from_rml_rtmp() {
    let mut origin = Origin::with(client(play("x")));
    let expected = [ClientEvent::Connected { acknowledgement: None }, ClientEvent::Started { session: None }];
    assert_eq!(origin.events, expected);

    origin.events.clear();
    let mut wire = Vec::new();
    for (data, timestamp) in [(vec![0x17; 9_000], 5), (vec![0x27; 20], 45), (vec![0x27; 20], 0x0100_0000)] {
        let packet = origin.server.send_video_data(1, data.into(), RtmpTimestamp::new(timestamp), false).unwrap();
        wire.extend(packet.bytes);
    }
    origin.client.feed(&wire).unwrap();
    let expected = [
        tag(Kind::Video, 5, &[0x17; 9_000]),
        tag(Kind::Video, 45, &[0x27; 20]),
        tag(Kind::Video, 0x0100_0000, &[0x27; 20]),
    ];
    assert_eq!(client_events(&mut origin.client), expected.map(ClientEvent::Media));
}
