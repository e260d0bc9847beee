//! Why a connection ended.

use super::labels::label_values;

label_values! {
    /// Every way a connection ends has one of these, the same in log and metric.
    Reason {
        /// The peer closed the connection, or said that it is done.
        PeerClosed = "peer_closed",
        /// The connection broke: reset, or no way to the peer.
        PeerLost = "peer_lost",
        /// It was closed before it sent a byte, as health checks do.
        Probe = "probe",
        /// The response was complete.
        Done = "done",
        /// The handshake took too long.
        HandshakeTimeout = "handshake_timeout",
        /// No command came in time after the handshake.
        CommandTimeout = "command_timeout",
        /// The peer does not speak RTMP.
        HandshakeInvalid = "handshake_invalid",
        /// A trusted proxy began with a header that is none.
        ProxyHeaderInvalid = "proxy_header_invalid",
        /// The peer does not speak TLS where it should, or did not accept the certificate.
        TlsFailed = "tls_failed",
        /// A chunk header or size broke the rules.
        ChunkInvalid = "chunk_invalid",
        /// A command or data message was not AMF0.
        AmfInvalid = "amf_invalid",
        /// A message, or all unfinished ones together, passed a bound.
        MessageTooLarge = "message_too_large",
        /// A command came where it makes no sense.
        ProtocolViolation = "protocol_violation",
        /// The HTTP request could not be read.
        HttpInvalid = "http_invalid",
        /// The app or stream name was refused.
        NameInvalid = "name_invalid",
        /// The client may not connect, publish or play.
        AccessDenied = "access_denied",
        /// The URL or token that the session began with has expired.
        AccessExpired = "access_expired",
        /// This process takes no publishers.
        PublishDisabled = "publish_disabled",
        /// Another publisher has the name.
        PublishConflict = "publish_conflict",
        /// Another publisher took the name over.
        PublishReplaced = "publish_replaced",
        /// The server that has to agree to a publisher refused it, or it ended it.
        PublishRefused = "publish_refused",
        /// No origin could be reached.
        UpstreamLost = "upstream_lost",
        /// The publisher sent nothing for too long.
        PublishSilent = "publish_silent",
        /// The publisher sent more for too long than `limits.publish_bitrate` allows.
        PublishTooFast = "publish_too_fast",
        /// The process-wide ring budget is used up.
        RingBudget = "ring_budget",
        /// Nobody publishes the stream.
        StreamNotFound = "stream_not_found",
        /// Another origin has the stream, and the peer was told where.
        Redirected = "redirected",
        /// The publisher left and did not come back in time.
        StreamEnded = "stream_ended",
        /// The stream's tracks or codecs changed, and an FLV body cannot follow.
        TracksChanged = "tracks_changed",
        /// The player read too slowly, or not at all.
        SlowPlayer = "slow_player",
        /// There are as many connections as `limits.max_connections` allows.
        TooManyConnections = "too_many_connections",
        /// There are as many players as `limits.max_players` allows.
        TooManyPlayers = "too_many_players",
        /// As much is sent as `limits.max_egress` allows.
        TooMuchEgress = "too_much_egress",
        /// An operator had it ended.
        Kicked = "kicked",
        /// The server drains: the client was let go, or a publisher not taken.
        Drained = "drained",
        /// The server is stopping.
        Shutdown = "shutdown",
    }
}
