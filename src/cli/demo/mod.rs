//! `demo`: the whole way of a backup on this machine, with a proof at its end.
//!
//! 1. The user's folder is only read: what is edited is a copy.
//! 2. Everything made lies in one new folder, which stays.

mod edit;
mod report;
mod tree;

use super::Result;
use super::context::Context;
use super::exit::{Explain, Failure, Status};
use super::snapshot::take::{Labels, Plan, TakeError, take};
use packhorse::base::{Quiet, Secret, Stopwatch};
use packhorse::blob::{self, ConnectionInfo, FilesystemOptions, OpenMode};
use packhorse::content::ClientIdentity;
use packhorse::policy::{CompressionPolicy, FilesPolicy, Policy, SourceInfo};
use packhorse::repo::{self, CreateOptions, Repository};
use packhorse::restore::{RestoreOptions, restore};
use packhorse::snapshot::{self, Checkpoints, SnapshotManifest, UploadOptions, UploadSource, VerifyOptions};
use report::{Row, print_rows};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tree::{Tree, is_build_output};

/// The compressor of the demonstration: fast, and good enough on texts.
const COMPRESSOR: &str = "zstd-fastest";
/// Build output is big, made anew at any time, and in no restore.
const IGNORED: &str = "target/";

/// Flags of the command.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder to back up a copy of; by default the project when started by Cargo, else the current folder
    folder: Option<PathBuf>,
}

/// Runs the command.
pub(crate) fn run(ctx: &Context, args: &Args) -> Result<()> {
    let environment = ctx.environment();
    let folder = match (&args.folder, &environment.cargo_manifest_dir) {
        (Some(folder), _) => environment.absolute(folder),
        (None, Some(project)) => project.clone(),
        (None, None) => environment.current_dir.clone(),
    };
    let mut demo = Demo::prepare(ctx, &folder)?;
    let before = demo.snapshot("first snapshot")?;
    let told = edit::edit(&demo.source, ctx.entropy().as_ref())?;
    ctx.talk().line(format_args!("edited the copy: {told}"));
    let after = demo.snapshot("second snapshot")?;
    demo.verify(&[&before.1, &after.1])?;
    let mut differences = demo.restore("first restore", &before)?;
    differences.extend(demo.restore("second restore", &after)?);
    demo.finish(&differences)
}

struct Demo<'a> {
    ctx: &'a Context,
    /// Holds everything.
    folder: PathBuf,
    /// The copy that is backed up.
    source: PathBuf,
    password: String,
    repository: Repository,
    rows: Vec<Row>,
}

impl<'a> Demo<'a> {
    /// Makes the folder, the copy and the repository.
    fn prepare(ctx: &'a Context, original: &Path) -> Result<Self> {
        let original =
            &std::fs::canonicalize(original).explain(format_args!("cannot read {}", original.display()))?;
        if !original.is_dir() {
            return Err(Failure::usage(format!("{} is not a folder", original.display())));
        }
        let name = hex::encode(ctx.entropy().bytes::<4>());
        let folder = std::env::temp_dir().join(format!("packhorse-demo-{name}"));
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&folder)
            .explain(format_args!("cannot make {}", folder.display()))?;
        ctx.talk().line(format_args!("copying {} to {}", original.display(), folder.display()));
        let source = folder.join("source");
        let told = edit::copy(original, &source, &folder)?;
        ctx.talk().line(told);
        let password = hex::encode(ctx.entropy().bytes::<12>());
        let repository = create(ctx, &folder.join("repository"), &password)?;
        let mut demo = Self { ctx, folder, source, password, repository, rows: Vec::new() };
        demo.set_policy()?;
        Ok(demo)
    }

    fn source_info(&self) -> SourceInfo {
        let ClientIdentity { username, hostname } = self.repository.identity();
        SourceInfo::new(username, hostname, self.source.to_string_lossy())
    }

    fn set_policy(&mut self) -> Result<()> {
        let policy = Policy {
            files: FilesPolicy { ignore: vec![IGNORED.to_owned()], ..FilesPolicy::default() },
            compression: CompressionPolicy {
                compressor_name: COMPRESSOR.to_owned(),
                ..CompressionPolicy::default()
            },
            ..Policy::default()
        };
        let mut writer = self.repository.begin(&self.ctx.write_options())?;
        policy.save(&self.source_info(), &mut writer)?;
        writer.flush()?;
        self.ctx
            .talk()
            .line(format_args!("the policy of the copy ignores {IGNORED} and compresses with {COMPRESSOR}"));
        Ok(())
    }

    /// Makes a snapshot; with what the source holds at that time.
    fn snapshot(&mut self, step: &'static str) -> Result<(Tree, SnapshotManifest)> {
        let tree = Tree::scan(&self.source, &is_build_output)?;
        let plan = Plan {
            path: self.source.clone(),
            source: self.source_info(),
            labels: Labels { description: step.to_owned(), ..Labels::default() },
            upload: UploadOptions::default(),
            checkpoint_interval: Checkpoints::INTERVAL_MAX,
            actions: None,
        };
        let watch = Stopwatch::start();
        let mut writer = self.repository.begin(&self.ctx.write_options())?;
        let source = UploadSource::Path(&plan.path);
        let taken = take(&mut writer, &plan, source, &Quiet).map_err(TakeError::into_failure)?;
        writer.flush()?;
        let stats = writer.stats();
        self.rows.push(Row {
            step,
            files: tree.files(),
            bytes: tree.bytes(),
            written: Some((stats.new_bytes, stats.stored_bytes)),
            elapsed: watch.elapsed(),
        });
        Ok((tree, taken.snapshot))
    }

    /// Reads and hashes every byte of the snapshots.
    fn verify(&mut self, snapshots: &[&SnapshotManifest]) -> Result<()> {
        let root =
            |snapshot: &&SnapshotManifest| Some((snapshot.description.clone(), snapshot.root_entry.clone()?));
        let roots: Vec<_> = snapshots.iter().filter_map(root).collect();
        let options = VerifyOptions::EVERYTHING;
        let watch = Stopwatch::start();
        let report = snapshot::verify(&self.repository, &roots, &options, &Quiet)?;
        self.rows.push(Row {
            step: "verify",
            files: report.stats.read_file_count,
            bytes: report.stats.read_bytes,
            written: None,
            elapsed: watch.elapsed(),
        });
        for error in &report.errors {
            self.ctx.talk().line(format_args!("damaged: {}: {}", error.path, error.message));
        }
        match report.errors.len() {
            0 => Ok(()),
            n => Err(Failure::new(format!("{n} objects are damaged")).with_status(Status::Corrupt)),
        }
    }

    /// Restores a snapshot and compares it with what was saved; the differences.
    fn restore(
        &mut self,
        step: &'static str,
        (tree, saved): &(Tree, SnapshotManifest),
    ) -> Result<Vec<String>> {
        let target = self.folder.join(step.replace(' ', "-"));
        let root =
            saved.root_entry.as_ref().ok_or_else(|| Failure::new("a snapshot without a root was saved"))?;
        let watch = Stopwatch::start();
        let stats = restore(&self.repository, root, &target, &RestoreOptions::default(), &Quiet)?;
        let elapsed = watch.elapsed();
        self.rows.push(Row { step, files: stats.files, bytes: stats.bytes, written: None, elapsed });
        // Here nothing is left out: what the policy ignores must not come back.
        let restored = Tree::scan(&target, &|_| false)?;
        let named = |line| format!("{step}: {line}");
        Ok(tree.differences(&restored).into_iter().map(named).collect())
    }

    fn finish(&self, differences: &[String]) -> Result<()> {
        let mut out = self.ctx.stdout();
        print_rows(&mut out, &self.rows, self.ctx.sizes())?;
        for line in differences {
            out.line(format_args!("differs: {line}"))?;
        }
        if !differences.is_empty() {
            return Err(Failure::new(format!(
                "{} entries did not come back as they were",
                differences.len()
            ))
            .with_status(Status::Corrupt));
        }
        let repository = self.folder.join("repository");
        out.line("all equal: bytes, permissions, owners, times to the nanosecond, link targets")?;
        out.line(format_args!(
            "\nEverything is in {} (delete it when done). Look with Kopia:",
            self.folder.display()
        ))?;
        out.line(format_args!("  export KOPIA_PASSWORD={}", self.password))?;
        out.line(format_args!("  kopia repository connect filesystem --path '{}'", repository.display()))?;
        out.line("  kopia snapshot list && kopia snapshot verify --verify-files-percent=100")
    }
}

fn create(ctx: &Context, path: &Path, password: &str) -> Result<Repository> {
    let info = ConnectionInfo::filesystem(&FilesystemOptions::new(path))?;
    let storage = blob::open(&info, OpenMode::Create, Arc::clone(ctx.clock()))?;
    let password = Secret::from(password);
    repo::create(storage.as_ref(), &password, &CreateOptions::default(), ctx.entropy().as_ref())?;
    let environment = ctx.environment();
    let identity =
        ClientIdentity { username: environment.user_name.clone(), hostname: environment.host_name.clone() };
    ctx.open_storage(storage, &password, identity)
}
