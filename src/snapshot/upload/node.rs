//! A directory on its way into the snapshot.

use super::previous::Previous;
use crate::policy::PolicyTree;
use crate::snapshot::{DirEntry, EntryError, EntryType, Mode};
use crate::source::{Directory, Entry, IgnoreContext};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// An open directory whose members arrive in any order from any worker.
pub(super) struct Node {
    pub(super) parent: Option<Arc<Node>>,
    pub(super) directory: Directory,
    /// The directory itself as its parent's listing saw it.
    pub(super) own: Entry,
    pub(super) name: String,
    /// Path below the snapshot's root with slashes, empty for the root itself.
    pub(super) path: String,
    pub(super) policies: PolicyTree,
    pub(super) ignore: Arc<IgnoreContext>,
    pub(super) previous: Previous,
    pub(super) arrivals: Arrivals,
}

impl Node {
    /// The path of a member below the snapshot's root.
    pub(super) fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}/{name}", self.path) }
    }
}

#[derive(Debug, Default)]
struct Members {
    entries: Vec<DirEntry>,
    failures: Vec<(EntryError, bool)>,
}

/// What has arrived of a directory, and how much has not.
#[derive(Debug)]
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
        self.members.lock().entries.extend(entries);
    }

    pub(super) fn add_failure(&self, error: EntryError, ignored: bool) {
        self.members.lock().failures.push((error, ignored));
    }

    /// Notes that `n` members have arrived or failed; `true` for the caller that brought the last.
    pub(super) fn arrived(&self, n: usize) -> bool {
        self.pending.fetch_sub(n, Ordering::AcqRel) == n
    }

    /// Everything that arrived, once.
    pub(super) fn take_members(&self) -> (Vec<DirEntry>, Vec<(EntryError, bool)>) {
        let members = std::mem::take(&mut *self.members.lock());
        (members.entries, members.failures)
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
