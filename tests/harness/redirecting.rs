//! A server that speaks just enough RTMP to send its clients elsewhere, as SRS does (its "RTMP 302").

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;

use rml_rtmp::chunk_io::ChunkDeserializer;
use rml_rtmp::handshake::{Handshake, HandshakeProcessResult, PeerType};
use rml_rtmp::rml_amf0::Amf0Value;

use super::rtmp::{Message, RtmpSink, message_type, text};
use super::{PATIENCE, pause};

/// When a client is told to go elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// In the answer to `connect`.
    Connect,
    /// In a status, after `play`.
    Play,
}

/// A server that redirects whoever comes.
pub struct Redirecting {
    /// Where it listens.
    pub address: SocketAddr,
    location: Arc<OnceLock<String>>,
    clients: Arc<AtomicUsize>,
    stopped: Arc<AtomicBool>,
}

impl Redirecting {
    /// A server that redirects at a given moment, once it knows where to.
    pub fn at(moment: Moment) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("it can be polled");
        let server = Self {
            address: listener.local_addr().expect("it is bound"),
            location: Arc::default(),
            clients: Arc::default(),
            stopped: Arc::default(),
        };
        let (location, clients, stopped) = (server.location.clone(), server.clients.clone(), server.stopped.clone());
        thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let Ok((client, _)) = listener.accept() else {
                    pause();
                    continue;
                };
                clients.fetch_add(1, Ordering::Relaxed);
                let location = location.get().expect("it was told where to lead").clone();
                // Clients that go away in the middle are none of the server's business.
                thread::spawn(move || redirect(client, moment, &location).ok());
            }
        });
        server
    }

    /// Leads to an RTMP URL from now on. To be said once.
    pub fn lead_to(&self, location: &str) {
        self.location.set(location.to_owned()).expect("it was not told before");
    }

    /// How many have come.
    pub fn clients(&self) -> usize {
        self.clients.load(Ordering::Relaxed)
    }
}

impl Drop for Redirecting {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
    }
}

fn redirect(client: TcpStream, moment: Moment, location: &str) -> io::Result<()> {
    client.set_nonblocking(false)?;
    client.set_read_timeout(Some(PATIENCE))?;
    let client = Arc::new(client);
    let mut deserializer = ChunkDeserializer::new();
    let mut received = shake_hands(&client)?;
    let sink = RtmpSink::new(client.clone());
    let mut buffer = [0; 4096];
    loop {
        while let Some(message) = deserializer.get_next_message(&received).map_err(other)? {
            received.clear();
            if message.type_id == message_type::SET_CHUNK_SIZE {
                let size = message.data.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
                deserializer.set_max_chunk_size(size as usize).map_err(other)?;
                continue;
            }
            let command = Message {
                type_id: message.type_id,
                stream_id: message.message_stream_id,
                timestamp: 0,
                payload: message.data,
            };
            answer(&sink, &command, moment, location)?;
        }
        received.clear();
        match client.as_ref().read(&mut buffer)? {
            0 => return Ok(()),
            count => received.extend_from_slice(&buffer[..count]),
        }
    }
}

fn answer(sink: &RtmpSink, command: &Message, moment: Moment, location: &str) -> io::Result<()> {
    let values = command.values();
    let transaction = values.get(1).and_then(|value| value.clone().get_number()).unwrap_or_default();
    let away = information("error", "NetConnection.Connect.Rejected", Some(location));
    match values.first().and_then(|name| name.clone().get_string()).as_deref() {
        Some("connect") if moment == Moment::Connect => {
            sink.send(&Message::command(0, "_error", transaction, &[Amf0Value::Null, away]))
        }
        Some("connect") => {
            let success = information("status", "NetConnection.Connect.Success", None);
            sink.send(&Message::command(0, "_result", transaction, &[Amf0Value::Null, success]))
        }
        Some("createStream") => {
            let arguments = [Amf0Value::Null, Amf0Value::Number(1.0)];
            sink.send(&Message::command(0, "_result", transaction, &arguments))
        }
        Some("play") => sink.send(&Message::command(command.stream_id, "onStatus", 0.0, &[Amf0Value::Null, away])),
        _ => Ok(()),
    }
}

/// An information object; with a location it carries `ex` as SRS sends it.
fn information(level: &str, code: &str, location: Option<&str>) -> Amf0Value {
    let mut object = HashMap::from([
        ("level".to_owned(), text(level)),
        ("code".to_owned(), text(code)),
        ("description".to_owned(), text("RTMP 302 Redirect")),
    ]);
    if let Some(location) = location {
        let more =
            HashMap::from([("code".to_owned(), Amf0Value::Number(302.0)), ("redirect".to_owned(), text(location))]);
        object.insert("ex".to_owned(), Amf0Value::Object(more));
    }
    Amf0Value::Object(object)
}

/// The server's side of the handshake; gives what the client sent behind its own.
fn shake_hands(mut client: &TcpStream) -> io::Result<Vec<u8>> {
    let mut handshake = Handshake::new(PeerType::Server);
    let mut buffer = [0; 4096];
    loop {
        let count = client.read(&mut buffer)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match handshake.process_bytes(&buffer[..count]).map_err(other)? {
            HandshakeProcessResult::InProgress { response_bytes } => client.write_all(&response_bytes)?,
            HandshakeProcessResult::Completed { response_bytes, remaining_bytes } => {
                client.write_all(&response_bytes)?;
                return Ok(remaining_bytes);
            }
        }
    }
}

fn other(error: impl std::fmt::Display) -> io::Error {
    io::Error::other(error.to_string())
}
