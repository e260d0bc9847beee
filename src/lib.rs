//! Rillcast.
#![forbid(unsafe_code)]

pub mod auth;
pub mod config;
pub mod hub;
pub mod media;
pub mod metrics;
pub mod net;
pub mod rtmp;
pub mod serve;
