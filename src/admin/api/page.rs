//! Which part of a list is asked for.

use serde::Deserialize;

/// How many entries a part has at most.
pub(super) const MAX_COUNT: usize = 10_000;

/// `start` and `count` of a query, as SRS has them.
#[derive(Debug, Deserialize)]
pub(in crate::admin) struct Page {
    start: Option<String>,
    count: Option<String>,
}

impl Page {
    /// How many are left out, and how many are wanted then, where `usual` are if none are named; an error if that are too many, or
    /// something else than a number.
    pub(super) fn part(&self, usual: usize) -> Result<(usize, usize), String> {
        let start = number("start", self.start.as_deref())?.unwrap_or_default();
        match number("count", self.count.as_deref())? {
            None => Ok((start, usual)),
            Some(count) if count <= MAX_COUNT => Ok((start, count)),
            Some(_) => Err(format!("count is {MAX_COUNT} at most")),
        }
    }
}

fn number(name: &str, text: Option<&str>) -> Result<Option<usize>, String> {
    text.map(|text| text.parse().map_err(|_| format!("{name} is a number from 0 on"))).transpose()
}
