//! RTMP as two state machines without input or output: bytes in, events and bytes out.
//!
//! Owns the whole protocol: handshake, chunks, AMF0, control messages and commands, for the accepting side
//! ([`ServerSession`]) and the connecting side ([`ClientSession`]), and the chunks in which media goes out to players
//! ([`chunk_writer`]). The RTMP sessions, the pull and the ring call it. It opens no socket, reads no clock and knows no
//! runtime; it names no streams (the callers make the keys) and parses no codec: media passes as it came.
//!
//! Everything here reads what strangers sent before any authentication, so nothing a peer sends may panic, recurse
//! without bound, or make more memory than it sent bytes.

pub mod amf0;
pub mod chunk_reader;
pub mod chunk_writer;
pub mod client;
pub mod server;
pub mod status;
pub mod url;

mod event_queue;
mod four_cc;
mod handshake;
mod link;
mod media_message;
mod message;
mod message_writer;

#[cfg(test)]
mod tests;

pub use amf0::AmfError;
pub use chunk_reader::ChunkError;
pub use client::{ClientEvent, ClientSession, ClientSettings, Goal};
pub use server::{ConnectRequest, PlayRequest, PublishRequest, ServerEvent, ServerSession, ServerSettings};
pub use status::Status;

/// Why a session cannot go on. The connection is to be closed; the session must not be fed again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The handshake is not one of RTMP version 3.
    #[error("the handshake is invalid")]
    Handshake,
    /// The chunk stream cannot be read on.
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    /// A command's values cannot be decoded.
    #[error(transparent)]
    Amf(#[from] AmfError),
    /// A message is shorter or shaped otherwise than its type says.
    #[error("invalid message: {0}")]
    Message(&'static str),
    /// A message came where the protocol does not allow it.
    #[error("protocol violation: {0}")]
    Protocol(&'static str),
    /// The peer asks and asks, and does not read the replies.
    #[error("the peer does not read the replies to its requests")]
    RepliesUnread,
}

impl Error {
    /// The reason as a short, stable label for logs and metrics.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Handshake => "handshake_invalid",
            Self::Chunk(ChunkError::MessageTooLarge { .. } | ChunkError::PartialBytes) => "message_too_large",
            Self::Chunk(_) => "chunk_invalid",
            Self::Amf(_) => "amf_invalid",
            Self::Message(_) => "message_invalid",
            Self::Protocol(_) => "protocol_violation",
            Self::RepliesUnread => "replies_unread",
        }
    }
}
