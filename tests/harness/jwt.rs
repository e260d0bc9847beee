//! JSON Web Tokens, made by openssl: a foreign maker of what the server verifies.

use std::io::Write;
use std::process::{Command, Stdio};

/// Runs openssl with this input; gives its output.
#[track_caller]
pub fn openssl(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl starts");
    child.stdin.take().expect("stdin is piped").write_all(input).expect("openssl takes its input");
    let output = child.wait_with_output().expect("openssl ends");
    assert!(output.status.success(), "openssl {arguments:?}");
    output.stdout
}

/// A token with these claims, signed by HMAC with a secret.
#[track_caller]
pub fn hs256(claims: &str, secret: &str) -> String {
    token("HS256", claims, |message| openssl(&["dgst", "-sha256", "-hmac", secret, "-binary"], message))
}

/// The same, signed with the RSA key in a file.
#[track_caller]
pub fn rs256(claims: &str, key: &str) -> String {
    token("RS256", claims, |message| openssl(&["dgst", "-sha256", "-sign", key], message))
}

/// The same, signed with the key on P-256 in a file.
#[track_caller]
pub fn es256(claims: &str, key: &str) -> String {
    token("ES256", claims, |message| plain_signature(&openssl(&["dgst", "-sha256", "-sign", key], message)))
}

fn token(algorithm: &str, claims: &str, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let header = format!(r#"{{"alg":"{algorithm}","typ":"JWT"}}"#);
    let message = format!("{}.{}", base64(header.as_bytes()), base64(claims.as_bytes()));
    format!("{message}.{}", base64(&sign(message.as_bytes())))
}

/// Base64 for URLs, without padding (RFC 4648, section 5).
fn base64(bytes: &[u8]) -> String {
    let text = String::from_utf8(openssl(&["base64", "-A"], bytes)).expect("base64 is text");
    text.trim_end().trim_end_matches('=').replace('+', "-").replace('/', "_")
}

/// The two numbers of an ECDSA signature in 32 bytes each (RFC 7518, section 3.4), of their DER.
fn plain_signature(der: &[u8]) -> Vec<u8> {
    let mut rest = &der[2..];
    let mut plain = Vec::new();
    for _ in 0..2 {
        let (number, behind) = rest[2..].split_at(usize::from(rest[1]));
        let number = &number[number.len().saturating_sub(32)..];
        plain.extend(std::iter::repeat_n(0, 32 - number.len()).chain(number.iter().copied()));
        rest = behind;
    }
    plain
}
