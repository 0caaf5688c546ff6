//! Several names of one inode.
//!
//! The first name that comes is restored as any other entry; those that come meanwhile wait, and those that come later
//! are linked to it. If the first fails, the next takes its turn. Names are one inode if the snapshot says that they had
//! the same device and inode and if their objects are the same: an inode that was changed between two looks is restored
//! as two files, each with what was read.
//!
//! A link is made by two handles of directories below the target, from a path of plain names that this restore has
//! written there; no link on the way is followed (R1).

use super::file::Plan;
use super::node::{Node, Place};
use super::run::Run;
use super::target::TargetDirectory;
use super::{Error, Result};
use crate::base::Counter;
use crate::object::ObjectId;
use crate::snapshot::{DirEntry, EntryType, Supplement};
use parking_lot::Mutex;
use rustix::fs::{FileType, Stat};
use rustix::io::Errno;
use std::collections::{HashMap, VecDeque};
use std::ffi::{CStr, CString};
use std::sync::Arc;

/// What names of one inode have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    device: Option<u64>,
    inode: u64,
    /// `None` of a special file.
    object: Option<(ObjectId, EntryType)>,
}

/// Where a restored name lies: names from the target's root, with slashes between them.
pub(super) type RestoredPath = Arc<[u8]>;

/// An entry that waits for another name of its inode.
pub(super) type Waiting = (Arc<Node>, DirEntry);

/// What is to be done about a name.
pub(super) enum Turn {
    /// It is the first: to be restored in full.
    First,
    /// It waits.
    Wait,
    /// It is to be linked to this one.
    Link(RestoredPath),
}

#[derive(Debug, Default)]
struct Group {
    /// The name that is there; `None` while the first is on its way.
    restored: Option<RestoredPath>,
    waiting: VecDeque<Waiting>,
    /// Names that have not come yet, as far as the snapshot's numbers are right.
    to_come: u64,
}

/// The inodes of which not all names have been seen.
#[derive(Debug, Default)]
pub(super) struct HardLinks(Mutex<HashMap<Key, Group>>);

impl HardLinks {
    /// Tells a new name its turn; `waiting` makes what waits. `links` is the number of names that there were.
    pub(super) fn turn(&self, key: &Key, links: u64, waiting: impl FnOnce() -> Waiting) -> Turn {
        let mut groups = self.0.lock();
        let Some(group) = groups.get_mut(key) else {
            groups.insert(*key, Group { to_come: links.saturating_sub(1), ..Group::default() });
            return Turn::First;
        };
        group.to_come = group.to_come.saturating_sub(1);
        let Some(restored) = group.restored.clone() else {
            group.waiting.push_back(waiting());
            return Turn::Wait;
        };
        if group.to_come == 0 {
            groups.remove(key);
        }
        Turn::Link(restored)
    }

    /// The same for what is restored at once, so that nobody waits for it.
    pub(super) fn turn_at_once(&self, key: &Key, links: u64) -> Turn {
        let mut groups = self.0.lock();
        match groups.get_mut(key) {
            None => {
                groups.insert(*key, Group { to_come: links.saturating_sub(1), ..Group::default() });
                Turn::First
            }
            Some(group) => {
                group.to_come = group.to_come.saturating_sub(1);
                let restored = group.restored.clone();
                if group.to_come == 0 {
                    groups.remove(key);
                }
                // The first may have failed, or be on its way on another thread.
                restored.map_or(Turn::First, Turn::Link)
            }
        }
    }

    /// The same for what is there at once.
    pub(super) fn finish_at_once(&self, key: &Key, path: RestoredPath) {
        if let Some(group) = self.0.lock().get_mut(key) {
            group.restored.get_or_insert(path);
        }
    }

    /// The first name is there, or failed: then whoever waits longest is first. Gives back those that waited for a name
    /// that is there, or the one that is first now.
    fn finish(&self, key: &Key, restored: Option<&RestoredPath>) -> Vec<Waiting> {
        let mut groups = self.0.lock();
        let Some(group) = groups.get_mut(key) else { return Vec::new() };
        let Some(restored) = restored else {
            let next = group.waiting.pop_front();
            if next.is_none() {
                groups.remove(key);
            }
            return next.into_iter().collect();
        };
        group.restored = Some(Arc::clone(restored));
        let waiting = std::mem::take(&mut group.waiting).into();
        if group.to_come == 0 {
            groups.remove(key);
        }
        waiting
    }

    /// A name that could not be linked is first now, and others wait for it.
    fn begin_anew(&self, key: &Key, others: Vec<Waiting>) {
        let mut groups = self.0.lock();
        let group = groups.entry(*key).or_default();
        group.restored = None;
        others.into_iter().rev().for_each(|other| group.waiting.push_front(other));
    }
}

impl Run<'_> {
    /// The inode that an entry is a name of, with the number of its names.
    pub(super) fn link_key(
        &self,
        supplement: &Supplement,
        object: Option<(ObjectId, EntryType)>,
    ) -> Option<(Key, u64)> {
        let link = supplement.hard_link.as_deref().filter(|_| !self.options.skip_hard_links)?;
        Some((Key { device: link.device, inode: link.inode, object }, link.links))
    }

    fn key_of(&self, entry: &DirEntry) -> Option<(Key, u64)> {
        self.link_key(entry.supplement.as_deref()?, Some((entry.obj, entry.kind)))
    }

    /// Whether an entry had one name, so that a file with more is not what is wanted.
    pub(super) fn is_alone(&self, entry: &DirEntry) -> bool {
        let says_so = |supplement: &Supplement| supplement.inode.is_some() && supplement.hard_link.is_none();
        !self.options.skip_hard_links && entry.supplement.as_deref().is_some_and(says_so)
    }

    /// Deals with a name of an inode that has others; `None` if it is to be restored in full, else whether it is done.
    pub(super) fn join_others(
        &self,
        node: &Arc<Node>,
        directory: &TargetDirectory,
        entry: &DirEntry,
    ) -> Option<Result<bool>> {
        let (key, links) = self.key_of(entry)?;
        let first = match self.hard_links.turn(&key, links, || (Arc::clone(node), entry.clone())) {
            Turn::First => return None,
            Turn::Wait => return Some(Ok(false)),
            Turn::Link(first) => first,
        };
        match self.link_entry(node, directory, entry, &first) {
            Ok(true) => Some(Ok(true)),
            Ok(false) => {
                self.hard_links.begin_anew(&key, Vec::new());
                None
            }
            Err(error) => Some(Err(error)),
        }
    }

    /// An entry is there or has failed; its member of the directory is done after this. Those that waited for it are
    /// linked, or the next of them is restored.
    pub(super) fn settle(&self, node: &Arc<Node>, entry: &DirEntry, is_there: bool) {
        let mut next = self.settle_one(node, entry, is_there);
        // Not by recursion: a stored directory may claim that thousands of damaged entries are one inode.
        while let Some((node, entry)) = next.take() {
            let is_there = match self.restore_waiting(&node, &entry) {
                Ok(false) => continue,
                Ok(true) => true,
                Err(error) => {
                    self.fail(error);
                    false
                }
            };
            next = self.settle_one(&node, &entry, is_there);
            self.complete(node, 1);
        }
    }

    fn restore_waiting(&self, node: &Arc<Node>, entry: &DirEntry) -> Result<bool> {
        self.check_canceled()?;
        let place = Place { node, name: &entry.name };
        let directory = node.directory().map_err(place.failed("open the directory of"))?;
        let mut planned = Vec::new();
        let done = self.plan_in_full(node, &directory, entry.clone(), &mut planned)?;
        self.queue.plan(planned);
        Ok(done)
    }

    /// Gives back one that is to be restored in full.
    fn settle_one(&self, node: &Arc<Node>, entry: &DirEntry, is_there: bool) -> Option<Waiting> {
        let (key, _) = self.key_of(entry)?;
        let path = is_there.then(|| node.relative(entry.name.as_bytes()));
        let mut waiting = self.hard_links.finish(&key, path.as_ref()).into_iter();
        let Some(path) = path else { return waiting.next() };
        while let Some((node, entry)) = waiting.next() {
            let place = Place { node: &node, name: &entry.name };
            let opened = node.directory().map_err(place.failed("open the directory of"));
            match opened.and_then(|directory| self.link_entry(&node, &directory, &entry, &path)) {
                Ok(true) => {}
                Ok(false) => {
                    self.hard_links.begin_anew(&key, waiting.collect());
                    return Some((node, entry));
                }
                Err(error) => self.fail(error),
            }
            self.complete(node, 1);
        }
        None
    }

    /// Links a file or link to the first of its names; `false` if that cannot be.
    fn link_entry(
        &self,
        node: &Arc<Node>,
        directory: &TargetDirectory,
        entry: &DirEntry,
        first: &RestoredPath,
    ) -> Result<bool> {
        let place = Place { node, name: &entry.name };
        if self.options.skip_existing && self.is_skipped(&place, directory, entry)? {
            return Ok(true);
        }
        let name = CString::new(entry.name.as_str()).map_err(|_| place.failed("link")(Errno::INVAL))?;
        let Some(is_new) = self.link(&place, directory, &name, first)? else { return Ok(false) };
        let is_file = entry.kind == EntryType::File;
        if is_new {
            self.count(|stats| stats.hard_links += 1);
        } else if is_file {
            self.count(|stats| {
                stats.unchanged_files += 1;
                stats.unchanged_bytes += entry.size;
            });
        } else {
            self.count(|stats| stats.unchanged_symlinks += 1);
        }
        if is_file {
            self.monitor.add(Counter::RestoredFiles, 1);
            self.monitor.add(Counter::RestoredBytes, entry.size);
        }
        Ok(true)
    }

    /// Leaves alone what is there, by the rules for an entry of its own.
    fn is_skipped(&self, place: &Place<'_>, directory: &TargetDirectory, entry: &DirEntry) -> Result<bool> {
        let is_file = entry.kind == EntryType::File;
        let plan = if is_file {
            self.plan_file(place, directory, entry)?
        } else {
            self.plan_link(place, directory, entry)?
        };
        let is_skipped = matches!(plan, Plan::Skip);
        if is_skipped {
            self.count_skipped(if is_file { entry.size } else { 0 });
        }
        Ok(is_skipped)
    }

    /// The same for a special file.
    pub(super) fn link_special(
        &self,
        place: &Place<'_>,
        directory: &TargetDirectory,
        name: &CStr,
        first: &RestoredPath,
    ) -> Result<bool> {
        let is_new = self.link(place, directory, name, first)?;
        self.count(|stats| stats.hard_links += u64::from(is_new == Some(true)));
        Ok(is_new.is_some())
    }

    /// Whether a name was made, or was right already; `None` if the system does not want it.
    fn link(
        &self,
        place: &Place<'_>,
        directory: &TargetDirectory,
        name: &CStr,
        first: &RestoredPath,
    ) -> Result<Option<bool>> {
        let Ok((above, first)) = place.node.open_restored(first) else { return Ok(None) };
        let Ok(Some(first_stat)) = above.stat(&first) else { return Ok(None) };
        if FileType::from_raw_mode(first_stat.st_mode) == FileType::Directory {
            return Ok(None);
        }
        let found = directory.stat(name).map_err(place.failed("look at"))?;
        let linked = match &found {
            Some(found) if is_one(found, &first_stat) => return Ok(Some(false)),
            Some(found) => {
                self.check_replace(place, found)?;
                self.replace_by_link(directory, name, &above, &first)
            }
            None => above.link_to(&first, directory, name),
        };
        match linked {
            Ok(()) => Ok(Some(true)),
            Err(Errno::EXIST) => Err(Error::InTheWay { path: place.path(), found: "something new" }),
            // Too many links, another file system mounted there, or a file system without: two files have the same data.
            Err(Errno::MLINK | Errno::XDEV | Errno::PERM | Errno::ACCESS | Errno::NOTSUP | Errno::NOENT) => {
                Ok(None)
            }
            Err(errno) => Err(place.failed("link")(errno)),
        }
    }

    fn replace_by_link(
        &self,
        directory: &TargetDirectory,
        name: &CStr,
        above: &TargetDirectory,
        first: &CStr,
    ) -> Result<(), Errno> {
        let ((), temporary) = self.temporary_names.create(|temporary| {
            let temporary = CString::new(temporary).map_err(|_| Errno::INVAL)?;
            above.link_to(first, directory, &temporary)
        })?;
        let temporary = CString::new(temporary).map_err(|_| Errno::INVAL)?;
        directory.rename(&temporary, name).inspect_err(|_| {
            // The failure that led here is the one that matters.
            directory.unlink(temporary.as_c_str()).ok();
        })
    }
}

fn is_one(a: &Stat, b: &Stat) -> bool {
    (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(inode: u64) -> Key {
        Key { device: None, inode, object: None }
    }

    fn waiting(name: &str) -> Waiting {
        let temp = tempfile::tempdir().unwrap();
        let directory = TargetDirectory::open_root(temp.path()).unwrap();
        let node = Arc::new(Node::root(directory, temp.path(), None, true, &Arc::default()));
        (node, DirEntry { name: name.to_owned(), ..DirEntry::default() })
    }

    fn names(waiting: &[Waiting]) -> Vec<&str> {
        waiting.iter().map(|(_, entry)| entry.name.as_str()).collect()
    }

    #[test]
    fn a_group_is_forgotten_when_all_of_its_names_came() {
        let table = HardLinks::default();
        let path: RestoredPath = (*b"a").into();
        assert!(matches!(table.turn(&key(1), 3, || waiting("a")), Turn::First));
        assert!(matches!(table.turn(&key(2), 3, || waiting("x")), Turn::First));
        assert!(matches!(table.turn(&key(1), 3, || waiting("b")), Turn::Wait));
        assert_eq!(names(&table.finish(&key(1), Some(&path))), ["b"]);
        assert!(matches!(table.turn(&key(1), 3, || waiting("c")), Turn::Link(first) if first == path));
        assert!(!table.0.lock().contains_key(&key(1)) && table.0.lock().contains_key(&key(2)));
        assert!(table.finish(&key(2), None).is_empty());
        assert!(table.0.lock().is_empty());
    }

    #[test]
    fn when_the_first_fails_the_next_is_first() {
        let table = HardLinks::default();
        let path: RestoredPath = (*b"b").into();
        assert!(matches!(table.turn(&key(1), 9, || waiting("a")), Turn::First));
        for name in ["b", "c"] {
            assert!(matches!(table.turn(&key(1), 9, || waiting(name)), Turn::Wait));
        }
        assert_eq!(names(&table.finish(&key(1), None)), ["b"]);
        assert!(matches!(table.turn(&key(1), 9, || waiting("d")), Turn::Wait));
        let ready = table.finish(&key(1), Some(&path));
        assert_eq!(names(&ready), ["c", "d"]);
        table.begin_anew(&key(1), ready);
        assert!(matches!(table.turn(&key(1), 9, || waiting("e")), Turn::Wait));
        assert_eq!(names(&table.finish(&key(1), Some(&path))), ["c", "d", "e"]);
    }
}
