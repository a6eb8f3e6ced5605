//! The command line.

mod commands;
pub(crate) mod session;
mod steer;

use clap::{Args, Parser, Subcommand};
use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

/// A host for modules of Remembrances-MCP: loads them, drives them, shows what
/// they do.
#[derive(Parser)]
#[command(name = "host-harness", version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// What to log on stderr: error, warn, info, debug, or a filter like in RUST_LOG.
    #[arg(long, global = true, default_value = "warn")]
    log: String,
}

const EXAMPLES: &str = "\
Examples:
  host-harness demo                                   everything, on the sources of this project
  host-harness exercise                               all 64 methods, bare and through the module
  host-harness inspect target/debug/libdb_sync_server.so
  host-harness call save_fact '{\"user_id\":\"ada\",\"key\":\"editor\",\"value\":\"vim\"}' --config host.yaml
  host-harness call search_similar '[\"ada\", \"words to look for\", 5]' --config host.yaml
  host-harness serve --config host.yaml               the module's routes on 127.0.0.1:7878
  host-harness status --url http://127.0.0.1:7878     of the host that serves there
  host-harness verify --config host.yaml              loads the modules, asks, ends

A host's configuration (host.yaml):
  primary: {url: surrealkv://data/primary}
  modules_dir: modules
  modules:
    commercial_db-sync-server:
      enabled: true
      config: {secondary_url: \"ws://127.0.0.1:8000\", secondary_user: root, secondary_pass: \"${SECONDARY_PASS}\"}";

#[derive(Subcommand)]
enum Command {
    /// Shows the whole thing on real input: replicates this project's own
    /// sources to a real server, compares row by row, merges reads, kills the
    /// server and lets it catch up. Exit code 1 if any comparison fails.
    Demo(DemoOptions),
    /// Calls all 64 methods on the bare primary and through the module, checks
    /// each answer, and compares the two. Exit code 1 if any is wrong.
    Exercise(ExerciseOptions),
    /// Says what a library is, and whether it fits this host. Exit code 1 if not.
    Inspect {
        /// The library.
        library: PathBuf,
        /// The answer as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Calls one of the 64 methods and prints its answer as JSON.
    Call(CallOptions),
    /// Runs a host and offers its modules' HTTP routes until Ctrl-C.
    Serve {
        #[command(flatten)]
        config: ConfigOption,
        /// Where to listen. Anyone who can connect can steer the module.
        #[arg(long, default_value = "127.0.0.1:7878")]
        bind: SocketAddr,
    },
    /// How replication is doing: connections, backlog, lag, dead letters.
    Status(SteerOptions),
    /// Stops copying to the secondaries; writes go on and wait in the log.
    Pause(SteerOptions),
    /// Goes on copying.
    Resume(SteerOptions),
    /// Operations that a secondary refused for good.
    DeadLetters {
        /// What to do with them.
        #[command(subcommand)]
        action: DeadLetters,
    },
    /// Copies the primary's rows to the secondaries again, and waits until done.
    Resync(TableOptions),
    /// Compares the secondaries with the primary and has differences repaired.
    Verify(TableOptions),
}

#[derive(Subcommand)]
enum DeadLetters {
    /// Shows them with their last errors.
    List(SteerOptions),
    /// Tries them again.
    Replay(IdOptions),
    /// Gives them up.
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
struct CallOptions {
    /// The method, such as save_fact.
    #[arg(required_unless_present = "list")]
    method: Option<String>,
    /// Its arguments: an object by name or an array in order. A text may stand
    /// for an embedding.
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
    /// On the primary alone, around the modules.
    #[arg(long)]
    bare: bool,
    /// Shows all 64 methods with their arguments, and calls none.
    #[arg(long)]
    list: bool,
}

/// Which plugin and which server program are used.
#[derive(Args)]
pub(crate) struct ArtifactOptions {
    /// The directory with the module's library [default: the build directory].
    #[arg(long, value_name = "DIR")]
    pub(crate) modules_dir: Option<PathBuf>,
}

#[derive(Args)]
struct ExerciseOptions {
    #[command(flatten)]
    artifacts: ArtifactOptions,
    /// The report as JSON.
    #[arg(long)]
    json: bool,
    /// Only on the bare primary: no module, no server.
    #[arg(long)]
    bare: bool,
}

#[derive(Args)]
struct DemoOptions {
    #[command(flatten)]
    artifacts: ArtifactOptions,
    /// The project to take as input: a directory with a Cargo workspace.
    #[arg(long, value_name = "DIR", default_value = ".")]
    repo: PathBuf,
    /// Keep the databases and the configuration in this directory.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// At most so many items of each kind; 0 for all there is.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    most: usize,
}

/// Which host is steered.
#[derive(Args)]
#[group(required = true, multiple = false)]
struct HostOption {
    /// A host that is started for this command, from its configuration file.
    #[arg(long, env = "HOST_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// A host that runs `host-harness serve` there.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
}

#[derive(Args)]
struct SteerOptions {
    #[command(flatten)]
    host: HostOption,
    /// Only this secondary.
    #[arg(long, value_name = "NAME")]
    secondary: Option<String>,
}

#[derive(Args)]
struct IdOptions {
    #[command(flatten)]
    steer: SteerOptions,
    /// Which ones, by their id; none means all.
    ids: Vec<String>,
}

#[derive(Args)]
struct TableOptions {
    #[command(flatten)]
    steer: SteerOptions,
    /// Which tables; none means all that are replicated.
    tables: Vec<String>,
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    crate::logging::start(&cli.log);
    match commands::run(cli.command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) if crate::output::is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            crate::output::complain(&error);
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Cli;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
