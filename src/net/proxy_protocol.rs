//! The PROXY protocol, versions 1 and 2: who a proxy says that its client is. Pure.
//!
//! Owns the two forms of the header. `arrival` reads it off a socket, of trusted proxies only, and `config` says who they
//! are. It trusts no length: version 1 has at most 107 bytes, of version 2 no more are taken than fit a single packet
//! on any path, as the specification recommends.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The most bytes of a header of version 1 (PROXY protocol, section 2.1).
const MAX_TEXT_BYTES: usize = 107;
/// The most bytes of a header of version 2, the fixed part included: 536 is what every TCP segment carries at least.
pub const MAX_HEADER_BYTES: usize = 536;

const TEXT_BEGINS: &[u8] = b"PROXY ";
const BINARY_BEGINS: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The fixed part of version 2: signature, version and command, family, length of the rest.
const BINARY_FIXED_BYTES: usize = 16;

/// What the first bytes of a connection are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preamble {
    /// Not the beginning of a header: the client itself speaks.
    None,
    /// The beginning of what may become a header.
    Incomplete,
    /// A header.
    Header {
        /// Its bytes.
        length: usize,
        /// The client, if the proxy tells one. It does not where the connection is its own, a health check.
        client: Option<SocketAddr>,
    },
}

/// Why a header is none after all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// It goes on for too long.
    #[error("the header is too long")]
    TooLong,
    /// A line that does not name two addresses and two ports.
    #[error("the header is malformed")]
    Malformed,
    /// A version or a command that there is not.
    #[error("the header is of an unknown version")]
    Version,
}

/// Reads the first bytes of a connection.
///
/// # Errors
///
/// Where they begin as a header does, and are none.
pub fn parse(bytes: &[u8]) -> Result<Preamble, HeaderError> {
    for (begins, parse) in [(TEXT_BEGINS, parse_text as fn(&[u8]) -> _), (BINARY_BEGINS, parse_binary)] {
        if bytes.starts_with(begins) {
            return parse(bytes);
        }
        if begins.starts_with(bytes) {
            return Ok(Preamble::Incomplete);
        }
    }
    Ok(Preamble::None)
}

fn parse_text(bytes: &[u8]) -> Result<Preamble, HeaderError> {
    let seen = &bytes[..bytes.len().min(MAX_TEXT_BYTES)];
    let Some(end) = seen.windows(2).position(|pair| pair == b"\r\n") else {
        return if bytes.len() < MAX_TEXT_BYTES { Ok(Preamble::Incomplete) } else { Err(HeaderError::TooLong) };
    };
    let line = std::str::from_utf8(&seen[TEXT_BEGINS.len()..end]).map_err(|_| HeaderError::Malformed)?;
    let words: Vec<&str> = line.split(' ').collect();
    let client = match words[..] {
        ["UNKNOWN", ..] => None,
        ["TCP4", source, destination, source_port, destination_port] => {
            ipv4(destination)?;
            port(destination_port)?;
            Some(SocketAddr::new(ipv4(source)?, port(source_port)?))
        }
        ["TCP6", source, destination, source_port, destination_port] => {
            ipv6(destination)?;
            port(destination_port)?;
            Some(SocketAddr::new(ipv6(source)?, port(source_port)?))
        }
        _ => return Err(HeaderError::Malformed),
    };
    Ok(Preamble::Header { length: end + 2, client })
}

fn ipv4(text: &str) -> Result<IpAddr, HeaderError> {
    text.parse::<Ipv4Addr>().map(IpAddr::V4).map_err(|_| HeaderError::Malformed)
}

fn ipv6(text: &str) -> Result<IpAddr, HeaderError> {
    text.parse::<Ipv6Addr>().map(IpAddr::V6).map_err(|_| HeaderError::Malformed)
}

fn port(text: &str) -> Result<u16, HeaderError> {
    // `u16` itself would read a sign.
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(HeaderError::Malformed);
    }
    text.parse().map_err(|_| HeaderError::Malformed)
}

fn parse_binary(bytes: &[u8]) -> Result<Preamble, HeaderError> {
    let Some(fixed) = bytes.first_chunk::<BINARY_FIXED_BYTES>() else { return Ok(Preamble::Incomplete) };
    let [.., version_and_command, family, length_high, length_low] = *fixed;
    if version_and_command >> 4 != 2 {
        return Err(HeaderError::Version);
    }
    let length = BINARY_FIXED_BYTES + usize::from(u16::from_be_bytes([length_high, length_low]));
    if length > MAX_HEADER_BYTES {
        return Err(HeaderError::TooLong);
    }
    let Some(rest) = bytes.get(BINARY_FIXED_BYTES..length) else { return Ok(Preamble::Incomplete) };
    let client = match version_and_command & 0xf {
        // LOCAL: whatever stands behind it is to be passed over.
        0 => None,
        1 => binary_client(family, rest)?,
        _ => return Err(HeaderError::Version),
    };
    Ok(Preamble::Header { length, client })
}

/// The client's address; none where it has none in IP. What follows the addresses is more than we ask for.
fn binary_client(family: u8, rest: &[u8]) -> Result<Option<SocketAddr>, HeaderError> {
    match family {
        // TCP over IPv4: two addresses, two ports.
        0x11 => {
            let fields = rest.first_chunk::<12>().ok_or(HeaderError::Malformed)?;
            let [a, b, c, d, _, _, _, _, high, low, _, _] = *fields;
            Ok(Some(SocketAddr::new(Ipv4Addr::new(a, b, c, d).into(), u16::from_be_bytes([high, low]))))
        }
        // TCP over IPv6.
        0x21 => {
            let fields = rest.first_chunk::<36>().ok_or(HeaderError::Malformed)?;
            let mut address = [0; 16];
            address.copy_from_slice(&fields[..16]);
            Ok(Some(SocketAddr::new(Ipv6Addr::from(address).into(), u16::from_be_bytes([fields[32], fields[33]]))))
        }
        // Unspecified, a Unix socket, or datagrams, which this connection is none of.
        0x00 | 0x12 | 0x22 | 0x31 | 0x32 => Ok(None),
        _ => Err(HeaderError::Malformed),
    }
}

#[cfg(test)]
mod tests;
