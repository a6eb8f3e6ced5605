//! `status --watch`: the status, again and again. On a terminal it stays in place;
//! elsewhere each change is a line.

use super::text;
use crate::{
    admin::{AdminClient, AdminError},
    output::say,
};
use console::Term;
use serde_json::Value as Json;
use std::{thread, time::Duration};

/// How it is shown.
pub(super) struct View<'a> {
    /// The secondary, as the query of a request; none for all.
    pub(super) query: Option<(&'a str, &'a str)>,
    /// From one look to the next.
    pub(super) interval: Duration,
    /// JSON, one status per line.
    pub(super) json: bool,
}

/// Shows the status until the process is ended. A host that is gone is asked again.
pub(super) fn status(admin: &AdminClient, view: &View<'_>) -> anyhow::Result<()> {
    let terminal = Term::stdout();
    let mut screen = Screen {
        is_live: terminal.is_term() && !view.json,
        terminal,
        shown: 0,
        last: String::new(),
    };
    loop {
        let answer = admin.get("status", view.query.as_slice());
        // A wrong name is not mended by asking again.
        if let Err(AdminError::Rejected {
            status: 400..500, ..
        }) = &answer
        {
            answer?;
            return Ok(());
        }
        screen.show(&answer, view)?;
        thread::sleep(view.interval);
    }
}

struct Screen {
    terminal: Term,
    is_live: bool,
    /// Lines that are on the terminal.
    shown: usize,
    /// The latest line, where it is not live.
    last: String,
}

impl Screen {
    fn show(&mut self, answer: &Result<Json, AdminError>, view: &View<'_>) -> anyhow::Result<()> {
        if !self.is_live {
            let line = match answer {
                Ok(status) if view.json => status.to_string(),
                Ok(status) => text::status_line(status),
                Err(error) if view.json => {
                    serde_json::json!({"error": error.to_string()}).to_string()
                }
                Err(error) => format!("no status: {error}"),
            };
            if view.json || line != self.last {
                say(&line)?;
            }
            self.last = line;
            return Ok(());
        }
        let body = match answer {
            Ok(status) => text::status(status),
            Err(error) => format!("no status: {error}; asking again\n"),
        };
        let (height, width) = self.terminal.size();
        let every = view.interval.as_secs_f64();
        let text = format!("{body}every {every} s; Ctrl-C ends it");
        let lines: Vec<_> = text
            .lines()
            .take(usize::from(height).saturating_sub(1))
            .map(|line| console::truncate_str(line, usize::from(width), "…"))
            .collect();
        self.terminal.clear_last_lines(self.shown)?;
        for line in &lines {
            self.terminal.write_line(line)?;
        }
        self.terminal.flush()?;
        self.shown = lines.len();
        Ok(())
    }
}
