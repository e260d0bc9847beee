//! Status codes: what `onStatus` and the answers to connect say (RTMP 1.0 specification 7.2.1.1, 7.2.2).
//!
//! Owns the codes, their levels and the information object they travel in. The server session and its callers name what
//! happened with them; the client session compares what a server says.

use crate::rtmp::amf0::Value;

/// A status, as Adobe's servers and all encoders spell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// The connection is accepted.
    ConnectSuccess,
    /// The connection is refused.
    ConnectRejected,
    /// The server is going, and takes nothing new.
    ConnectAppShutdown,
    /// The server asks for the connection to be made again, here or elsewhere (enhanced RTMP v2, "Reconnect Request").
    ConnectReconnectRequest,
    /// Publishing may begin.
    PublishStart,
    /// The name is taken, by another publisher or by this connection's own other activity.
    PublishBadName,
    /// The publisher is not allowed to publish.
    PublishDenied,
    /// Publishing has ended.
    UnpublishSuccess,
    /// A new play replaces what was played before.
    PlayReset,
    /// Playing begins.
    PlayStart,
    /// Nobody publishes the stream.
    PlayStreamNotFound,
    /// The stream would come back to who asks for it: to another server it is not there, though it may be elsewhere.
    PlayStreamInLoop,
    /// The stream cannot be played.
    PlayFailed,
    /// Playing has ended.
    PlayStop,
    /// The stream's publisher has gone.
    PlayUnpublishNotify,
    /// A live stream cannot be sought in.
    SeekFailed,
    /// The player is paused.
    PauseNotify,
    /// The player goes on.
    UnpauseNotify,
    /// Media follows.
    DataStart,
}

impl Status {
    /// The code as it stands on the wire.
    pub const fn code(self) -> &'static str {
        match self {
            Self::ConnectSuccess => "NetConnection.Connect.Success",
            Self::ConnectRejected => "NetConnection.Connect.Rejected",
            Self::ConnectAppShutdown => "NetConnection.Connect.AppShutdown",
            Self::ConnectReconnectRequest => "NetConnection.Connect.ReconnectRequest",
            Self::PublishStart => "NetStream.Publish.Start",
            Self::PublishBadName => "NetStream.Publish.BadName",
            Self::PublishDenied => "NetStream.Publish.Denied",
            Self::UnpublishSuccess => "NetStream.Unpublish.Success",
            Self::PlayReset => "NetStream.Play.Reset",
            Self::PlayStart => "NetStream.Play.Start",
            Self::PlayStreamNotFound => "NetStream.Play.StreamNotFound",
            Self::PlayStreamInLoop => "NetStream.Play.StreamNotFound.Loop",
            Self::PlayFailed => "NetStream.Play.Failed",
            Self::PlayStop => "NetStream.Play.Stop",
            Self::PlayUnpublishNotify => "NetStream.Play.UnpublishNotify",
            Self::SeekFailed => "NetStream.Seek.Failed",
            Self::PauseNotify => "NetStream.Pause.Notify",
            Self::UnpauseNotify => "NetStream.Unpause.Notify",
            Self::DataStart => "NetStream.Data.Start",
        }
    }

    /// `status` or `error`.
    pub const fn level(self) -> &'static str {
        match self {
            Self::ConnectRejected
            | Self::ConnectAppShutdown
            | Self::PublishBadName
            | Self::PublishDenied
            | Self::PlayStreamNotFound
            | Self::PlayStreamInLoop
            | Self::PlayFailed
            | Self::SeekFailed => "error",
            _ => "status",
        }
    }

    /// The information object: level, code and description.
    pub(super) fn information(self, description: &str) -> Vec<(String, Value)> {
        information(self.level(), self.code(), description)
    }
}

/// An information object: level, code and description.
pub(super) fn information(level: &str, code: &str, description: &str) -> Vec<(String, Value)> {
    [("level", level), ("code", code), ("description", description)]
        .map(|(name, text)| (name.to_owned(), Value::string(text)))
        .into()
}

/// Properties with text values, in AMF0's form.
pub(super) fn text_properties(properties: &[(&str, &str)]) -> impl Iterator<Item = (String, Value)> {
    properties.iter().map(|(name, text)| ((*name).to_owned(), Value::string(*text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_have_level_error() {
        assert_eq!(Status::PublishBadName.level(), "error");
        assert_eq!(Status::PlayStreamNotFound.level(), "error");
        assert_eq!(Status::ConnectRejected.level(), "error");
    }

    #[test]
    fn what_goes_well_has_level_status() {
        assert_eq!(Status::PlayStart.level(), "status");
        assert_eq!(Status::PlayUnpublishNotify.level(), "status");
    }

    #[test]
    fn the_information_object_names_level_code_and_description() {
        let information = Value::Object(Status::PublishBadName.information("busy"));
        assert_eq!(information.get("level").and_then(Value::as_str), Some("error"));
        assert_eq!(information.get("code").and_then(Value::as_str), Some("NetStream.Publish.BadName"));
        assert_eq!(information.get("description").and_then(Value::as_str), Some("busy"));
    }
}
