//! Shallow restores: entries below a depth become placeholders, and placeholders become what they stand for.
//!
//! A placeholder is written only where nothing of the entry's own name is, and removed only when all of what it stood
//! for is there: both side by side would make Kopia refuse the tree.
//!
//! Source: kopia `snapshot/restore/shallow_fs_output.go`.

use super::attributes::{Attributes, Subject, Wanted};
use super::extended::WantedXattrs;
use super::file::describe;
use super::new_file::NewFile;
use super::node::{Node, Place};
use super::run::Run;
use super::target::TargetDirectory;
use super::{Error, RestoreOptions, RestoreStats, Result, restore};
use crate::base::{Counter, Monitor};
use crate::repo::Repository;
use crate::snapshot::{
    DirEntry, EntryType, PLACEHOLDER_SUFFIX, placeholder_target, read_placeholder, write_placeholder,
};
use rustix::io::Errno;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;

/// Longest name of a member of a directory.
const NAME_BYTES_MAX: usize = 255;
/// What nobody may do to a placeholder, nor what its owner must not lend.
const MODE_MASK: u32 = 0o555;

/// Restores what the placeholder at `path` stands for beside it, under its own name, and removes the placeholder.
///
/// # Errors
/// [`Error::Placeholder`], or those of [`restore()`]; then the placeholder stays.
pub fn expand(
    repository: &Repository,
    path: &Path,
    options: &RestoreOptions,
    monitor: &dyn Monitor,
) -> Result<RestoreStats> {
    let broken = |reason: &str| Error::Placeholder { path: path.to_owned(), reason: reason.to_owned() };
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.and_then(placeholder_target).ok_or_else(|| broken("its name is not that of one"))?;
    let failed = |source| Error::File { operation: "read", path: path.to_owned(), source };
    let is_directory = std::fs::symlink_metadata(path).map_err(failed)?.is_dir();
    let (file, kind) = if is_directory {
        (File::open(path.join(PLACEHOLDER_SUFFIX)), EntryType::Directory)
    } else {
        (File::open(path), EntryType::File)
    };
    let entry = read_placeholder(file.map_err(failed)?, kind).map_err(|reason| broken(&reason))?;
    let stats = restore(repository, &entry, &path.with_file_name(name), options, monitor)?;
    if stats.ignored_errors == 0 {
        let above = path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let above = TargetDirectory::open_root(above).map_err(|errno| failed(errno.into()))?;
        if let Err(errno) = remove(&above, name)
            && errno != Errno::NOENT
        {
            return Err(Error::File { operation: "remove", path: path.to_owned(), source: errno.into() });
        }
    }
    Ok(stats)
}

/// Removes the placeholder of what is called `name`. A directory with anything else in it stays.
fn remove(above: &TargetDirectory, name: &str) -> std::result::Result<(), Errno> {
    let placeholder = format!("{name}{PLACEHOLDER_SUFFIX}");
    match above.open_directory(placeholder.as_str()) {
        Ok(directory) => {
            if directory
                .members()?
                .iter()
                .all(|member| member.name.to_bytes() == PLACEHOLDER_SUFFIX.as_bytes())
            {
                directory.unlink(PLACEHOLDER_SUFFIX)?;
            }
            let name = std::ffi::CString::new(placeholder).map_err(|_| Errno::INVAL)?;
            above.remove_directory(&name)
        }
        Err(Errno::NOTDIR) => above.unlink(placeholder.as_str()),
        Err(errno) => Err(errno),
    }
}

impl Run<'_> {
    /// Whether a member of a directory is to become a placeholder. What is restored by itself never is.
    pub(super) fn is_left_out(&self, node: &Node, entry: &DirEntry) -> bool {
        let is_deep = self.options.shallow_at_depth.is_some_and(|depth| node.depth() >= depth);
        let is_wanted = match entry.kind {
            EntryType::Directory => true,
            EntryType::File => entry.size >= self.options.placeholder_bytes_min,
            EntryType::Symlink | EntryType::Unknown => false,
        };
        let fits = entry.name.len() + PLACEHOLDER_SUFFIX.len() <= NAME_BYTES_MAX;
        is_deep && is_wanted && fits && node.attributes().is_some()
    }

    /// Writes the placeholder of an entry, in place of an older one.
    pub(super) fn leave_out(&self, node: &Node, above: &TargetDirectory, entry: &DirEntry) -> Result<()> {
        let place = Place { node, name: &entry.name };
        if !node.is_fresh()
            && let Some(stat) = above.stat(&*entry.name).map_err(place.failed("look at"))?
        {
            return Err(Error::InTheWay { path: place.path(), found: describe(&stat) });
        }
        let name = format!("{}{PLACEHOLDER_SUFFIX}", entry.name);
        let place = Place { node, name: &name };
        if entry.kind == EntryType::Directory {
            match above.create_directory(&name) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(place.failed("create")(errno)),
            }
            let inner = above.open_directory(name.as_str()).map_err(place.failed("open"))?;
            self.write_placeholder(&place, &inner, PLACEHOLDER_SUFFIX, entry)?;
        } else {
            self.write_placeholder(&place, above, &name, entry)?;
            self.monitor.add(Counter::RestoredFiles, 1);
            self.monitor.add(Counter::RestoredBytes, entry.size);
        }
        self.count(|stats| stats.placeholders += 1);
        Ok(())
    }

    fn write_placeholder(
        &self,
        place: &Place<'_>,
        directory: &TargetDirectory,
        name: &str,
        entry: &DirEntry,
    ) -> Result<()> {
        let file = NewFile::create(directory, &self.temporary_names)
            .map_err(place.failed("create a temporary file for"))?;
        file.write(&write_placeholder(entry), 0, false).map_err(place.failed("write"))?;
        let stat = rustix::fs::fstat(file.fd()).map_err(place.failed("look at"))?;
        let attributes = Attributes::of(entry);
        let attributes = Attributes { mode: attributes.mode & MODE_MASK, ..attributes };
        let path = || place.path();
        let subject = Subject {
            fd: file.fd().as_fd(),
            is_directory: false,
            owner: (stat.st_uid, stat.st_gid),
            xattrs: WantedXattrs::default(),
            may_have_xattrs: false,
            path: &path,
        };
        self.set_attributes(&subject, &Wanted::new(&attributes, self.options))?;
        if self.flush {
            rustix::fs::fsync(file.fd()).map_err(place.failed("flush"))?;
        }
        file.keep(name, true).map_err(place.failed("name"))
    }

    /// Removes the placeholder of what is there now, if there was one.
    pub(super) fn fill_in(&self, node: &Node, name: &str) {
        if !node.placeholders().contains(name) {
            return;
        }
        let removed = node.directory().and_then(|above| remove(&above, name));
        if let Err(errno) = removed
            && errno != Errno::NOENT
        {
            let path = node.path().join(format!("{name}{PLACEHOLDER_SUFFIX}"));
            self.monitor.warn(&format!("cannot remove the placeholder {}: {errno}", path.display()));
        }
    }
}

/// Names of which placeholders are among the members of a directory.
pub(super) fn targets<'a>(names: impl Iterator<Item = &'a str>) -> impl Iterator<Item = String> {
    names.filter_map(|name| placeholder_target(name).map(str::to_owned))
}
