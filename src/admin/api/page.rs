//! Which part of a list is asked for.

use serde::Deserialize;

/// How many entries a part has at most.
pub(super) const MAX_COUNT: usize = 10_000;

/// `start` and `count` of a query, as SRS has them.
#[derive(Debug, Deserialize)]
pub(in crate::admin) struct Page {
    /// How many are left out.
    #[serde(default)]
    pub(super) start: usize,
    pub(super) count: Option<usize>,
}

impl Page {
    /// How many are wanted, where `usual` are if none are named; an error if that are too many.
    pub(super) fn count(&self, usual: usize) -> Result<usize, String> {
        match self.count {
            None => Ok(usual),
            Some(count) if count <= MAX_COUNT => Ok(count),
            Some(_) => Err(format!("count is {MAX_COUNT} at most")),
        }
    }
}
