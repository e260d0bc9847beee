//! How many connections this process may have.

use anyhow::{Context as _, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that are open besides connections.
const RESERVED: u64 = 64;

/// Raises the limit of open files as far as the system lets us; processes started later have it too.
pub(crate) fn raise() {
    let limit = getrlimit(Resource::Nofile);
    // What fails here is told by `check`, with numbers.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// Whether `connections` are possible.
pub(crate) fn check(connections: usize) -> anyhow::Result<()> {
    let Some(limit) = getrlimit(Resource::Nofile).current else { return Ok(()) };
    let wanted = u64::try_from(connections).context("too many connections")? + RESERVED;
    ensure!(
        wanted <= limit,
        "{connections} connections need {wanted} open files, but the limit is {limit} (ulimit -n, LimitNOFILE)"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_connections_than_files_are_refused_with_numbers() {
        assert!(check(1).is_ok());
        if let Some(limit) = getrlimit(Resource::Nofile).current {
            let message = check(limit as usize).unwrap_err().to_string();
            assert!(message.contains(&limit.to_string()), "{message}");
        }
    }
}
