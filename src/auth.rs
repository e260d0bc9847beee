//! Who a peer is, and what that allows.
//!
//! Owns three things. The mark by which servers of one cluster know each other: its text, its signature and what a server makes
//! of it. Whether a client may publish or play: by its address, its page, and the signed URL or token that it shows. And the
//! comparison of an operator's password with what is configured. The serving and pulling sessions call it with what they put on
//! the wire and found there, the admin port with what operators present; nothing here knows sockets, streams or a clock, or
//! counts and logs.

pub mod access;
mod acknowledgement;
mod cluster_key;
mod fields;
mod hexadecimal;
mod json_web_token;
mod jwt_provider;
mod mark;
mod md5_token;
mod nonces;
mod parameters;
mod passwords;
pub mod signed_url;
mod verifier;

pub use access::{AccessRequest, Action, Denial, Grant};
pub use acknowledgement::Acknowledgement;
pub use cluster_key::ClusterKey;
pub use mark::{MARK_HEADER, Mark, PROPERTY, SESSION_HEADER};
pub use passwords::{Passwords, Presented};
pub use verifier::{Refusal, Standing, Verifier};
