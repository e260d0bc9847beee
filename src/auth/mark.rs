//! The mark: how a server says on the wire that it is one, and how another one acknowledges it.
//!
//! A mark is one string of `name=value` fields joined by `;`, sent as the property [`PROPERTY`] of the RTMP connect
//! object. Unknown fields are ignored, so that versions can stand side by side. Without a signature it gives a pull its
//! behaviour (an absent stream is answered at once, a pull ends with its publisher) and no rights.

use std::time::{SystemTime, UNIX_EPOCH};

/// The property of the RTMP connect object, and of its answer, that carries mark and acknowledgement.
pub const PROPERTY: &str = "rillcast";

/// The version of the mark's own format.
const VERSION: &str = "1";
/// The longest text that is taken for a mark, in bytes.
const MAX_BYTES: usize = 2_048;

/// What a pulling server says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The sender's node id.
    pub node: String,
    /// The node ids that the stream will have passed, the sender last.
    pub path: Vec<String>,
}

impl Mark {
    /// The mark of a pull that `node` makes for its own players.
    pub fn of_pull(node: &str) -> Self {
        Self { node: node.to_owned(), path: vec![node.to_owned()] }
    }

    /// The text for the wire.
    pub fn to_text(&self) -> String {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        format!("v={VERSION};node={};path={};t={seconds}", self.node, self.path.join(","))
    }

    /// Reads a mark, or `None` if the text is no mark of a version that is known.
    pub fn parse(text: &str) -> Option<Self> {
        let fields = Fields::of(text)?;
        let node = fields.get("node").filter(|node| !node.is_empty())?;
        let path = fields.get("path").unwrap_or(node).split(',').map(str::to_owned).collect();
        Some(Self { node: node.to_owned(), path })
    }
}

/// What a server answers to a mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledgement {
    /// The answering server's node id.
    pub node: String,
    /// Its software version.
    pub version: String,
    /// Whether it has peers that it knows the streams of.
    pub has_peers: bool,
}

impl Acknowledgement {
    /// The answer of `node`, a server without peers.
    pub fn of(node: &str) -> Self {
        Self { node: node.to_owned(), version: env!("CARGO_PKG_VERSION").to_owned(), has_peers: false }
    }

    /// The text for the wire.
    pub fn to_text(&self) -> String {
        let peers = u8::from(self.has_peers);
        format!("v={VERSION};node={};version={};peers={peers}", self.node, self.version)
    }

    /// Reads an acknowledgement, or `None` if the text is none.
    pub fn parse(text: &str) -> Option<Self> {
        let fields = Fields::of(text)?;
        Some(Self {
            node: fields.get("node").filter(|node| !node.is_empty())?.to_owned(),
            version: fields.get("version").unwrap_or_default().to_owned(),
            has_peers: fields.get("peers") == Some("1"),
        })
    }
}

struct Fields<'a> {
    text: &'a str,
}

impl<'a> Fields<'a> {
    fn of(text: &'a str) -> Option<Self> {
        let fields = Self { text };
        let harmless = text.len() <= MAX_BYTES && text.bytes().all(|byte| byte.is_ascii_graphic());
        (harmless && fields.get("v") == Some(VERSION)).then_some(fields)
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        self.text
            .split(';')
            .filter_map(|field| field.split_once('='))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_survives_the_wire() {
        let mark = Mark::of_pull("edge-7d9f");
        assert_eq!(Mark::parse(&mark.to_text()), Some(mark));
    }

    #[test]
    fn unknown_fields_are_ignored() {
        let mark = Mark::parse("v=1;colour=blue;node=a;path=b,a;nonce=77;mac=00").unwrap();
        assert_eq!(mark.path, ["b", "a"]);
    }

    #[test]
    fn what_is_no_mark_is_none() {
        for text in ["", "1", "v=2;node=a", "v=1;path=a", "v=1;node=", "v=1;node=a b", &"v=1;node=a;".repeat(400)] {
            assert_eq!(Mark::parse(text), None, "{text}");
        }
    }

    #[test]
    fn an_acknowledgement_survives_the_wire() {
        let acknowledgement = Acknowledgement::of("origin-0");
        assert_eq!(Acknowledgement::parse(&acknowledgement.to_text()), Some(acknowledgement));
    }
}
