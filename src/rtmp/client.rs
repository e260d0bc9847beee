//! The connecting side of a connection: how an edge pulls a stream, and forwards or publishes one.
//!
//! Owns the state of one outgoing connection with one goal, to play or to publish one stream, from the handshake to the
//! end. The pull, the forward and the demo publisher feed it and write its output. It is liberal in what it takes:
//! servers order their replies differently, and media may come before they say that playing begins. It never follows a
//! redirect or reconnects: its caller does.

mod command;
#[cfg(test)]
mod tests;

use bytes::Bytes;

use crate::media::{Kind, Tag};
use crate::rtmp::Error;
use crate::rtmp::amf0::{self, Value};
use crate::rtmp::chunk_reader::RawMessage;
use crate::rtmp::chunk_writer::write_media;
use crate::rtmp::event_queue::EventQueue;
use crate::rtmp::link::{Incoming, Link};
use crate::rtmp::media_message::{self, SET_DATA_FRAME};
use crate::rtmp::message_writer::Control;

/// What the transactions of calls begin behind: no other command uses them.
const FIRST_CALL: f64 = 1_000.0;

/// What the connection is for. Names may carry a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Goal {
    /// To play a stream.
    Play {
        /// The stream's name within the app.
        name: String,
    },
    /// To publish a stream.
    Publish {
        /// The stream's name within the app.
        name: String,
    },
    /// To ask another server of the cluster: calls follow, and no stream.
    Ask,
}

/// Where to, what for, and who we are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientSettings {
    /// The URL of the app: `rtmp://host:port/app`.
    pub tc_url: String,
    /// The app.
    pub app: String,
    /// The stream, and what to do with it.
    pub goal: Goal,
    /// The property `rillcast`, if we say who we are.
    pub mark: Option<String>,
    /// The size in bytes of the chunks we send; at least 128.
    pub chunk_size: u32,
    /// Whether to offer enhanced RTMP.
    pub four_cc: bool,
    /// Whether to say that we reconnect when the server asks us to; part of enhanced RTMP. Then the caller has to act on
    /// [`ClientEvent::ReconnectRequested`].
    pub reconnects: bool,
}

/// What the caller has to act on.
#[derive(Debug, Clone, PartialEq)]
pub enum ClientEvent {
    /// The server accepted the connect.
    Connected {
        /// The property `rillcast` of its answer: the server is one of ours.
        acknowledgement: Option<String>,
    },
    /// Playing or publishing begins.
    Started {
        /// The property `session` of the answer to play: the publish session behind the stream.
        session: Option<String>,
    },
    /// Media of the stream.
    Media(Tag),
    /// The server will not do it.
    Refused {
        /// The status code.
        code: String,
        /// What the server says about it.
        description: String,
        /// Where to go instead, as SRS says it: the URL of an app or a stream.
        redirect: Option<String>,
    },
    /// The server would like us to go (enhanced RTMP v2): to connect again, and to close this connection once the new one
    /// is in place. Until then everything goes on here.
    ReconnectRequested {
        /// Where to, as the server says it: absolute or relative to our own URL; where we are connected now if unset.
        tc_url: Option<String>,
    },
    /// What had begun has ended: the publisher has gone, or the server ends us.
    Ended {
        /// The status code, or `StreamEOF`.
        code: String,
    },
    /// The answer to a ping, with the ping's timestamp.
    Pong(u32),
    /// The answer to a call.
    Answered {
        /// Which call it was.
        call: u32,
        /// The answer; `None` if the server refuses to give one.
        argument: Option<Value>,
    },
}

/// The client's end of one connection.
#[derive(Debug)]
pub struct ClientSession {
    link: Link,
    settings: ClientSettings,
    /// What is published as at a server of our own kind.
    name_for_ours: Option<String>,
    progress: Progress,
    /// The message stream, once the server has made one.
    stream_id: Option<u32>,
    events: EventQueue<ClientEvent>,
    /// How many calls there were.
    calls: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Progress {
    Connecting,
    CreatingStream,
    /// Play or publish is sent.
    Requested,
    Started,
    /// Refused or ended.
    Over,
}

impl ClientSession {
    /// A session for a connection that has just been made. Its first bytes wait in the output.
    pub fn new(settings: ClientSettings) -> Result<Self, Error> {
        Ok(Self {
            link: Link::client()?,
            settings,
            name_for_ours: None,
            progress: Progress::Connecting,
            stream_id: None,
            events: EventQueue::new(),
            calls: 0,
        })
    }

    /// Publishes under `name` instead, should the server acknowledge our mark. To be said before it is fed.
    pub fn publish_to_ours_as(&mut self, name: String) {
        self.name_for_ours = Some(name);
    }

    /// Takes in what the server sent. After an error the connection is to be closed; events made before it stay
    /// available.
    pub fn feed(&mut self, mut input: &[u8]) -> Result<(), Error> {
        while let Some(incoming) = self.link.read(&mut input)? {
            match incoming {
                Incoming::HandshakeDone => self.send_connect(),
                Incoming::Command(command) => self.handle_command(&command)?,
                Incoming::Media(message) => self.handle_media(message)?,
                Incoming::StreamEof => self.stream_eof(),
                Incoming::Pong(timestamp) => self.events.push(ClientEvent::Pong(timestamp)),
            }
        }
        Ok(())
    }

    /// The next thing to act on, in the order in which the server made them.
    pub fn next_event(&mut self) -> Option<ClientEvent> {
        self.events.pop()
    }

    /// The bytes to send now; empty if there are none.
    pub fn take_output(&mut self) -> Bytes {
        self.link.take_output()
    }

    /// Whether the handshake is complete.
    pub const fn handshake_done(&self) -> bool {
        self.link.handshake_done()
    }

    /// The memory in bytes that messages take which have partly arrived.
    pub const fn partial_bytes(&self) -> usize {
        self.link.partial_bytes()
    }

    /// Publishes a tag. Nothing is sent before publishing has started and after it has ended.
    pub fn write_tag(&mut self, tag: &Tag) {
        let Some(stream_id) = self.stream_id else { return };
        if self.progress != Progress::Started || !matches!(self.settings.goal, Goal::Publish { .. }) {
            return;
        }
        let chunk_size = usize::try_from(self.link.chunk_size()).unwrap_or(usize::MAX);
        let out = self.link.output();
        if tag.kind == Kind::Data && media_message::data_name(&tag.payload) == Some(b"onMetaData") {
            let payload = [SET_DATA_FRAME, &tag.payload].concat();
            write_media(out, tag.kind, tag.timestamp, stream_id, &payload, chunk_size);
        } else {
            write_media(out, tag.kind, tag.timestamp, stream_id, &tag.payload, chunk_size);
        }
    }

    /// Says goodbye, so that the server need not find out. The caller sends the output and closes the connection.
    pub fn close(&mut self) {
        let Some(stream_id) = self.stream_id.take() else { return };
        self.progress = Progress::Over;
        if let Goal::Publish { name } = &self.settings.goal {
            let values = [Value::string("FCUnpublish"), Value::Number(0.0), Value::Null, Value::string(name.as_str())];
            self.link.send_command(0, &values);
        }
        let stream_id = Value::Number(f64::from(stream_id));
        self.link.send_command(0, &[Value::string("deleteStream"), Value::Number(0.0), Value::Null, stream_id]);
    }

    /// Asks the server something that only servers of the cluster ask. Returns the number that `Answered` brings back.
    pub fn call(&mut self, name: &str, argument: Value) -> u32 {
        self.calls = self.calls.wrapping_add(1);
        let transaction = FIRST_CALL + f64::from(self.calls);
        self.link.send_command(0, &[Value::string(name), Value::Number(transaction), Value::Null, argument]);
        self.calls
    }

    /// Asks for a sign of life: the `Pong` event brings `timestamp` back.
    pub fn ping(&mut self, timestamp: u32) {
        self.link.send(Control::PingRequest(timestamp));
    }

    fn handle_media(&mut self, message: RawMessage) -> Result<(), Error> {
        if !matches!(self.settings.goal, Goal::Play { .. }) {
            return Ok(());
        }
        let mut complete = None;
        media_message::for_each_tag(message, |tag| {
            match (tag.kind, media_message::data_name(&tag.payload)) {
                // What servers say to players in the form of data, and is no part of the stream.
                (Kind::Data, Some(b"|RtmpSampleAccess" | b"onStatus")) => {}
                (Kind::Data, Some(b"onPlayStatus")) => complete = Some(tag),
                _ => self.events.push(ClientEvent::Media(tag)),
            }
        })?;
        match complete {
            Some(tag) => self.play_status(&tag.payload),
            None => Ok(()),
        }
    }

    /// `onPlayStatus` ends a play that is complete, in the form of data.
    fn play_status(&mut self, payload: &[u8]) -> Result<(), Error> {
        let values = amf0::decode(payload)?;
        let code = values.iter().find_map(|value| value.get("code")).and_then(Value::as_str);
        if let Some(code @ "NetStream.Play.Complete") = code {
            self.end(code);
        }
        Ok(())
    }

    fn stream_eof(&mut self) {
        if self.progress == Progress::Started {
            self.end("StreamEOF");
        }
    }

    /// Reports the end of what had begun, once.
    fn end(&mut self, code: &str) {
        if self.progress != Progress::Over {
            self.progress = Progress::Over;
            self.events.push(ClientEvent::Ended { code: code.to_owned() });
        }
    }
}
