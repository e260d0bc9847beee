//! TLS by rustls: what listeners present, and whom upstreams are believed to be.
//!
//! Owns the certificates in use and how they are replaced, and both handshakes. The server makes one [`ServerTls`] and
//! hands connections to it before their sessions begin; pulls and forwards connect with a [`ClientTls`]. Which versions,
//! cipher suites and groups there are is what rustls holds safe: TLS 1.2 and 1.3.

mod client;
mod rotation;
mod server;

pub use client::{ClientTls, ClientTlsError};
pub use rotation::keep_fresh;
pub use server::{Alpn, ServerTls};
