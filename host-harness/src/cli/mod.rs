//! The command line.
//!
//! | module | what it has |
//! | --- | --- |
//! | `commands` | demo, exercise, inspect, call, serve, upgrade-export, completions, man |
//! | `admin` | status, pause, resume, dead-letters, resync |
//! | `watch` | status --watch |
//! | `verify` | verify |
//! | `text` | answers as text for people |
//! | `session` | the host and the library that a command works with |
//! | `exit` | exit codes |

mod admin;
mod commands;
mod exit;
mod session;
mod text;
mod verify;
mod watch;

use crate::http::Token;
use anyhow::Context;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;
use exit::Exit;
use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

/// A small host for modules of Remembrances-MCP: loads them as the real host does,
/// calls them, and shows what they do.
#[derive(Parser)]
#[command(name = "host-harness", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// What to log on stderr: error, warn, info, debug, trace, off, or a filter as in RUST_LOG.
    #[arg(long, global = true, value_name = "LEVEL", default_value = "warn")]
    log: String,
    /// Print the answer as JSON, for programs.
    #[arg(long, global = true)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  host-harness demo                                 replication at work, on this project
  host-harness exercise                             all 64 methods and their answers
  host-harness inspect target/debug/libdb_sync_server.so
  host-harness call save_fact '{\"user_id\":\"ada\",\"key\":\"editor\",\"value\":\"vim\"}' --config host.yaml
  host-harness call search_similar '[\"ada\", \"words to look for\", 5]' --config host.yaml
  host-harness call save_document @document.json --config host.yaml
  host-harness serve --config host.yaml             serves HTTP routes on 127.0.0.1:7878
  host-harness status --url http://127.0.0.1:7878   asks the host that serves there
  host-harness status --watch --url http://127.0.0.1:7878
  host-harness verify --config host.yaml            starts a host, asks it, and stops it
  host-harness verify --no-repair --show-values --url http://127.0.0.1:7878
  host-harness upgrade-export old.surql > new.surql SurrealDB 2.x to 3.x

A host's configuration (host.yaml):
  primary: {url: surrealkv://data/primary}
  modules_dir: modules
  modules:
    commercial_db-sync-server:
      enabled: true
      config:
        secondary_url: ws://127.0.0.1:8000
        secondary_user: root
        secondary_pass: \"${SECONDARY_PASS}\"";

const DEMO_CHECKS: &str = "\
The demo writes nine inputs, all read from the project's directory: the code project, its .rs
files with their symbols, the end of the indexing, the .md files, their paragraphs, the commits,
and the packages, dependencies and package facts of Cargo.lock and the manifests. An input that
is missing or empty fails the demo, and the output names it. The one exception is the history:
where Git finds no repository (in an unpacked archive) or is not installed, the commits are
SKIPPED, and the last lines say so.

Exit code 0 only if every check held.";

const SERVE_ACCESS: &str = "\
On loopback no token is needed; a browser's request is answered only if it names this machine, and
may change something only from this host's own page. Anywhere else, whoever wants to change
something needs the token:

  openssl rand -hex 32 > token && chmod 600 token
  host-harness serve --config host.yaml --bind 0.0.0.0:7878 --token-file token
  host-harness pause --url http://server:7878 --token-file token

The token and the answers are sent as they are: put a proxy with TLS in front for a network that
others read.";

const COMPLETIONS: &str = "\
  host-harness completions bash > ~/.local/share/bash-completion/completions/host-harness
  host-harness completions zsh > \"${fpath[1]}/_host-harness\"
  host-harness completions fish > ~/.config/fish/completions/host-harness.fish";

#[derive(Subcommand)]
enum Command {
    /// Shows replication at work: writes this project's own sources through a
    /// host, replicates them to a real SurrealDB server, compares both row by
    /// row, reads from both, kills the server and lets it catch up.
    #[command(after_help = DEMO_CHECKS)]
    Demo(DemoOptions),
    /// Calls all 64 methods on the primary and through the module, checks each
    /// answer, and compares the two. Exit code 1 if any is wrong.
    Exercise(ExerciseOptions),
    /// Shows what module a library holds, and whether this host can load it.
    /// Exit code 1 if it cannot.
    Inspect {
        /// The library: lib*.so or lib*.dylib.
        library: PathBuf,
    },
    /// Calls one of the 64 methods and prints its answer as JSON.
    Call(CallOptions),
    /// Runs a host and serves its modules' HTTP routes, the status page among them,
    /// until Ctrl-C, SIGTERM or SIGHUP.
    #[command(after_help = SERVE_ACCESS)]
    Serve(ServeOptions),
    /// Makes an export of SurrealDB 2.x importable by a 3.x server, and prints it:
    /// what 3.x writes differently in DEFINE statements is rewritten, the rows stay
    /// as they are. What was changed goes to stderr. Reads stdin if the file is -.
    UpgradeExport {
        /// The export: what `surreal export` of 2.x wrote.
        export: PathBuf,
    },
    /// Prints what completes this command line in a shell.
    #[command(after_help = COMPLETIONS)]
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Prints the manual page.
    Man {
        /// Write it here instead, with one page for each command.
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    #[command(flatten)]
    Admin(AdminCommand),
}

/// The commands that show and control replication.
#[derive(Subcommand)]
enum AdminCommand {
    /// Shows the state of replication: each secondary's connection, backlog,
    /// lag and dead letters.
    Status(StatusOptions),
    /// Pauses replication on a running host (--url). Writes go on and wait in the
    /// queue.
    Pause(HostOption),
    /// Resumes replication on a running host (--url).
    Resume(HostOption),
    /// Lists, replays or discards operations that a secondary rejected for good.
    DeadLetters {
        /// What to do with them.
        #[command(subcommand)]
        action: DeadLetters,
    },
    /// Replicates all rows of the primary's tables again, and waits until it is
    /// done.
    Resync(TableOptions),
    /// Compares the secondaries with the primary, replicates the rows that
    /// differ, and waits until it is done. Exit code 1 if any row differed, or if
    /// anything could not be compared. Ctrl-C ends it; what it has found is shown.
    Verify(VerifyOptions),
}

#[derive(Subcommand)]
enum DeadLetters {
    /// Lists them with their last errors.
    List {
        #[command(flatten)]
        host: HostOption,
        #[command(flatten)]
        secondary: SecondaryOption,
    },
    /// Tries them again, with the primary's current rows.
    Replay(IdOptions),
    /// Removes them from the list. The secondary keeps the rows that it has.
    Discard(IdOptions),
}

/// A host's configuration file.
#[derive(Args)]
struct ConfigOption {
    /// The host's configuration file.
    #[arg(long, env = "HOST_CONFIG", value_name = "FILE")]
    config: PathBuf,
}

#[derive(Args)]
struct ServeOptions {
    #[command(flatten)]
    config: ConfigOption,
    /// The address to listen on.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7878")]
    bind: SocketAddr,
    #[command(flatten)]
    token: TokenOption,
    /// A name by which the host may be asked, such as that of a proxy in front of it;
    /// may be repeated.
    #[arg(long = "allow-host", value_name = "NAME")]
    hosts: Vec<String>,
}

/// The token of a host that asks for one.
#[derive(Args)]
struct TokenOption {
    /// A file with the token that a host asks for before it changes something
    /// [default: the token in the environment variable HOST_TOKEN].
    #[arg(long, env = "HOST_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl TokenOption {
    /// The token; none if there is neither a file nor a variable.
    fn read(&self) -> anyhow::Result<Option<Token>> {
        let (text, from) = match &self.token_file {
            Some(file) => {
                let text = std::fs::read_to_string(file).map_err(|error| {
                    let file = file.display();
                    exit::UsageError(format!("the token cannot be read from {file}: {error}"))
                })?;
                (text, file.display().to_string())
            }
            None => match std::env::var("HOST_TOKEN") {
                Ok(text) => (text, "HOST_TOKEN".to_owned()),
                Err(_) => return Ok(None),
            },
        };
        Ok(Some(Token::new(&text).context(from)?))
    }
}

#[derive(Args)]
struct CallOptions {
    /// The method, such as save_fact.
    #[arg(required_unless_present = "list")]
    method: Option<String>,
    /// Its arguments as JSON: an object by name or an array in order. Where a
    /// method takes an embedding, a text may stand instead. @FILE reads them from
    /// a file, - from stdin.
    #[arg(default_value = "{}")]
    arguments: String,
    /// The host's configuration file.
    #[arg(
        long,
        env = "HOST_CONFIG",
        value_name = "FILE",
        required_unless_present = "list"
    )]
    config: Option<PathBuf>,
    /// Call it on the primary only, without the modules.
    #[arg(long)]
    bare: bool,
    /// Do not wait until the secondaries are connected: a read is then answered
    /// by the primary and those that happen to be.
    #[arg(long)]
    no_wait: bool,
    /// List all 64 methods with their arguments, and call none.
    #[arg(long)]
    list: bool,
}

/// Which build of the plugin is used.
#[derive(Args)]
struct ArtifactOptions {
    /// The directory with the module's library [default: the build directory].
    #[arg(long, value_name = "DIR")]
    modules_dir: Option<PathBuf>,
}

#[derive(Args)]
struct ExerciseOptions {
    #[command(flatten)]
    artifacts: ArtifactOptions,
    /// Call the methods on the primary only: no module, no server.
    #[arg(long)]
    bare: bool,
}

#[derive(Args)]
struct DemoOptions {
    #[command(flatten)]
    artifacts: ArtifactOptions,
    /// The project to take as input: the directory of a Cargo workspace.
    #[arg(long, value_name = "DIR", default_value = ".")]
    repo: PathBuf,
    /// Keep the databases and host.yaml in this directory.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Write at most so many items of each kind; 0 for all.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    limit: usize,
}

/// Which host is asked.
#[derive(Args)]
struct HostOption {
    /// The configuration file of a host that is started for this command.
    #[arg(
        long,
        env = "HOST_CONFIG",
        value_name = "FILE",
        required_unless_present = "url"
    )]
    config: Option<PathBuf>,
    /// The address of a running `host-harness serve`. It takes precedence
    /// over --config.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    #[command(flatten)]
    token: TokenOption,
}

#[derive(Args)]
struct SecondaryOption {
    /// The secondary's name [default: all secondaries].
    #[arg(long, value_name = "NAME")]
    secondary: Option<String>,
}

impl SecondaryOption {
    /// As the query of a request.
    fn query(&self) -> Option<(&str, &str)> {
        self.secondary.as_deref().map(|name| ("secondary", name))
    }
}

#[derive(Args)]
struct StatusOptions {
    #[command(flatten)]
    host: HostOption,
    #[command(flatten)]
    secondary: SecondaryOption,
    /// Show it again and again until Ctrl-C: live on a terminal, elsewhere a line for
    /// each change.
    #[arg(long)]
    watch: bool,
    /// With --watch: from one look to the next, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = interval)]
    interval: f64,
    /// Exit code 1 unless replication is healthy.
    #[arg(long, conflicts_with = "watch")]
    check: bool,
}

/// A time between two looks.
fn interval(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.1..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("it has to be a number of seconds from 0.1 to 3600".to_owned()),
    }
}

#[derive(Args)]
struct IdOptions {
    #[command(flatten)]
    host: HostOption,
    #[command(flatten)]
    secondary: SecondaryOption,
    /// Their ids, as `dead-letters list` shows them [default: all].
    ids: Vec<String>,
}

#[derive(Args)]
struct TableOptions {
    #[command(flatten)]
    host: HostOption,
    #[command(flatten)]
    secondary: SecondaryOption,
    /// The tables [default: all that are replicated].
    tables: Vec<String>,
}

#[derive(Args)]
struct VerifyOptions {
    #[command(flatten)]
    host: HostOption,
    #[command(flatten)]
    secondary: SecondaryOption,
    /// Only compare: leave the rows that differ as they are.
    #[arg(long)]
    no_repair: bool,
    /// Show the values that differ. A host with a token asks for it.
    #[arg(long)]
    show_values: bool,
    /// List so many of the rows of each table that differ; at most 100.
    #[arg(long, value_name = "N", default_value_t = 10)]
    examples: usize,
    /// Cancel the comparison that runs on a running host (--url).
    #[arg(long, conflicts_with_all = ["latest", "tables", "no_repair"])]
    cancel: bool,
    /// Show the comparison that runs on a running host (--url), or the latest one.
    #[arg(long, conflicts_with_all = ["tables", "no_repair"])]
    latest: bool,
    /// The tables [default: all that are replicated].
    tables: Vec<String>,
}

/// The command line with everything that its help has.
fn command() -> clap::Command {
    Cli::command().after_help(format!("{}\n{EXAMPLES}", Exit::help()))
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let parsed = command().try_get_matches();
    let cli = match parsed.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        // The help or the version, too; it exits with 0 or 2.
        Err(error) => error.exit(),
    };
    crate::logging::start(&cli.log);
    match commands::run(cli.command, cli.json) {
        Ok(is_yes) => Exit::from(is_yes),
        Err(error) if crate::output::is_closed_pipe(&error) => Exit::Yes,
        Err(error) => {
            crate::output::print_error(&error);
            Exit::of(&error)
        }
    }
    .into()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_consistent() {
        super::command().debug_assert();
    }
}
