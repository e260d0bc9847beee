//! How many files the process may have open. Every connection is one of them.
//!
//! Owns the limit of the system and what of it is left to connections: whoever uses that up must not keep health checks,
//! pulls and recordings from what they need.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What is kept for everything but connections, as a share of the limit: one in so many.
const RESERVED_SHARE: usize = 8;
/// How many at least.
const RESERVED_AT_LEAST: usize = 128;

/// How many files a server may have open: what the system allows once the server has asked for it. `None` is any number.
pub fn most() -> Option<usize> {
    getrlimit(Resource::Nofile).maximum.map(count)
}

/// Asks the system for all that it allows, and gives what the limit is then. `None` is any number.
pub fn raise() -> Option<usize> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        tracing::warn!(%error, "the limit of open files cannot be raised");
    }
    getrlimit(Resource::Nofile).current.map(count)
}

/// How many connections there may be beside everything else, where so many files may be open.
pub fn left_to_connections(limit: usize) -> usize {
    limit.saturating_sub(RESERVED_AT_LEAST.max(limit / RESERVED_SHARE)).max(1)
}

fn count(limit: u64) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_something_of_every_limit() {
        for (limit, expected) in [(256, 128), (1_024, 896), (4_096, 3_584), (1 << 20, 917_504)] {
            assert_eq!(left_to_connections(limit), expected);
        }
        assert_eq!(left_to_connections(20), 1, "even then somebody is served");
    }

    #[test]
    fn the_limit_is_raised_to_what_the_system_allows() {
        assert_eq!(raise(), most());
    }
}
