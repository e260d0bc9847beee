//! Writes our own control messages and commands.
//!
//! Owns their wire form, made by rml_rtmp's messages and serialiser. The link calls it. Each message is serialised from a
//! clean state, so it starts with a full header and the connection keeps no table of headers; media has its own writer.

use bytes::Bytes;
use rml_rtmp::chunk_io::ChunkSerializer;
use rml_rtmp::messages::{MessagePayload, PeerBandwidthLimitType, RtmpMessage, UserControlEventType};
use rml_rtmp::time::RtmpTimestamp;

use crate::rtmp::amf0::{self, Value};
use crate::rtmp::message::type_id;

/// A control message (RTMP 1.0 specification 5.4, 7.1.7).
#[derive(Debug, Clone, Copy)]
pub(super) enum Control {
    SetChunkSize(u32),
    Acknowledgement(u32),
    WindowAcknowledgementSize(u32),
    SetPeerBandwidth(u32),
    StreamBegin(u32),
    StreamEof(u32),
    SetBufferLength { stream_id: u32, milliseconds: u32 },
    PingRequest(u32),
    PingResponse(u32),
}

pub(super) fn write_control(out: &mut Vec<u8>, chunk_size: u32, control: Control) {
    // Serialising into memory fails only for messages beyond 16 MiB, which ours are not.
    if let Ok(payload) = control.into_rml().into_message_payload(RtmpTimestamp::new(0), 0) {
        write(out, chunk_size, &payload);
    }
}

pub(super) fn write_command(out: &mut Vec<u8>, chunk_size: u32, stream_id: u32, values: &[Value]) {
    write_values(out, chunk_size, type_id::COMMAND_AMF0, stream_id, values);
}

pub(super) fn write_data(out: &mut Vec<u8>, chunk_size: u32, stream_id: u32, values: &[Value]) {
    write_values(out, chunk_size, type_id::DATA_AMF0, stream_id, values);
}

fn write_values(out: &mut Vec<u8>, chunk_size: u32, type_id: u8, stream_id: u32, values: &[Value]) {
    let payload = MessagePayload {
        timestamp: RtmpTimestamp::new(0),
        type_id,
        message_stream_id: stream_id,
        data: Bytes::from(amf0::encode(values)),
    };
    write(out, chunk_size, &payload);
}

fn write(out: &mut Vec<u8>, chunk_size: u32, payload: &MessagePayload) {
    let mut serializer = ChunkSerializer::new();
    // The announcement that the serialiser makes of its chunk size is dropped: the link has sent it once. It leaves a
    // header behind to which a control message would be compressed, so what fits one chunk is written uncompressed;
    // what does not must not be, because continuation chunks would get full headers too.
    if serializer.set_max_chunk_size(chunk_size, RtmpTimestamp::new(0)).is_err() {
        return;
    }
    let fits_one_chunk = u32::try_from(payload.data.len()).is_ok_and(|length| length <= chunk_size);
    if let Ok(packet) = serializer.serialize(payload, fits_one_chunk, false) {
        out.extend_from_slice(&packet.bytes);
    }
}

impl Control {
    const fn into_rml(self) -> RtmpMessage {
        match self {
            Self::SetChunkSize(size) => RtmpMessage::SetChunkSize { size },
            Self::Acknowledgement(sequence_number) => RtmpMessage::Acknowledgement { sequence_number },
            Self::WindowAcknowledgementSize(size) => RtmpMessage::WindowAcknowledgement { size },
            Self::SetPeerBandwidth(size) => {
                RtmpMessage::SetPeerBandwidth { size, limit_type: PeerBandwidthLimitType::Dynamic }
            }
            Self::StreamBegin(stream_id) => stream_event(UserControlEventType::StreamBegin, stream_id),
            Self::StreamEof(stream_id) => stream_event(UserControlEventType::StreamEof, stream_id),
            Self::SetBufferLength { stream_id, milliseconds } => RtmpMessage::UserControl {
                event_type: UserControlEventType::SetBufferLength,
                stream_id: Some(stream_id),
                buffer_length: Some(milliseconds),
                timestamp: None,
            },
            Self::PingRequest(timestamp) => ping_event(UserControlEventType::PingRequest, timestamp),
            Self::PingResponse(timestamp) => ping_event(UserControlEventType::PingResponse, timestamp),
        }
    }
}

const fn stream_event(event_type: UserControlEventType, stream_id: u32) -> RtmpMessage {
    RtmpMessage::UserControl { event_type, stream_id: Some(stream_id), buffer_length: None, timestamp: None }
}

const fn ping_event(event_type: UserControlEventType, timestamp: u32) -> RtmpMessage {
    let timestamp = Some(RtmpTimestamp { value: timestamp });
    RtmpMessage::UserControl { event_type, stream_id: None, buffer_length: None, timestamp }
}
