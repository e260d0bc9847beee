//! Rillcast.
#![forbid(unsafe_code)]

pub mod config;
pub mod media;
pub mod metrics;
