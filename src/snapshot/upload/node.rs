//! A directory on its way into the snapshot.

use super::big_file::FileInProgress;
use super::identity::Identities;
use super::look::Look;
use super::previous::PreviousDirectories;
use crate::actions::Scope;
use crate::policy::PolicyTree;
use crate::snapshot::packed::PackedEntries;
use crate::snapshot::{DirEntry, EntryError, EntryType, Mode, SpecialEntry, Supplement};
use crate::source::{self, Directory, Entry, EntryKind, IgnoreContext, SpecialKind};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

/// An open directory whose members arrive in any order from any worker.
pub(super) struct Node {
    /// Greater than that of every directory above.
    pub(super) number: u64,
    pub(super) parent: Option<Arc<Node>>,
    pub(super) directory: Directory,
    /// The directory itself as its parent's listing saw it.
    pub(super) own: Entry,
    pub(super) name: String,
    /// Path below the snapshot's root with slashes, empty for the root itself.
    pub(super) path: String,
    pub(super) policies: PolicyTree,
    pub(super) ignore: Arc<IgnoreContext>,
    pub(super) previous: PreviousDirectories,
    pub(super) identities: Identities,
    /// What its entry says beside Kopia's.
    pub(super) supplement: Option<Box<Supplement>>,
    pub(super) arrivals: Arrivals,
    /// Why the listing broke off, if it did: then the directory is a failure, whatever has arrived of it.
    pub(super) broken: Mutex<Option<source::Error>>,
    /// Runs the folder's command after when it is dropped.
    pub(super) scope: Mutex<Option<Scope>>,
}

impl Node {
    /// Runs what the policy wants to be run after the folder.
    pub(super) fn leave(&self) {
        // Not dropped under the lock: it may take minutes.
        let scope = self.scope.lock().take();
        drop(scope);
    }

    /// The stored form of a file or link in it, without its data.
    pub(super) fn member_entry(&self, member: &Entry, name: String, look: Look) -> DirEntry {
        let mut supplement = self.identities.supplement(member);
        if let Some(supplement) = &mut supplement {
            look.add_to(supplement);
        }
        let kind = if member.kind == EntryKind::Symlink { EntryType::Symlink } else { EntryType::File };
        DirEntry { supplement, ..stored_entry(member, name, kind) }
    }

    /// The stored form of a special file in it.
    pub(super) fn special_entry(&self, special: &Entry, kind: SpecialKind, look: Look) -> SpecialEntry {
        let hard_link = self.identities.hard_link(special);
        let (known, _) = look.into_directory();
        let is_said = known.is_some() || hard_link.is_some();
        let known = known.map_or_else(Supplement::default, |known| *known);
        let supplement = is_said.then(|| Box::new(Supplement { hard_link, ..known }));
        let mut stored = SpecialEntry::new(kind);
        stored.name.clone_from(&special.name);
        stored.mode = Mode::from_posix(special.permissions);
        (stored.mtime, stored.uid, stored.gid) = (special.mtime, special.uid, special.gid);
        stored.supplement = supplement;
        stored
    }

    /// The path of a member below the snapshot's root.
    pub(super) fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}/{name}", self.path) }
    }
}

/// The directories that are open, for whoever wants to know how far all of them are.
#[derive(Default)]
pub(super) struct OpenDirectories {
    next_number: AtomicU64,
    nodes: Mutex<BTreeMap<u64, Arc<Node>>>,
}

impl OpenDirectories {
    /// A number for a new directory.
    pub(super) fn number(&self) -> u64 {
        self.next_number.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn open(&self, node: &Arc<Node>) {
        self.nodes.lock().insert(node.number, Arc::clone(node));
    }

    /// Called when the directory's own entry has arrived at its parent.
    pub(super) fn close(&self, node: &Node) {
        // Not dropped under the lock: this may be the last reference.
        let closed = self.nodes.lock().remove(&node.number);
        drop(closed);
    }

    /// Those open at this moment, every directory before those inside it.
    pub(super) fn list(&self) -> Vec<Arc<Node>> {
        self.nodes.lock().values().cloned().collect()
    }
}

/// What has arrived of a directory.
#[derive(Default, Clone)]
pub(super) struct Arrived {
    pub(super) entries: PackedEntries,
    pub(super) specials: Vec<SpecialEntry>,
    /// With whether the policy forgives them.
    pub(super) failures: Vec<(EntryError, bool)>,
}

#[derive(Default)]
struct Members {
    arrived: Arrived,
    /// Big files being read.
    files: Vec<Weak<FileInProgress>>,
    taken: bool,
}

/// What has arrived of a directory, and how much has not.
pub(super) struct Arrivals {
    members: Mutex<Members>,
    /// Members that have not arrived, plus one while the directory is being listed.
    pending: AtomicUsize,
}

impl Arrivals {
    /// Waits for the listing.
    pub(super) fn new() -> Self {
        Self { members: Mutex::default(), pending: AtomicUsize::new(1) }
    }

    /// Expects `n` more members.
    pub(super) fn expect(&self, n: usize) {
        self.pending.fetch_add(n, Ordering::Relaxed);
    }

    pub(super) fn add_entries(&self, entries: impl IntoIterator<Item = DirEntry>) {
        let mut members = self.members.lock();
        entries.into_iter().for_each(|entry| members.arrived.entries.push(entry));
    }

    pub(super) fn add_special(&self, special: SpecialEntry) {
        self.members.lock().arrived.specials.push(special);
    }

    pub(super) fn add_failure(&self, error: EntryError, ignored: bool) {
        self.members.lock().arrived.failures.push((error, ignored));
    }

    /// Notes that `n` members have arrived or failed; `true` for the caller that brought the last.
    pub(super) fn arrived(&self, n: usize) -> bool {
        self.pending.fetch_sub(n, Ordering::AcqRel) == n
    }

    /// Everything that arrived, once.
    pub(super) fn take_members(&self) -> Arrived {
        let mut members = self.members.lock();
        members.taken = true;
        std::mem::take(&mut members.arrived)
    }

    /// A copy of what has arrived so far, unless it was taken.
    pub(super) fn copy(&self) -> Option<Arrived> {
        let members = self.members.lock();
        (!members.taken).then(|| members.arrived.clone())
    }

    /// Whether a directory of this name has yet to arrive.
    pub(super) fn lacks_directory(&self, name: &[u8]) -> bool {
        let members = self.members.lock();
        let is_it = |entry: &DirEntry| entry.kind == EntryType::Directory && entry.name_bytes() == name;
        !members.taken && !members.arrived.entries.others().iter().any(is_it)
    }

    /// Remembers a big file while it is being read.
    pub(super) fn add_file(&self, file: &Arc<FileInProgress>) {
        let mut members = self.members.lock();
        members.files.retain(|known| known.strong_count() > 0);
        members.files.push(Arc::downgrade(file));
    }

    /// Big files being read.
    pub(super) fn files(&self) -> Vec<Arc<FileInProgress>> {
        self.members.lock().files.iter().filter_map(Weak::upgrade).collect()
    }
}

/// The stored form of a live entry, without its data.
pub(super) fn stored_entry(entry: &Entry, name: String, kind: EntryType) -> DirEntry {
    let raw_name = std::str::from_utf8(&entry.name).is_err().then(|| entry.name.clone());
    DirEntry {
        name,
        raw_name,
        kind,
        mode: Mode::from_posix(entry.permissions),
        size: if kind == EntryType::Directory { 0 } else { entry.size },
        mtime: entry.mtime,
        uid: entry.uid,
        gid: entry.gid,
        ..DirEntry::default()
    }
}
