//! What one sees while it runs: a bar on the terminal, and nothing where there is none.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The bar of one run, step after step.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    prefix: String,
}

const TEMPLATE: &str = "{prefix:<34} {bar:32.cyan/blue} {pos:>6}/{len:<6} {msg}";

impl Progress {
    /// A bar on standard error; `prefix` names the run.
    pub(crate) fn new(prefix: impl Into<String>) -> Self {
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            bar.set_style(style.progress_chars("━╸─"));
        }
        Self { bar, prefix: prefix.into() }
    }

    /// A bar that is never seen.
    pub(crate) fn hidden() -> Self {
        Self { bar: ProgressBar::hidden(), prefix: String::new() }
    }

    /// Begins a step.
    pub(crate) fn begin(&self, step: &str, length: u64) {
        let separator = if self.prefix.is_empty() { "" } else { "  " };
        self.bar.set_prefix(format!("{}{separator}{step}", self.prefix));
        self.bar.set_message("");
        self.bar.set_length(length);
        self.bar.set_position(0);
    }

    /// How far the step is.
    pub(crate) fn set(&self, position: u64) {
        self.bar.set_position(position);
    }

    /// What it looks like meanwhile.
    pub(crate) fn say(&self, message: String) {
        self.bar.set_message(message);
    }

    /// Takes the bar off the terminal.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
