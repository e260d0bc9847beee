//! What a server is given to do.

use std::fmt;

use serde::Serialize;

use super::table::grouped;

/// A load; of two, the larger one has more players, or else more streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Load {
    /// Players.
    pub(crate) players: usize,
    /// Streams, over which players are spread.
    pub(crate) streams: usize,
    /// Players that stop reading once they have started.
    pub(crate) stalled: usize,
}

impl fmt::Display for Load {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { players, streams, stalled } = self;
        write!(formatter, "{} players, {}", grouped(*players as u64), counted_streams(*streams))?;
        if *stalled > 0 {
            write!(formatter, ", {} stalled", grouped(*stalled as u64))?;
        }
        Ok(())
    }
}

fn counted_streams(streams: usize) -> String {
    if streams == 1 { "one stream".to_owned() } else { format!("{} streams", grouped(streams as u64)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_is_told_in_words() {
        let load = Load { players: 1_000, streams: 1, stalled: 0 };
        assert_eq!(load.to_string(), "1,000 players, one stream");
        let load = Load { players: 10_000, streams: 500, stalled: 2_000 };
        assert_eq!(load.to_string(), "10,000 players, 500 streams, 2,000 stalled");
    }
}
