//! Files: what may take the place of what, what is to be read, and how they get their names.

use super::assembly::Assembly;
use super::attributes::{Attributes, Subject, Wanted, is_regular};
use super::extended::WantedXattrs;
use super::new_file::{NewFile, TEMPORARY_PREFIX};
use super::node::{Node, Place};
use super::run::Run;
use super::sparse::Sparse;
use super::target::TargetDirectory;
use super::window::Part;
use super::{Error, Result};
use crate::base::{Counter, Timestamp};
use crate::index::IndexEntry;
use crate::snapshot::{DirEntry, EntryType};
use crate::source::XattrPlace;
use rustix::fs::{FileType, Stat};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

/// Times that differ by less are the same to a restore that skips existing files, in nanoseconds.
const SAME_TIME_NANOS: u64 = 2_000_000_000;
/// How often a file is made anew that somebody else has removed.
const ATTEMPTS: u32 = 3;
/// Hex digits in temporary names.
const NAME_DIGITS: usize = 24;

/// What is to be done about a name.
pub(super) enum Plan {
    /// Nothing: what belongs there is there.
    Skip,
    /// Nothing any more: what is there has been made right.
    Keep,
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

    /// Plans a file or link: what has to be read for it is queued. Tells whether it is already as it should be.
    pub(super) fn plan_entry(
        &self,
        node: &Arc<Node>,
        directory: &TargetDirectory,
        entry: DirEntry,
        planned: &mut Vec<(IndexEntry, Part)>,
    ) -> Result<bool> {
        if self.is_left_out(node, &entry) {
            return self.leave_out(node, directory, &entry).map(|()| true);
        }
        if entry.supplement.as_deref().is_none_or(|supplement| supplement.hard_link.is_none()) {
            return self.plan_in_full(node, directory, entry, planned);
        }
        if let Some(joined) = self.join_others(node, directory, &entry) {
            return joined;
        }
        let result = self.plan_in_full(node, directory, entry.clone(), planned);
        if !matches!(result, Ok(false)) {
            self.settle(node, &entry, result.is_ok());
        }
        result
    }

    /// The same, whatever other names the entry has.
    pub(super) fn plan_in_full(
        &self,
        node: &Arc<Node>,
        directory: &TargetDirectory,
        entry: DirEntry,
        planned: &mut Vec<(IndexEntry, Part)>,
    ) -> Result<bool> {
        let place = Place { node, name: &entry.name };
        let plan = match entry.kind {
            EntryType::File => self.plan_file(&place, directory, &entry)?,
            EntryType::Symlink => self.plan_link(&place, directory, &entry)?,
            EntryType::Directory | EntryType::Unknown => {
                return Err(Error::UnknownType { path: place.path() });
            }
        };
        let replaced = match plan {
            Plan::Skip => {
                self.count_skipped(if entry.kind == EntryType::File { entry.size } else { 0 });
                return Ok(true);
            }
            Plan::Keep => return Ok(true),
            Plan::Write(replaced) => replaced,
        };
        let unreadable = |source| Error::Data { path: place.path(), source: Box::new(source) };
        let segments = self.repository.objects().segments(entry.obj).map_err(unreadable)?;
        if entry.kind == EntryType::Symlink && segments.is_some() {
            self.restore_long_link(&place, &entry, replaced.as_ref())?;
            return Ok(true);
        }
        let Some((entry, replaced)) = self.examine(node, directory, entry, replaced, segments.as_deref())
        else {
            return Ok(false);
        };
        match segments {
            Some(segments) => self.start_list(node, directory, entry, replaced, segments).map(|begun| !begun),
            None => self.plan_single(node, entry, replaced, planned).map(|()| false),
        }
    }

    /// Plans a file or link that is one content.
    pub(super) fn plan_single(
        &self,
        node: &Arc<Node>,
        entry: DirEntry,
        replaced: Option<Stat>,
        planned: &mut Vec<(IndexEntry, Part)>,
    ) -> Result<()> {
        let object = entry.obj;
        let lies = self.place_of(object).map_err(|source| {
            let path = Place { node, name: &entry.name }.path();
            Error::Data { path, source: Box::new(source) }
        })?;
        let assembly = Arc::new(Assembly::single(node, entry, replaced));
        planned.push((lies, Part { assembly, object, start: 0, length: None }));
        Ok(())
    }

    /// Makes a file of all its bytes.
    pub(super) fn restore_file(
        &self,
        place: &Place<'_>,
        entry: &DirEntry,
        replaced: Option<&Stat>,
        data: &[u8],
    ) -> Result<()> {
        let directory = place.node.directory().map_err(place.failed("open the directory of"))?;
        for attempt in 1.. {
            let file = NewFile::create(&directory, &self.temporary_names)
                .map_err(place.failed("create a temporary file for"))?;
            Sparse::of(entry, self.options).write(&file, data, 0).map_err(place.failed("write"))?;
            match self.finish_file(place, &file, entry, data.len() as u64, replaced) {
                // Another restore has taken the file for one that nobody goes on with.
                Err(Error::File { source, .. })
                    if source.kind() == io::ErrorKind::NotFound && attempt < ATTEMPTS => {}
                result => return result,
            }
        }
        Ok(())
    }

    /// Gives a file whose bytes are right the attributes it should have. `false` if that would change other names of it,
    /// too.
    pub(super) fn touch_up(
        &self,
        place: &Place<'_>,
        fd: &OwnedFd,
        stat: &Stat,
        entry: &DirEntry,
    ) -> Result<bool> {
        let wanted = Wanted::new(&Attributes::of(entry), self.options);
        let xattrs = WantedXattrs::of(entry.supplement.as_deref());
        if stat.st_nlink > 1 && self.is_alone(entry) {
            return Ok(false);
        }
        if wanted.is_on(stat) && self.has_xattrs(&XattrPlace::Open(fd.as_fd()), xattrs) {
            return Ok(true);
        }
        let directory = place.node.directory().map_err(place.failed("open the directory of"))?;
        if !directory.is_only_name(place.name, stat) {
            return Ok(false);
        }
        let path = || place.path();
        let owner = (stat.st_uid, stat.st_gid);
        let fd = fd.as_fd();
        let subject = Subject { fd, is_directory: false, owner, xattrs, may_have_xattrs: true, path: &path };
        self.set_attributes(&subject, &wanted)?;
        Ok(true)
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
        if Sparse::of(entry, self.options).is_possible() {
            file.set_length(length).map_err(place.failed("set the length of"))?;
        }
        let wanted = Wanted::new(&Attributes::of(entry), self.options).or_as_on(replaced);
        let owner = owner_of_new(place.node, file.fd()).map_err(place.failed("look at"))?;
        let path = || place.path();
        let xattrs = WantedXattrs::of(entry.supplement.as_deref());
        let may_have_xattrs = new_have_xattrs(place.node, file.fd());
        let fd = file.fd().as_fd();
        let subject = Subject { fd, is_directory: false, owner, xattrs, may_have_xattrs, path: &path };
        self.set_attributes(&subject, &wanted)?;
        if self.flush {
            rustix::fs::fsync(file.fd()).map_err(place.failed("flush"))?;
        }
        let replace = replaced.is_some() || self.options.overwrite_files;
        file.keep(place.name, replace).map_err(place.failed("name"))?;
        self.fill_in(place.node, place.name);
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

    /// The name of a file in several contents until it is complete: the same for every restore of it.
    pub(super) fn resumable_name(&self, entry: &DirEntry) -> String {
        let what = format!("{}/{}", entry.obj, entry.name);
        let hash = self.repository.contents().format().crypto.hasher().hash(what.as_bytes());
        let digits = hex::encode(hash.as_bytes());
        format!("{TEMPORARY_PREFIX}{}", digits.get(..NAME_DIGITS).unwrap_or(&digits))
    }

    /// Counts a file that was right already.
    pub(super) fn count_unchanged(&self, bytes: u64) {
        self.count(|stats| {
            stats.unchanged_files += 1;
            stats.unchanged_bytes += bytes;
        });
        self.monitor.add(Counter::RestoredFiles, 1);
        self.monitor.add(Counter::RestoredBytes, bytes);
    }

    pub(super) fn count_skipped(&self, bytes: u64) {
        self.count(|stats| {
            stats.skipped_files += 1;
            stats.skipped_bytes += bytes;
        });
        // Done, for whoever wants to know how far the restore is.
        self.monitor.add(Counter::RestoredFiles, 1);
        self.monitor.add(Counter::RestoredBytes, bytes);
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

/// Whether files get extended attributes when they are made in a directory: a default ACL is inherited. Asked once for
/// each directory, too.
fn new_have_xattrs(node: &Node, new: impl AsFd) -> bool {
    *node.has_heirs().get_or_init(|| {
        let names = rustix::fs::flistxattr(new, &mut [0; 0][..]);
        !matches!(names, Ok(0) | Err(Errno::NOTSUP))
    })
}

/// Kopia's rule for a file that need not be restored again.
fn is_same(stat: &Stat, entry: &DirEntry) -> bool {
    let mtime = Timestamp::from_seconds(stat.st_mtime, stat.st_mtime_nsec as i64);
    is_regular(stat)
        && u64::try_from(stat.st_size) == Ok(entry.size)
        && mtime.nanos_since(entry.mtime).unsigned_abs() < SAME_TIME_NANOS
}
