//! Who has heard of a beginning, and so is to hear of its end.

use parking_lot::Mutex;

use crate::config::HookUrl;

/// What became of the question, or of the event, that tells of one beginning. What is told of the end comes behind it, and looks
/// here then.
#[derive(Debug, Default)]
pub(super) struct Heard(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// How many may have heard and were not against it.
    listeners: usize,
    /// Who was against it.
    refused_by: Option<HookUrl>,
}

impl Heard {
    /// Nobody is to be asked: whoever wants to hear of the end is to.
    pub(super) fn by_all() -> Self {
        Self(Mutex::new(State { listeners: 1, refused_by: None }))
    }

    /// A request leaves: from now on it may have been heard of.
    pub(super) fn note_asked(&self) {
        self.0.lock().listeners += 1;
    }

    /// One of those that were asked is against it.
    pub(super) fn note_refused_by(&self, url: &HookUrl) {
        let mut state = self.0.lock();
        state.listeners = state.listeners.saturating_sub(1);
        state.refused_by = Some(url.clone());
    }

    /// Whether somebody is to hear of the end.
    pub(super) fn is_owed_an_end(&self) -> bool {
        self.0.lock().listeners > 0
    }

    /// Those of `urls` that are to hear of the end: none if nobody has heard of the beginning, and not who refused it.
    pub(super) fn owed(&self, mut urls: Vec<HookUrl>) -> Vec<HookUrl> {
        let state = self.0.lock();
        if state.listeners == 0 {
            return Vec::new();
        }
        urls.retain(|url| state.refused_by.as_ref() != Some(url));
        urls
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls() -> [HookUrl; 2] {
        ["http://a/x", "http://b/x"].map(|text| text.parse().unwrap())
    }

    #[test]
    fn who_was_asked_hears_of_the_end_and_who_refused_does_not() {
        let [a, b] = urls();
        let heard = Heard::default();
        assert!(heard.owed(urls().into()).is_empty() && !heard.is_owed_an_end(), "nobody was asked");
        heard.note_asked();
        assert_eq!(heard.owed(urls().into()), [a.clone(), b.clone()]);
        heard.note_asked();
        heard.note_refused_by(&b);
        assert_eq!(heard.owed(urls().into()), [a]);
    }

    #[test]
    fn what_the_only_one_that_was_asked_refuses_has_no_end() {
        let [a, b] = urls();
        let heard = Heard::default();
        heard.note_asked();
        heard.note_refused_by(&a);
        assert!(heard.owed(vec![b]).is_empty());
        assert!(Heard::by_all().is_owed_an_end());
    }
}
