//! Sockets: listening, admitting, resolving names, reading and writing.
//!
//! Owns everything that knows an address. The server binds and accepts with it, the serving and pulling sessions read and
//! write through it, the pull resolves with it. It knows no stream, and of protocols only what the HTTP
//! servers have in common.

pub mod admission;
pub mod byte_range;
pub mod descriptors;
pub mod dial;
pub mod dns;
pub mod forwarded;
pub mod handshakes;
pub mod listener;
pub mod peek;
pub mod preamble;
pub mod progress;
pub mod proxy_protocol;
pub mod scratch;
pub mod socket;
pub mod stream;
pub mod tls;
