//! `cargo xtask package` and `cargo xtask licences` run this program.

use anyhow::Context;
use clap::{Parser, Subcommand};
use packaging::{archive, linked::Linked, notices};
use std::{
    io::{self, Write as _},
    path::PathBuf,
};

/// Makes the archive that is shipped, and lists the licences of what is in it.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Writes the archive, and prints its path.
    Archive {
        /// The plugin's library.
        #[arg(long)]
        library: PathBuf,
        /// The directory that the archive is written to.
        #[arg(long)]
        output: PathBuf,
    },
    /// Prints the licences of everything that is linked into the library.
    Licences,
}

fn main() -> anyhow::Result<()> {
    let linked = Linked::find()?;
    let mut out = io::stdout().lock();
    match Cli::parse().command {
        Command::Archive { library, output } => {
            let contents = archive::contents(&linked, &library)?;
            std::fs::create_dir_all(&output).with_context(|| output.display().to_string())?;
            let archive = archive::write(&contents, &output)?;
            writeln!(out, "{}", archive.display())?;
        }
        Command::Licences => out.write_all(notices::text(&linked)?.as_bytes())?,
    }
    Ok(())
}
