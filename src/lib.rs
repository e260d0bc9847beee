//! Rillcast.
#![forbid(unsafe_code)]

pub mod media;
pub mod rtmp;
