//! What the tests of the sessions share: settings, a peer that writes raw messages, and a wire between two sessions.

use bytes::Bytes;

use crate::media::{Kind, Tag};
use crate::rtmp::amf0::{self, Value};
use crate::rtmp::chunk_reader::ChunkReader;
use crate::rtmp::message::type_id;
use crate::rtmp::{ClientEvent, ClientSession, ClientSettings, Goal, ServerEvent, ServerSession, ServerSettings};

pub(in crate::rtmp) const SERVER: ServerSettings =
    ServerSettings { chunk_size: 60_000, window_acknowledgement: 2_500_000 };

pub(in crate::rtmp) fn client(goal: Goal) -> ClientSession {
    ClientSession::new(ClientSettings {
        tc_url: "rtmp://origin.example:1935/live".to_owned(),
        app: "live".to_owned(),
        goal,
        mark: Some("v=1;node=edge-1".to_owned()),
        chunk_size: 4096,
        four_cc: true,
        reconnects: true,
    })
    .unwrap()
}

pub(in crate::rtmp) fn play(name: &str) -> Goal {
    Goal::Play { name: name.to_owned() }
}

pub(in crate::rtmp) fn publish(name: &str) -> Goal {
    Goal::Publish { name: name.to_owned() }
}

pub(in crate::rtmp) fn tag(kind: Kind, timestamp: u32, payload: &[u8]) -> Tag {
    Tag { kind, timestamp, payload: Bytes::copy_from_slice(payload) }
}

pub(in crate::rtmp) fn server_events(session: &mut ServerSession) -> Vec<ServerEvent> {
    std::iter::from_fn(|| session.next_event()).collect()
}

pub(in crate::rtmp) fn client_events(session: &mut ClientSession) -> Vec<ClientEvent> {
    std::iter::from_fn(|| session.next_event()).collect()
}

/// A plain handshake's packets, as a client that knows nothing of digests sends them.
pub(in crate::rtmp) fn plain_handshake() -> Vec<u8> {
    let mut bytes = vec![3];
    bytes.extend_from_slice(&[0; 8]);
    bytes.extend((0..1528_u32).map(|index| (index % 251) as u8));
    bytes.extend_from_slice(&[0; 1536]);
    bytes
}

/// A message in one type 0 chunk, or more of type 3, of 128 bytes.
pub(in crate::rtmp) fn raw(type_id: u8, stream_id: u32, timestamp: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![3];
    bytes.extend_from_slice(&timestamp.to_be_bytes()[1..]);
    bytes.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
    bytes.push(type_id);
    bytes.extend_from_slice(&stream_id.to_le_bytes());
    let (first, rest) = payload.split_at(payload.len().min(128));
    bytes.extend_from_slice(first);
    for chunk in rest.chunks(128) {
        bytes.push(0xC3);
        bytes.extend_from_slice(chunk);
    }
    bytes
}

pub(in crate::rtmp) fn command(name: &str, transaction: f64, arguments: &[Value]) -> Vec<u8> {
    let mut values = vec![Value::string(name), Value::Number(transaction)];
    values.extend_from_slice(arguments);
    raw(type_id::COMMAND_AMF0, 1, 0, &amf0::encode(&values))
}

pub(in crate::rtmp) fn connect_command(properties: &[(&str, Value)]) -> Vec<u8> {
    let mut object = vec![("app".to_owned(), Value::string("live"))];
    object.extend(properties.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    command("connect", 1.0, &[Value::Object(object)])
}

/// What a session sent behind its handshake: control messages by type and payload, commands and data as values.
#[derive(Debug, PartialEq)]
pub(in crate::rtmp) enum Sent {
    Control(u8, Vec<u8>),
    Values(u32, Vec<Value>),
}

impl Sent {
    /// The command's name; empty for a control message.
    pub(in crate::rtmp) fn name(&self) -> &str {
        match self {
            Self::Control(..) => "",
            Self::Values(_, values) => values[0].as_str().unwrap(),
        }
    }

    /// A property of the command's last value, which is where information objects stand.
    pub(in crate::rtmp) fn property(&self, name: &str) -> Option<&Value> {
        match self {
            Self::Control(..) => None,
            Self::Values(_, values) => values.last().and_then(|value| value.get(name)),
        }
    }

    pub(in crate::rtmp) fn text(&self, name: &str) -> &str {
        self.property(name).and_then(Value::as_str).unwrap_or_default()
    }
}

/// A peer's ear: reads what a session sends.
#[derive(Default)]
pub(in crate::rtmp) struct Listener {
    reader: ChunkReader,
}

impl Listener {
    pub(in crate::rtmp) fn hear(&mut self, bytes: &[u8]) -> Vec<Sent> {
        let mut rest = bytes;
        let mut heard = Vec::new();
        while let Some(message) = self.reader.read(&mut rest).unwrap() {
            heard.push(match message.type_id {
                type_id::COMMAND_AMF0 | type_id::DATA_AMF0 => {
                    Sent::Values(message.stream_id, amf0::decode(&message.payload).unwrap())
                }
                other => Sent::Control(other, message.payload.to_vec()),
            });
        }
        heard
    }
}

/// A server session with its handshake done, and a listener for what it says.
pub(in crate::rtmp) fn fresh_server() -> (ServerSession, Listener) {
    let mut session = ServerSession::new(SERVER);
    session.feed(&plain_handshake()).unwrap();
    assert!(session.handshake_done());
    session.take_output();
    (session, Listener::default())
}

/// A server session whose peer is connected.
pub(in crate::rtmp) fn connected_server() -> (ServerSession, Listener) {
    let (mut session, mut listener) = fresh_server();
    session.feed(&connect_command(&[])).unwrap();
    server_events(&mut session);
    session.accept_connect(&[]);
    listener.hear(&session.take_output());
    (session, listener)
}

/// Carries bytes between the two until both have nothing more to say; the server grants everything.
pub(in crate::rtmp) fn converse(client: &mut ClientSession, server: &mut ServerSession) -> Heard {
    let mut heard = Heard::default();
    loop {
        let to_server = client.take_output();
        let to_client = server.take_output();
        if to_server.is_empty() && to_client.is_empty() {
            return heard;
        }
        heard.to_server.extend_from_slice(&to_server);
        heard.to_client.extend_from_slice(&to_client);
        server.feed(&to_server).unwrap();
        client.feed(&to_client).unwrap();
        for event in server_events(server) {
            grant(server, &event);
            heard.server.push(event);
        }
        heard.client.extend(client_events(client));
    }
}

/// What was said and what came of it.
#[derive(Default)]
pub(in crate::rtmp) struct Heard {
    pub(in crate::rtmp) client: Vec<ClientEvent>,
    pub(in crate::rtmp) server: Vec<ServerEvent>,
    pub(in crate::rtmp) to_server: Vec<u8>,
    pub(in crate::rtmp) to_client: Vec<u8>,
}

/// Says yes to whatever a peer asks for.
pub(in crate::rtmp) fn grant(server: &mut ServerSession, event: &ServerEvent) {
    match event {
        ServerEvent::Connect(_) => server.accept_connect(&[("rillcast", "node=origin-1")]),
        ServerEvent::Publish(_) => server.accept_publish(),
        ServerEvent::Play(_) => server.accept_play(&[("session", "s-1")]),
        _ => {}
    }
}
