//! The acknowledgement: how a server that knows marks answers to one.

use super::fields::{Fields, VERSION};

/// What a server answers to a mark that it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledgement {
    /// The answering server's node id.
    pub node: String,
    /// Its software version.
    pub version: String,
    /// Whether it has peers that it knows the streams of.
    pub has_peers: bool,
    /// Whether it is an edge, which fetches what others pull through it.
    pub is_shield: bool,
}

impl Acknowledgement {
    /// The answer of `node`, a server without peers.
    pub fn of(node: &str) -> Self {
        Self {
            node: node.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            has_peers: false,
            is_shield: false,
        }
    }

    /// The text for the wire.
    pub fn to_text(&self) -> String {
        let peers = u8::from(self.has_peers);
        let shield = if self.is_shield { ";shield=1" } else { "" };
        format!("v={VERSION};node={};version={};peers={peers}{shield}", self.node, self.version)
    }

    /// Reads an acknowledgement, or `None` if the text is none.
    pub fn parse(text: &str) -> Option<Self> {
        let fields = Fields::of(text)?;
        Some(Self {
            node: fields.get("node").filter(|node| !node.is_empty())?.to_owned(),
            version: fields.get("version").unwrap_or_default().to_owned(),
            has_peers: fields.get("peers") == Some("1"),
            is_shield: fields.get("shield") == Some("1"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acknowledgement_survives_the_wire() {
        let acknowledgement = Acknowledgement::of("origin-0");
        assert_eq!(Acknowledgement::parse(&acknowledgement.to_text()), Some(acknowledgement.clone()));
        let shield = Acknowledgement { is_shield: true, ..acknowledgement };
        assert_eq!(Acknowledgement::parse(&shield.to_text()), Some(shield));
    }
}
