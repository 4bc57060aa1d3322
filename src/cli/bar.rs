//! How far a long command is: drawn on standard error, and only if that is a terminal.
//!
//! Used by `sessions export|import|clear-expired` and `import django`. A bar that is dropped, as with an error, is gone
//! from the screen. What else is said meanwhile goes through [`ProgressBar::suspend`].

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Of so many; `numbers` may name `{pos}`, `{len}` and what else indicatif knows.
pub(super) fn bar(length: u64, numbers: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(&format!("{{wide_bar}} {numbers}, {{eta}} left"));
    ProgressBar::new(length).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// For work whose length nobody knows.
pub(super) fn spinner(message: &'static str) -> ProgressBar {
    let spinner = ProgressBar::new_spinner().with_message(message);
    // At once, however short the work turns out to be.
    spinner.tick();
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}
