//! FLV over HTTP/1.1: the response head, the chunked body, the tags.

use anyhow::{Context as _, bail, ensure};
use bytes::{Buf as _, Bytes, BytesMut};
use rillcast::media::Tag;
use rillcast::media::flv::FlvReader;

const MAX_HEAD_BYTES: usize = 16 << 10;
const MAX_CHUNK_HEAD_BYTES: usize = 1 << 10;

/// One request, and its endless answer.
pub(super) struct HttpFlv {
    output: Bytes,
    buffer: BytesMut,
    body: Body,
    reader: FlvReader,
}

enum Body {
    /// The head is still to come.
    Head,
    /// As it is, up to the end of the connection.
    Plain,
    /// In chunks, with so many bytes of the present one to come.
    Chunked(usize),
    /// The last chunk has been.
    Over,
}

impl HttpFlv {
    pub(super) fn new(authority: &str, path: &str) -> Self {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: rillcast-loadtest\r\n\r\n");
        Self { output: request.into(), buffer: BytesMut::new(), body: Body::Head, reader: FlvReader::default() }
    }

    pub(super) fn take_output(&mut self) -> Bytes {
        std::mem::take(&mut self.output)
    }

    pub(super) fn feed(&mut self, input: &[u8]) -> anyhow::Result<()> {
        if matches!(self.body, Body::Plain) {
            self.reader.feed(input);
            return Ok(());
        }
        self.buffer.extend_from_slice(input);
        while self.step()? {}
        Ok(())
    }

    pub(super) fn next_tag(&mut self) -> anyhow::Result<Option<Tag>> {
        let tag = self.reader.next_tag()?;
        if tag.is_none() && matches!(self.body, Body::Over) {
            bail!("ended: the body is complete");
        }
        Ok(tag)
    }

    /// Takes the next part off the buffer; `false` if it is not there yet.
    fn step(&mut self) -> anyhow::Result<bool> {
        match self.body {
            Body::Head => {
                let Some(head) = take_head(&mut self.buffer)? else { return Ok(false) };
                ensure!(status(&head) == Some(200), "answered: {}", head.lines().next().unwrap_or_default());
                let chunked = header(&head, "transfer-encoding").is_some_and(|value| value.contains("chunked"));
                self.body = if chunked { Body::Chunked(0) } else { Body::Plain };
            }
            Body::Plain => {
                self.reader.feed(&self.buffer);
                self.buffer = BytesMut::new();
                return Ok(false);
            }
            Body::Chunked(0) => {
                let Some(size) = take_chunk_head(&mut self.buffer)? else { return Ok(false) };
                self.body = if size == 0 { Body::Over } else { Body::Chunked(size) };
            }
            Body::Chunked(left) => {
                let count = left.min(self.buffer.len());
                self.reader.feed(&self.buffer[..count]);
                self.buffer.advance(count);
                self.body = Body::Chunked(left - count);
                return Ok(count == left);
            }
            Body::Over => return Ok(false),
        }
        Ok(true)
    }
}

/// The response head up to its empty line.
pub(super) fn take_head(buffer: &mut BytesMut) -> anyhow::Result<Option<String>> {
    let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") else {
        ensure!(buffer.len() <= MAX_HEAD_BYTES, "the response head does not end");
        return Ok(None);
    };
    let head = buffer.split_to(end + 4);
    Ok(Some(String::from_utf8_lossy(&head).into_owned()))
}

/// The status code of a response.
pub(super) fn status(head: &str) -> Option<u16> {
    head.split_ascii_whitespace().nth(1)?.parse().ok()
}

fn header(head: &str, name: &str) -> Option<String> {
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    fields.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_ascii_lowercase())
}

/// The size of the next chunk; the line break behind the last one is taken too.
fn take_chunk_head(buffer: &mut BytesMut) -> anyhow::Result<Option<usize>> {
    let skipped = if buffer.starts_with(b"\r\n") { 2 } else { 0 };
    let Some(line) = buffer[skipped..].windows(2).position(|window| window == b"\r\n") else {
        ensure!(buffer.len() <= MAX_CHUNK_HEAD_BYTES, "a chunk has no size");
        return Ok(None);
    };
    let text = std::str::from_utf8(&buffer[skipped..skipped + line]).context("a chunk has no size")?;
    let digits = text.split(';').next().unwrap_or_default().trim();
    let size = usize::from_str_radix(digits, 16).with_context(|| format!("a chunk has the size {digits:?}"))?;
    buffer.advance(skipped + line + 2);
    Ok(Some(size))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rillcast::media::{Kind, flv};

    use super::*;

    fn body() -> Vec<u8> {
        let mut body = flv::header(true, true).to_vec();
        for index in 0..5_u8 {
            flv::write_tag(&mut body, Kind::Video, index.into(), &[index; 50]);
        }
        body
    }

    fn chunked(body: &[u8], size: usize) -> Vec<u8> {
        let mut response = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for chunk in body.chunks(size) {
            response.extend(format!("{:x}\r\n", chunk.len()).bytes());
            response.extend_from_slice(chunk);
            response.extend(b"\r\n");
        }
        response
    }

    proptest! {
        #[test]
        fn tags_come_out_of_any_chunks_in_any_pieces(size in 1..200_usize, piece in 1..300_usize) {
            let mut player = HttpFlv::new("h", "/live/x.flv");
            let mut tags = 0;
            for piece in chunked(&body(), size).chunks(piece) {
                player.feed(piece).unwrap();
                while player.next_tag().unwrap().is_some() {
                    tags += 1;
                }
            }
            prop_assert_eq!(tags, 5);
        }
    }

    #[test]
    fn a_body_without_chunks_is_read_to_the_end_of_the_connection() {
        let mut player = HttpFlv::new("h", "/live/x.flv");
        player.feed(&[b"HTTP/1.0 200 OK\r\n\r\n", &body()[..]].concat()).unwrap();
        assert_eq!(std::iter::from_fn(|| player.next_tag().unwrap()).count(), 5);
    }

    #[test]
    fn any_other_answer_is_an_error_that_names_it() {
        let mut player = HttpFlv::new("h", "/live/x.flv");
        let error = player.feed(b"HTTP/1.1 404 Not Found\r\n\r\n").unwrap_err();
        assert!(error.to_string().contains("404 Not Found"));
    }

    #[test]
    fn the_last_chunk_is_the_end() {
        let mut player = HttpFlv::new("h", "/live/x.flv");
        player.feed(&[&chunked(&body(), 40)[..], b"0\r\n\r\n"].concat()).unwrap();
        let mut tags = 0;
        while let Ok(Some(_)) = player.next_tag() {
            tags += 1;
        }
        assert_eq!(tags, 5);
        assert!(player.next_tag().is_err());
    }
}
