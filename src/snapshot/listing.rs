//! A whole directory in little memory, to be asked for members by name and by number.

use super::packed::PackedEntries;
use super::{DirEntry, Error, Result, Supplement, stream_directory};
use crate::object::{ObjectId, ObjectReader};
use crate::source::SpecialKind;

/// A member of a directory.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// Its entry; of a special file the one that it would have.
    pub entry: DirEntry,
    /// What a special file is.
    pub special: Option<SpecialKind>,
}

/// The members of a directory, numbered from 0: for one directory always in the same way.
#[derive(Debug, Default)]
pub struct Listing {
    members: PackedEntries,
    /// By name, numbered behind the others.
    specials: Vec<Member>,
}

impl Listing {
    /// Reads the directory behind `id`; of its members those that `keep` takes, without the totals of directories,
    /// and without the times and inodes of what has nothing else beside Kopia's entries.
    ///
    /// # Errors
    /// Those of [`read_directory`](super::read_directory).
    pub fn read(
        objects: &ObjectReader,
        id: ObjectId,
        mut keep: impl FnMut(&DirEntry) -> bool,
    ) -> Result<Self> {
        let mut members = PackedEntries::default();
        let manifest = stream_directory(objects, id, |entry| {
            if keep(&entry) {
                members.push(without_identity(entry));
            }
            Ok::<_, Error>(())
        })?;
        members.sort();
        let special = |special: &super::SpecialEntry| {
            let (entry, special) = (special.as_entry(), Some(special.kind()?));
            keep(&entry).then_some(Member { entry, special })
        };
        let mut specials: Vec<_> = manifest.specials().iter().filter_map(special).collect();
        specials.sort_by(|a, b| a.entry.name_bytes().cmp(b.entry.name_bytes()));
        Ok(Self { members, specials })
    }

    /// A directory that is stored nowhere.
    pub fn of(entries: impl IntoIterator<Item = DirEntry>) -> Self {
        let mut members = PackedEntries::default();
        entries.into_iter().for_each(|entry| members.push(DirEntry { summ: None, ..entry }));
        members.sort();
        Self { members, specials: Vec::new() }
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.members.len() + self.specials.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The member of a number.
    pub fn get(&self, number: usize) -> Option<Member> {
        match number.checked_sub(self.members.len()) {
            Some(special) => self.specials.get(special).cloned(),
            None => Some(Member { entry: self.members.get(number)?, special: None }),
        }
    }

    /// The number of the member of a name.
    pub fn position(&self, name: &[u8]) -> Option<usize> {
        let member = std::str::from_utf8(name).ok().and_then(|name| self.members.position(name));
        member.or_else(|| {
            let special = self.specials.binary_search_by(|member| member.entry.name_bytes().cmp(name));
            Some(self.members.len() + special.ok()?)
        })
    }
}

fn without_identity(entry: DirEntry) -> DirEntry {
    let says_more = |supplement: &Supplement| {
        supplement.hard_link.is_some() || supplement.xattrs.is_some() || supplement.holes.is_some()
    };
    let supplement = entry.supplement.filter(|supplement| says_more(supplement));
    DirEntry { summ: None, supplement, ..entry }
}
