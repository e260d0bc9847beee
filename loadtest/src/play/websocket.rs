//! FLV over WebSocket (RFC 6455): the upgrade, the server's frames, the tags.

use anyhow::{bail, ensure};
use bytes::{Buf as _, Bytes, BytesMut};
use rillcast::media::Tag;
use rillcast::media::flv::FlvReader;

use super::http::{status, take_head};

const MAX_FRAME_BYTES: u64 = 16 << 20;
const SWITCHING_PROTOCOLS: u16 = 101;

/// One upgraded connection.
pub(super) struct WebSocketFlv {
    output: BytesMut,
    buffer: BytesMut,
    upgraded: bool,
    reader: FlvReader,
}

impl WebSocketFlv {
    pub(super) fn new(authority: &str, path: &str) -> Self {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: cmlsbGNhc3QtbG9hZHRlcw==\r\n\r\n"
        );
        let output = BytesMut::from(request.as_bytes());
        Self { output, buffer: BytesMut::new(), upgraded: false, reader: FlvReader::default() }
    }

    pub(super) fn take_output(&mut self) -> Bytes {
        self.output.split().freeze()
    }

    pub(super) fn feed(&mut self, input: &[u8]) -> anyhow::Result<()> {
        self.buffer.extend_from_slice(input);
        if !self.upgraded {
            let Some(head) = take_head(&mut self.buffer)? else { return Ok(()) };
            let line = head.lines().next().unwrap_or_default();
            ensure!(status(&head) == Some(SWITCHING_PROTOCOLS), "answered: {line}");
            self.upgraded = true;
        }
        while self.take_frame()? {}
        Ok(())
    }

    pub(super) fn next_tag(&mut self) -> anyhow::Result<Option<Tag>> {
        Ok(self.reader.next_tag()?)
    }

    fn take_frame(&mut self) -> anyhow::Result<bool> {
        let Some(&[first, second]) = self.buffer.first_chunk() else { return Ok(false) };
        ensure!(second & 0x80 == 0, "the server masks its frames");
        let (head, length) = match second {
            126 => match self.buffer.first_chunk() {
                Some(&[_, _, a, b]) => (4, u64::from(u16::from_be_bytes([a, b]))),
                None => return Ok(false),
            },
            127 => match self.buffer.first_chunk() {
                Some(&[_, _, a, b, c, d, e, f, g, h]) => (10, u64::from_be_bytes([a, b, c, d, e, f, g, h])),
                None => return Ok(false),
            },
            length => (2, u64::from(length)),
        };
        ensure!(length <= MAX_FRAME_BYTES, "a frame has {length} bytes");
        let length = length as usize;
        if self.buffer.len() < head + length {
            return Ok(false);
        }
        self.buffer.advance(head);
        let payload = self.buffer.split_to(length);
        match first & 0xf {
            0..=2 => self.reader.feed(&payload),
            8 => bail!("ended: the server closed the WebSocket"),
            9 => self.answer_ping(&payload),
            _ => {}
        }
        Ok(true)
    }

    /// Masked with zeros, which is allowed and leaves the payload as it is.
    fn answer_ping(&mut self, payload: &[u8]) {
        let Ok(length @ ..=125) = u8::try_from(payload.len()) else { return };
        self.output.extend_from_slice(&[0x8A, 0x80 | length, 0, 0, 0, 0]);
        self.output.extend_from_slice(payload);
    }
}

#[cfg(test)]
mod tests {
    use rillcast::media::{Kind, flv};

    use super::*;

    #[test]
    fn tags_come_out_of_frames_of_every_size() {
        let mut player = WebSocketFlv::new("h", "/live/x.flv");
        player.feed(b"HTTP/1.1 101 Switching Protocols\r\n\r\n").unwrap();
        let mut body = flv::header(true, true).to_vec();
        flv::write_tag(&mut body, Kind::Video, 0, &[1; 50]);
        flv::write_tag(&mut body, Kind::Video, 0, &[2; 70_000]);
        let (first, rest) = body.split_at(100);
        let (second, third) = rest.split_at(400);
        let mut bytes = vec![0x82, 100];
        bytes.extend_from_slice(first);
        bytes.extend([0x89, 1, 7, 0x82, 126, 1, 0x90]);
        bytes.extend_from_slice(second);
        bytes.extend([0x82, 127]);
        bytes.extend((third.len() as u64).to_be_bytes());
        bytes.extend_from_slice(third);
        player.take_output();
        for piece in bytes.chunks(77) {
            player.feed(piece).unwrap();
        }
        assert_eq!(std::iter::from_fn(|| player.next_tag().unwrap()).count(), 2);
        assert_eq!(&player.take_output()[..], [0x8A, 0x81, 0, 0, 0, 0, 7]);
    }

    #[test]
    fn a_refused_upgrade_is_an_error_that_names_it() {
        let mut player = WebSocketFlv::new("h", "/live/x.flv");
        let error = player.feed(b"HTTP/1.1 404 Not Found\r\n\r\n").unwrap_err();
        assert!(error.to_string().contains("404"));
    }
}
