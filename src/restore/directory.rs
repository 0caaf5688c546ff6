//! Directories: read what is stored, open or create what is there, hand out the members.

use super::attributes::Attributes;
use super::file::describe;
use super::listing::{self, Listing};
use super::new_file::TEMPORARY_PREFIX;
use super::node::{Node, Place};
use super::placeholder;
use super::queue::Pending;
use super::run::Run;
use super::target::TargetDirectory;
use super::{Error, Result};
use crate::base::Counter;
use crate::snapshot::{DirEntry, PLACEHOLDER_SUFFIX, PackedEntries};
use rustix::fs::{FileType, Mode};
use rustix::io::Errno;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How often something that changes under our hands is tried again.
const ATTEMPTS: usize = 8;

/// File systems whose write errors show when a file is closed: flushing it before costs nothing more there.
const NETWORK_FILE_SYSTEMS: [i64; 3] = [0x6969, 0xff53_4d42, 0xfe53_4d42];

/// Queues the root directory. Nothing is made or deleted before its manifest is read.
pub(super) fn start(run: &mut Run<'_>, entry: &DirEntry, target: &Path) -> Result<()> {
    let listing = listing::read(run, entry, || target.to_owned())?;
    let (directory, fresh) = open_target(target)?;
    run.flush |= is_network(&directory);
    if !fresh {
        check_overwrite(run, &directory, || target.to_owned())?;
    }
    let attributes = Attributes::of(entry);
    let node = Node::root(directory.clone(), target, Some(attributes), fresh, &run.open_count);
    let node = Arc::new(node.with(entry.supplement.clone()));
    if let Some(summary) = entry.summ.as_deref().filter(|_| run.options.shallow_at_depth.is_none()) {
        run.monitor.add(Counter::ExpectedFiles, summary.files);
        run.monitor.add(Counter::ExpectedBytes, summary.size);
        run.totals_known = true;
    }
    dispatch(run, &node, directory, listing);
    Ok(())
}

/// Queues a file or link as the only member of the directory it belongs into.
pub(super) fn start_single(run: &mut Run<'_>, entry: &DirEntry, target: &Path) -> Result<()> {
    let failed = |operation, source| Error::File { operation, path: target.to_owned(), source };
    let name = target.file_name().ok_or_else(|| failed("create", Errno::ISDIR.into()))?;
    let name = name.to_str().ok_or_else(|| failed("create", Errno::ILSEQ.into()))?;
    let parent = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let (directory, fresh) = open_target(parent)?;
    run.flush |= is_network(&directory);
    let node = Arc::new(Node::root(directory.clone(), parent, None, fresh, &run.open_count));
    run.monitor.add(Counter::ExpectedFiles, 1);
    run.monitor.add(Counter::ExpectedBytes, entry.size);
    let entry = DirEntry { name: name.to_owned(), summ: None, ..entry.clone() };
    node.expect(1);
    if !fresh {
        look_around(&node, &directory, |_| false);
    }
    let mut packed = PackedEntries::default();
    packed.push(entry);
    run.queue.push_members(&node, directory, Vec::new(), packed.into_parts().1);
    Ok(())
}

impl Run<'_> {
    /// Makes a directory and queues its members.
    pub(super) fn restore_directory(&self, pending: &Pending) {
        let result = self.check_canceled().and_then(|()| self.enter(pending));
        if let Err(error) = result {
            self.fail(error);
            self.complete(Arc::clone(&pending.parent), 1);
        }
    }

    fn enter(&self, pending: &Pending) -> Result<()> {
        let (parent, entry) = (&pending.parent, &pending.entry);
        let place = Place { node: parent, name: &entry.name };
        if parent.is_too_deep() {
            return Err(Error::TooDeep { path: place.path() });
        }
        if self.is_left_out(parent, entry) {
            let above = parent.directory().map_err(place.failed("open the directory of"))?;
            self.leave_out(parent, &above, entry)?;
            self.complete(Arc::clone(parent), 1);
            return Ok(());
        }
        let listing = listing::read(self, entry, || place.path())?;
        let above = parent.directory().map_err(place.failed("open the directory of"))?;
        let (directory, fresh) = self.open_or_create(&place, &above)?;
        let attributes = Attributes::of(entry);
        let node = Node::child(parent, &entry.name, &directory, attributes, fresh, &self.open_count);
        let node = Arc::new(node.with(entry.supplement.clone()));
        dispatch(self, &node, directory, listing);
        Ok(())
    }

    /// Opens a sub-directory, or makes it; tells whether it was made.
    fn open_or_create(&self, place: &Place<'_>, above: &TargetDirectory) -> Result<(TargetDirectory, bool)> {
        for _ in 0..ATTEMPTS {
            let fresh = match above.create_directory(place.name) {
                Ok(()) => true,
                Err(Errno::EXIST) => false,
                Err(errno) => return Err(place.failed("create")(errno)),
            };
            match above.open_directory(place.name) {
                Ok(directory) => {
                    if !fresh {
                        check_overwrite(self, &directory, || place.path())?;
                    }
                    return Ok((directory, fresh));
                }
                Err(Errno::LOOP | Errno::NOTDIR | Errno::NOENT) => self.clear_way(place, above)?,
                Err(errno) => return Err(place.failed("open")(errno)),
            }
        }
        Err(place.failed("open")(Errno::AGAIN))
    }

    /// Removes a link where a directory belongs, if that is allowed. Anything else stays and is an error.
    fn clear_way(&self, place: &Place<'_>, above: &TargetDirectory) -> Result<()> {
        let Some(stat) = above.stat(place.name).map_err(place.failed("look at"))? else { return Ok(()) };
        match FileType::from_raw_mode(stat.st_mode) {
            // It was something else a moment ago.
            FileType::Directory => Ok(()),
            FileType::Symlink if self.options.overwrite_symlinks => match above.unlink(place.name) {
                Ok(()) | Err(Errno::NOENT | Errno::ISDIR | Errno::PERM) => Ok(()),
                Err(errno) => Err(place.failed("replace")(errno)),
            },
            _ => Err(Error::InTheWay { path: place.path(), found: describe(&stat) }),
        }
    }
}

/// Queues the members of a directory that is open.
fn dispatch(run: &Run<'_>, node: &Arc<Node>, directory: TargetDirectory, listing: Listing) {
    let Listing { mut directories, files, bytes, specials, names, prefixed } = listing;
    if run.options.shallow_at_depth.is_none() {
        // Totals are of no use below and may be long.
        for entry in &mut directories {
            entry.summ = None;
        }
    }
    if !node.is_fresh() {
        look_around(node, &directory, |name| prefixed.contains(name));
        if run.options.delete_extra {
            run.delete_extra(node, &directory, &names);
        }
    }
    run.restore_specials(node, &directory, &specials);
    if !run.totals_known {
        run.monitor.add(Counter::ExpectedFiles, files.len() as u64);
        run.monitor.add(Counter::ExpectedBytes, bytes);
    }
    // One more than there are members: a directory without any is complete, too.
    node.expect(directories.len() + files.len() + 1);
    run.queue.push_members(node, directory, directories, files);
    run.complete(Arc::clone(node), 1);
}

/// Tells a node what is there of interrupted restores and of shallow ones. What `is_stored` is neither. A directory that
/// cannot be listed has nothing that matters.
fn look_around(node: &Node, directory: &TargetDirectory, is_stored: impl Fn(&str) -> bool) {
    let is_mark = |name: &[u8]| {
        name.starts_with(TEMPORARY_PREFIX.as_bytes()) || name.ends_with(PLACEHOLDER_SUFFIX.as_bytes())
    };
    let members = directory.members_where(is_mark).unwrap_or_default();
    let members =
        members.into_iter().filter_map(|member| Some((member.name.into_string().ok()?, member.kind)));
    let members: Vec<_> = members.filter(|(name, _)| !is_stored(name)).collect();
    node.set_placeholders(placeholder::targets(members.iter().map(|(name, _)| name.as_str())).collect());
    let left = |(name, kind): (String, FileType)| {
        (name.starts_with(TEMPORARY_PREFIX) && kind != FileType::Directory).then_some(name)
    };
    node.set_leftovers(members.into_iter().filter_map(left).collect());
}

/// Opens the target, following links, or makes it and all above; tells whether it was made.
pub(super) fn open_target(path: &Path) -> Result<(TargetDirectory, bool)> {
    let failed = |operation, source| Error::File { operation, path: path.to_owned(), source };
    let mut builder = std::fs::DirBuilder::new();
    builder.mode(Mode::RWXU.bits());
    let created = builder.create(path).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            let above = path.parent().filter(|above| !above.as_os_str().is_empty()).ok_or(error)?;
            builder.recursive(true).create(above)?;
            builder.recursive(false).create(path)
        }
        _ => Err(error),
    });
    let fresh = match created {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
        Err(error) => return Err(failed("create", error)),
    };
    match TargetDirectory::open_root(path) {
        Ok(directory) => Ok((directory, fresh)),
        Err(Errno::NOTDIR) => Err(Error::InTheWay { path: path.to_owned(), found: "no directory" }),
        Err(errno) => Err(failed("open", errno.into())),
    }
}

fn check_overwrite(run: &Run<'_>, directory: &TargetDirectory, path: impl Fn() -> PathBuf) -> Result<()> {
    if run.options.overwrite_directories {
        return Ok(());
    }
    match directory.is_empty() {
        Ok(true) => Ok(()),
        Ok(false) => Err(Error::NotEmpty { path: path() }),
        Err(errno) => Err(Error::File { operation: "list", path: path(), source: errno.into() }),
    }
}

fn is_network(directory: &TargetDirectory) -> bool {
    rustix::fs::fstatfs(directory.fd())
        .is_ok_and(|stat| NETWORK_FILE_SYSTEMS.contains(&(widen(stat.f_type) & 0xffff_ffff)))
}

/// The width of file-system types differs between processors.
fn widen(kind: impl Into<i64>) -> i64 {
    kind.into()
}
