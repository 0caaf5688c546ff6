//! The command line: Kopia's groups, verbs and flags over the library's operations.
//!
//! Every verb is a file with its `Args` and a short `run(ctx, args)`. Invariants:
//! - **C1** stdout carries results only, stderr everything else;
//! - **C2** the environment is read in [`environment`] and nowhere else;
//! - **C3** the exit status is decided in [`exit`]; scripts rely on it, so a number never changes its meaning;
//! - **C4** no secret reaches stdout, stderr or a log, except where the user asks for a connection token.

mod benchmark;
mod blob;
mod cache;
mod context;
mod demo;
mod diff;
mod editor;
mod environment;
mod exit;
mod globals;
mod grace;
mod list;
mod moment;
mod mount;
mod output;
mod password;
mod policy;
mod private_folder;
mod progress;
mod repository;
mod requests;
mod restore;
mod show;
mod snapshot;
mod store;
mod switches;
mod times;
mod traffic;
mod units;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use context::Context;
use environment::Environment;
use exit::Failure;
use globals::Globals;
use std::process::ExitCode;

/// The result of a command.
pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// Fast, deduplicating, encrypted backups, compatible with Kopia repositories.
#[derive(Debug, Parser)]
#[command(name = "packhorse", version, max_term_width = 110, infer_subcommands = false)]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure the speed of the building blocks on this machine.
    #[command(subcommand)]
    Benchmark(benchmark::Command),
    /// Look at the blobs of the storage.
    #[command(subcommand)]
    Blob(blob::Command),
    /// Show, change and fill the cache of a repository far away.
    #[command(subcommand)]
    Cache(cache::Command),
    /// Back up and restore a made-up folder, to see the program work.
    Demo(demo::Args),
    /// Show what differs between two directories in the repository.
    #[command(visible_alias = "compare")]
    Diff(diff::Args),
    /// List a directory in the repository.
    #[command(visible_alias = "ls")]
    List(list::Args),
    /// Show snapshots as a file system.
    Mount(mount::Args),
    /// Take the mount of a killed process away.
    #[command(hide = true)]
    MountGuard(mount::GuardArgs),
    /// Say what is saved, how, and for how long.
    #[command(subcommand, visible_alias = "policies")]
    Policy(policy::Command),
    /// Create, connect and describe repositories.
    #[command(subcommand, visible_alias = "repo")]
    Repository(repository::Command),
    /// Restore a snapshot, a directory or a file.
    Restore(restore::Args),
    /// Print a file in the repository.
    #[command(visible_alias = "cat")]
    Show(show::Args),
    /// Make, list and check snapshots.
    #[command(subcommand, visible_alias = "snap")]
    Snapshot(snapshot::Command),
}

fn dispatch(ctx: &Context, command: &Command) -> Result<()> {
    match command {
        Command::Benchmark(command) => benchmark::run(ctx, command),
        Command::Blob(command) => blob::run(ctx, command),
        Command::Cache(command) => cache::run(ctx, command),
        Command::Demo(args) => demo::run(ctx, args),
        Command::Diff(args) => diff::run(ctx, args),
        Command::List(args) => list::run(ctx, args),
        Command::Mount(args) => mount::run(ctx, args),
        Command::MountGuard(args) => mount::run_guard(args),
        Command::Policy(command) => policy::run(ctx, command),
        Command::Repository(command) => repository::run(ctx, command),
        Command::Restore(args) => restore::run(ctx, args),
        Command::Show(args) => show::run(ctx, args),
        Command::Snapshot(command) => snapshot::run(ctx, command),
    }
}

/// Parses the command line, runs the command, and says how it went.
pub(crate) fn main() -> ExitCode {
    let cli = match parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => return exit::of_parser(&error),
    };
    if cli.globals.help_full && cli.command.is_none() {
        return exit::of_write(output::write_all(&full_help()));
    }
    let Some(command) = cli.command else {
        return exit::of_write(output::write_all(&command().render_help().to_string()));
    };
    match Context::new(cli.globals, Environment::read()) {
        Ok(ctx) => {
            let outcome = dispatch(&ctx, &command).and_then(|()| ctx.finish());
            ctx.traffic().report(&ctx);
            exit::of_command(&ctx, outcome)
        }
        Err(failure) => exit::of_failure(&failure),
    }
}

fn command() -> clap::Command {
    switches::with_negations(switches::with_terse_groups(Cli::command()))
}

fn parse(args: impl IntoIterator<Item = std::ffi::OsString>) -> Result<Cli, clap::Error> {
    let mut matches = command().try_get_matches_from(args)?;
    Cli::from_arg_matches_mut(&mut matches)
}

fn full_help() -> String {
    switches::unhidden(command()).render_long_help().to_string()
}
