//! `verify`: a comparison in the background of the host, with its progress here.

use super::{VerifyOptions, admin, exit::UsageError, text};
use crate::{
    admin::{AdminClient, AdminError},
    output::{bar, say},
};
use anyhow::bail;
use serde_json::{Value as Json, json};
use std::{
    process,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

/// How often the progress is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// What the shell shows of a process that Ctrl-C ended.
const INTERRUPTED: i32 = 130;

/// True if every row is equal.
pub(super) fn run(options: &VerifyOptions, json: bool) -> anyhow::Result<bool> {
    let needs_running = options.cancel || options.latest;
    if needs_running && options.host.url.is_none() {
        return Err(UsageError(
            "--cancel and --latest are about a running host: give its address as --url".to_owned(),
        )
        .into());
    }
    let (admin, host) = admin::open(&options.host)?;
    let answer = answer(&admin, options, json);
    drop(admin);
    if let Some(host) = host {
        host.shutdown()?;
    }
    let (answer, shown) = answer?;
    match json {
        true => say(format_args!("{answer:#}"))?,
        false => say(shown.trim_end())?,
    }
    Ok(is_yes(&answer))
}

/// The answer, and how people see it.
fn answer(
    admin: &AdminClient,
    options: &VerifyOptions,
    json: bool,
) -> anyhow::Result<(Json, String)> {
    if options.cancel {
        let answer = admin.post("verify/cancel", &Json::Null)?;
        return Ok((
            answer,
            "it ends after the present page of rows\n".to_owned(),
        ));
    }
    if options.latest {
        let job = latest(admin, options.show_values)?;
        let shown = text::job(&job);
        return Ok((job, shown));
    }
    let mut body = admin::body(&options.secondary, "tables", &options.tables);
    body["wait"] = json!(false);
    body["repair"] = json!(!options.no_repair);
    body["examples"] = json!(options.examples);
    let started = admin.post("verify", &body)?;
    let job = follow(admin, &started["job"]["id"])?;
    let job = match options.show_values {
        true => latest(admin, true)?,
        false => job,
    };
    if job["state"] == "failed" {
        bail!(
            "the comparison failed: {}",
            job["error"].as_str().unwrap_or("-")
        );
    }
    let report = job["report"].clone();
    if report["repairing"].as_u64().unwrap_or(0) > 0 {
        admin::wait_until_caught_up(admin, "repairing", json)?;
    }
    let shown = text::report(&report);
    Ok((report, shown))
}

fn is_yes(answer: &Json) -> bool {
    let report = match answer["report"].is_object() {
        true => &answer["report"],
        false => answer,
    };
    report["equal"] != json!(false) && answer["state"] != "failed"
}

fn latest(admin: &AdminClient, with_values: bool) -> Result<Json, AdminError> {
    let mut answer = match with_values {
        true => admin.post("verify/values", &Json::Null)?,
        false => admin.get("verify", &[])?,
    };
    Ok(answer["job"].take())
}

/// Shows the progress of a comparison until it has ended. Ctrl-C cancels it; what it
/// has found is shown.
fn follow(admin: &AdminClient, id: &Json) -> anyhow::Result<Json> {
    let interrupted = interrupted();
    let progress = bar("comparing", 0);
    let mut is_cancelled = false;
    loop {
        let job = latest(admin, false)?;
        if job["id"] != *id {
            bail!("another comparison has begun since; its result is shown by verify --latest");
        }
        let at = &job["progress"];
        let count = |name: &str| at[name].as_u64().unwrap_or(0);
        progress.set_length(count("all_rows").max(count("all_rows_done")));
        progress.set_position(count("all_rows_done"));
        progress.set_message(text::progress(at));
        if job["state"] != "running" {
            progress.finish_and_clear();
            return Ok(job);
        }
        if interrupted.load(Ordering::Relaxed) && !is_cancelled {
            is_cancelled = true;
            match admin.post("verify/cancel", &Json::Null) {
                // It has just ended.
                Ok(_) | Err(AdminError::Rejected { status: 409, .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        thread::sleep(POLL_INTERVAL);
    }
}

/// Becomes true with Ctrl-C. A second one ends the process.
fn interrupted() -> Arc<AtomicBool> {
    let flag = Arc::new(AtomicBool::new(false));
    let for_thread = Arc::clone(&flag);
    let listen = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        // Without it, Ctrl-C ends the process as usual.
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async {
            while tokio::signal::ctrl_c().await.is_ok() {
                if for_thread.swap(true, Ordering::Relaxed) {
                    process::exit(INTERRUPTED);
                }
            }
        });
    };
    // It lives as long as the process: one comparison is followed in it.
    let _ = thread::Builder::new()
        .name("interrupts".to_owned())
        .spawn(listen);
    flag
}
