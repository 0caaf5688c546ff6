//! `mount`: snapshots as a file system, until a signal or an unmount.

mod guard;
mod point;

use super::Result;
use super::context::Context;
use super::exit::{Explain, Failure};
use crossbeam_channel::{Receiver, bounded, select};
use guard::Guard;
use packhorse::mount::{MountOptions, Mounted, Top, mount};
use packhorse::repo::Repository;
use packhorse::snapshot::{self, EntryType};
use point::Point;
use std::path::Path;

pub(crate) use guard::Args as GuardArgs;
pub(crate) use guard::run as run_guard;

/// What stands for all snapshots.
const ALL: &str = "all";

/// Flags of the command.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of Kopia's command line")]
pub(crate) struct Args {
    /// Directory, as ID or ID/path; the id is that of a snapshot, of its root, or of any directory. `all` for all
    /// snapshots, by source and time
    #[arg(default_value = ALL)]
    path: String,
    /// Where to mount it; `*` for a new folder among the temporary files
    #[arg(default_value = "*", value_name = "MOUNTPOINT")]
    mount_point: String,
    /// Not supported
    #[arg(long, hide = true)]
    browse: bool,
    /// Log every request (with --log-level=debug)
    #[arg(long)]
    trace_fs: bool,
    /// Let other users in, as far as modes and owners allow
    #[arg(long)]
    fuse_allow_other: bool,
    /// Mount on a folder that is not empty: its files are hidden meanwhile
    #[arg(long)]
    fuse_allow_non_empty_mount: bool,
    /// Not supported
    #[arg(long, hide = true)]
    webdav: bool,
    /// Keep at most so many members of directories in memory
    #[arg(long, default_value = "100000")]
    max_cached_entries: usize,
    /// Keep at most so many directories in memory
    #[arg(long, default_value = "100")]
    max_cached_dirs: usize,
}

/// Runs the command.
pub(crate) fn run(ctx: &Context, args: &Args) -> Result<()> {
    if args.webdav {
        return Err(Failure::usage("--webdav: mounting is done with FUSE only"));
    }
    if args.browse {
        return Err(Failure::usage("--browse: there is no file browser to open"));
    }
    point::check_device()?;
    let point = Point::prepare(ctx, &args.mount_point, args.fuse_allow_non_empty_mount)?;
    let repository = ctx.open_repository(false)?;
    let top = top(ctx, &repository, &args.path)?;
    let signals = signals()?;
    let options = MountOptions {
        allow_other: args.fuse_allow_other,
        traces: args.trace_fs,
        max_cached_entries: args.max_cached_entries,
        max_cached_dirs: args.max_cached_dirs,
        memory: ctx.memory(),
    };
    let mut guard = Guard::start(ctx, &point);
    let mounted = mount(repository.objects(), top, point.path(), &options)?;
    if let Some(guard) = &mut guard {
        guard.watch(point.path());
    }
    ctx.talk().line(format_args!("Mounted '{}' on {}", args.path, point.path().display()));
    ctx.talk().line("Press Ctrl-C to unmount.");
    let outcome = wait(ctx, mounted, &signals, point.path());
    if let Some(guard) = guard {
        guard.dismiss();
    }
    outcome
}

fn top(ctx: &Context, repository: &Repository, path: &str) -> Result<Top> {
    let manifests = repository.load_manifests()?;
    if path == ALL {
        return Ok(Top::all(manifests, ctx.clock().now()));
    }
    let entry = snapshot::resolve(repository.objects(), &manifests, path, false)?;
    match entry.kind {
        EntryType::Directory => Ok(Top::Directory(Box::new(entry))),
        _ => Err(Failure::new(format!("{path} is not a directory"))),
    }
}

/// Signals that end the mount arrive here.
fn signals() -> Result<Receiver<i32>> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let mut signals =
        signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP]).explain("cannot handle signals")?;
    let (sender, receiver) = bounded(1);
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            for signal in signals.forever() {
                // One is enough, and that one is under way.
                sender.try_send(signal).ok();
            }
        })
        .explain("cannot start a thread")?;
    Ok(receiver)
}

/// Waits for the end of the mount, or for a signal, and then unmounts.
fn wait(ctx: &Context, mut mounted: Mounted, signals: &Receiver<i32>, point: &Path) -> Result<()> {
    let ended = mounted.ended().clone();
    select! {
        recv(ended) -> outcome => outcome.unwrap_or(Ok(()))?,
        recv(signals) -> _ => {
            ctx.talk().line("Unmounting ...");
            if let Err(error) = mounted.unmount() {
                // Whoever still has a file open must not keep the program, and what comes later finds nothing there.
                ctx.talk().warning(format_args!("{}: still in use, so it is detached", Failure::from(error)));
                guard::detach(point).explain(format_args!("cannot detach {}", point.display()))?;
                return Ok(());
            }
            ended.recv().unwrap_or(Ok(()))?;
        }
    }
    ctx.talk().line("Unmounted.");
    Ok(())
}
