//! The log on standard error: text for people, JSON for machines, with levels that change while it runs.
//!
//! Owns its set-up, and how the fields of a line are written as text: whatever strangers say stays within its field and on its
//! line. `main` starts it once. JSON needs no such care; its writer escapes everything.

use std::fmt::{self, Debug};
use std::io::{self, IsTerminal};

use tracing::field::{Field, Visit};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

use crate::config::{Log, LogFormat};

/// Changes the level, or says why not.
pub type SetLevel = Box<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// The field that stands for itself.
const MESSAGE: &str = "message";

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Neither a level nor directives.
    #[error("log.level: {0}")]
    Level(#[from] tracing_subscriber::filter::ParseError),
    /// There is one already.
    #[error("cannot start the log: {0}")]
    Start(#[from] TryInitError),
}

/// Starts to log; the level may be changed by what is returned.
///
/// # Errors
///
/// Where the level is none, or the process logs already.
pub fn start(log: &Log) -> Result<SetLevel, LogError> {
    let (filter, handle) = tracing_subscriber::reload::Layer::new(EnvFilter::try_new(&log.level)?);
    let registry = tracing_subscriber::registry().with(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    match log.format {
        LogFormat::Json => registry.with(lines.json()).try_init()?,
        LogFormat::Text => {
            registry.with(lines.with_ansi(io::stderr().is_terminal()).fmt_fields(TextFields)).try_init()?;
        }
    }
    Ok(Box::new(move |level| {
        let filter = EnvFilter::try_new(level).map_err(|error| error.to_string())?;
        handle.reload(filter).map_err(|error| error.to_string())
    }))
}

/// Writes the fields of a line as `name=value`, with quotation marks around what could be taken for something else.
struct TextFields;

impl<'w> FormatFields<'w> for TextFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut line = Line { writer, is_begun: false, result: Ok(()) };
        fields.record(&mut line);
        line.result
    }
}

struct Line<'w> {
    writer: Writer<'w>,
    is_begun: bool,
    result: fmt::Result,
}

impl Line<'_> {
    fn write(&mut self, field: &Field, value: fmt::Arguments<'_>) -> fmt::Result {
        if std::mem::replace(&mut self.is_begun, true) {
            self.writer.write_char(' ')?;
        }
        match field.name() {
            MESSAGE => {}
            name if self.writer.has_ansi_escapes() => {
                write!(self.writer, "\u{1b}[3m{name}\u{1b}[0m\u{1b}[2m=\u{1b}[0m")?
            }
            name => write!(self.writer, "{name}=")?,
        }
        self.writer.write_fmt(value)
    }

    fn add(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        if self.result.is_ok() {
            self.result = self.write(field, value);
        }
    }
}

impl Visit for Line<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == MESSAGE {
            self.add(field, format_args!("{}", value.escape_debug()));
        } else {
            self.add(field, format_args!("{value:?}"));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let text = format!("{value:?}");
        if field.name() == MESSAGE {
            // Ours, but for what is put into it.
            let kept = |character: char| if is_printed(character) { character } else { char::REPLACEMENT_CHARACTER };
            self.add(field, format_args!("{}", text.chars().map(kept).collect::<String>()));
        } else if is_one_word(&text) {
            self.add(field, format_args!("{text}"));
        } else {
            self.add(field, format_args!("{text:?}"));
        }
    }
}

/// Whether a character shows as itself: no control character, and none that turns the direction of writing.
fn is_printed(character: char) -> bool {
    matches!(character, '\\' | '\'' | '"') || character.escape_debug().len() == 1
}

fn is_one_word(text: &str) -> bool {
    !text.is_empty()
        && text.chars().all(|character| is_printed(character) && character != '"' && !character.is_whitespace())
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(log: impl FnOnce()) -> String {
        let written = Written::default();
        let writer = written.clone();
        let lines = tracing_subscriber::fmt::layer().with_ansi(false).without_time().with_target(false);
        let lines = lines.fmt_fields(TextFields).with_writer(move || writer.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), log);
        String::from_utf8(written.0.lock().clone()).unwrap()
    }

    #[test]
    fn a_field_is_a_word_or_stands_in_quotation_marks() {
        let line =
            logged(|| tracing::info!(stream = %"live/x", text = "a b", number = 7, error = %"no such host", "told"));
        assert_eq!(line, " INFO told stream=live/x text=\"a b\" number=7 error=\"no such host\"\n");
    }

    #[test]
    fn nobody_writes_another_field_or_another_line() {
        let name = "live/x reason=\"kicked\"\r\n INFO forged \u{1b}[31m\u{202e}";
        let line = logged(|| tracing::info!(stream = %name, "told"));
        assert_eq!(line, " INFO told stream=\"live/x reason=\\\"kicked\\\"\\r\\n INFO forged \\u{1b}[31m\\u{202e}\"\n");
        let line = logged(|| tracing::info!(stream = %"\"a\" reason=\"b\"", "told"));
        assert_eq!(line, " INFO told stream=\"\\\"a\\\" reason=\\\"b\\\"\"\n");
        assert_eq!(logged(|| tracing::info!("told by {}", "a\nb\u{1b}")), " INFO told by a\u{fffd}b\u{fffd}\n");
    }

    #[test]
    fn spans_are_written_alike() {
        let line = logged(|| {
            tracing::error_span!("rtmp", peer = %"192.0.2.7:1", id = %"a b").in_scope(|| tracing::info!("told"))
        });
        assert_eq!(line, " INFO rtmp{peer=192.0.2.7:1 id=\"a b\"}: told\n");
    }
}
