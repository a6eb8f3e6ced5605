//! The commands that try modules out. `Ok(false)` is exit code 1: the answer is no.

use super::{
    CallOptions, Command, DemoOptions, ExerciseOptions, ServeOptions, admin, exit::UsageError,
    session,
};
use crate::{
    admin::{AdminClient, AdminError},
    call::{call, parse_arguments},
    config::HostConfig,
    demo,
    exercise::{self, Outcome, Report, Step},
    host::Host,
    http::{self, Access},
    output::{bar, bytes_bar, say},
    server::{SecondaryServer, ServerStorage},
    upgrade_export::upgrade,
};
use anyhow::Context;
use clap_complete::Shell;
use plugin_api::{
    loading::{self, CONTRACT_VERSION},
    storage::{CallContext, METHODS},
};
use serde_json::json;
use std::{
    borrow::Cow,
    fs::File,
    io::{self, BufReader, BufWriter, Read, Write as _},
    path::Path,
};
use tokio::signal::unix::{SignalKind, signal};

pub(super) fn run(command: Command, json: bool) -> anyhow::Result<bool> {
    match command {
        Command::Demo(options) => demo(&options),
        Command::Exercise(options) => exercise(&options, json),
        Command::Inspect { library } => inspect(&library, json),
        Command::Call(options) => call_one(&options, json),
        Command::Serve(options) => serve(&options, json),
        Command::UpgradeExport { export } => upgrade_export(&export, json),
        Command::Completions { shell } => completions(shell),
        Command::Man { dir } => manual(dir.as_deref()),
        Command::Admin(command) => admin::run(command, json),
    }
}

fn completions(shell: Shell) -> anyhow::Result<bool> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut super::command(), "host-harness", &mut script);
    // For bash, clap_complete 4.6 names a program with a hyphen in two ways.
    let script = String::from_utf8(script)?.replace("host__subcmd__harness", "host__harness");
    io::stdout().write_all(script.as_bytes())?;
    Ok(true)
}

fn manual(dir: Option<&Path>) -> anyhow::Result<bool> {
    let command = super::command();
    match dir {
        Some(dir) => {
            std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
            clap_mangen::generate_to(command, dir)?;
        }
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(command).render(&mut page)?;
            io::stdout().write_all(&page)?;
        }
    }
    Ok(true)
}

fn demo(options: &DemoOptions) -> anyhow::Result<bool> {
    let temporary;
    let home = match &options.keep {
        Some(kept) => {
            std::fs::create_dir_all(kept).with_context(|| kept.display().to_string())?;
            kept.canonicalize()?
        }
        None => {
            temporary = tempfile::tempdir()?;
            temporary.path().to_owned()
        }
    };
    let modules_dir = session::modules_dir(&options.artifacts, &home)?;
    demo::run(&demo::Options {
        repo: options.repo.clone(),
        home,
        modules_dir,
        limit: options.limit,
    })
}

fn inspect(library: &Path, as_json: bool) -> anyhow::Result<bool> {
    let opened = loading::open(library);
    let fits = opened.is_ok();
    let answer = match opened {
        Ok(library) => json!({
            "fits": true,
            "module": library.info(),
            "plugin_api_of_library": library.contract_version(),
            "plugin_api_of_host": CONTRACT_VERSION,
        }),
        Err(error) => json!({
            "fits": false,
            "reason": error.to_string(),
            "plugin_api_of_host": CONTRACT_VERSION,
        }),
    };
    if as_json {
        say(format_args!("{answer:#}"))?;
        return Ok(fits);
    }
    say(library.display())?;
    if let Some(module) = answer["module"].as_object() {
        for (name, value) in module {
            say(format_args!(
                "  {name:<16} {}",
                value.as_str().unwrap_or_default()
            ))?;
        }
    }
    match answer["reason"].as_str() {
        None => say(format_args!(
            "  fits this host (plugin-api {CONTRACT_VERSION}); built against plugin-api {}",
            answer["plugin_api_of_library"].as_str().unwrap_or_default()
        ))?,
        Some(reason) => say(format_args!("  does not fit this host: it {reason}"))?,
    }
    Ok(fits)
}

fn call_one(options: &CallOptions, json: bool) -> anyhow::Result<bool> {
    if options.list && json {
        let methods = METHODS.iter().map(|method| {
            json!({"name": method.name, "arguments": method.arguments, "about": method.about.trim()})
        });
        say(format_args!("{:#}", methods.collect::<serde_json::Value>()))?;
        return Ok(true);
    }
    if options.list {
        for method in METHODS {
            let arguments = method.arguments.join(", ");
            say(format_args!(
                "{}({arguments})\n   {}",
                method.name,
                method.about.trim()
            ))?;
        }
        return Ok(true);
    }
    let (Some(method), Some(config)) = (&options.method, &options.config) else {
        return Err(UsageError("METHOD and --config are required".to_owned()).into());
    };
    let text = arguments(&options.arguments)?;
    let arguments = parse_arguments(&text)
        .map_err(|reason| UsageError(format!("the arguments {}: {reason}", options.arguments)))?;
    let host = session::start(config)?;
    if !options.bare && !options.no_wait {
        match AdminClient::local(&host) {
            Ok(admin) => admin::wait_until_connected(&admin)?,
            // A host without the module has no secondaries.
            Err(AdminError::NoRoutes) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let context = CallContext::new();
    let answer = if options.bare {
        call(host.primary(), &context, method, arguments)
    } else {
        call(host.storage(), &context, method, arguments)
    };
    host.shutdown()?;
    say(format_args!("{:#}", answer?))?;
    Ok(true)
}

/// The text of the arguments: as given, of the file after `@`, or of stdin for `-`.
fn arguments(given: &str) -> anyhow::Result<Cow<'_, str>> {
    Ok(match (given, given.strip_prefix('@')) {
        ("-", _) => io::read_to_string(io::stdin())
            .context("cannot read the arguments from stdin")?
            .into(),
        (_, Some(file)) => std::fs::read_to_string(file)
            .map_err(|error| UsageError(format!("cannot read the arguments from {file}: {error}")))?
            .into(),
        (text, None) => text.into(),
    })
}

fn serve(options: &ServeOptions, json: bool) -> anyhow::Result<bool> {
    let bind = options.bind;
    // Before a host is started that nobody could reach.
    let access = Access::new(bind, options.token.read()?, options.hosts.clone())?;
    let host = session::start(&options.config.config)?;
    let router = http::router(&host, access);
    let ready = move |address| {
        // A closed stdout is no reason to stop serving.
        let _ = match json {
            true => say(json!({"url": format!("http://{address}")})),
            false => say(format_args!(
                "serving on http://{address}; Ctrl-C stops it\n\
                 the status page is http://{address}/api/db-sync/"
            )),
        };
    };
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let stop = asked_to_end()?;
        http::serve(router, bind, ready, stop)
            .await
            .with_context(|| format!("cannot serve on {bind}"))
    })?;
    host.shutdown()?;
    Ok(true)
}

/// Done once a signal asks this process to end: Ctrl-C, SIGTERM (a service
/// manager), SIGHUP (a closed terminal).
fn asked_to_end() -> anyhow::Result<impl Future<Output = ()> + Send + 'static> {
    let listen = |kind| signal(kind).context("cannot listen for signals");
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let mut hang_up = listen(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hang_up.recv() => {}
        }
    })
}

fn upgrade_export(export: &Path, json: bool) -> anyhow::Result<bool> {
    let (input, progress): (Box<dyn Read>, _) = if export == Path::new("-") {
        (Box::new(io::stdin().lock()), bytes_bar("reading", None))
    } else {
        let file = File::open(export)
            .map_err(|error| UsageError(format!("{}: {error}", export.display())))?;
        let size = file.metadata().ok().map(|metadata| metadata.len());
        (Box::new(file), bytes_bar("reading", size))
    };
    let input = BufReader::with_capacity(1 << 20, progress.wrap_read(input));
    let mut changes = 0_u64;
    upgrade(input, BufWriter::new(io::stdout().lock()), |change| {
        changes += 1;
        progress.suspend(|| {
            // With stderr closed there is nowhere to report to.
            let _ = match json {
                true => {
                    let change = json!({"line": change.line, "change": change.what.to_string()});
                    writeln!(io::stderr(), "{change}")
                }
                false => writeln!(io::stderr(), "line {}: {}", change.line, change.what),
            };
        });
    })
    .with_context(|| export.display().to_string())?;
    progress.finish_and_clear();
    let _ = match json {
        true => writeln!(io::stderr(), "{}", json!({ "changes": changes })),
        false => writeln!(
            io::stderr(),
            "{changes} changes; import it with a 3.x server: surreal import"
        ),
    };
    Ok(true)
}

fn exercise(options: &ExerciseOptions, json: bool) -> anyhow::Result<bool> {
    let home = tempfile::tempdir()?;
    let steps = exercise::script()?;
    let bare = play(home.path(), "", "bare", &steps, json)?;
    let wrapped = if options.bare {
        None
    } else {
        let modules = session::modules_dir(&options.artifacts, home.path())?;
        let server = SecondaryServer::start(ServerStorage::Memory)?;
        let block = format!(
            "modules_dir: {}\nmodules: {{commercial_db-sync-server: {{enabled: true, config: {{\
             secondary_url: \"{}\", secondary_user: root, secondary_pass: root}}}}}}\n",
            modules.display(),
            server.url()
        );
        Some(play(home.path(), &block, "wrapped", &steps, json)?)
    };
    let report = Report::new(&bare, wrapped.as_deref());
    if json {
        say(serde_json::to_string_pretty(&report)?)?;
    } else {
        say(&report)?;
    }
    Ok(report.is_good())
}

/// Runs the script on a new host with its primary in memory.
fn play(
    home: &Path,
    modules: &str,
    name: &str,
    steps: &[Step],
    quiet: bool,
) -> anyhow::Result<Vec<Outcome>> {
    let yaml = format!("primary: {{url: \"mem://\"}}\ndata_dir: {name}\n{modules}");
    let host = Host::start_with_all_modules(&HostConfig::parse(&yaml, home)?)?;
    let progress = bar(name, steps.len());
    if quiet {
        progress.set_draw_target(indicatif::ProgressDrawTarget::hidden());
    }
    let outcomes = exercise::run(host.storage(), steps, |_| progress.inc(1));
    progress.finish_and_clear();
    host.shutdown()?;
    Ok(outcomes)
}
