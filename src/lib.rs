//! Rillcast: a live streaming server for clusters.
//!
//! Origins take RTMP publishers in. Edges serve players over RTMP and HTTP-FLV, and pull each stream once from an origin,
//! however many players ask for it. Two paths, one ring:
//!
//! ```text
//! publisher ─► serve::rtmp ─► hub::Publisher ─► ring of blocks ─► hub::Reader (a cursor) ─► one write ─► player
//! first player of a stream on an edge ─► hub miss ─► pull (one per stream) ─► hub::Publisher ─► the same ring
//! ```
//!
//! The layers, each of which calls only those above it in this list; a test holds the code to it:
//!
//! - [`media`]: tags, packets, codecs, names, the time line. Pure.
//! - [`mux`]: from packets to segments and recordings: MPEG-TS, fragmented MP4, playlists, FLV files. Pure.
//! - [`rtmp`]: the protocol as state machines, bytes in and events out. Pure.
//! - [`hub`]: streams, blocks, rings, readers.
//! - [`hls`]: what players ask for of HLS, and how an origin makes it.
//! - [`net`]: listeners, sockets, DNS.
//! - [`dvr`]: what is published, as files.
//! - [`cluster`]: which origin holds a name, and the ranking that all servers share.
//! - [`serve`] and [`pull`]: connections of clients, and connections to upstreams. They never call each other.
//! - [`sessions`]: who is connected.
//! - [`drain`]: the order to take leave of all clients.
//! - [`admin`], [`metrics`], [`auth`], [`config`]: what surrounds the media.
//! - [`hooks`]: servers of somebody else that are asked about clients, and told of them.
//! - [`logging`]: what the log looks like.
//! - [`server`]: the only place that puts them together; [`demo`] runs two of them, [`probe`] plays what they
//!   send, and [`sign`] makes URLs that they let in.
#![forbid(unsafe_code)]

pub mod admin;
pub mod auth;
pub mod cluster;
pub mod config;
pub mod demo;
pub mod drain;
pub mod dvr;
pub mod hls;
pub mod hooks;
pub mod hub;
pub mod logging;
pub mod media;
pub mod metrics;
pub mod mux;
pub mod net;
pub mod probe;
pub mod pull;
pub mod rtmp;
mod seldom;
pub mod serve;
pub mod server;
pub mod sessions;
pub mod sign;
