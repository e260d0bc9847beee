//! The messages that the session machines act on (RTMP 1.0 specification 5.4, 7.1).
//!
//! Owns the message types and the reading of control messages and commands. The link calls it for each message a peer
//! sends. It never looks into media or data messages.

use bytes::Bytes;

use crate::rtmp::Error;
use crate::rtmp::amf0::{self, Value};
use crate::rtmp::chunk_reader::RawMessage;

/// Message types.
pub(crate) mod type_id {
    pub(crate) const SET_CHUNK_SIZE: u8 = 1;
    pub(crate) const ABORT: u8 = 2;
    pub(crate) const ACKNOWLEDGEMENT: u8 = 3;
    pub(crate) const USER_CONTROL: u8 = 4;
    pub(crate) const WINDOW_ACKNOWLEDGEMENT_SIZE: u8 = 5;
    pub(crate) const SET_PEER_BANDWIDTH: u8 = 6;
    pub(crate) const AUDIO: u8 = 8;
    pub(crate) const VIDEO: u8 = 9;
    pub(crate) const DATA_AMF3: u8 = 15;
    pub(crate) const COMMAND_AMF3: u8 = 17;
    pub(crate) const DATA_AMF0: u8 = 18;
    pub(crate) const COMMAND_AMF0: u8 = 20;
    pub(crate) const AGGREGATE: u8 = 22;
}

/// User control event types (7.1.7).
mod user_control {
    pub(super) const STREAM_EOF: u16 = 1;
    pub(super) const PING_REQUEST: u16 = 6;
    pub(super) const PING_RESPONSE: u16 = 7;
}

#[derive(Debug, PartialEq)]
pub(super) enum Message {
    /// The peer wants an acknowledgement each time it has sent this many bytes.
    WindowAcknowledgementSize(u32),
    /// To be answered with the same timestamp.
    PingRequest(u32),
    /// The answer to a ping, with its timestamp.
    PingResponse(u32),
    /// The peer will send no more of what it plays to us.
    StreamEof,
    Command(Command),
    /// Audio, video, data and aggregates, unread.
    Media(RawMessage),
    /// What neither side of us has a use for.
    Ignored,
}

/// A remote procedure call, its answer, or a status (7.2).
#[derive(Debug, PartialEq)]
pub(super) struct Command {
    pub(super) name: String,
    pub(super) transaction: f64,
    /// What follows the transaction: the command object, which is often null, then the arguments.
    values: Vec<Value>,
}

impl Command {
    pub(super) fn object(&self) -> &Value {
        self.values.first().unwrap_or(&Value::Undefined)
    }

    /// The argument at `index` behind the command object.
    pub(super) fn argument(&self, index: usize) -> &Value {
        self.values.get(index + 1).unwrap_or(&Value::Undefined)
    }

    /// Parses the body of a command message. Peers leave out what they do not need, down to the transaction.
    fn parse(payload: &[u8]) -> Result<Self, Error> {
        let mut values = amf0::decode(payload)?.into_iter();
        let Some(Value::String(name)) = values.next() else {
            return Err(Error::Message("a command has no name"));
        };
        let transaction = values.next().and_then(|value| value.as_number()).unwrap_or(0.0);
        Ok(Self { name, transaction, values: values.collect() })
    }
}

impl Message {
    pub(super) fn parse(message: RawMessage) -> Result<Self, Error> {
        let payload = &message.payload;
        Ok(match message.type_id {
            type_id::USER_CONTROL => Self::parse_user_control(payload)?,
            type_id::WINDOW_ACKNOWLEDGEMENT_SIZE => Self::WindowAcknowledgementSize(first_u32(payload)?),
            type_id::ACKNOWLEDGEMENT | type_id::SET_PEER_BANDWIDTH => {
                first_u32(payload)?;
                Self::Ignored
            }
            type_id::COMMAND_AMF0 => Self::Command(Command::parse(payload)?),
            type_id::COMMAND_AMF3 => Self::Command(Command::parse(&without_amf3_prefix(payload))?),
            type_id::AUDIO | type_id::VIDEO | type_id::DATA_AMF0 | type_id::DATA_AMF3 | type_id::AGGREGATE => {
                Self::Media(message)
            }
            _ => Self::Ignored,
        })
    }

    fn parse_user_control(payload: &[u8]) -> Result<Self, Error> {
        let Some((event, body)) = payload.split_first_chunk() else {
            return Err(Error::Message("a user control message is cut off"));
        };
        Ok(match u16::from_be_bytes(*event) {
            user_control::PING_REQUEST => Self::PingRequest(first_u32(body)?),
            user_control::PING_RESPONSE => Self::PingResponse(first_u32(body)?),
            user_control::STREAM_EOF => Self::StreamEof,
            _ => Self::Ignored,
        })
    }
}

/// AMF3 messages of real peers carry AMF0 behind a 0 byte (AMF3 messages may switch the encoding per value); some leave
/// the byte out.
pub(super) fn without_amf3_prefix(payload: &Bytes) -> Bytes {
    if payload.first() == Some(&0) { payload.slice(1..) } else { payload.clone() }
}

fn first_u32(payload: &[u8]) -> Result<u32, Error> {
    payload.first_chunk().copied().map(u32::from_be_bytes).ok_or(Error::Message("a control message is cut off"))
}
