//! What is printed where: answers on stdout, errors and progress on stderr.

use indicatif::{ProgressBar, ProgressStyle};
use std::{
    fmt::Display,
    io::{self, Write},
    time::Duration,
};

/// Prints a line on stdout.
pub(crate) fn say(line: impl Display) -> io::Result<()> {
    writeln!(io::stdout(), "{line}")
}

/// Prints an error on stderr, with those of its causes that add something.
pub(crate) fn print_error(error: &anyhow::Error) {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if !text.contains(&cause) {
            let colon = if text.is_empty() { "" } else { ": " };
            text = format!("{text}{colon}{cause}");
        }
    }
    // With stderr closed there is nowhere left to report to.
    let _ = writeln!(io::stderr(), "error: {text}");
}

/// Did the reader of the output close it, as `| head` does?
pub(crate) fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// A progress bar for work of known size.
pub(crate) fn bar(what: &str, size: usize) -> ProgressBar {
    let template = "  {msg:<40!} [{bar:24}] {human_pos}/{human_len} {per_sec:>12} {eta:>4} left";
    let style = ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ");
    ProgressBar::new(size as u64)
        .with_style(style)
        .with_message(what.to_owned())
}

/// A progress bar for bytes that are read; without a size if that is unknown.
pub(crate) fn bytes_bar(what: &str, size: Option<u64>) -> ProgressBar {
    let template = match size {
        Some(_) => "  {msg} [{bar:24}] {bytes}/{total_bytes} {bytes_per_sec:>12} {eta:>4} left",
        None => "  {msg} {bytes} {bytes_per_sec:>12}",
    };
    let style = ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ");
    let progress = match size {
        Some(size) => ProgressBar::new(size),
        None => ProgressBar::no_length(),
    };
    progress.with_style(style).with_message(what.to_owned())
}

/// A spinner for work of unknown size.
pub(crate) fn spinner(what: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("  {spinner} {msg} {elapsed}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner());
    let spinner = ProgressBar::new_spinner()
        .with_style(style)
        .with_message(what.to_owned());
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}
