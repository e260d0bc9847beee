//! The accepting side of a connection: what encoders and players talk to.
//!
//! Owns the state of one connection from its first byte on: handshake, connect, one stream, and on it at most one
//! activity, publishing or playing. The RTMP session of the server feeds it, decides about its requests and writes its
//! output. It answers by itself whatever needs no decision. It decides about no name and no permission, and media to a
//! player does not pass through it: that comes ready-made from the ring, on [`STREAM_ID`].

mod command;
mod reply;
mod request;
#[cfg(test)]
mod tests;

use bytes::Bytes;

use crate::media::Tag;
use crate::rtmp::Error;
use crate::rtmp::event_queue::EventQueue;
use crate::rtmp::link::{Incoming, Link};
use crate::rtmp::media_message;

pub use request::{Call, ConnectRequest, PlayRequest, PublishRequest};

/// The message stream that every createStream is answered with: media in wire form is shared by all players, so it must
/// be the same for all.
pub const STREAM_ID: u32 = 1;

/// What the operator chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerSettings {
    /// The size in bytes of the chunks we send, announced when a connect is accepted; at least 128.
    pub chunk_size: u32,
    /// The window in bytes that the peer is to acknowledge, and the bandwidth it is granted.
    pub window_acknowledgement: u32,
}

/// What the caller has to act on.
#[derive(Debug, Clone, PartialEq)]
pub enum ServerEvent {
    /// To be answered with `accept_connect` or `reject_connect`.
    Connect(Box<ConnectRequest>),
    /// To be answered with `accept_publish` or `reject_publish`, unless `StreamClosed` comes first.
    Publish(PublishRequest),
    /// To be answered with `accept_play` or `reject_play`, unless `StreamClosed` comes first.
    Play(PlayRequest),
    /// Media of the publisher, accepted or still to be decided about.
    Media(Tag),
    /// The player pauses (`true`) or goes on.
    Pause(bool),
    /// The peer ended what it was publishing or playing, or took its request back.
    StreamClosed,
    /// The answer to a ping, with the ping's timestamp.
    Pong(u32),
    /// A question of a server of the cluster, to be answered with `answer_call`. Only after `take_calls`.
    Call(Box<Call>),
}

/// The server's end of one connection.
#[derive(Debug)]
pub struct ServerSession {
    link: Link,
    settings: ServerSettings,
    phase: Phase,
    activity: Activity,
    events: EventQueue<ServerEvent>,
    /// How many of the events are not media.
    requests: usize,
    /// The memory in bytes that the events take which are media.
    media_bytes: usize,
    /// Whether the peer is a server of the cluster that may ask as such.
    takes_calls: bool,
}

/// How many requests may wait for the caller. Many need no reply, so nothing else bounds what a peer piles up while the
/// caller is busy writing to it.
const MAX_REQUESTS: usize = 64;

/// How much media of a publisher that is still to be decided about may wait for the caller: enough for an encoder's headers,
/// of which some send the first before they are told to begin.
const MAX_EARLY_BYTES: usize = 256 << 10;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Phase {
    /// No connect yet.
    Fresh,
    /// The caller is deciding about the connect that carried this transaction.
    Deciding {
        transaction: f64,
        /// Whether the peer speaks enhanced RTMP.
        enhanced: bool,
    },
    Connected,
    Rejected,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Activity {
    Idle,
    PublishPending,
    Publishing,
    PlayPending,
    Playing,
}

impl ServerSession {
    /// A session for a connection that has just been accepted.
    pub fn new(settings: ServerSettings) -> Self {
        Self {
            link: Link::server(),
            settings,
            phase: Phase::Fresh,
            activity: Activity::Idle,
            events: EventQueue::new(),
            requests: 0,
            media_bytes: 0,
            takes_calls: false,
        }
    }

    /// Takes in what the peer sent. After an error the connection is to be closed; events made before it, and output,
    /// stay available.
    ///
    /// A caller that cannot write may leave the output here: a peer that goes on asking without reading gets an error.
    pub fn feed(&mut self, mut input: &[u8]) -> Result<(), Error> {
        while let Some(incoming) = self.link.read(&mut input)? {
            match incoming {
                Incoming::Command(command) => self.handle_command(&command)?,
                // Encoders may send their headers before they are told to begin.
                Incoming::Media(message)
                    if matches!(self.activity, Activity::PublishPending | Activity::Publishing) =>
                {
                    // Whoever decides takes nothing meanwhile, so that nothing else bounds it. Once it is accepted, its
                    // media is taken as it comes.
                    if self.activity == Activity::PublishPending && self.media_bytes >= MAX_EARLY_BYTES {
                        return Err(Error::Protocol("too much media before the publish is answered"));
                    }
                    media_message::for_each_tag(message, |tag| {
                        self.media_bytes += memory_of(&tag);
                        self.events.push(ServerEvent::Media(tag));
                    })?;
                }
                Incoming::Pong(timestamp) => self.request(ServerEvent::Pong(timestamp))?,
                // Players have no media to send.
                Incoming::Media(_) | Incoming::HandshakeDone | Incoming::StreamEof => {}
            }
        }
        Ok(())
    }

    /// The next thing to act on, in the order in which the peer made them.
    pub fn next_event(&mut self) -> Option<ServerEvent> {
        let event = self.events.pop()?;
        match &event {
            ServerEvent::Media(tag) => self.media_bytes -= memory_of(tag),
            _ => self.requests -= 1,
        }
        Some(event)
    }

    fn request(&mut self, event: ServerEvent) -> Result<(), Error> {
        if self.requests >= MAX_REQUESTS {
            return Err(Error::RepliesUnread);
        }
        self.requests += 1;
        self.events.push(event);
        Ok(())
    }

    /// The bytes to send now; empty if there are none.
    pub fn take_output(&mut self) -> Bytes {
        self.link.take_output()
    }

    /// Whether the handshake is complete.
    pub const fn handshake_done(&self) -> bool {
        self.link.handshake_done()
    }

    /// Whether the peer sent anything at all: a health probe does not.
    pub const fn received_any(&self) -> bool {
        self.link.received_any()
    }

    /// The memory in bytes that messages take which have partly arrived.
    pub const fn partial_bytes(&self) -> usize {
        self.link.partial_bytes()
    }
}

/// What a tag takes as an event: small ones take more than they hold.
fn memory_of(tag: &Tag) -> usize {
    size_of::<ServerEvent>() + tag.payload.len()
}
