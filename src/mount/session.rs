//! From mounting to unmounting.

use super::files::Files;
use super::fuse::{Fuse, FuseOptions, Shared};
use super::listings::Listings;
use super::pool::Pool;
use super::tree::Tree;
use super::{Error, Result, Top};
use crate::base::{MIB, MemoryBudget};
use crate::object::ObjectReader;
use crossbeam_channel::{Receiver, bounded};
use fuser::{Config, MountOption, Session, SessionACL, SessionUnmounter};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Threads that take requests from the kernel and answer those that need nothing but memory.
const DISPATCHERS: usize = 2;
/// Threads that read directories and links: they wait for storage more than they work.
const NAME_THREADS: usize = 4;
/// What one thread that reads data may hold: a content packed and unpacked.
const BYTES_PER_READER: u64 = 24 * MIB;

/// How a file system is mounted.
#[derive(Debug, Clone)]
pub struct MountOptions {
    /// Other users than the one who mounts it may use it, as far as modes and owners let them.
    pub allow_other: bool,
    /// Every request is logged.
    pub traces: bool,
    /// Members of directories kept in memory.
    pub max_cached_entries: usize,
    /// Directories kept in memory.
    pub max_cached_dirs: usize,
    /// The memory for contents: a quarter is kept, the rest is for those being read.
    pub memory: MemoryBudget,
}

/// A file system that is mounted, until this is told to unmount it, dropped, or somebody else unmounts it.
#[derive(Debug)]
pub struct Mounted {
    point: PathBuf,
    unmounter: SessionUnmounter,
    ended: Receiver<Result<()>>,
}

/// Mounts `top` on the directory `point`. No directory is read for that.
///
/// # Errors
/// [`Error::Mount`].
pub fn mount(objects: &ObjectReader, top: Top, point: &Path, options: &MountOptions) -> Result<Mounted> {
    let failed = |source: io::Error| Error::Mount { point: point.to_owned(), source: Arc::new(source) };
    let bytes = options.memory.buffer_bytes;
    let kept = (bytes / 4).max(8 * MIB);
    let readers = (bytes.saturating_sub(kept) / BYTES_PER_READER).clamp(2, 8) as usize;
    let listings = Listings::new(options.max_cached_entries, options.max_cached_dirs);
    let shared = Shared {
        tree: Tree::new(objects.clone(), top, listings),
        files: Files::new(objects.clone(), kept as usize),
    };
    let names = Pool::start("names", NAME_THREADS).map_err(failed)?;
    let reads = Pool::start("reads", readers).map_err(failed)?;
    let answers = FuseOptions { checks_access: options.allow_other, traces: options.traces };
    let fuse = Fuse::new(shared, names, reads, answers);
    let mut session = Session::new(fuse, point, &config(options)).map_err(failed)?;
    let unmounter = session.unmount_callable();
    let (sender, ended) = bounded(1);
    let at = point.to_owned();
    std::thread::Builder::new()
        .name("mount".to_owned())
        .spawn(move || {
            let outcome = session.run();
            let failed = |source| Error::Mount { point: at, source: Arc::new(source) };
            // Nobody listens who has let go of the mount.
            sender.send(outcome.map_err(failed)).ok();
        })
        .map_err(failed)?;
    Ok(Mounted { point: point.to_owned(), unmounter, ended })
}

fn config(options: &MountOptions) -> Config {
    let mut config = Config::default();
    config.mount_options = vec![
        MountOption::RO,
        MountOption::NoAtime,
        MountOption::FSName("packhorse".to_owned()),
        MountOption::Subtype("packhorse".to_owned()),
    ];
    config.n_threads = Some(DISPATCHERS);
    if options.allow_other {
        // Alone, the user who has the password may read everything; others only what they might in the source.
        config.mount_options.push(MountOption::DefaultPermissions);
        config.acl = SessionACL::All;
    }
    config
}

impl Mounted {
    /// Where it is mounted.
    pub fn point(&self) -> &Path {
        &self.point
    }

    /// Hears once of the end, whoever brought it about.
    pub fn ended(&self) -> &Receiver<Result<()>> {
        &self.ended
    }

    /// Unmounts it, unless it is in use.
    ///
    /// # Errors
    /// [`Error::Unmount`].
    pub fn unmount(&mut self) -> Result<()> {
        self.unmounter
            .unmount()
            .map_err(|source| Error::Unmount { point: self.point.clone(), source: Arc::new(source) })
    }
}
