//! Marks that clients send: judged, counted and, where they are refused, logged.
//!
//! The session of every protocol asks here what its peer is, once for each connection or request.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use crate::auth::{Refusal, Standing, Verifier};
use crate::metrics::{MarkResult, Metrics};
use crate::seldom::Seldom;

/// Tells the servers among the clients.
#[derive(Debug)]
pub struct Marks {
    verifier: Verifier,
    metrics: Arc<Metrics>,
    /// Peers with another key come back each second.
    refusals: Seldom,
}

impl Marks {
    /// Judges by `verifier` and counts in `metrics`.
    pub fn new(verifier: Verifier, metrics: Arc<Metrics>) -> Self {
        Self { verifier, metrics, refusals: Seldom::new() }
    }

    /// What the sender of a mark is; `None` for an ordinary client, which is also who sends a mark that is refused.
    pub fn judge(&self, text: Option<&str>) -> Option<Standing> {
        let standing = self.verifier.judge(text?, SystemTime::now());
        self.metrics.marks(result_of(&standing)).inc();
        if let Standing::Refused(refusal) = standing {
            if let Some(unlogged) = self.refusals.note(&(), Instant::now()) {
                tracing::warn!(%refusal, unlogged, "a mark is refused, and its sender taken for a client");
            }
            return None;
        }
        Some(standing)
    }
}

const fn result_of(standing: &Standing) -> MarkResult {
    match standing {
        Standing::Verified(_) => MarkResult::Verified,
        Standing::Unsigned(_) | Standing::Refused(Refusal::Unsigned) => MarkResult::Unsigned,
        Standing::Refused(Refusal::Malformed) => MarkResult::Malformed,
        Standing::Refused(Refusal::Wrong) => MarkResult::Wrong,
        Standing::Refused(Refusal::Old | Refusal::Future) => MarkResult::Old,
        Standing::Refused(Refusal::Replayed) => MarkResult::Replayed,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::auth::{ClusterKey, Mark};
    use crate::config::Secret;

    /// What is judged of a mark by a server with a key, and every count that it left behind.
    fn judge(marks: &Marks, text: Option<&str>) -> (Option<Standing>, String) {
        let standing = marks.judge(text);
        let metrics = marks.metrics.encode().unwrap();
        let is_count = |line: &&str| line.starts_with("rillcast_marks_total") && !line.ends_with(" 0");
        // The series come in no particular order.
        let mut counted: Vec<&str> = metrics.lines().filter(is_count).collect();
        counted.sort_unstable();
        (standing, counted.concat())
    }

    fn key(text: &str) -> ClusterKey {
        ClusterKey::new(&Secret::new(text))
    }

    fn marks() -> Marks {
        Marks::new(Verifier::new(Some(key("ours"))), Arc::default())
    }

    fn count(result: &str) -> String {
        format!("rillcast_marks_total{{result=\"{result}\"}} 1")
    }

    #[test]
    fn who_sends_no_mark_is_a_client_and_counted_nowhere() {
        assert_eq!(judge(&marks(), None), (None, String::new()));
    }

    #[test]
    fn a_mark_that_is_taken_is_counted() {
        let mark = Mark::of_pull("edge");
        let now = SystemTime::now();
        assert_eq!(
            judge(&marks(), Some(&mark.to_text(Some(&key("ours")), now))),
            (Some(Standing::Verified(mark.clone())), count("verified"))
        );
        let without_key = Marks::new(Verifier::new(None), Arc::default());
        assert_eq!(
            judge(&without_key, Some(&mark.to_text(None, now))),
            (Some(Standing::Unsigned(mark)), count("unsigned"))
        );
    }

    #[test]
    fn who_sends_a_mark_that_is_refused_is_a_client_and_counted() {
        let (mark, now, hour) = (Mark::of_pull("edge"), SystemTime::now(), Duration::from_secs(3_600));
        let ours = key("ours");
        for (text, result) in [
            ("not a mark".to_owned(), "malformed"),
            (mark.to_text(None, now), "unsigned"),
            (mark.to_text(Some(&key("theirs")), now), "wrong"),
            (mark.to_text(Some(&ours), now - hour), "old"),
            (mark.to_text(Some(&ours), now + hour), "old"),
        ] {
            assert_eq!(judge(&marks(), Some(&text)), (None, count(result)), "{text}");
        }
        let (marks, text) = (marks(), mark.to_text(Some(&ours), now));
        marks.judge(Some(&text));
        assert_eq!(judge(&marks, Some(&text)), (None, format!("{}{}", count("replayed"), count("verified"))));
    }
}
