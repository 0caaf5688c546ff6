//! Looking up what an earlier snapshot holds of the same place.

use super::context::Context;
use super::identity::{Identities, Verdict};
use crate::base::Entropy;
use crate::object::ObjectId;
use crate::snapshot::directory_stream::read_members;
use crate::snapshot::packed::PackedEntries;
use crate::snapshot::{DirEntry, EntryType, Mode};
use crate::source::{Entry, EntryKind};

/// What earlier snapshots hold of one directory, the most trusted first.
#[derive(Debug, Default)]
pub(super) struct Previous {
    pub(super) directories: PreviousDirectories,
    pub(super) files: PreviousFiles,
}

/// Its sub-directories, wanted until the last of them is listed.
#[derive(Debug, Default)]
pub(super) struct PreviousDirectories(Vec<Vec<(Box<str>, ObjectId)>>);

/// Its files and links, asked for in the order of their names. Names are unique but for those mangled from bytes that are
/// no UTF-8, which never match.
#[derive(Debug, Default)]
pub(super) struct PreviousFiles(Vec<PackedEntries>);

impl Previous {
    /// Loads the directories behind `ids`, each once. One that cannot be read saves nothing and harms nothing: the files
    /// are read instead.
    pub(super) fn load(context: &Context<'_>, ids: impl Iterator<Item = ObjectId>) -> Self {
        let mut seen: Vec<ObjectId> = Vec::new();
        let mut this = Self::default();
        for id in ids.filter(ObjectId::is_directory) {
            if seen.contains(&id) {
                continue;
            }
            seen.push(id);
            if let Err(error) = this.add(context, id) {
                context.monitor.warn(&format!(
                    "a directory of the previous snapshot cannot be read, its files are read again: {error}"
                ));
            }
        }
        this
    }

    fn add(&mut self, context: &Context<'_>, id: ObjectId) -> crate::snapshot::Result<()> {
        let (mut directories, mut files) = (Vec::<(Box<str>, _)>::new(), PackedEntries::default());
        read_members(context.repository().objects(), id, |entry| match entry.kind {
            EntryType::Directory => directories.push((entry.name.into(), entry.obj)),
            _ => files.push(entry),
        })?;
        directories.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        files.sort();
        self.directories.0.push(directories);
        self.files.0.push(files);
        Ok(())
    }
}

impl PreviousDirectories {
    /// The objects of a child directory in the earlier snapshots.
    pub(super) fn objects_of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = ObjectId> + 'a {
        self.0.iter().filter_map(move |directories| {
            let at = directories.binary_search_by(|directory| (*directory.0).cmp(name)).ok()?;
            directories.get(at).map(|directory| directory.1)
        })
    }
}

impl PreviousFiles {
    /// The earlier entry that proves that `entry` need not be read: same name, kind, times, size, mode and owner, and the
    /// same file if it says which it was. One that does not say counts only where none of the others says that the file
    /// has changed: whoever wrote it may have taken it over from them. With it what was proved.
    pub(super) fn find_unchanged(
        &self,
        entry: &Entry,
        name: &str,
        identities: Identities,
    ) -> Option<(DirEntry, Verdict)> {
        let (mut has_changed, mut unknown) = (false, None);
        for entries in &self.0 {
            let known = entries.find(name).filter(|known| is_alike(known, entry));
            let Some(known) = known else { continue };
            match identities.compare(&known, entry) {
                verdict @ (Verdict::Unchanged | Verdict::SameData) => return Some((known, verdict)),
                Verdict::Changed => has_changed = true,
                Verdict::Unknown => unknown = unknown.or(Some((known, Verdict::Unknown))),
            }
        }
        unknown.filter(|_| !has_changed)
    }

    /// Frees what has names before `name`: it is not asked for any more.
    pub(super) fn forget_before(&mut self, name: &[u8]) {
        self.0.iter_mut().for_each(|entries| entries.forget_before(name));
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
