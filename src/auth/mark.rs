//! The mark: how a server says on the wire that it is one.
//!
//! A mark is one string of `name=value` fields joined by `;`, sent as the property [`PROPERTY`] of the RTMP connect
//! object. Unknown fields are ignored, so that versions can stand side by side. Without a signature it gives a pull its
//! behaviour (an absent stream is answered at once, a pull ends with its publisher) and no rights, and that only where
//! there is no `cluster.key`.
//!
//! A signed mark holds `t=SECONDS` and `nonce=NONCE` and ends in `;mac=MAC`: the seconds since 1970 (UTC) in decimal
//! digits, 32 hexadecimal digits that no other mark has, and in 64 hexadecimal digits the HMAC-SHA256 under
//! `cluster.key` of all bytes of the mark before `;mac=`. The first `;mac=` counts and nothing may follow its digits,
//! so that every field is signed.

use std::time::{SystemTime, UNIX_EPOCH};

use super::cluster_key::{ClusterKey, MAC_BYTES};
use super::fields::{Fields, VERSION};
use super::hexadecimal;

/// The property of the RTMP connect object, and of its answer, that carries mark and acknowledgement.
pub const PROPERTY: &str = "rillcast";
/// The HTTP request header that carries the mark, and the response header that carries the acknowledgement.
pub const MARK_HEADER: &str = "rillcast-mark";
/// The HTTP response header that tells an acknowledged pull the publish session.
pub const SESSION_HEADER: &str = "rillcast-session";

/// What stands between the signed bytes and their signature.
const MAC: &str = ";mac=";

/// What a pulling server says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The sender's node id.
    pub node: String,
    /// Its software version, if it says so: to be shown, never to be acted upon.
    pub version: Option<String>,
    /// The node ids that the stream will have passed, the sender last.
    pub path: Vec<String>,
    /// Whether it is a pull that the receiver is to shield the origins from.
    pub is_shielded: bool,
    /// The publish session that it is about, if it is about one.
    pub session: Option<String>,
}

impl Mark {
    /// The mark of a pull that `node` makes for its own players.
    pub fn of_pull(node: &str) -> Self {
        let version = Some(env!("CARGO_PKG_VERSION").to_owned());
        Self { node: node.to_owned(), version, path: vec![node.to_owned()], is_shielded: false, session: None }
    }

    /// The mark of a pull that `node` makes through another edge, which shields the origins.
    pub fn of_shielded_pull(node: &str) -> Self {
        Self { is_shielded: true, ..Self::of_pull(node) }
    }

    /// Whether the stream would have passed `node` before.
    pub fn has_passed(&self, node: &str) -> bool {
        self.path.iter().any(|passed| passed == node)
    }

    /// The text for the wire, signed with `key` if there is one. It is good for one connection that is made right now.
    pub fn to_text(&self, key: Option<&ClusterKey>, now: SystemTime) -> String {
        let mut nonce = [0; 16];
        // A nonce that another mark has, too, is worse than no signature.
        match key.filter(|_| getrandom::fill(&mut nonce).is_ok()) {
            Some(key) => self.to_signed_text(key, now, u128::from_be_bytes(nonce)),
            None => self.to_unsigned_text(now),
        }
    }

    pub(super) fn to_signed_text(&self, key: &ClusterKey, now: SystemTime, nonce: u128) -> String {
        let mut text = self.to_unsigned_text(now);
        text.push_str(&format!(";nonce={nonce:032x}"));
        let mac = key.sign(&text);
        text.push_str(MAC);
        mac.iter().for_each(|byte| text.push_str(&format!("{byte:02x}")));
        text
    }

    fn to_unsigned_text(&self, now: SystemTime) -> String {
        let mut text = format!("v={VERSION};node={}", self.node);
        if let Some(version) = &self.version {
            text.push_str(&format!(";version={version}"));
        }
        text.push_str(&format!(";path={}", self.path.join(",")));
        if self.is_shielded {
            text.push_str(";shielded=1");
        }
        if let Some(session) = &self.session {
            text.push_str(&format!(";session={session}"));
        }
        text.push_str(&format!(";t={}", seconds(now)));
        text
    }

    fn of(fields: Fields<'_>) -> Option<Self> {
        let node = fields.get("node").filter(|node| !node.is_empty())?;
        let path: Vec<String> = fields.get("path").unwrap_or(node).split(',').map(str::to_owned).collect();
        if path.iter().any(String::is_empty) {
            return None;
        }
        let text = |name| fields.get(name).map(str::to_owned);
        Some(Self {
            node: node.to_owned(),
            version: text("version"),
            path,
            is_shielded: fields.get("shielded") == Some("1"),
            session: text("session"),
        })
    }
}

/// A mark as found on the wire: nothing in it is known to be true.
#[derive(Debug)]
pub(super) struct ReceivedMark<'a> {
    pub(super) mark: Mark,
    pub(super) signature: Option<Signature<'a>>,
}

/// What is there to be verified.
#[derive(Debug)]
pub(super) struct Signature<'a> {
    /// The signed bytes.
    pub(super) text: &'a str,
    /// When it was signed, in seconds since 1970.
    pub(super) signed_at: u64,
    pub(super) nonce: u128,
    pub(super) mac: [u8; MAC_BYTES],
}

impl<'a> ReceivedMark<'a> {
    /// `None` if the text is no mark of a version that is known, or has a signature that is none.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let (text, mac) = match text.split_once(MAC) {
            Some((text, mac)) => (text, Some(mac)),
            None => (text, None),
        };
        let fields = Fields::of(text)?;
        let signature = match mac {
            Some(mac) => Some(Signature {
                text,
                signed_at: fields.get("t")?.parse().ok()?,
                nonce: u128::from_be_bytes(hexadecimal::bytes(fields.get("nonce")?)?),
                mac: hexadecimal::bytes(mac)?,
            }),
            None => None,
        };
        Some(Self { mark: Mark::of(fields)?, signature })
    }
}

/// Whole seconds since 1970; 0 for a clock that is before.
pub(super) fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<Mark> {
        ReceivedMark::parse(text).map(|received| received.mark)
    }

    #[test]
    fn a_mark_survives_the_wire() {
        for session in [None, Some("0a1b2c".to_owned())] {
            for pull in [Mark::of_pull("edge-7d9f"), Mark::of_shielded_pull("edge-7d9f")] {
                let mark = Mark { session: session.clone(), ..pull };
                assert_eq!(parse(&mark.to_text(None, UNIX_EPOCH)), Some(mark));
            }
        }
    }

    #[test]
    fn a_mark_tells_whom_the_stream_will_have_passed() {
        let mark = parse("v=1;node=a;path=b,a").unwrap();
        assert!(mark.has_passed("a") && mark.has_passed("b") && !mark.has_passed("c"));
        assert!(!mark.is_shielded);
    }

    #[test]
    fn a_mark_tells_the_version_and_need_not() {
        let mark = Mark::of_pull("a");
        assert_eq!(mark.version.as_deref(), Some(env!("CARGO_PKG_VERSION")));
        let (older, newer) =
            (parse("v=1;node=a;path=a").unwrap(), parse("v=1;node=a;version=99.0.0-rc1;new=1").unwrap());
        assert_eq!((older.version, newer.version.as_deref()), (None, Some("99.0.0-rc1")));
    }

    #[test]
    fn unknown_fields_are_ignored() {
        let mark = parse("v=1;colour=blue;node=a;path=b,a;nonce=77;shape").unwrap();
        assert_eq!(mark.path, ["b", "a"]);
    }

    #[test]
    fn what_is_no_mark_is_none() {
        for text in [
            "",
            "1",
            "v=2;node=a",
            "v=1;path=a",
            "v=1;node=",
            "v=1;node=a b",
            "v=1;node=a;path=",
            "v=1;node=a;path=b,,a",
            &"v=1;node=a;".repeat(400),
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
