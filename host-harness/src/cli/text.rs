//! The answers of db-sync-server's routes as text for people. What they contain is
//! untrusted: nothing of it controls the terminal.

use serde_json::Value as Json;
use std::fmt::{self, Write as _};

/// Without what controls a terminal: the text may come from a server.
fn clean(text: &str) -> String {
    let shown = |letter: char| match letter {
        '\n' | '\t' => ' ',
        letter if letter.is_control() => '\u{fffd}',
        letter => letter,
    };
    text.chars().map(shown).collect()
}

fn text(value: &Json) -> String {
    clean(value.as_str().unwrap_or("-"))
}

fn list(value: &Json) -> &[Json] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn number(value: &Json) -> u64 {
    value.as_u64().unwrap_or(0)
}

/// 12,345
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

fn bytes(value: &Json) -> String {
    indicatif::HumanBytes(number(value)).to_string()
}

/// A length of time in its two largest units.
fn seconds(seconds: f64) -> String {
    if seconds < 0.0005 {
        return "0 s".to_owned();
    }
    if seconds < 1.0 {
        return format!("{:.0} ms", seconds * 1e3);
    }
    if seconds < 10.0 {
        return format!("{seconds:.1} s");
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float of any size saturates"
    )]
    let total = seconds.round() as u64;
    let units = [
        (total / 86_400, "d"),
        (total / 3_600 % 24, "h"),
        (total / 60 % 60, "min"),
        (total % 60, "s"),
    ];
    let first = units.iter().position(|(value, _)| *value > 0).unwrap_or(3);
    let shown: Vec<String> = units[first..]
        .iter()
        .take(2)
        .filter(|(value, _)| *value > 0)
        .map(|(value, unit)| format!("{value} {unit}"))
        .collect();
    shown.join(" ")
}

/// From one time of an answer to another.
fn between(earlier: &Json, later: &Json) -> String {
    let time = |value: &Json| {
        let time = value
            .as_str()?
            .parse::<plugin_api::value::Timestamp>()
            .ok()?;
        Some(time.seconds)
    };
    match (time(earlier), time(later)) {
        (Some(earlier), Some(later)) => {
            #[expect(clippy::cast_precision_loss, reason = "for people")]
            let elapsed = later.saturating_sub(earlier).max(0) as f64;
            seconds(elapsed)
        }
        _ => "-".to_owned(),
    }
}

/// Rows of cells in columns; those after the first `left` are aligned to the right.
fn table(left: usize, rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            // Writing to a string cannot fail.
            let _ = match column < left {
                true => write!(line, "{cell:<width$}   "),
                false => write!(line, "{cell:>width$}   "),
            };
        }
        text.push_str("  ");
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn cells<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}

/// The answer of `status`.
pub(super) fn status(status: &Json) -> String {
    let mut out = String::new();
    let _ = put_status(&mut out, status);
    out
}

fn put_status(out: &mut String, status: &Json) -> fmt::Result {
    let at = &status["at"];
    writeln!(
        out,
        "{}{}: db-sync-server {}, running for {}",
        text(&status["health"]),
        if status["paused"] == true {
            ", paused"
        } else {
            ""
        },
        text(&status["version"]),
        between(&status["started_at"], at),
    )?;
    for reason in list(&status["reasons"]) {
        let about = reason["secondary"]
            .as_str()
            .map_or("module".to_owned(), clean);
        writeln!(out, "  {about}: {}", text(&reason["problem"]))?;
        writeln!(out, "    {}", text(&reason["remedy"]))?;
    }
    let mut rows = vec![cells([
        "secondary",
        "state",
        "for",
        "backlog",
        "lag",
        "rate",
        "replicated",
        "retries",
        "dead letters",
    ])];
    let mut resyncs = Vec::new();
    for secondary in list(&status["secondaries"]) {
        let backlog = &secondary["backlog"];
        let replicated = &secondary["replicated"];
        rows.push(vec![
            text(&secondary["name"]),
            text(&secondary["state"]),
            between(&secondary["since"], at),
            grouped(number(&backlog["operations"])),
            seconds(backlog["oldest_age_seconds"].as_f64().unwrap_or(0.0)),
            format!("{:.1}/s", replicated["rate"].as_f64().unwrap_or(0.0)),
            grouped(number(&replicated["applied"])),
            grouped(number(&secondary["retries"])),
            grouped(number(&secondary["dead_letters"])),
        ]);
        for resync in list(&secondary["resync"]) {
            let rows = match resync["total"].as_u64() {
                Some(total) => format!(
                    "{} of {} rows",
                    grouped(number(&resync["scanned"])),
                    grouped(total)
                ),
                None => "waiting".to_owned(),
            };
            resyncs.push(vec![
                text(&secondary["name"]),
                text(&resync["table"]),
                rows,
                text(&resync["reason"]),
            ]);
        }
    }
    out.push_str(&table(3, &rows));
    if !resyncs.is_empty() {
        writeln!(out, "resyncs")?;
        out.push_str(&table(4, &resyncs));
    }
    not_replicated(out, status)?;
    let log = &status["log"];
    writeln!(
        out,
        "log: {} of {} in {}",
        bytes(&log["held_bytes"]),
        bytes(&log["max_bytes"]),
        text(&log["directory"])
    )
}

fn not_replicated(out: &mut String, answer: &Json) -> fmt::Result {
    let tables = list(&answer["not_replicated"]);
    if tables.is_empty() {
        return Ok(());
    }
    let named: Vec<String> = tables
        .iter()
        .map(|one| {
            format!(
                "{} ({} rows)",
                text(&one["table"]),
                grouped(number(&one["rows"]))
            )
        })
        .collect();
    writeln!(
        out,
        "not replicated, as no method reads them: {}",
        named.join(", ")
    )
}

/// The status in one line, without what changes by itself.
pub(super) fn status_line(status: &Json) -> String {
    let mut line = text(&status["health"]);
    for secondary in list(&status["secondaries"]) {
        let _ = write!(
            line,
            "  {}: {}, backlog {}, retries {}, dead letters {}",
            text(&secondary["name"]),
            text(&secondary["state"]),
            number(&secondary["backlog"]["operations"]),
            number(&secondary["retries"]),
            number(&secondary["dead_letters"])
        );
        for resync in list(&secondary["resync"]) {
            let _ = write!(line, ", resync of {}", text(&resync["table"]));
        }
    }
    line
}

/// The answer of `verify`: what a comparison found.
pub(super) fn report(report: &Json) -> String {
    let mut out = String::new();
    let _ = put_report(&mut out, report);
    out
}

fn put_report(out: &mut String, report: &Json) -> fmt::Result {
    let tables = list(&report["tables"]);
    let sum = |name: &str| tables.iter().map(|table| number(&table[name])).sum::<u64>();
    let differing = sum("missing") + sum("different");
    let repairing = number(&report["repairing"]);
    let verdict = match (report["equal"] == true, differing) {
        (true, _) => "equal: the secondaries hold every row".to_owned(),
        (false, 0) => "no row differs, but not everything was compared".to_owned(),
        (false, _) if repairing > 0 => {
            format!(
                "{} rows differ; they are replicated again",
                grouped(differing)
            )
        }
        (false, _) => format!(
            "{} rows differ; they are left as they are",
            grouped(differing)
        ),
    };
    writeln!(out, "{verdict}")?;
    if report["cancelled"] == true {
        writeln!(out, "cancelled: the rest was not compared")?;
    }
    let in_flight = sum("in_flight");
    if in_flight > 0 {
        writeln!(
            out,
            "{} rows are on their way to a secondary; compare again once they are there",
            grouped(in_flight)
        )?;
    }
    for (name, reason) in report["skipped"].as_object().into_iter().flatten() {
        writeln!(out, "{} was not compared: {}", clean(name), text(reason))?;
    }
    for (name, problems) in report["schema_problems"].as_object().into_iter().flatten() {
        for problem in list(problems) {
            writeln!(out, "{}: {}", clean(name), text(problem))?;
        }
    }
    not_replicated(out, report)?;
    if tables.is_empty() {
        return Ok(());
    }
    let mut rows = vec![cells([
        "secondary",
        "table",
        "rows",
        "missing",
        "different",
        "in flight",
        "only there",
    ])];
    for one in tables {
        let counts = [
            "rows",
            "missing",
            "different",
            "in_flight",
            "only_on_secondary",
        ];
        let mut row = vec![text(&one["secondary"]), text(&one["table"])];
        row.extend(counts.map(|name| grouped(number(&one[name]))));
        rows.push(row);
    }
    out.push_str(&table(2, &rows));
    for one in tables {
        examples(out, one)?;
    }
    Ok(())
}

fn examples(out: &mut String, table: &Json) -> fmt::Result {
    let examples = list(&table["examples"]);
    for example in examples {
        let columns = list(&example["columns"]);
        let names: Vec<String> = columns.iter().map(|one| text(&one["column"])).collect();
        let what = match names.as_slice() {
            [] => text(&example["difference"]),
            names => format!("{} differs", names.join(", ")),
        };
        writeln!(
            out,
            "  {}: {}: {what}",
            text(&table["secondary"]),
            text(&example["key"])
        )?;
        for column in columns.iter().filter(|column| column["values"].is_object()) {
            let values = &column["values"];
            let value = |side: &str| values[side].as_str().map_or("none".to_owned(), clean);
            writeln!(out, "    {}", text(&column["column"]))?;
            writeln!(out, "      primary    {}", value("primary"))?;
            writeln!(out, "      secondary  {}", value("secondary"))?;
        }
    }
    let all = number(&table["missing"]) + number(&table["different"]);
    let more = all.saturating_sub(examples.len() as u64);
    if more > 0 && !examples.is_empty() {
        writeln!(
            out,
            "  and {} more rows of {}",
            grouped(more),
            text(&table["table"])
        )?;
    }
    Ok(())
}

/// How far a comparison is.
pub(super) fn progress(progress: &Json) -> String {
    let table = match progress["table"].as_str() {
        None | Some("") => "starting".to_owned(),
        Some(table) => format!("{}, {}", text(&progress["secondary"]), clean(table)),
    };
    let tables = number(&progress["tables"]);
    let at = (number(&progress["tables_done"]) + 1).min(tables);
    format!("{table} ({at} of {tables})")
}

/// The latest comparison, or the one that runs.
pub(super) fn job(job: &Json) -> String {
    match job["state"].as_str() {
        None => "nothing was compared since the module started\n".to_owned(),
        Some("running") => format!(
            "running: {}, {} of {} rows\n",
            progress(&job["progress"]),
            grouped(number(&job["progress"]["all_rows_done"])),
            grouped(number(&job["progress"]["all_rows"]))
        ),
        Some("failed") => format!("failed: {}\n", text(&job["error"])),
        Some(_) => report(&job["report"]),
    }
}

/// The answer of `dead-letters`.
pub(super) fn dead_letters(answer: &Json) -> String {
    let letters = list(&answer["dead_letters"]);
    if letters.is_empty() {
        return "no dead letters\n".to_owned();
    }
    let mut out = String::new();
    for letter in letters {
        let _ = writeln!(
            out,
            "{}  {}  {}\n  after {} attempts, {}: {}",
            text(&letter["id"]),
            text(&letter["secondary"]),
            text(&letter["key"]),
            number(&letter["retry_count"]),
            text(&letter["failed_at"]),
            text(&letter["last_error"])
        );
    }
    let _ = writeln!(out, "{} dead letters", letters.len());
    out
}

/// A small answer: its fields in a line.
pub(super) fn fields(answer: &Json) -> String {
    let fields = answer.as_object().into_iter().flatten();
    let shown: Vec<String> = fields
        .map(|(name, value)| {
            let value = match value {
                Json::String(value) => clean(value),
                Json::Array(values) => {
                    let values: Vec<String> = values.iter().map(text).collect();
                    values.join(", ")
                }
                other => other.to_string(),
            };
            format!("{}: {value}", clean(name))
        })
        .collect();
    format!("{}\n", shown.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_server_says_does_not_control_the_terminal() {
        let answer = json!({"dead_letters": [{
            "id": "1", "secondary": "a", "key": "k", "retry_count": 1, "failed_at": "now",
            "last_error": "\u{1b}[2J\u{9b}31mred\r\nline",
        }]});
        let shown = dead_letters(&answer);
        let is_plain = |letter: char| letter == '\n' || !letter.is_control();
        assert!(shown.chars().all(is_plain), "{shown:?}");
        assert!(shown.contains("[2J"), "{shown:?}");
    }

    #[test]
    fn a_report_says_what_differs_and_where() {
        let table = |examples: &Json| {
            json!({"secondary": "office", "table": "kv_memories", "rows": 12_345, "missing": 1,
                "different": 2, "in_flight": 0, "only_on_secondary": 0, "examples": examples})
        };
        let examples = json!([
            {"key": "kv_memories (\"ada\", \"a\")", "difference": "missing", "columns": []},
            {"key": "kv_memories (\"ada\", \"b\")", "difference": "different", "columns": [
                {"column": "value", "values": {"primary": "1", "secondary": null}}]},
        ]);
        let shown = report(&json!({"equal": false, "repairing": 0, "tables": [table(&examples)]}));
        for expected in [
            "3 rows differ; they are left as they are",
            "12,345",
            "office: kv_memories (\"ada\", \"a\"): missing",
            "office: kv_memories (\"ada\", \"b\"): value differs",
            "primary    1",
            "secondary  none",
            "and 1 more rows of kv_memories",
        ] {
            assert!(shown.contains(expected), "{expected}: {shown}");
        }
    }

    #[test]
    fn times_and_numbers_are_for_people() {
        for (given, expected) in [
            (0.0, "0 s"),
            (0.25, "250 ms"),
            (3.21, "3.2 s"),
            (59.0, "59 s"),
            (3_660.0, "1 h 1 min"),
            (90_000.0, "1 d 1 h"),
        ] {
            assert_eq!(seconds(given), expected);
        }
        for (given, expected) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(grouped(given), expected);
        }
    }
}
