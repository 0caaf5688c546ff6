//! A whole directory in little memory, to be asked for members by name and by number.

use super::directory_stream::read_members;
use super::packed::PackedEntries;
use super::{DirEntry, Result};
use crate::object::{ObjectId, ObjectReader};

/// The members of a directory, numbered from 0: for one directory always in the same way.
#[derive(Debug, Default)]
pub struct Listing {
    members: PackedEntries,
}

impl Listing {
    /// Reads the directory behind `id`; of its members those that `keep` takes, without the totals of directories.
    ///
    /// # Errors
    /// Those of [`read_directory`](super::read_directory).
    pub fn read(
        objects: &ObjectReader,
        id: ObjectId,
        mut keep: impl FnMut(&DirEntry) -> bool,
    ) -> Result<Self> {
        let mut members = PackedEntries::default();
        read_members(objects, id, |entry| {
            if keep(&entry) {
                members.push(DirEntry { summ: None, ..entry });
            }
        })?;
        members.sort();
        Ok(Self { members })
    }

    /// A directory that is stored nowhere.
    pub fn of(entries: impl IntoIterator<Item = DirEntry>) -> Self {
        let mut members = PackedEntries::default();
        entries.into_iter().for_each(|entry| members.push(DirEntry { summ: None, ..entry }));
        members.sort();
        Self { members }
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The member of a number.
    pub fn get(&self, number: usize) -> Option<DirEntry> {
        self.members.get(number)
    }

    /// The number of the member of a name.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.members.position(name)
    }
}
