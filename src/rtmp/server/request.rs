//! What a peer asks for: connect, publish and play, with what they carry (RTMP 1.0 specification 7.2.1.1, 7.2.2).
//!
//! Owns the reading of their arguments. The command handling calls it; names stay as they were sent.

use crate::rtmp::Error;
use crate::rtmp::amf0::Value;
use crate::rtmp::four_cc;
use crate::rtmp::message::Command;

/// A peer's connect.
#[derive(Debug, Clone, PartialEq)]
pub struct ConnectRequest {
    /// The app, with its query if it had one; empty if the peer named none.
    pub app: String,
    /// The URL the peer connects to.
    pub tc_url: Option<String>,
    /// The peer's software, as it calls itself.
    pub flash_version: Option<String>,
    /// The page a player is embedded in.
    pub page_url: Option<String>,
    /// The player file.
    pub swf_url: Option<String>,
    /// The property `rillcast`: who pulls or forwards.
    pub mark: Option<String>,
    /// The FourCCs that the peer offers, if it speaks enhanced RTMP.
    pub four_cc_list: Vec<String>,
    /// Whether the peer, once it publishes, reconnects when it is asked to (enhanced RTMP v2, `capsEx`).
    pub can_reconnect: bool,
    /// The AMF version the peer would like: 0, or 3 (which it is not given).
    pub object_encoding: f64,
}

/// A peer's publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishRequest {
    /// The stream, with its query if it had one.
    pub name: String,
    /// `live`, `record` or `append` in any case; encoders may leave it out.
    pub mode: Option<String>,
}

/// A peer's play.
#[derive(Debug, Clone, PartialEq)]
pub struct PlayRequest {
    /// The stream, with its query if it had one.
    pub name: String,
    /// Where to start, as sent: -2 (the default) for live or recorded, -1 for live only, else seconds by the
    /// specification; Flash, librtmp and ffmpeg send all of these times 1000.
    pub start: Option<f64>,
    /// For how long, in the same unit; -1 (the default) to the end.
    pub duration: Option<f64>,
    /// Whether to flush what was played before.
    pub reset: Option<bool>,
}

/// A question of another server of the cluster: `lease`, `release` or `lookup`.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The command.
    pub name: String,
    /// What its answer refers to.
    pub transaction: f64,
    /// The argument, unread.
    pub argument: Value,
}

impl Call {
    pub(super) fn parse(command: &Command) -> Self {
        let (name, argument) = (command.name.clone(), command.argument(0).clone());
        Self { name, transaction: command.transaction, argument }
    }
}

impl ConnectRequest {
    pub(super) fn parse(command: &Command) -> Result<Self, Error> {
        let object = command.object();
        if !matches!(object, Value::Object(_) | Value::EcmaArray(_) | Value::TypedObject { .. }) {
            return Err(Error::Message("connect carries no object"));
        }
        let text = |name| object.get(name).and_then(Value::as_str).map(str::to_owned);
        let four_cc_list = object.get("fourCcList").and_then(Value::as_array).unwrap_or_default();
        Ok(Self {
            app: text("app").unwrap_or_default(),
            tc_url: text("tcUrl"),
            flash_version: text("flashVer"),
            page_url: text("pageUrl"),
            swf_url: text("swfUrl"),
            mark: text("rillcast"),
            four_cc_list: four_cc_list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            can_reconnect: four_cc::can_reconnect(object),
            object_encoding: object.get("objectEncoding").and_then(Value::as_number).unwrap_or(0.0),
        })
    }
}

impl PublishRequest {
    /// The request, if it names a stream.
    pub(super) fn parse(command: &Command) -> Option<Self> {
        let name = command.argument(0).as_str()?.to_owned();
        Some(Self { name, mode: command.argument(1).as_str().map(str::to_owned) })
    }
}

impl PlayRequest {
    /// The request, if it names a stream.
    pub(super) fn parse(command: &Command) -> Option<Self> {
        let name = command.argument(0).as_str()?.to_owned();
        // Reset is a boolean by the specification, and a number from Flash.
        let reset = command.argument(3);
        Some(Self {
            name,
            start: command.argument(1).as_number(),
            duration: command.argument(2).as_number(),
            reset: reset.as_bool().or_else(|| reset.as_number().map(|number| number != 0.0)),
        })
    }
}
