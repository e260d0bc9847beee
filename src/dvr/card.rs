//! What a recording says of itself, in its own head.
//!
//! Owns the card: which stream and session it is, and when it began. A server that starts learns from the cards which
//! files are recordings and whose; there is no other state, so that nothing can disagree with the files.

use serde::{Deserialize, Serialize};

/// The most bytes of a file's head that are looked at for its card: far more than the longest names make.
pub(super) const MAX_CARD_BYTES: usize = 16 << 10;

/// A recording's card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Card {
    /// The recording's own id.
    pub(super) id: String,
    pub(super) app: String,
    pub(super) stream: String,
    /// The publish session.
    pub(super) session: String,
    /// When it began, in milliseconds since 1970.
    pub(super) begin_ms: u64,
}

impl Card {
    /// The card as it stands in files.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        // A struct of strings and numbers is always JSON.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads a card; `None` if it is none of ours.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let card: Self = serde_json::from_slice(bytes).ok()?;
        // The id is a part of URLs.
        let harmless =
            !card.id.is_empty() && card.id.len() <= 64 && card.id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        harmless.then_some(card)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_is_read_as_it_was_written() {
        let card = Card {
            id: "0a1b".to_owned(),
            app: "live/\u{e9}\"".to_owned(),
            stream: "x".to_owned(),
            session: "s".to_owned(),
            begin_ms: u64::MAX,
        };
        assert_eq!(Card::from_bytes(&card.to_bytes()), Some(card));
    }

    #[test]
    fn what_is_no_card_or_has_no_plain_id_is_none() {
        for text in ["", "{}", "[1]", r#"{"id":"../x","app":"a","stream":"s","session":"","begin_ms":1}"#] {
            assert_eq!(Card::from_bytes(text.as_bytes()), None, "{text}");
        }
    }
}
