//! Who a peer is, and what that allows.
//!
//! Owns the mark by which servers of one cluster know each other: its text, its signature and what a server makes of
//! it; and the comparison of an operator's password with what is configured. The serving and pulling sessions call it with
//! what they put on the wire and found there, the admin port with what operators present; it decides nothing about sockets
//! and streams, and counts and logs nothing.

mod acknowledgement;
mod cluster_key;
mod fields;
mod mark;
mod nonces;
mod passwords;
mod verifier;

pub use acknowledgement::Acknowledgement;
pub use cluster_key::ClusterKey;
pub use mark::{MARK_HEADER, Mark, PROPERTY, SESSION_HEADER};
pub use passwords::{Passwords, Presented};
pub use verifier::{Refusal, Standing, Verifier};
