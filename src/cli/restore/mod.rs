//! `restore` and `snapshot restore`: from a snapshot to files, or to an archive.

mod report;
mod source;

use super::Result;
use super::context::Context;
use super::exit::Failure;
use super::progress::{Progress, Work};
use super::snapshot::parse_source;
use super::units;
use packhorse::policy::SourceInfo;
use packhorse::repo::Repository;
use packhorse::restore::{ArchiveFormat, RestoreOptions, expand, restore, restore_archive};
use packhorse::snapshot::placeholder_target;
use std::path::{Path, PathBuf};

/// Flags of the command.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of Kopia's command line")]
pub(crate) struct Args {
    /// What to restore, as ID, ID/path, or the path it was saved from; and where to. Or placeholders of a shallow
    /// restore, each to be filled in where it is
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
    /// What to write; auto tells by the target's name: .zip, .tar, .tar.gz, .tgz, else a folder
    #[arg(long, default_value = "auto", value_name = "MODE",
          value_parser = ["auto", "local", "zip", "zip-nocompress", "tar", "tgz"])]
    mode: String,
    /// Files restored at once; by default 8, and more where requests take long
    #[arg(long, value_name = "N", value_parser = units::parse_number, allow_negative_numbers = true)]
    parallel: Option<i64>,
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
    /// Without effect: a file appears only when it is whole in any case
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
    /// Leave placeholders (NAME.kopia-entry) for what is deeper than so many levels
    #[arg(long, value_name = "DEPTH", value_parser = units::parse_integer, allow_negative_numbers = true)]
    shallow: Option<i64>,
    /// Restore files with fewer bytes all the same
    #[arg(long, value_name = "BYTES", value_parser = units::parse_integer, allow_negative_numbers = true)]
    shallow_minsize: Option<i64>,
    /// Which snapshot, when the source is a path: latest, oldest, yesterday, 3d-ago, or a time before which it began
    #[arg(long, default_value = "latest", value_name = "TIME")]
    snapshot_time: String,
    /// Wait until everything is on the medium
    #[arg(long)]
    flush_files: bool,
}

impl Args {
    /// Unless it was given: half of the requests that the store likes in flight, which is Kopia's 8 for a folder.
    fn choose_parallel(&self, options: &mut RestoreOptions, repository: &Repository) {
        if self.parallel.is_none() {
            options.parallel = (repository.storage().parallelism() / 2).max(1);
        }
    }

    fn options(&self, ctx: &Context) -> Result<RestoreOptions> {
        let shallow_at_depth = self.shallow.map(|depth| {
            usize::try_from(depth).map_err(|_| {
                Failure::usage(format!("--shallow={depth}: at least the root is restored, at depth 0"))
            })
        });
        Ok(RestoreOptions {
            parallel: self.parallel.map_or(0, |parallel| usize::try_from(parallel).unwrap_or(0)),
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
            shallow_at_depth: shallow_at_depth.transpose()?,
            placeholder_bytes_min: u64::try_from(self.shallow_minsize.unwrap_or(0)).unwrap_or(0),
            ignore_errors: self.ignore_errors,
            memory: ctx.memory(),
            cancel: ctx.cancel()?,
        })
    }

    /// The archive that is asked for, if one is.
    fn archive(&self, target: &Path) -> Option<ArchiveFormat> {
        match self.mode.as_str() {
            "auto" => ArchiveFormat::of_name(&target.to_string_lossy()),
            "zip" => Some(ArchiveFormat::Zip),
            "zip-nocompress" => Some(ArchiveFormat::StoredZip),
            "tar" => Some(ArchiveFormat::Tar),
            "tgz" => Some(ArchiveFormat::GzippedTar),
            _ => None,
        }
    }
}

/// Runs the command.
pub(crate) fn run(ctx: &Context, args: &Args) -> Result<()> {
    let mut options = args.options(ctx)?;
    if args.sources.iter().all(|source| is_placeholder(source)) {
        options.shallow_at_depth.get_or_insert(0);
        return expand_all(ctx, args, options);
    }
    if args.sources.iter().any(|source| is_placeholder(source)) {
        return Err(Failure::usage(
            "placeholders cannot be mixed with other arguments: each is filled in where it is",
        ));
    }
    let repository = ctx.open_repository(false)?;
    args.choose_parallel(&mut options, &repository);
    let (text, target) = source_and_target(ctx, args, &repository)?;
    let archive = args.archive(&target);
    if archive.is_some() && options.shallow_at_depth.is_some() {
        return Err(Failure::usage("--shallow leaves placeholders in a folder, and an archive has none"));
    }
    ctx.talk().line(format_args!(
        "Restoring to {} ({}) with parallelism={}...",
        archive.map_or("local filesystem", describe_format),
        target.display(),
        options.parallel
    ));
    let found = source::find(ctx, args, &repository, text)?;
    let progress = Progress::start(ctx, Work::Restore, None)?;
    let stats = match archive {
        Some(format) => restore_archive(&repository, &found.entry, &target, format, &options, &progress)?,
        None => restore(&repository, &found.entry, &target, &options, &progress)?,
    };
    drop(progress);
    if let Some(snapshot) = &found.snapshot {
        ctx.talk().line(report::describe_snapshot(ctx, snapshot));
    }
    ctx.talk().line(report::describe(ctx.sizes(), &stats));
    Ok(())
}

fn is_placeholder(source: &str) -> bool {
    let name = source.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    placeholder_target(name).is_some()
}

fn describe_format(format: ArchiveFormat) -> &'static str {
    match format {
        ArchiveFormat::Zip => "a zip file",
        ArchiveFormat::StoredZip => "an uncompressed zip file",
        ArchiveFormat::Tar => "an uncompressed tar file",
        ArchiveFormat::GzippedTar => "a tar+gzip file",
    }
}

/// Fills in placeholders, each where it is.
fn expand_all(ctx: &Context, args: &Args, mut options: RestoreOptions) -> Result<()> {
    if !matches!(args.mode.as_str(), "auto" | "local") {
        return Err(Failure::usage(format!(
            "--mode={}: placeholders are filled in where they are, not in an archive",
            args.mode
        )));
    }
    let repository = ctx.open_repository(false)?;
    args.choose_parallel(&mut options, &repository);
    for source in &args.sources {
        let path = ctx.environment().absolute(source.as_ref());
        ctx.talk().line(format_args!("Filling in {}...", path.display()));
        let progress = Progress::start(ctx, Work::Restore, None)?;
        let stats = expand(&repository, &path, &options, &progress)?;
        drop(progress);
        ctx.talk().line(report::describe(ctx.sizes(), &stats));
    }
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
