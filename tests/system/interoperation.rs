//! rml_rtmp's client session as a foreign publisher and a foreign player.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use bytes::Bytes;
use rml_rtmp::handshake::{Handshake, HandshakeProcessResult, PeerType};
use rml_rtmp::sessions::{
    ClientSession, ClientSessionConfig, ClientSessionEvent, ClientSessionResult, PublishRequestType, StreamMetadata,
};
use rml_rtmp::time::RtmpTimestamp;

use super::harness::numbered::{audio_frame, audio_header, video_frame, video_header};
use super::harness::player::{Player, Protocol};
use super::harness::publisher::Publisher;
use super::harness::server::Server;
use super::harness::{PATIENCE, wait_until};

const APP: &str = "live";
const NAME: &str = "foreign";
const STREAM: &str = "live/foreign";
const SESSION: u32 = 4_711;

/// A client session and its socket.
struct Foreign {
    stream: TcpStream,
    session: ClientSession,
    events: Vec<ClientSessionEvent>,
}

impl Foreign {
    fn connect(address: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let remaining = shake_hands(&mut stream);
        let mut config = ClientSessionConfig::new();
        config.tc_url = Some(format!("rtmp://{address}/{APP}"));
        let (session, results) = ClientSession::new(config).unwrap();
        let mut foreign = Self { stream, session, events: Vec::new() };
        foreign.carry_out(results);
        let results = foreign.session.handle_input(&remaining).unwrap();
        foreign.carry_out(results);
        let request = foreign.session.request_connection(APP.to_owned()).unwrap();
        foreign.carry_out(vec![request]);
        foreign.read_until("connected", |event| *event == ClientSessionEvent::ConnectionRequestAccepted);
        foreign
    }

    fn carry_out(&mut self, results: Vec<ClientSessionResult>) {
        for result in results {
            match result {
                ClientSessionResult::OutboundResponse(packet) => self.stream.write_all(&packet.bytes).unwrap(),
                ClientSessionResult::RaisedEvent(event) => self.events.push(event),
                ClientSessionResult::UnhandleableMessageReceived(_) => {}
            }
        }
    }

    /// Reads until an event has come that matches; blocks at most as long as a socket read may.
    #[track_caller]
    fn read_until(&mut self, what: &str, matches: impl Fn(&ClientSessionEvent) -> bool) {
        let start = Instant::now();
        let mut buffer = [0; 16 * 1024];
        while !self.events.iter().any(&matches) {
            assert!(start.elapsed() < PATIENCE, "{what} does not come");
            let count =
                self.stream.read(&mut buffer).unwrap_or_else(|error| panic!("{what}: {error}, {:?}", self.events));
            assert!(count > 0, "{what}: the server closed, {:?}", self.events);
            let results = self.session.handle_input(&buffer[..count]).unwrap();
            self.carry_out(results);
        }
    }

    fn publish(&mut self) {
        let request = self.session.request_publishing(NAME.to_owned(), PublishRequestType::Live).unwrap();
        self.carry_out(vec![request]);
        self.read_until("publishing", |event| *event == ClientSessionEvent::PublishRequestAccepted);
    }

    fn send_video(&mut self, timestamp: u32, data: Bytes) {
        let sent = self.session.publish_video_data(data, RtmpTimestamp::new(timestamp), false).unwrap();
        self.carry_out(vec![sent]);
    }

    fn send_audio(&mut self, timestamp: u32, data: Bytes) {
        let sent = self.session.publish_audio_data(data, RtmpTimestamp::new(timestamp), false).unwrap();
        self.carry_out(vec![sent]);
    }
}

fn shake_hands(stream: &mut TcpStream) -> Vec<u8> {
    let mut handshake = Handshake::new(PeerType::Client);
    stream.write_all(&handshake.generate_outbound_p0_and_p1().unwrap()).unwrap();
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer).unwrap();
        assert!(count > 0, "the server closed during the handshake");
        match handshake.process_bytes(&buffer[..count]).unwrap() {
            HandshakeProcessResult::InProgress { response_bytes } => stream.write_all(&response_bytes).unwrap(),
            HandshakeProcessResult::Completed { response_bytes, remaining_bytes } => {
                stream.write_all(&response_bytes).unwrap();
                return remaining_bytes;
            }
        }
    }
}

#[test]
fn rml_rtmp_publishes_and_every_frame_reaches_the_players_of_the_edge() {
    const TICKS: u32 = 60;
    let (origin, edge) = Server::origin_and_edge("", "");
    let mut publisher = Foreign::connect(origin.rtmp);
    publisher.publish();
    let metadata = StreamMetadata { video_width: Some(320), video_height: Some(180), ..StreamMetadata::new() };
    let sent = publisher.session.publish_metadata(&metadata).unwrap();
    publisher.carry_out(vec![sent]);
    publisher.send_video(0, video_header(SESSION));
    publisher.send_audio(0, audio_header());
    publisher.send_video(0, video_frame(SESSION, 0, true, 5_000));
    let players = Protocol::ALL.map(|protocol| Player::join(protocol, &edge, STREAM));
    players.iter().for_each(Player::expect_media);
    for tick in 1..=TICKS {
        publisher.send_video(tick * 40, video_frame(SESSION, tick * 2 - 1, tick % 25 == 0, 5_000));
        publisher.send_audio(tick * 40, audio_frame(SESSION, tick * 2, 100));
    }
    for player in players {
        player.wait_for_frame(SESSION, TICKS * 2);
        player.assert_no_frame_missing();
    }
    let results = publisher.session.stop_publishing().unwrap();
    publisher.carry_out(results);
    wait_until("the publisher is gone", || origin.metrics().sum("rillcast_publishers") == 0.0);
}

#[test]
fn rml_rtmp_plays_from_origin_and_edge() {
    let (origin, edge) = Server::origin_and_edge("", "");
    let feed = Publisher::start(&origin, STREAM).feed();
    feed.last_number();
    for server in [&edge, &origin] {
        let mut player = Foreign::connect(server.rtmp);
        let request = player.session.request_playback(NAME.to_owned()).unwrap();
        player.carry_out(vec![request]);
        player.read_until("playing", |event| *event == ClientSessionEvent::PlaybackRequestAccepted);
        let is_metadata = |event: &ClientSessionEvent| match event {
            ClientSessionEvent::StreamMetadataReceived { metadata } => metadata.video_width == Some(320),
            _ => false,
        };
        player.read_until("metadata", is_metadata);
        let is_video = |data: &Bytes| data.len() > 400;
        player.read_until(
            "video",
            |event| matches!(event, ClientSessionEvent::VideoDataReceived { data, .. } if is_video(data)),
        );
        player.read_until(
            "audio",
            |event| matches!(event, ClientSessionEvent::AudioDataReceived { data, .. } if data.len() == 60),
        );
        let results = player.session.stop_playback().unwrap();
        player.carry_out(results);
        wait_until("the player is gone", || server.metrics().labelled("rillcast_players", "protocol", "rtmp") < 2.0);
    }
}

#[test]
fn a_plain_handshake_without_digest_is_answered_with_an_echo() {
    let origin = Server::origin("");
    let mut stream = TcpStream::connect(origin.rtmp).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut c1 = vec![0; 1536];
    c1[8..].iter_mut().zip(0_u32..).for_each(|(byte, at)| *byte = (at % 251) as u8);
    stream.write_all(&[&[3], &c1[..]].concat()).unwrap();
    let answer = read_exactly(&mut stream, 1 + 2 * 1536).unwrap();
    assert_eq!(answer[0], 3);
    assert_eq!(answer[1537 + 8..], c1[8..], "S2 carries the random bytes of C1");
}

fn read_exactly(stream: &mut TcpStream, count: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}
