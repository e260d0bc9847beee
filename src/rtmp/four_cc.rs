//! What enhanced RTMP adds to connect: the codecs that it names by FourCC, and capabilities.
//!
//! Owns what both sides announce in connect: the list, and the capabilities beside it. Media passes through untouched, so every codec that the
//! specification names is welcome.

use crate::rtmp::amf0::Value;

/// Enhanced RTMP v2, "Enhanced Video" and "Enhanced Audio". Named one by one: not every peer knows the wildcard.
const FOUR_CC: [&str; 12] =
    ["av01", "vp08", "vp09", "hvc1", "avc1", "vvc1", "ac-3", "ec-3", "Opus", ".mp3", "fLaC", "mp4a"];

/// The bit of `capsEx` for the ability to reconnect on request (`CapsExMask.Reconnect`); at a server, to request it.
const RECONNECT: u32 = 0x01;

/// The properties that a connect, or its result, carries to offer enhanced RTMP ("Enhancing NetConnection connect
/// Command"): all codecs, and of the extended capabilities at most reconnecting.
pub(super) fn properties(reconnects: bool) -> [(String, Value); 2] {
    let codecs = FOUR_CC.iter().map(|code| Value::string(*code)).collect();
    let capabilities = if reconnects { f64::from(RECONNECT) } else { 0.0 };
    [("fourCcList".to_owned(), Value::StrictArray(codecs)), ("capsEx".to_owned(), Value::Number(capabilities))]
}

/// Whether the object of a connect says that its sender reconnects when it is asked to.
pub(super) fn can_reconnect(object: &Value) -> bool {
    // A cast of what is no number of 32 bits saturates, and of NaN gives 0.
    object.get("capsEx").and_then(Value::as_number).is_some_and(|capabilities| capabilities as u32 & RECONNECT != 0)
}
