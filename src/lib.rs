//! Rillcast.
#![forbid(unsafe_code)]

pub mod admin;
pub mod auth;
pub mod config;
pub mod demo;
pub mod hub;
pub mod media;
pub mod metrics;
pub mod net;
pub mod pull;
pub mod rtmp;
pub mod serve;
pub mod server;
