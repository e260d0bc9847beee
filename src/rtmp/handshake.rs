//! The handshake (RTMP 1.0 specification 5.2), plain or with digests, as rml_rtmp makes it.
//!
//! Owns the state between the first byte and the last of the handshake; the link drops it then. It takes exactly the
//! handshake's bytes off the input and never keeps chunk data.

use rml_rtmp::handshake::{Handshake as Machine, HandshakeProcessResult, PeerType};

use crate::rtmp::Error;

/// What each side sends: version byte, first and second packet.
const HANDSHAKE_BYTES: usize = 1 + 1536 + 1536;

pub(super) struct Handshake {
    machine: Machine,
    missing: usize,
}

impl Handshake {
    pub(super) fn server() -> Self {
        Self { machine: Machine::new(PeerType::Server), missing: HANDSHAKE_BYTES }
    }

    /// The client's side, and the bytes with which it opens.
    pub(super) fn client() -> Result<(Self, Vec<u8>), Error> {
        let mut machine = Machine::new(PeerType::Client);
        let opening = machine.generate_outbound_p0_and_p1().map_err(|_| Error::Handshake)?;
        Ok((Self { machine, missing: HANDSHAKE_BYTES }, opening))
    }

    /// Takes what it needs off `input`, appends its answer to `out`, and says whether the handshake is done.
    pub(super) fn read(&mut self, input: &mut &[u8], out: &mut Vec<u8>) -> Result<bool, Error> {
        if input.is_empty() {
            return Ok(false);
        }
        let (bytes, rest) = input.split_at(input.len().min(self.missing));
        *input = rest;
        self.missing -= bytes.len();
        match self.machine.process_bytes(bytes).map_err(|_| Error::Handshake)? {
            HandshakeProcessResult::InProgress { response_bytes } => {
                out.extend_from_slice(&response_bytes);
                Ok(false)
            }
            HandshakeProcessResult::Completed { response_bytes, .. } => {
                out.extend_from_slice(&response_bytes);
                Ok(true)
            }
        }
    }
}
