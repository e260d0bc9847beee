//! The labels of metrics, and every value they can take.

use std::fmt::{self, Write};

use prometheus_client::encoding::{EncodeLabelSet, LabelValueEncoder};

/// An enum whose values are label values.
pub(super) trait Labelled: Copy + 'static {
    /// Every value, so that every series exists from the start.
    const ALL: &'static [Self];
    /// The value as it stands in the metric.
    fn label(self) -> &'static str;
}

/// Declares an enum of label values with their text.
macro_rules! label_values {
    ($(#[$meta:meta])* $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_meta])* $variant,)+
        }

        impl $name {
            /// The value as it stands in logs and metrics.
            pub const fn label(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }

        impl $crate::metrics::labels::Labelled for $name {
            const ALL: &'static [Self] = &[$(Self::$variant,)+];

            fn label(self) -> &'static str {
                Self::label(self)
            }
        }

        impl prometheus_client::encoding::EncodeLabelValue for $name {
            fn encode(
                &self,
                encoder: &mut prometheus_client::encoding::LabelValueEncoder<'_>,
            ) -> Result<(), std::fmt::Error> {
                $crate::metrics::labels::encode_label(*self, encoder)
            }
        }
    };
}
pub(super) use label_values;

pub(super) fn encode_label(value: impl Labelled, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
    encoder.write_str(value.label())
}

label_values! {
    /// What a connection speaks.
    Protocol {
        /// RTMP over TCP.
        Rtmp = "rtmp",
        /// FLV in an HTTP body.
        HttpFlv = "http-flv",
        /// FLV in WebSocket messages.
        WsFlv = "ws-flv",
        /// Playlists and segments over HTTP.
        Hls = "hls",
    }
}

label_values! {
    /// What became of a connection at the listener.
    ConnectionResult {
        /// It was served.
        Accepted = "accepted",
        /// A limit kept it out.
        Refused = "refused",
    }
}

label_values! {
    /// The limit that kept a player out.
    Shortage {
        /// `limits.max_players`.
        Players = "players",
        /// `limits.max_egress`.
        Egress = "egress",
    }
}

label_values! {
    /// Why players did not get packets.
    DropReason {
        /// The player lagged more than the soft limit and jumped to a newer keyframe.
        Lag = "lag",
        /// The ring no longer held what the player was at.
        Overrun = "overrun",
    }
}

label_values! {
    /// What became of an attempt to pull from one address, or to forward to it.
    ConnectResult {
        /// The upstream sent media, or took the publisher.
        Connected = "connected",
        /// The upstream does not have the stream.
        NotFound = "not_found",
        /// The upstream refused the connection, the play or the publisher.
        Refused = "refused",
        /// The name did not resolve.
        Unresolved = "unresolved",
        /// Connecting failed or took too long.
        Failed = "failed",
    }
}

label_values! {
    /// Why a pull that had media, or a forward that was accepted, was lost.
    ReconnectReason {
        /// The upstream said that its publisher is gone, or that it ends the forward.
        Ended = "ended",
        /// The connection was closed or reset.
        Closed = "closed",
        /// Nothing came for too long, or nothing was taken.
        Silent = "silent",
        /// The upstream's bytes made no sense.
        Invalid = "invalid",
        /// The upstream asked to be left.
        Moved = "moved",
        /// An operator had it ended.
        Kicked = "kicked",
    }
}

label_values! {
    /// What a mark turned out to be.
    MarkResult {
        /// Signed with our key.
        Verified = "verified",
        /// Not signed, or this process has no key.
        Unsigned = "unsigned",
        /// Signed with another key, or changed since.
        Wrong = "wrong",
        /// Signed at a time that is too far from our clock, either way.
        Old = "old",
        /// Used before.
        Replayed = "replayed",
        /// No mark at all.
        Malformed = "malformed",
    }
}

label_values! {
    /// What became of resolving a name.
    LookupResult {
        /// It has addresses.
        Found = "found",
        /// It has none.
        NotFound = "not_found",
        /// The servers did not answer, or answered with an error.
        Failed = "failed",
    }
}

label_values! {
    /// What came of certificate files that had changed.
    TlsReload {
        /// They are in use.
        Loaded = "loaded",
        /// They cannot be used; those before stay.
        Failed = "failed",
    }
}

label_values! {
    /// Why something could not be recorded.
    RecordingError {
        /// The disk is full, or has less left free than it should, or a quota or limit is reached.
        Full = "full",
        /// The file system is read-only.
        ReadOnly = "read_only",
        /// The process may not write there.
        Denied = "denied",
        /// The stream's name makes no name of a file.
        Name = "name",
        /// The container cannot hold a track of the stream.
        Codec = "codec",
        /// Anything else that the system reports.
        Failed = "failed",
    }
}

label_values! {
    /// Why a recording was deleted.
    RecordingDeletion {
        /// It was older than `dvr.retention`.
        Age = "age",
        /// All together took more than `dvr.max_bytes`.
        Size = "size",
        /// Less than `dvr.min_free` was left of the disk.
        Space = "space",
        /// Somebody asked for it.
        Request = "request",
    }
}

/// A label set of one label: its name and its value.
pub(super) type One<V> = [(&'static str, V); 1];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ProtocolAndResult {
    pub(super) protocol: Protocol,
    pub(super) result: ConnectionResult,
}
