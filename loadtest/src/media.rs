//! What synthetic publishers and the floor send: valid H.264 and AAC at an exact cadence, or a FLV file, each message
//! with a stamp.
//!
//! Owns the making and the stamping of messages. It sends nothing and reads no clock.

pub(crate) mod aac;
pub(crate) mod bits;
pub(crate) mod file;
pub(crate) mod h264;
pub(crate) mod script;
pub(crate) mod stamp;
pub(crate) mod synthetic;
