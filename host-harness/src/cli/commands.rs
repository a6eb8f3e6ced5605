//! The commands that try modules out. `Ok(false)` is exit code 1: the answer is no.

use super::{CallOptions, Command, ConfigOption, DemoOptions, ExerciseOptions, admin, session};
use crate::{
    admin::{AdminClient, AdminError},
    call::{call, parse_arguments},
    config::HostConfig,
    demo,
    exercise::{self, Outcome, Report, Step},
    host::Host,
    http,
    output::{bar, say},
    server::{SecondaryServer, ServerStorage},
    upgrade_export::upgrade,
};
use anyhow::Context;
use plugin_api::{
    loading::{self, CONTRACT_VERSION},
    storage::{CallContext, METHODS},
};
use serde_json::json;
use std::{
    borrow::Cow,
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Write as _},
    net::SocketAddr,
    path::Path,
};
use tokio::signal::unix::{SignalKind, signal};

pub(super) fn run(command: Command) -> anyhow::Result<bool> {
    match command {
        Command::Demo(options) => demo(&options),
        Command::Exercise(options) => exercise(&options),
        Command::Inspect { library, json } => inspect(&library, json),
        Command::Call(options) => call_one(&options),
        Command::Serve { config, bind } => serve(&config, bind),
        Command::UpgradeExport { export } => upgrade_export(&export),
        Command::Admin(command) => admin::run(command),
    }
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
                "  {name:<12} {}",
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

fn call_one(options: &CallOptions) -> anyhow::Result<bool> {
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
        anyhow::bail!("METHOD and --config are required");
    };
    let text = arguments(&options.arguments)?;
    let arguments = parse_arguments(&text)
        .map_err(|reason| anyhow::anyhow!("the arguments {}: {reason}", options.arguments))?;
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
            .with_context(|| format!("cannot read the arguments from {file}"))?
            .into(),
        (text, None) => text.into(),
    })
}

fn serve(config: &ConfigOption, bind: SocketAddr) -> anyhow::Result<bool> {
    let host = session::start(&config.config)?;
    let router = http::router(&host);
    let ready = |address| {
        // A closed stdout is no reason to stop serving.
        let _ = say(format_args!("serving on http://{address}; Ctrl-C stops it"));
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

fn upgrade_export(export: &Path) -> anyhow::Result<bool> {
    let input: Box<dyn BufRead> = if export == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        let file = File::open(export).with_context(|| export.display().to_string())?;
        Box::new(BufReader::with_capacity(1 << 20, file))
    };
    let mut changes = 0_u64;
    upgrade(input, BufWriter::new(io::stdout().lock()), |change| {
        changes += 1;
        // With stderr closed there is nowhere to report to.
        let _ = writeln!(io::stderr(), "line {}: {}", change.line, change.what);
    })
    .with_context(|| export.display().to_string())?;
    let _ = writeln!(
        io::stderr(),
        "{changes} changes; import it with a 3.x server: surreal import"
    );
    Ok(true)
}

fn exercise(options: &ExerciseOptions) -> anyhow::Result<bool> {
    let home = tempfile::tempdir()?;
    let steps = exercise::script()?;
    let bare = play(home.path(), "", "bare", &steps, options.json)?;
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
        Some(play(home.path(), &block, "wrapped", &steps, options.json)?)
    };
    let report = Report::new(&bare, wrapped.as_deref());
    if options.json {
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
