//! From a beginning to its end: what a session holds so that hooks hear of both.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::config::{self, HookFailure, HookUrl};
use crate::metrics::Hook;

use super::answer::Answer;
use super::asking::Said;
use super::caller::{Caller, Subject};
use super::event::Event;
use super::heard::Heard;
use super::known::Question;
use super::poster::Attempts;
use super::telling::Telling;
use super::{Hooks, Refusal, Shared, urls};

/// What begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beginning {
    /// A connection.
    Connect,
    /// Publishing.
    Publish,
    /// Playing.
    Play,
    /// A pull, which nobody is asked about.
    Pull,
}

impl Beginning {
    const fn hook(self) -> Hook {
        match self {
            Self::Connect => Hook::Connect,
            Self::Publish => Hook::Publish,
            Self::Play => Hook::Play,
            Self::Pull => Hook::Pull,
        }
    }

    const fn end(self) -> Hook {
        match self {
            Self::Connect => Hook::Close,
            Self::Publish => Hook::Unpublish,
            Self::Play => Hook::Stop,
            Self::Pull => Hook::PullEnd,
        }
    }
}

/// Something that has begun. Dropping it is its end. Where nobody wants to hear of it, it holds nothing.
#[derive(Debug)]
pub struct Attendance(Option<Box<Begun>>);

struct Begun {
    shared: Arc<Shared>,
    beginning: Beginning,
    caller: Arc<Caller>,
    subject: Option<Subject>,
    /// Where a pull comes from.
    upstream: Option<String>,
    /// Who has heard, or may have heard, that it began and was not against it.
    heard: Arc<Heard>,
    /// Whom the end is told, as it was configured when it began: those are the ones that were asked.
    end: End,
    /// What was sent and received, if that is known.
    bytes: (u64, u64),
}

/// Whom an end is told, and how.
struct End {
    urls: Vec<HookUrl>,
    attempts: Attempts,
    /// Whether there may be anything to tell. What there is says [`Heard`], when the end's turn has come.
    may_be_owed: bool,
}

impl Hooks {
    /// Asks whether `caller` may begin; first `callback`, if there is one, then the hooks. What is held until then and from
    /// then on tells the end. The future may be dropped at any time: then that is the end.
    ///
    /// # Errors
    ///
    /// It may not, or nobody could be asked.
    pub async fn begin(
        &self,
        beginning: Beginning,
        caller: &Arc<Caller>,
        subject: Option<Subject>,
        callback: Option<HookUrl>,
    ) -> Result<Attendance, Refusal> {
        let Some(shared) = &self.shared else { return Ok(Attendance(None)) };
        let app = subject.as_ref().map_or(caller.app.as_str(), |subject| subject.key.app());
        let settings = shared.config.current().hooks_for(app);
        let hook = beginning.hook();
        let asked = urls(&settings, hook).to_vec();
        let concerns_nobody = asked.is_empty() && urls(&settings, beginning.end()).is_empty() && callback.is_none();
        if concerns_nobody && beginning != Beginning::Publish {
            return Ok(Attendance(None));
        }
        let mut begun = Begun::new(shared, beginning, caller, subject, &settings);
        if let Some(callback) = callback {
            let body = begun.event(hook).into_body();
            let heard = Arc::default();
            match shared.ask_for(&settings, hook, vec![callback], caller, body, &heard).await {
                Said::Answer(Answer::Ok) => {}
                Said::Answer(Answer::Refused) => return Err(Refusal::Refused),
                // It is there to decide: without it nobody is let in, whatever is said of hooks.
                Said::Answer(Answer::Failed) | Said::Busy => return Err(Refusal::Failed),
            }
        }
        // From here on it may have been heard of.
        begun.end.may_be_owed = true;
        if asked.is_empty() {
            begun.heard = Arc::new(Heard::by_all());
            return Ok(Attendance(Some(begun)));
        }
        let body = begun.event(hook).into_body();
        let question = begun.question(&asked).filter(|_| !settings.cache.is_zero());
        if let Some(known) = question.as_ref().and_then(|question| shared.known.answer(question, settings.cache)) {
            if known == Answer::Refused {
                return Err(Refusal::Refused);
            }
            // It is told all the same, so that it can be counted, and says so if it has changed its mind.
            begun.heard.note_asked();
            begun.tell(hook, &asked, body, None, question);
            return Ok(Attendance(Some(begun)));
        }
        let said = shared.ask_for(&settings, hook, asked, caller, body, &begun.heard).await;
        begun.end.may_be_owed = begun.heard.is_owed_an_end();
        let Said::Answer(answer) = said else { return Err(Refusal::Failed) };
        if let Some(question) = question {
            shared.known.learn(question, answer);
        }
        match answer {
            Answer::Failed if settings.fail == HookFailure::Closed => Err(Refusal::Failed),
            Answer::Ok | Answer::Failed => Ok(Attendance(Some(begun))),
            Answer::Refused => Err(Refusal::Refused),
        }
    }

    /// The same for who is no client: nobody is asked, and nobody told of the end.
    pub fn attend_silently(&self, beginning: Beginning, caller: &Arc<Caller>, subject: Option<Subject>) -> Attendance {
        let begun = |shared: &Arc<Shared>| {
            let app = subject.as_ref().map_or(caller.app.as_str(), |subject| subject.key.app());
            let settings = shared.config.current().hooks_for(app);
            Begun::new(shared, beginning, caller, subject, &settings)
        };
        Attendance(self.shared.as_ref().filter(|_| beginning == Beginning::Publish).map(begun))
    }

    /// Tells that a stream is pulled from `upstream`.
    pub fn pull(&self, caller: &Arc<Caller>, subject: Subject, upstream: String) -> Attendance {
        let begun = |shared: &Arc<Shared>| {
            let settings = shared.config.current().hooks_for(subject.key.app());
            let mut begun = Begun::new(shared, Beginning::Pull, caller, Some(subject), &settings);
            begun.upstream = Some(upstream);
            begun.heard = Arc::new(Heard::by_all());
            begun.end.may_be_owed = true;
            begun.tell(Hook::Pull, urls(&settings, Hook::Pull), begun.event(Hook::Pull).into_body(), None, None);
            begun
        };
        Attendance(self.shared.as_ref().map(begun))
    }
}

impl Attendance {
    /// Whether somebody is to hear of the end.
    pub fn tells(&self) -> bool {
        self.0.is_some()
    }

    /// Notes what went over the connection, in bytes.
    pub fn note_bytes(&mut self, sent: u64, received: u64) {
        if let Some(begun) = &mut self.0 {
            begun.bytes = (sent, received);
        }
    }

    /// Notes that its stream is there now, under that id in the API.
    pub fn note_stream(&mut self, stream_id: Option<String>) {
        if let Some(subject) = self.0.as_mut().and_then(|begun| begun.subject.as_mut()) {
            subject.stream_id = stream_id;
        }
    }

    /// Notes that it is the publisher of `session`: what is told of that session from now on is told of it.
    pub fn note_session(&self, session: &str) {
        let Some(begun) = &self.0 else { return };
        if let Some(subject) = &begun.subject {
            let publisher = (Arc::clone(&begun.caller), subject.clone());
            begun.shared.publishers.insert(session.to_owned(), publisher);
        }
    }
}

impl Begun {
    fn new(
        shared: &Arc<Shared>,
        beginning: Beginning,
        caller: &Arc<Caller>,
        subject: Option<Subject>,
        settings: &config::Hooks,
    ) -> Box<Self> {
        let urls = urls(settings, beginning.end()).to_vec();
        Box::new(Self {
            shared: Arc::clone(shared),
            beginning,
            caller: Arc::clone(caller),
            subject,
            upstream: None,
            heard: Arc::default(),
            end: End { urls, attempts: Attempts::of(settings), may_be_owed: false },
            bytes: (0, 0),
        })
    }

    fn event(&self, hook: Hook) -> Event<'_> {
        let mut event = Event::new(&self.shared, hook, &self.caller);
        if let Some(subject) = &self.subject {
            event = event.with_subject(subject);
        }
        if let Some(upstream) = &self.upstream {
            event = event.with_upstream(upstream);
        }
        if hook == Hook::Close { event.with_bytes(self.bytes.0, self.bytes.1) } else { event }
    }

    fn question(&self, asked: &[HookUrl]) -> Option<Question> {
        let subject = self.subject.as_ref().filter(|_| self.beginning == Beginning::Play)?;
        Some(Question::of(&self.caller, subject, asked))
    }

    /// Tells `urls` of it; if it is the end, those of them that have `heard` of the beginning.
    fn tell(&self, hook: Hook, urls: &[HookUrl], body: Bytes, heard: Option<Arc<Heard>>, learns: Option<Question>) {
        if !urls.is_empty() {
            let (attempts, caller) = (self.end.attempts, &*self.caller);
            self.shared.tell(Telling { hook, urls, attempts, caller, body, heard, learns });
        }
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        if self.end.may_be_owed && !self.end.urls.is_empty() {
            let hook = self.beginning.end();
            let heard = Some(Arc::clone(&self.heard));
            self.tell(hook, &self.end.urls, self.event(hook).into_body(), heard, None);
        }
    }
}

impl fmt::Debug for Begun {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Begun").field("beginning", &self.beginning).finish_non_exhaustive()
    }
}
