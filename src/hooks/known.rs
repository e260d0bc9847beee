//! What hooks have said about players lately.

use std::time::{Duration, Instant};

use moka::sync::Cache;

use crate::config::HookUrl;

use super::answer::Answer;
use super::caller::{Caller, Subject};

/// How many answers are remembered.
const MAX_KNOWN: u64 = 1 << 16;
/// For how long they are, whatever the configuration says.
const LONGEST: Duration = Duration::from_secs(3_600);

/// Everything that a hook is told of a player and that it might go by, but the player's own id; and who is asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Question(Vec<String>);

impl Question {
    pub(super) fn of(caller: &Caller, subject: &Subject, asked: &[HookUrl]) -> Self {
        let address = caller.address.map(|address| address.to_string()).unwrap_or_default();
        let about =
            [subject.key.to_string(), subject.query.clone(), address, caller.page_url.clone(), caller.tc_url.clone()];
        Self(about.into_iter().chain(asked.iter().map(|url| url.reveal().to_owned())).collect())
    }
}

/// Answers, and when they were given.
#[derive(Debug)]
pub(super) struct Known(Cache<Question, (Answer, Instant)>);

impl Default for Known {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(MAX_KNOWN).time_to_live(LONGEST).build())
    }
}

impl Known {
    /// The answer, if it is no older than `age`.
    pub(super) fn answer(&self, question: &Question, age: Duration) -> Option<Answer> {
        let (answer, given_at) = self.0.get(question)?;
        (given_at.elapsed() < age).then_some(answer)
    }

    /// Remembers an answer. That there was none is nothing to go by.
    pub(super) fn learn(&self, question: Question, answer: Answer) {
        if answer == Answer::Failed {
            self.0.invalidate(&question);
        } else {
            self.0.insert(question, (answer, Instant::now()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use crate::media::stream_key::StreamKey;

    use super::*;

    fn question(query: &str, address: [u8; 4]) -> Question {
        question_to("http://a.example/", query, address)
    }

    fn question_to(url: &str, query: &str, address: [u8; 4]) -> Question {
        let caller = Caller::new("1".to_owned(), IpAddr::from(address), "live".to_owned(), String::new(), None);
        let key = StreamKey::from_path("live/x").unwrap();
        Question::of(&caller, &Subject { key, query: query.to_owned(), stream_id: None }, &[url.parse().unwrap()])
    }

    #[test]
    fn an_answer_is_for_who_says_the_same_from_the_same_address() {
        let known = Known::default();
        known.learn(question("a=1", [192, 0, 2, 1]), Answer::Refused);
        let minute = Duration::from_secs(60);
        assert_eq!(known.answer(&question("a=1", [192, 0, 2, 1]), minute), Some(Answer::Refused));
        assert_eq!(known.answer(&question("a=2", [192, 0, 2, 1]), minute), None);
        assert_eq!(known.answer(&question("a=1", [192, 0, 2, 2]), minute), None);
    }

    #[test]
    fn an_answer_is_that_of_whom_was_asked() {
        let (known, minute) = (Known::default(), Duration::from_secs(60));
        known.learn(question_to("http://a.example/?key=1", "", [192, 0, 2, 1]), Answer::Ok);
        for url in ["http://b.example/?key=1", "http://a.example/?key=2"] {
            assert_eq!(known.answer(&question_to(url, "", [192, 0, 2, 1]), minute), None);
        }
    }

    #[test]
    fn an_answer_is_not_older_than_it_may_be_and_the_latest_counts() {
        let (known, minute) = (Known::default(), Duration::from_secs(60));
        let question = question("", [192, 0, 2, 1]);
        known.learn(question.clone(), Answer::Ok);
        assert_eq!(known.answer(&question, Duration::ZERO), None);
        known.learn(question.clone(), Answer::Refused);
        assert_eq!(known.answer(&question, minute), Some(Answer::Refused));
        known.learn(question.clone(), Answer::Failed);
        assert_eq!(known.answer(&question, minute), None);
    }
}
