//! Looking up what an earlier snapshot holds of the same place.

use super::context::Context;
use super::identity::{Identities, Verdict};
use crate::base::Entropy;
use crate::object::ObjectId;
use crate::snapshot::directory_stream::read_members;
use crate::snapshot::packed::PackedEntries;
use crate::snapshot::{DirEntry, EntryType, Mode};
use crate::source::{Entry, EntryKind};
use std::sync::Arc;

/// A directory of an earlier snapshot, in Kopia's stored order or any other.
#[derive(Debug)]
pub(super) struct PreviousDirectory {
    /// Sorted by name; names are unique but for those mangled from bytes that are no UTF-8, which never match.
    entries: PackedEntries,
}

/// The directories of earlier snapshots that a directory is compared with, the most trusted first.
#[derive(Debug, Clone, Default)]
pub(super) struct Previous(Vec<Arc<PreviousDirectory>>);

impl Previous {
    /// Loads the directories behind `ids`, each once. One that cannot be read saves nothing and harms nothing: the files
    /// are read instead.
    pub(super) fn load(context: &Context<'_>, ids: impl Iterator<Item = ObjectId>) -> Self {
        let mut seen: Vec<ObjectId> = Vec::new();
        let mut loaded = Vec::new();
        for id in ids.filter(ObjectId::is_directory) {
            if seen.contains(&id) {
                continue;
            }
            seen.push(id);
            let mut entries = PackedEntries::default();
            match read_members(context.repository().objects(), id, |entry| entries.push(entry)) {
                Ok(()) => {
                    entries.sort();
                    loaded.push(Arc::new(PreviousDirectory { entries }));
                }
                Err(error) => context.monitor.warn(&format!(
                    "a directory of the previous snapshot cannot be read, its files are read again: {error}"
                )),
            }
        }
        Self(loaded)
    }

    /// The objects of a child directory in the earlier snapshots.
    pub(super) fn child_directories<'a>(&'a self, name: &'a str) -> impl Iterator<Item = ObjectId> + 'a {
        self.0.iter().filter_map(move |directory| {
            directory
                .entries
                .find(name)
                .filter(|entry| entry.kind == EntryType::Directory)
                .map(|entry| entry.obj)
        })
    }

    /// The earlier entry that proves that `entry` need not be read: same name, kind, times, size, mode and owner, and the
    /// same file if it says which it was. One that does not say counts only where none of the others says that the file
    /// has changed: whoever wrote it may have taken it over from them.
    pub(super) fn find_unchanged(
        &self,
        entry: &Entry,
        name: &str,
        identities: Identities,
    ) -> Option<DirEntry> {
        let (mut has_changed, mut unknown) = (false, None);
        for directory in &self.0 {
            let known = directory.entries.find(name).filter(|known| is_alike(known, entry));
            let Some(known) = known else { continue };
            match identities.compare(&known, entry) {
                Verdict::Unchanged => return Some(known),
                Verdict::Changed => has_changed = true,
                Verdict::Unknown => unknown = unknown.or(Some(known)),
            }
        }
        unknown.filter(|_| !has_changed)
    }
}

/// Whether Kopia would take `entry` for what is `known`.
///
/// Source: kopia `snapshot/upload/upload.go` `metadataEquals`.
fn is_alike(known: &DirEntry, entry: &Entry) -> bool {
    let kind = match entry.kind {
        EntryKind::File => EntryType::File,
        EntryKind::Symlink => EntryType::Symlink,
        EntryKind::Directory | EntryKind::Other => return false,
    };
    known.kind == kind
        && known.mtime == entry.mtime
        && known.size == entry.size
        && known.mode == Mode::from_posix(entry.permissions)
        && (known.uid, known.gid) == (entry.uid, entry.gid)
        && !known.obj.is_none()
}

/// Whether chance says that an unchanged file is read all the same.
pub(super) fn is_forced(percent: f64, entropy: &dyn Entropy) -> bool {
    percent > 0.0 && f64::from(u32::from_le_bytes(entropy.bytes())) / f64::from(u32::MAX) * 100.0 < percent
}
