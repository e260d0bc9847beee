//! A small HTTP/1 client that hides nothing: tests see heads, framing and how a body ended.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use super::PATIENCE;

/// A response head.
#[derive(Debug, Clone)]
pub struct Head {
    /// `HTTP/1.1` or `HTTP/1.0`.
    pub version: String,
    /// The status code.
    pub status: u16,
    headers: Vec<(String, String)>,
}

impl Head {
    /// Reads a head up to and with its empty line.
    pub fn read(source: &mut impl BufRead) -> io::Result<Self> {
        let invalid = |line: &str| io::Error::new(io::ErrorKind::InvalidData, format!("not a response head: {line:?}"));
        let mut line = String::new();
        source.read_line(&mut line)?;
        let mut words = line.split_whitespace();
        let version = words.next().ok_or_else(|| invalid(&line))?.to_owned();
        let status = words.next().and_then(|word| word.parse().ok()).ok_or_else(|| invalid(&line))?;
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            if source.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let line = line.trim_end();
            if line.is_empty() {
                return Ok(Self { version, status, headers });
            }
            let (name, value) = line.split_once(':').ok_or_else(|| invalid(line))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    /// A header's value by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Whether the body comes in chunks.
    pub fn is_chunked(&self) -> bool {
        self.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"))
    }
}

enum Framing {
    Chunked { left: u64 },
    Length { left: u64 },
    UntilClose,
    Ended,
}

/// A response body without its framing. Reads 0 at its proper end; an end before that is an error.
pub struct Body<R> {
    source: R,
    framing: Framing,
}

impl<R: BufRead> Body<R> {
    /// The body behind a head.
    pub fn new(source: R, head: &Head) -> Self {
        let length = head.header("content-length").and_then(|value| value.parse().ok());
        let framing = match length {
            _ if head.is_chunked() => Framing::Chunked { left: 0 },
            Some(left) => Framing::Length { left },
            None => Framing::UntilClose,
        };
        Self { source, framing }
    }

    fn next_chunk(&mut self) -> io::Result<u64> {
        let mut line = String::new();
        self.source.read_line(&mut line)?;
        if !line.ends_with('\n') {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        u64::from_str_radix(line.trim_end(), 16)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, format!("not a chunk size: {line:?}")))
    }

    fn end_of_line(&mut self) -> io::Result<()> {
        let mut end = [0; 2];
        self.source.read_exact(&mut end)?;
        if end == *b"\r\n" { Ok(()) } else { Err(io::Error::new(io::ErrorKind::InvalidData, "a chunk has no end")) }
    }
}

impl<R: BufRead> Read for Body<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Framing::Chunked { left: 0 } = self.framing {
            let left = self.next_chunk()?;
            self.framing = Framing::Chunked { left };
            if left == 0 {
                self.end_of_line()?;
                self.framing = Framing::Ended;
            }
        }
        let limit = match self.framing {
            Framing::Chunked { left } | Framing::Length { left } => left,
            Framing::UntilClose => u64::MAX,
            Framing::Ended => 0,
        };
        let limit = usize::try_from(limit).unwrap_or(usize::MAX).min(buffer.len());
        if limit == 0 {
            // Behind the body may come another response, or nothing for long.
            return Ok(0);
        }
        let count = self.source.read(&mut buffer[..limit])?;
        let ended_early = count == 0;
        match &mut self.framing {
            Framing::Chunked { .. } | Framing::Length { .. } if ended_early => {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            Framing::Chunked { left } => {
                *left -= count as u64;
                if *left == 0 {
                    self.end_of_line()?;
                }
            }
            Framing::Length { left } => *left -= count as u64,
            Framing::UntilClose | Framing::Ended => {}
        }
        Ok(count)
    }
}

/// A whole response.
#[derive(Debug)]
pub struct Response {
    /// Its head.
    pub head: Head,
    /// Its body without framing.
    pub body: Vec<u8>,
}

impl Response {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("the body is text")
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {:?}", self.text()))
    }
}

/// A connection to an HTTP port, with generous time limits.
#[track_caller]
pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap_or_else(|error| panic!("{address} does not answer: {error}"));
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    stream.set_write_timeout(Some(PATIENCE)).expect("a timeout can be set");
    stream
}

/// One GET.
#[track_caller]
pub fn get(address: SocketAddr, target: &str) -> Response {
    request(address, "GET", target)
}

/// One request without a body.
#[track_caller]
pub fn request(address: SocketAddr, method: &str, target: &str) -> Response {
    let head = format!("{method} {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let has_body = method != "HEAD";
    exchange(address, head.as_bytes(), has_body).unwrap_or_else(|error| panic!("{method} {target}: {error}"))
}

/// One request with these headers and this body.
#[track_caller]
pub fn send(address: SocketAddr, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Response {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    let request = format!(
        "{method} {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {length}\r\n\
         {headers}\r\n{body}"
    );
    exchange(address, request.as_bytes(), true).unwrap_or_else(|error| panic!("{method} {target}: {error}"))
}

/// Sends bytes as they are and reads one response.
pub fn exchange(address: SocketAddr, request: &[u8], has_body: bool) -> io::Result<Response> {
    exchange_on(connect(address), request, has_body)
}

/// The same on a connection that is there.
pub fn exchange_on(mut stream: TcpStream, request: &[u8], has_body: bool) -> io::Result<Response> {
    stream.write_all(request)?;
    let mut source = BufReader::new(stream);
    let head = Head::read(&mut source)?;
    let mut body = Vec::new();
    if has_body {
        Body::new(source, &head).read_to_end(&mut body)?;
    }
    Ok(Response { head, body })
}
