//! Who a peer is, and what that allows.
//!
//! Owns the mark by which servers of one cluster know each other. The serving and pulling sessions call it with what they
//! put on the wire and found there; it decides nothing about sockets and streams.

mod mark;

pub use mark::{Acknowledgement, Mark, PROPERTY};
