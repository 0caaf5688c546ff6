//! `restore` and `snapshot restore`: from a snapshot to files.

mod source;

use super::Result;
use super::context::Context;
use super::exit::Failure;
use super::progress::{Progress, Work};
use super::snapshot::parse_source;
use super::units;
use packhorse::policy::SourceInfo;
use packhorse::repo::Repository;
use packhorse::restore::{RestoreOptions, RestoreStats, restore};
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Flags of the command.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of Kopia's command line")]
pub(crate) struct Args {
    /// What to restore, as ID, ID/path, or the path it was saved from; and where to
    #[arg(required = true, value_name = "SOURCE [TARGET]")]
    sources: Vec<String>,
    /// Restore into a directory that is not empty; on unless --no-overwrite-directories
    #[arg(long, num_args = 0, default_missing_value = "true")]
    overwrite_directories: Option<bool>,
    /// Replace files; on unless --no-overwrite-files
    #[arg(long, num_args = 0, default_missing_value = "true")]
    overwrite_files: Option<bool>,
    /// Replace symbolic links; on unless --no-overwrite-symlinks
    #[arg(long, num_args = 0, default_missing_value = "true")]
    overwrite_symlinks: Option<bool>,
    /// Leave holes for blocks of zeros
    #[arg(long)]
    write_sparse_files: bool,
    /// Refuse a root id that several snapshots share with different attributes
    /// [env: `KOPIA_RESTORE_CONSISTENT_ATTRIBUTES`]
    #[arg(long, num_args = 0, default_missing_value = "true")]
    consistent_attributes: Option<bool>,
    /// What to write; only local is supported yet, and auto means it
    #[arg(long, default_value = "auto", value_name = "MODE",
          value_parser = ["auto", "local", "zip", "zip-nocompress", "tar", "tgz"])]
    mode: String,
    /// Files restored at once
    #[arg(long, default_value = "8", value_parser = units::parse_number, allow_negative_numbers = true)]
    parallel: i64,
    /// Leave owners alone
    #[arg(long)]
    skip_owners: bool,
    /// Leave permissions alone
    #[arg(long)]
    skip_permissions: bool,
    /// Leave times alone
    #[arg(long)]
    skip_times: bool,
    /// Leave extended attributes and ACLs alone
    #[arg(long)]
    skip_xattrs: bool,
    /// Do not make FIFOs, sockets and devices
    #[arg(long)]
    skip_special_files: bool,
    /// Make a file of its own for each of several hard links
    #[arg(long)]
    skip_hard_links: bool,
    /// Give no file setuid or setgid bits or capabilities
    #[arg(long)]
    drop_set_id: bool,
    /// Go on where owners, permissions or times may not be set; on unless --no-ignore-permission-errors
    #[arg(long, num_args = 0, default_missing_value = "true")]
    ignore_permission_errors: Option<bool>,
    /// Write every file under a temporary name first
    #[arg(long)]
    write_files_atomically: bool,
    /// Count failures and go on
    #[arg(long)]
    ignore_errors: bool,
    /// Leave files and links alone that are there already
    #[arg(long)]
    skip_existing: bool,
    /// Delete what the snapshot does not have
    #[arg(long)]
    delete_extra: bool,
    /// Not supported yet
    #[arg(long, hide = true, value_parser = units::parse_integer, allow_negative_numbers = true)]
    shallow: Option<i64>,
    /// Not supported yet
    #[arg(long, hide = true, value_parser = units::parse_integer, allow_negative_numbers = true)]
    shallow_minsize: Option<i64>,
    /// Which snapshot, when the source is a path: latest, oldest, yesterday, 3d-ago, or a time before which it began
    #[arg(long, default_value = "latest", value_name = "TIME")]
    snapshot_time: String,
    /// Wait until everything is on the medium
    #[arg(long)]
    flush_files: bool,
}

impl Args {
    fn options(&self, ctx: &Context) -> Result<RestoreOptions> {
        Ok(RestoreOptions {
            parallel: usize::try_from(self.parallel).unwrap_or(0),
            overwrite_directories: self.overwrite_directories.unwrap_or(true),
            overwrite_files: self.overwrite_files.unwrap_or(true),
            overwrite_symlinks: self.overwrite_symlinks.unwrap_or(true),
            skip_owners: self.skip_owners,
            skip_permissions: self.skip_permissions,
            skip_times: self.skip_times,
            skip_xattrs: self.skip_xattrs,
            skip_special_files: self.skip_special_files,
            skip_hard_links: self.skip_hard_links,
            drop_set_id: self.drop_set_id,
            ignore_permission_errors: self.ignore_permission_errors.unwrap_or(true),
            write_sparse_files: self.write_sparse_files,
            flush_files: self.flush_files,
            skip_existing: self.skip_existing,
            delete_extra: self.delete_extra,
            ignore_errors: self.ignore_errors,
            memory: ctx.memory(),
            cancel: ctx.cancel()?,
        })
    }

    /// A placeholder or an archive would be something else than what was asked for.
    fn check_supported(&self, target: &Path) -> Result<()> {
        if self.shallow.is_some() || self.shallow_minsize.is_some() {
            return Err(Failure::usage("--shallow is not supported yet"));
        }
        let name = target.to_string_lossy();
        let archive = [".zip", ".tar", ".tar.gz", ".tgz"].into_iter().find(|suffix| name.ends_with(suffix));
        match (self.mode.as_str(), archive) {
            ("local", _) | ("auto", None) => Ok(()),
            ("auto", Some(suffix)) => Err(Failure::usage(format!(
                "restoring to an archive ({suffix}) is not supported yet; --mode=local restores to a folder of that name"
            ))),
            (mode, _) => Err(Failure::usage(format!("--mode={mode} is not supported yet"))),
        }
    }
}

/// Runs the command.
pub(crate) fn run(ctx: &Context, args: &Args) -> Result<()> {
    let options = args.options(ctx)?;
    let repository = ctx.open_repository(false)?;
    let (text, target) = source_and_target(ctx, args, &repository)?;
    args.check_supported(&target)?;
    let workers = options.parallel;
    ctx.talk().line(format_args!(
        "Restoring to local filesystem ({}) with parallelism={workers}...",
        target.display()
    ));
    let entry = source::find(ctx, args, &repository, text)?;
    let progress = Progress::start(ctx, Work::Restore, None)?;
    let stats = restore(&repository, &entry, &target, &options, &progress)?;
    drop(progress);
    ctx.talk().line(describe(ctx, &stats));
    Ok(())
}

/// One argument is both: a path is restored where it was, an id into a folder of that name.
fn source_and_target<'a>(
    ctx: &Context,
    args: &'a Args,
    repository: &Repository,
) -> Result<(&'a str, PathBuf)> {
    match args.sources.as_slice() {
        [source] => {
            let SourceInfo { host, user_name, path } = parse_source(ctx, repository, source)?;
            let identity = repository.identity();
            if path.is_empty() || (&host, &user_name) != (&identity.hostname, &identity.username) {
                return Err(Failure::usage(format!(
                    "{source} is no path of this user and host: give a target, too"
                )));
            }
            Ok((source, path.into()))
        }
        [source, target] => Ok((source, ctx.environment().absolute(target.as_ref()))),
        _ => Err(Failure::usage("a restore needs a source and a target")),
    }
}

fn describe(ctx: &Context, stats: &RestoreStats) -> String {
    let sizes = ctx.sizes();
    let mut text = format!(
        "Restored {} files, {} directories and {} symbolic links ({})",
        stats.files,
        stats.directories,
        stats.symlinks,
        sizes.format(stats.bytes)
    );
    let mut more = |text_of: std::fmt::Arguments<'_>, count: u64| {
        if count > 0 {
            write!(text, ", {text_of}").expect("writing to a string cannot fail");
        }
    };
    let RestoreStats { skipped_files, deleted_directories, deleted_files, deleted_symlinks, .. } = *stats;
    let RestoreStats { hard_links, specials, xattrs, ignored_xattr_errors, ignored_specials, .. } = *stats;
    more(format_args!("{hard_links} hard links"), hard_links);
    more(format_args!("{specials} special files"), specials);
    more(format_args!("{xattrs} extended attributes"), xattrs);
    more(format_args!("skipped {skipped_files} ({})", sizes.format(stats.skipped_bytes)), skipped_files);
    more(format_args!("deleted directories {deleted_directories}"), deleted_directories);
    more(format_args!("deleted files {deleted_files}"), deleted_files);
    more(format_args!("deleted symbolic links {deleted_symlinks}"), deleted_symlinks);
    more(format_args!("ignored {} errors", stats.ignored_errors), stats.ignored_errors);
    let attributes = stats.ignored_permission_errors;
    more(format_args!("without permission to set {attributes} attributes"), attributes);
    let lost = ignored_xattr_errors;
    more(format_args!("could not set {lost} extended attributes"), lost);
    more(format_args!("could not make {ignored_specials} special files"), ignored_specials);
    text.push('.');
    text
}
