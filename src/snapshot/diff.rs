//! What differs between two stored directories.
//!
//! 1. Two entries of one object are never read: what they hold is the same.
//! 2. Of two directories the older is held as packed records while the newer is read as a stream; a directory below
//!    waits its turn as one entry. Memory follows the widest directory, not the trees.
//! 3. Contents are compared by id alone.
//!
//! Source: kopia `internal/diff/diff.go`; what is counted is counted as there.

use super::packed::PackedEntries;
use super::{DirEntry, EntryType, Error, Result, SpecialEntry, stream_directory};
use crate::object::ObjectReader;
use crate::source::Xattrs;
use serde::Serialize;

/// How many entries of a kind differ, and in what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EntryDiffStats {
    /// Only in the newer tree.
    pub added: u64,
    /// Only in the older tree.
    pub removed: u64,
    /// In both with other metadata, and once more for files of other data.
    pub modified: u64,
    /// The same object with other metadata.
    pub same_content_but_different_metadata: u64,
    /// Of those: another mode.
    pub same_content_but_different_mode: u64,
    /// Of those: another modification time.
    pub same_content_but_different_modification_time: u64,
    /// Of those: another owner.
    pub same_content_but_different_user_owner: u64,
    /// Of those: another group.
    pub same_content_but_different_group_owner: u64,
}

/// How two trees differ, in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DiffStats {
    /// Everything that is no directory.
    pub file_entries: EntryDiffStats,
    /// Directories.
    pub directory_entries: EntryDiffStats,
}

impl DiffStats {
    fn of(&mut self, is_directory: bool) -> &mut EntryDiffStats {
        if is_directory { &mut self.directory_entries } else { &mut self.file_entries }
    }
}

/// One entry that is not the same in both trees; one of the two is there at least.
#[derive(Debug, Clone, Copy)]
pub struct Difference<'a> {
    /// The path from the roots, which are `.`.
    pub path: &'a str,
    /// In the older tree.
    pub old: Option<&'a DirEntry>,
    /// In the newer tree.
    pub new: Option<&'a DirEntry>,
}

/// Which metadata of two entries differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is one field that differs or not")]
pub struct MetadataDiff {
    /// Kind or permissions.
    pub mode: bool,
    /// Bytes.
    pub size: bool,
    /// Modification time.
    pub mtime: bool,
    /// Owner.
    pub uid: bool,
    /// Group.
    pub gid: bool,
    /// Extended attributes, where both are known.
    pub xattrs: bool,
}

fn xattrs(entry: &DirEntry) -> Option<&Xattrs> {
    entry.supplement.as_ref().and_then(|supplement| supplement.known_xattrs())
}

impl MetadataDiff {
    /// Compares two entries.
    pub fn of(old: &DirEntry, new: &DirEntry) -> Self {
        Self {
            mode: (old.kind, old.mode) != (new.kind, new.mode),
            size: old.size != new.size,
            mtime: old.mtime != new.mtime,
            uid: old.uid != new.uid,
            gid: old.gid != new.gid,
            xattrs: matches!((xattrs(old), xattrs(new)), (Some(old), Some(new)) if old != new),
        }
    }

    /// Whether anything differs.
    pub fn any(self) -> bool {
        self != Self::default()
    }
}

impl Difference<'_> {
    /// Whether both stand for one object, so that only metadata differ.
    pub fn has_same_content(&self) -> bool {
        matches!((self.old, self.new), (Some(old), Some(new)) if old.obj == new.obj)
    }
}

/// Compares two directories and everything below, and hands each difference to `report`: of a directory before those
/// inside, and of its own members first those that are no directories.
///
/// As Kopia shows them, a directory below the roots has the size and the newest time of what is inside.
///
/// # Errors
/// What reading a directory says, and what `report` says.
pub fn diff<E: From<Error>>(
    objects: &ObjectReader,
    old: DirEntry,
    new: DirEntry,
    report: impl FnMut(Difference<'_>) -> Result<(), E>,
) -> Result<DiffStats, E> {
    let mut diff = Diff { objects, report, stats: DiffStats::default(), waiting: Vec::new() };
    diff.entry(Pair { path: ".".to_owned(), old: Some(old), new: Some(new) })?;
    // Directories inside wait behind each other, so the next is always the last.
    while let Some(pair) = diff.waiting.pop() {
        diff.directory(&pair)?;
    }
    Ok(diff.stats)
}

/// What has one name in both trees, or in one.
struct Pair {
    path: String,
    old: Option<DirEntry>,
    new: Option<DirEntry>,
}

struct Diff<'a, R> {
    objects: &'a ObjectReader,
    report: R,
    stats: DiffStats,
    /// Directories that differ, not looked into yet.
    waiting: Vec<Pair>,
}

impl<E: From<Error>, R: FnMut(Difference<'_>) -> Result<(), E>> Diff<'_, R> {
    /// Reports a directory that differs, and compares its members.
    fn directory(&mut self, pair: &Pair) -> Result<(), E> {
        // The roots were reported before they came to wait.
        if pair.path != "." {
            self.report(pair)?;
        }
        let (old, old_specials) = self.members(pair.old.as_ref())?;
        let mut new_specials = Vec::new();
        let mut is_matched = vec![false; old.len()];
        let first = self.waiting.len();
        let mut outcome = Ok(());
        if let Some(new) = pair.new.as_ref().filter(|new| new.kind == EntryType::Directory) {
            let objects = self.objects;
            let rest = stream_directory(objects, new.obj, |new| {
                if outcome.is_ok() {
                    let at = old.position(&new.name);
                    at.and_then(|at| is_matched.get_mut(at)).into_iter().for_each(|matched| *matched = true);
                    let path = format!("{}/{}", pair.path, new.name);
                    let old = at.and_then(|at| old.get(at)).map(DirEntry::as_listed);
                    outcome = self.entry(Pair { path, old, new: Some(new.as_listed()) });
                }
                Ok::<_, Error>(())
            })?;
            new_specials = rest.specials().to_vec();
        }
        outcome?;
        for at in is_matched.iter().enumerate().filter(|(_, matched)| !**matched).map(|(at, _)| at) {
            if let Some(old) = old.get(at).map(DirEntry::as_listed) {
                self.entry(Pair { path: format!("{}/{}", pair.path, old.name), old: Some(old), new: None })?;
            }
        }
        self.specials(&pair.path, &old_specials, &new_specials)?;
        self.waiting[first..].reverse();
        Ok(())
    }

    fn members(&self, directory: Option<&DirEntry>) -> Result<(PackedEntries, Vec<SpecialEntry>), Error> {
        let mut members = PackedEntries::default();
        let mut specials = Vec::new();
        if let Some(directory) = directory.filter(|directory| directory.kind == EntryType::Directory) {
            let rest = stream_directory(self.objects, directory.obj, |entry| {
                members.push(entry);
                Ok::<_, Error>(())
            })?;
            members.sort();
            specials = rest.specials().to_vec();
        }
        Ok((members, specials))
    }

    /// Special files of one name are the same if their kinds are.
    fn specials(&mut self, above: &str, old: &[SpecialEntry], new: &[SpecialEntry]) -> Result<(), E> {
        let same = |of: &'_ [SpecialEntry], special: &SpecialEntry| {
            let is_same =
                |other: &&SpecialEntry| other.name == special.name && other.kind() == special.kind();
            of.iter().find(is_same).map(SpecialEntry::as_entry)
        };
        let gone = old.iter().filter(|special| same(new, special).is_none());
        let gone = gone.map(|special| (Some(special.as_entry()), None));
        let there = new.iter().map(|special| (same(old, special), Some(special.as_entry())));
        for (old, new) in gone.chain(there) {
            let name = old.as_ref().or(new.as_ref()).map_or("", |entry| entry.name.as_str());
            self.entry(Pair { path: format!("{above}/{name}"), old, new })?;
        }
        Ok(())
    }

    /// Counts and reports one entry, unless it is a directory to look into: that one waits.
    fn entry(&mut self, pair: Pair) -> Result<(), E> {
        let is_directory =
            |entry: &Option<DirEntry>| entry.as_ref().is_none_or(|entry| entry.kind == EntryType::Directory);
        if let (Some(old), Some(new)) = (&pair.old, &pair.new)
            && old.obj == new.obj
        {
            return if self.count_same(old, new) { self.report(&pair) } else { Ok(()) };
        }
        let goes_inside = is_directory(&pair.old) && is_directory(&pair.new);
        self.count(&pair);
        if !goes_inside || pair.path == "." {
            self.report(&pair)?;
        }
        if goes_inside {
            self.waiting.push(pair);
        }
        Ok(())
    }

    fn report(&mut self, pair: &Pair) -> Result<(), E> {
        (self.report)(Difference { path: &pair.path, old: pair.old.as_ref(), new: pair.new.as_ref() })
    }

    /// Counts two entries of one object; says whether their metadata differ.
    fn count_same(&mut self, old: &DirEntry, new: &DirEntry) -> bool {
        let stats = self.stats.of(old.kind == EntryType::Directory);
        let differs = MetadataDiff { size: false, ..MetadataDiff::of(old, new) };
        stats.same_content_but_different_metadata += u64::from(differs.any());
        stats.same_content_but_different_mode += u64::from(differs.mode);
        stats.same_content_but_different_modification_time += u64::from(differs.mtime);
        stats.same_content_but_different_user_owner += u64::from(differs.uid);
        stats.same_content_but_different_group_owner += u64::from(differs.gid);
        differs.any()
    }

    fn count(&mut self, pair: &Pair) {
        let is = |entry: &DirEntry, kind| entry.kind == kind;
        match (&pair.old, &pair.new) {
            (None, Some(new)) => self.stats.of(is(new, EntryType::Directory)).added += 1,
            (Some(old), None) => self.stats.of(is(old, EntryType::Directory)).removed += 1,
            (Some(old), Some(new)) => {
                let both = |kind| is(old, kind) && is(new, kind);
                if MetadataDiff::of(old, new).any() {
                    self.stats.of(both(EntryType::Directory)).modified += 1;
                }
                if both(EntryType::File) {
                    self.stats.file_entries.modified += 1;
                }
            }
            (None, None) => {}
        }
    }
}
