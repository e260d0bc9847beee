//! The codecs that enhanced RTMP names by FourCC.
//!
//! Owns the list that both sides announce in connect. Media passes through untouched, so every codec that the
//! specification names is welcome.

use crate::rtmp::amf0::Value;

/// Enhanced RTMP v2, "Enhanced Video" and "Enhanced Audio". Named one by one: not every peer knows the wildcard.
const FOUR_CC: [&str; 12] =
    ["av01", "vp08", "vp09", "hvc1", "avc1", "vvc1", "ac-3", "ec-3", "Opus", ".mp3", "fLaC", "mp4a"];

/// The properties that a connect, or its result, carries to offer enhanced RTMP ("Enhancing NetConnection connect
/// Command"): all codecs, no extended capabilities.
pub(super) fn properties() -> [(String, Value); 2] {
    let codecs = FOUR_CC.iter().map(|code| Value::string(*code)).collect();
    [("fourCcList".to_owned(), Value::StrictArray(codecs)), ("capsEx".to_owned(), Value::Number(0.0))]
}
