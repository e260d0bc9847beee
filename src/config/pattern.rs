//! Patterns of app names, as `[[apps]]` matches them.
//!
//! Owns the matching. The configuration asks it for every app; it knows no app itself.

use std::fmt;
use std::str::FromStr;

use super::form::Word;

/// A pattern such as `live*`: `*` stands for any characters, slashes and none included; everything else for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppPattern(String);

/// Why a text is not a pattern; completes "expected ...".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AppPatternError {
    /// Empty, or begins or ends with a slash, so that no app could match.
    #[error("{}", AppPattern::EXPECTED)]
    Malformed,
}

impl AppPattern {
    /// Whether the whole of `app` matches.
    pub fn matches(&self, app: &str) -> bool {
        let mut parts = self.0.split('*');
        let first = parts.next().unwrap_or_default();
        let Some(mut rest) = app.strip_prefix(first) else { return false };
        let Some(last) = parts.next_back() else { return rest.is_empty() };
        // The leftmost place of each part leaves the most for those behind it.
        for part in parts {
            match rest.split_once(part) {
                Some((_, behind)) => rest = behind,
                None => return false,
            }
        }
        rest.ends_with(last)
    }
}

impl AppPattern {
    /// Whether it matches every app that `other` matches.
    pub(super) fn covers(&self, other: &Self) -> bool {
        // A star of the other is a text that only a star here can stand for.
        self.matches(&other.0)
    }

    /// Whether there can be an app that both match.
    pub(super) fn meets(&self, other: &Self) -> bool {
        let (ours, theirs): (Vec<char>, Vec<char>) = (self.0.chars().collect(), other.0.chars().collect());
        // Whether the rests of the two meet, by how much of theirs is left; from the ends on.
        let mut below = vec![false; theirs.len() + 1];
        for our in (0..=ours.len()).rev() {
            let mut row = vec![false; theirs.len() + 1];
            for their in (0..=theirs.len()).rev() {
                row[their] = match (ours.get(our), theirs.get(their)) {
                    (None, None) => true,
                    // A star stands for nothing, or for one more of what the other has there.
                    (Some('*'), None) => below[their],
                    (None, Some('*')) => row[their + 1],
                    (Some('*'), Some(_)) | (Some(_), Some('*')) => below[their] || row[their + 1],
                    (Some(one), Some(another)) => one == another && below[their + 1],
                    (Some(_), None) | (None, Some(_)) => false,
                };
            }
            below = row;
        }
        below[0]
    }
}

impl FromStr for AppPattern {
    type Err = AppPatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() || text.starts_with('/') || text.ends_with('/') {
            return Err(AppPatternError::Malformed);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for AppPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Word for AppPattern {
    const EXPECTED: &'static str =
        "the name of an app, in which * stands for any characters, without slashes around it";
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, app: &str) -> bool {
        pattern.parse::<AppPattern>().unwrap().matches(app)
    }

    /// What a pattern means, said another way: character by character, trying every length of each `*`.
    fn matches_by_definition(pattern: &[char], app: &[char]) -> bool {
        match pattern.split_first() {
            None => app.is_empty(),
            Some(('*', rest)) => (0..=app.len()).any(|skipped| matches_by_definition(rest, &app[skipped..])),
            Some((letter, rest)) => app.first() == Some(letter) && matches_by_definition(rest, &app[1..]),
        }
    }

    #[test]
    fn without_a_star_only_the_same_name_matches() {
        assert!(matches("live", "live"));
        assert!(!matches("live", "live2"));
        assert!(!matches("live", "Live"));
    }

    #[test]
    fn a_star_stands_for_any_characters_slashes_and_none_included() {
        assert!(matches("live*", "live"));
        assert!(matches("live*", "live/eu/west"));
        assert!(matches("*", "anything"));
        assert!(matches("live/*/hd", "live/eu/west/hd"));
        assert!(!matches("live/*/hd", "live/hd"));
        assert!(!matches("a*a", "a"));
    }

    #[test]
    fn a_pattern_that_no_app_could_match_is_refused() {
        for text in ["", "/live", "live/"] {
            assert_eq!(text.parse::<AppPattern>(), Err(AppPatternError::Malformed), "{text:?}");
        }
    }

    /// Every text of up to four letters.
    fn apps() -> Vec<String> {
        let mut apps = vec![String::new()];
        for index in 0.. {
            if apps[index].len() == 4 {
                break;
            }
            for letter in ["a", "b", "c"] {
                apps.push(format!("{}{letter}", apps[index]));
            }
        }
        apps
    }

    proptest! {
        #[test]
        fn one_covers_another_if_it_matches_all_of_its_apps(one in "[ab*]{1,4}", other in "[ab*]{1,4}") {
            let [one, other] = [one, other].map(AppPattern);
            let covers = apps().iter().all(|app| !other.matches(app) || one.matches(app));
            prop_assert_eq!(one.covers(&other), covers, "{} {}", one, other);
        }

        #[test]
        fn two_meet_if_there_is_an_app_for_both(one in "[ab*]{1,4}", other in "[ab*]{1,4}") {
            let [one, other] = [one, other].map(AppPattern);
            // No app that is longer than both together is needed.
            let heads = apps();
            let mut longer = heads.iter().flat_map(|head| heads.iter().map(move |tail| format!("{head}{tail}")));
            let meet = longer.any(|app| one.matches(&app) && other.matches(&app));
            prop_assert_eq!(one.meets(&other), meet, "{} {}", one, other);
        }

        #[test]
        fn matching_agrees_with_the_definition(pattern in "[ab*]{1,8}", app in "[ab]{0,10}") {
            let (by_pattern, by_app): (Vec<char>, Vec<char>) = (pattern.chars().collect(), app.chars().collect());
            prop_assert_eq!(matches(&pattern, &app), matches_by_definition(&by_pattern, &by_app));
        }
    }
}
