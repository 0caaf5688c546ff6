//! Files in one content, and what may take the place of what.

use super::attributes::{Attributes, Subject, Wanted, is_regular};
use super::new_file::NewFile;
use super::node::{Node, Place};
use super::run::Run;
use super::target::TargetDirectory;
use super::{Error, Result};
use crate::base::{Counter, Timestamp};
use crate::snapshot::DirEntry;
use rustix::fs::{FileType, Stat};
use rustix::io::Errno;
use std::os::fd::AsFd;

/// Times that differ by less are the same to a restore that skips existing files, in nanoseconds.
const SAME_TIME_NANOS: u64 = 2_000_000_000;

/// What is to be done about a name.
pub(super) enum Plan {
    /// Nothing: what belongs there is there.
    Skip,
    /// To write, in place of what is there.
    Write(Option<Stat>),
}

/// What a stat found, in words.
pub(super) fn describe(stat: &Stat) -> &'static str {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => "a file",
        FileType::Directory => "a directory",
        FileType::Symlink => "a symbolic link",
        _ => "a special file",
    }
}

impl Run<'_> {
    /// Decides what becomes of a file; nothing has to be asked in a directory that this restore made.
    pub(super) fn plan_file(
        &self,
        place: &Place<'_>,
        directory: &TargetDirectory,
        entry: &DirEntry,
    ) -> Result<Plan> {
        if place.node.is_fresh() {
            return Ok(Plan::Write(None));
        }
        self.plan_file_as_found(place, directory, entry)
    }

    fn plan_file_as_found(
        &self,
        place: &Place<'_>,
        directory: &TargetDirectory,
        entry: &DirEntry,
    ) -> Result<Plan> {
        let Some(stat) = directory.stat(place.name).map_err(place.failed("look at"))? else {
            return Ok(Plan::Write(None));
        };
        let allowed = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => false,
            FileType::Symlink => self.options.overwrite_symlinks,
            _ if self.options.skip_existing && is_same(&stat, entry) => return Ok(Plan::Skip),
            _ => self.options.overwrite_files,
        };
        if allowed {
            return Ok(Plan::Write(Some(stat)));
        }
        Err(Error::InTheWay { path: place.path(), found: describe(&stat) })
    }

    /// Restores a file in one content.
    pub(super) fn restore_file(
        &self,
        place: &Place<'_>,
        directory: &TargetDirectory,
        entry: &DirEntry,
    ) -> Result<()> {
        let mut plan = self.plan_file(place, directory, entry)?;
        if matches!(plan, Plan::Skip) {
            self.count_skipped(entry.size);
            return Ok(());
        }
        let objects = self.repository.objects();
        let data = objects
            .read_content(entry.obj)
            .map_err(|source| Error::Data { path: place.path(), source: Box::new(source) })?;
        let (file, replaced) = loop {
            let Plan::Write(replaced) = plan else {
                self.count_skipped(entry.size);
                return Ok(());
            };
            if replaced.is_some() || self.options.write_files_atomically {
                break (self.create_temporary(place, directory)?, replaced);
            }
            match NewFile::create(directory, place.name) {
                Ok(file) => break (file, None),
                // Somebody else was quicker, or the file system takes two names for one.
                Err(Errno::EXIST) => plan = self.plan_file_as_found(place, directory, entry)?,
                Err(errno) => return Err(place.failed("create")(errno)),
            }
        };
        let sparse = self.options.write_sparse_files;
        file.write(&data, 0, sparse).map_err(place.failed("write"))?;
        self.finish_file(place, &file, entry, data.len() as u64, replaced.as_ref())?;
        self.monitor.add(Counter::RestoredBytes, data.len() as u64);
        Ok(())
    }

    pub(super) fn create_temporary(&self, place: &Place<'_>, directory: &TargetDirectory) -> Result<NewFile> {
        NewFile::create_temporary(directory, &self.temporary_names)
            .map_err(place.failed("create a temporary file for"))
    }

    /// Sets the attributes of a file that is all there, and lets it have its name.
    pub(super) fn finish_file(
        &self,
        place: &Place<'_>,
        file: &NewFile,
        entry: &DirEntry,
        length: u64,
        replaced: Option<&Stat>,
    ) -> Result<()> {
        if self.options.write_sparse_files {
            file.set_length(length).map_err(place.failed("set the length of"))?;
        }
        let wanted = Wanted::new(&Attributes::of(entry), self.options).or_as_on(replaced);
        let owner = owner_of_new(place.node, file.fd()).map_err(place.failed("look at"))?;
        let path = || place.path();
        let subject = Subject { fd: file.fd().as_fd(), is_directory: false, owner, path: &path };
        self.set_attributes(&subject, &wanted)?;
        if self.flush {
            rustix::fs::fsync(file.fd()).map_err(place.failed("flush"))?;
        }
        let replace = replaced.is_some() || self.options.overwrite_files;
        file.keep(place.name, replace).map_err(place.failed("name"))?;
        if length != entry.size {
            let (path, size) = (place.path(), entry.size);
            let text = format!("{}: {length} bytes restored where its entry says {size}", path.display());
            self.monitor.warn(&text);
        }
        self.count(|stats| {
            stats.files += 1;
            stats.bytes += length;
        });
        self.monitor.add(Counter::RestoredFiles, 1);
        Ok(())
    }

    pub(super) fn count_skipped(&self, bytes: u64) {
        self.count(|stats| {
            stats.skipped_files += 1;
            stats.skipped_bytes += bytes;
        });
    }
}

/// Owner and group that files get in a directory: asked of the system once for each directory, because it depends on the
/// directory's setgid bit and on the file system.
pub(super) fn owner_of_new(node: &Node, new: impl AsFd) -> Result<(u32, u32), Errno> {
    if let Some(&owner) = node.owner_of_new().get() {
        return Ok(owner);
    }
    let stat = rustix::fs::fstat(new)?;
    Ok(*node.owner_of_new().get_or_init(|| (stat.st_uid, stat.st_gid)))
}

/// Kopia's rule for a file that need not be restored again.
fn is_same(stat: &Stat, entry: &DirEntry) -> bool {
    let mtime = Timestamp::from_seconds(stat.st_mtime, stat.st_mtime_nsec as i64);
    is_regular(stat)
        && u64::try_from(stat.st_size) == Ok(entry.size)
        && mtime.nanos_since(entry.mtime).unsigned_abs() < SAME_TIME_NANOS
}
