//! `snapshot estimate`: what a snapshot would hold, and how long it would take to upload.

use crate::cli::Result;
use crate::cli::context::Context;
use crate::cli::exit::{Failure, Status};
use crate::cli::output::{Output, Talk};
use crate::cli::units::{self, Sizes, format_nanos};
use packhorse::base::{Counter, Monitor};
use packhorse::policy::{self, PolicyStore, SourceInfo};
use packhorse::snapshot::{Estimate, FileSizes, estimate};
use std::path::PathBuf;

/// Flags of the command.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Directory to look at
    source: PathBuf,
    /// Show examples of what would be saved, too
    #[arg(long)]
    show_files: bool,
    /// Do not name the directories on the way
    #[arg(short, long)]
    quiet: bool,
    /// Speed of the connection, in megabits a second
    #[arg(long, default_value_t = 10.0, value_name = "MBIT/S")]
    upload_speed: f64,
    /// Examples shown of each class of sizes
    #[arg(long, default_value = "10", value_parser = units::parse_number, allow_negative_numbers = true,
          value_name = "N")]
    max_examples_per_bucket: i64,
}

/// Says where the walk is, and what cannot be read.
struct Listener<'a> {
    talk: &'a Talk,
    is_quiet: bool,
}

impl Monitor for Listener<'_> {
    fn add(&self, _counter: Counter, _n: u64) {}

    fn current(&self, path: &str) {
        if !self.is_quiet {
            self.talk.line(format_args!("Looking at {path}"));
        }
    }

    fn source_error(&self, path: &str, message: &str, ignored: bool) {
        let kind = if ignored { "ignored error" } else { "error" };
        self.talk.always(format_args!("{kind}: {path}: {message}"));
    }
}

/// Runs the command.
pub(crate) fn run(ctx: &Context, args: &Args) -> Result<()> {
    if args.upload_speed <= 0.0 || !args.upload_speed.is_finite() {
        return Err(Failure::usage("--upload-speed must be more than nothing"));
    }
    let repository = ctx.open_repository(false)?;
    let manifests = repository.load_manifests()?;
    let path = ctx.environment().absolute(&args.source);
    let identity = repository.identity();
    let clean = policy::clean_path(&path.to_string_lossy());
    let source = SourceInfo::new(&identity.username, &identity.hostname, clean);
    let policies = PolicyStore::new(&manifests).tree(&source)?;
    let listener = Listener { talk: ctx.talk(), is_quiet: args.quiet };
    let examples = usize::try_from(args.max_examples_per_bucket).unwrap_or(0);
    let found = estimate(&path, &policies, examples, &listener)?;
    show(&mut ctx.stdout(), args, ctx.sizes(), &found)?;
    match found.errors {
        0 => Ok(()),
        n => {
            ctx.stdout().flush()?;
            let message = format!("{n} files or directories could not be read and are not counted");
            Err(Failure::new(message).with_status(Status::Incomplete))
        }
    }
}

fn show(out: &mut Output, args: &Args, sizes: Sizes, found: &Estimate) -> Result<()> {
    let Estimate { included, excluded, .. } = found;
    let bytes = included.bytes();
    out.line(format_args!("{} files would be saved, {}", included.files(), sizes.format(bytes)))?;
    show_classes(out, included, sizes, args.show_files)?;
    out.line("")?;
    match excluded.files() {
        0 => out.line("No files would be left out")?,
        n => out.line(format_args!("{n} files would be left out, {}", sizes.format(excluded.bytes())))?,
    }
    show_classes(out, excluded, sizes, true)?;
    match found.excluded_directories {
        0 => out.line("No directories would be left out")?,
        n => out.line(format_args!("{n} directories would be left out"))?,
    }
    for path in &found.excluded_directory_examples {
        out.line(format_args!(" - {path}"))?;
    }
    if found.errors > 0 {
        out.line(format_args!("{} errors", found.errors))?;
    }
    let seconds = bytes as f64 * 8.0 / 1e6 / args.upload_speed;
    let time = format_nanos((seconds as i64).saturating_mul(1_000_000_000));
    out.line("")?;
    out.line(format_args!("Estimated upload time: {time} at {} Mbit/s", args.upload_speed))
}

/// From the largest to the smallest.
fn show_classes(out: &mut Output, files: &FileSizes, sizes: Sizes, with_examples: bool) -> Result<()> {
    for (number, class) in files.classes.iter().enumerate().rev().filter(|(_, class)| class.files > 0) {
        let least = sizes.format(class.least_bytes);
        let range = match files.classes.get(number + 1) {
            Some(next) => format!("{least:<6}...{:>6}", sizes.format(next.least_bytes)),
            None => format!(">= {least}"),
        };
        out.line(format_args!("{range:>18}: {:>7} files, {}", class.files, sizes.format(class.bytes)))?;
        for (path, bytes) in class.examples.iter().filter(|_| with_examples) {
            out.line(format_args!(" - {path} - {}", sizes.format(*bytes)))?;
        }
    }
    Ok(())
}
