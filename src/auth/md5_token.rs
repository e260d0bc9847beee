//! Tokens in the form of xiu (`[rtmp.auth] algorithm = "md5"`): the MD5 of the key and the stream's name, in hexadecimal.
//!
//! They are for who comes from there. Such a token is for publishing and playing alike, for the streams of that name in every app,
//! and never ends; a signed URL is better in all of this.

use md5::{Digest, Md5};

use crate::config::Secret;
use crate::media::stream_key::StreamKey;

use super::access::{Denial, Grant};
use super::hexadecimal;

/// The bytes of an MD5.
const BYTES: usize = 16;

/// Whether `token` is that of a stream. Takes as long for every wrong one.
pub(super) fn verify(key: &Secret, token: &str, stream: &StreamKey) -> Result<Grant, Denial> {
    let shown: [u8; BYTES] = hexadecimal::bytes(token).ok_or(Denial::Malformed)?;
    let right = Md5::new().chain_update(key.reveal()).chain_update(stream.stream()).finalize();
    let difference = shown.iter().zip(right).fold(0, |difference, (shown, right)| difference | (shown ^ right));
    if difference == 0 { Ok(Grant::UNLIMITED) } else { Err(Denial::Wrong) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verify(token: &str, stream: &str) -> Result<Grant, Denial> {
        super::verify(&Secret::new("key_of_xiu"), token, &StreamKey::from_path(stream).unwrap())
    }

    #[test]
    fn a_token_is_the_md5_of_key_and_stream_name() {
        // printf key_of_xiutest | md5sum
        let token = "458ecb8aff2682119bf6a01997cd95fc";
        assert_eq!(verify(token, "live/test"), Ok(Grant::UNLIMITED));
        assert_eq!(verify(&token.to_uppercase(), "other/test"), Ok(Grant::UNLIMITED));
        assert_eq!(verify(token, "live/tests"), Err(Denial::Wrong));
        assert_eq!(verify(&token[1..], "live/test"), Err(Denial::Malformed));
    }
}
