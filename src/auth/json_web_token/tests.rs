use std::net::IpAddr;
use std::time::{Duration, UNIX_EPOCH};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::auth::access::Action;
use crate::media::stream_key::StreamKey;

use super::*;

const NOW: u64 = 1_800_000_000;
const KEY: &str = "0123456789abcdef";

/// Made with openssl: `{"exp":1800000060,"action":"play","stream":"live/*"}`, and the public keys that verify them.
const BY_RSA: &str = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJleHAiOjE4MDAwMDAwNjAsImFjdGlvbiI6InBsYXkiLCJzdHJlYW0iOiJsaXZlLyoifQ.YG\
    al8PZNl7-7JKzWvu0nsQpBG0FoC3WsHcMjqXGjRq_vF9w26bVMRZ1OS2auq1ERIreM4oGWgvljbUuk123vjy0nzoXzR8Y46cFPg4Qp3hFnkX16\
    rfsuguoxPI4aD6E3-3E5SBDnRnkKCNfnkrudO2GzZz6zFeqAvhcg3cqcCO_ki8-tn0F3TBmV2XCgjKATZE2BFstL96TBxSmjUWI3JBySsxlia7\
    Rusq9WJJmjrjEYksNDpU93PQunpiVMAz_wfmg1nr4SRwzQs3WRzqmDgbOqeWWIz_BumCboTTU_biKLP2QIAMYfWk7g_ZyL5wW7sOKO8yJmrBrY\
    sScOD7m8NA";
const RSA: &str = "-----BEGIN PUBLIC KEY-----\n\
    MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAqQHSriIvIchA1UjLtyJ2\n\
    b9F6vfDAe/zCQrHa7FDfVPtvosDg0/GDhdo/aaT7WA42jp1Ho7++gfkpn3Xc+tpE\n\
    FvsHx02NXweuVZMoMqKLoHjnni7qF6/snnMo+qxdIIKhgFSQJwblpFcD96QKaGG7\n\
    s61CLtzFG0Z3633fx7P/7t8X586FqFlRY2aOoU0e4XeoPaeP/EBBuTv2K5eGH2Pe\n\
    CIn6CEenq6N3XB73nxA70XAfWsLSd/n87eFIRPJZPOOcJ7bm8cWLHP+QlTae6jbe\n\
    3P3XMbGY3eO/vVYlPK+C+OKS16wUtglk7thK9dIExm5G2Y5dCKn3OUBbSSoqOe5r\n\
    3wIDAQAB\n\
    -----END PUBLIC KEY-----";
const BY_EC: &str = "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJleHAiOjE4MDAwMDAwNjAsImFjdGlvbiI6InBsYXkiLCJzdHJlYW0iOiJsaXZlLyoifQ.II\
    2MIgPd7JvTxsXh5Ie8RUqvzKD-H0NSSi8OCAu8dkH2TMHXD1aMpMxuMawf9DT8zYp5PPdOheTRFBeA_tt9iA";
const EC: &str = "-----BEGIN PUBLIC KEY-----\n\
    MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEmuaBg3iMdVEmHGa/hmqy+FRcwRcJ\n\
    nbIW4ufzY4UpOATOIokZ97c8O1qe4YRDIeQHeC43v6ZmRTXckxCFx3K2WA==\n\
    -----END PUBLIC KEY-----";

/// A token with these claims, signed by HS256.
fn token(claims: &str) -> String {
    token_with(r#"{"alg":"HS256"}"#, claims, KEY)
}

fn token_with(header: &str, claims: &str, key: &str) -> String {
    let message = format!("{}.{}", base64(header.as_bytes()), base64(claims.as_bytes()));
    let mac: Hmac<Sha256> = Hmac::new_from_slice(key.as_bytes()).unwrap();
    format!("{message}.{}", base64(&mac.chain_update(&message).finalize().into_bytes()))
}

/// Base64 for URLs, without padding (RFC 4648, section 5).
fn base64(bytes: &[u8]) -> String {
    const SYMBOLS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let symbol = |chunk: &[u8], index: usize| {
        let bits = chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << ((3 - chunk.len()) * 8);
        char::from(SYMBOLS[(bits >> (18 - index * 6) & 63) as usize])
    };
    bytes.chunks(3).flat_map(|chunk| (0..=chunk.len()).map(move |index| symbol(chunk, index))).collect()
}

fn public_key(pem: &str) -> PublicKey {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key.pem");
    std::fs::write(&path, pem).unwrap();
    PublicKey::read(&path).unwrap()
}

/// What becomes of a token that somebody at 192.0.2.1 shows, to play `live/x`.
fn verdict_by(key: Option<&str>, public_keys: &[PublicKey], token: &str) -> Result<Grant, Denial> {
    let request = AccessRequest {
        action: Action::Play,
        key: &StreamKey::from_path("live/x").unwrap(),
        query: "",
        bearer: None,
        page: None,
        address: IpAddr::from([192, 0, 2, 1]),
        now: UNIX_EPOCH + Duration::from_secs(NOW),
    };
    verify(key.map(Secret::new).as_ref(), public_keys, token, &request)
}

fn verdict(claims: &str) -> Result<Grant, Denial> {
    verdict_by(Some(KEY), &[], &token(claims))
}

#[test]
fn a_token_says_what_until_when_and_for_whom() {
    let good = Ok(Grant::until(NOW + 60));
    for (claims, expected) in [
        (r#"{"exp":1800000060,"action":"play","stream":"live/x"}"#, good),
        (r#"{"exp":1800000060.5,"action":["publish","play"],"stream":["a/b","live/*"],"sub":"me"}"#, good),
        (r#"{"exp":1800000060,"action":"play","stream":"*","ip":"192.0.2.0/24","nbf":1800000030}"#, good),
        (r#"{"exp":1800000060,"action":"publish","stream":"live/x"}"#, Err(Denial::OtherAction)),
        (r#"{"exp":1800000060,"action":"play","stream":"live/y"}"#, Err(Denial::OtherStream)),
        (r#"{"exp":1800000060,"action":"play","stream":[]}"#, Err(Denial::OtherStream)),
        (r#"{"exp":1800000060,"action":"play","stream":"live/x","ip":"192.0.2.2"}"#, Err(Denial::OtherAddress)),
        (r#"{"exp":1800000060,"action":"play","stream":"live/x","ip":"me"}"#, Err(Denial::Malformed)),
        (r#"{"exp":1800000000,"action":"play","stream":"live/x"}"#, Err(Denial::Expired)),
        (r#"{"exp":1800009999,"nbf":1800000061,"action":"play","stream":"live/x"}"#, Err(Denial::Early)),
        (r#"{"action":"play","stream":"live/x"}"#, Err(Denial::Malformed)),
        (r#"{"exp":1800000060,"stream":"live/x"}"#, Err(Denial::Malformed)),
        (r#"{"exp":1800000060,"action":"play"}"#, Err(Denial::Malformed)),
        (r#"{"exp":-1,"action":"play","stream":"live/x"}"#, Err(Denial::Malformed)),
        (r#"{"exp":"soon","action":"play","stream":"live/x"}"#, Err(Denial::Malformed)),
    ] {
        assert_eq!(verdict(claims), expected, "{claims}");
    }
}

#[test]
fn public_keys_verify_what_their_private_keys_signed() {
    let keys = [public_key(RSA), public_key(EC)];
    for token in [BY_RSA, BY_EC] {
        assert_eq!(verdict_by(Some(KEY), &keys, token), Ok(Grant::until(NOW + 60)));
        let changed = token.replacen("eyJleHAiOjE4", "eyJleHAiOjE5", 1);
        assert_ne!(changed, token);
        assert_eq!(verdict_by(Some(KEY), &keys, &changed), Err(Denial::Wrong));
    }
    assert_eq!(verdict_by(Some(KEY), &keys[..1], BY_EC), Err(Denial::Wrong));
    assert_eq!(verdict_by(Some(KEY), &keys[1..], BY_RSA), Err(Denial::Wrong));
}

#[test]
fn a_token_never_chooses_how_it_is_verified() {
    const CLAIMS: &str = r#"{"exp":1800000060,"action":"play","stream":"live/x"}"#;
    // The public key is known to everybody: as a secret it must be worth nothing.
    let with_public_key = token_with(r#"{"alg":"HS256"}"#, CLAIMS, RSA);
    assert_eq!(verdict_by(None, &[public_key(RSA)], &with_public_key), Err(Denial::Wrong));
    for header in [r#"{"alg":"none"}"#, r#"{"alg":"HS512"}"#, r#"{"alg":"RS256"}"#, "{}"] {
        let verdict = verdict_by(Some(KEY), &[], &token_with(header, CLAIMS, KEY));
        assert!(matches!(verdict, Err(Denial::Wrong | Denial::Malformed)), "{header}: {verdict:?}");
    }
    let unsigned = token(CLAIMS).rsplit_once('.').unwrap().0.to_owned() + ".";
    assert_eq!(verdict_by(Some(KEY), &[], &unsigned), Err(Denial::Wrong));
    assert_eq!(verdict_by(Some("another secret of ours"), &[], &token(CLAIMS)), Err(Denial::Wrong));
}

#[test]
fn what_is_no_token_is_refused() {
    for text in ["", "..", "a.b.c", "é.é.é"] {
        assert_eq!(verdict_by(Some(KEY), &[], text), Err(Denial::Malformed), "{text}");
    }
    assert!(is_one(BY_EC) && !is_one("d41d8cd98f00b204e9800998ecf8427e"));
}
