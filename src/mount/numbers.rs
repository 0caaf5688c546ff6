//! Inode numbers.
//!
//! ```text
//! 1                            the root
//! directory << 32              another directory, numbered when it is first seen
//! directory << 32 | member + 2 any other member of a directory
//! 1 << 62 | file               a file that was asked for before its directory was read (`early`)
//! 1 << 63 | link               a file of several names, numbered when its first name is seen
//! ```
//!
//! A member's number is its place in its directory, which never changes; so nothing is kept for files of one name.

use super::{Error, Result};
use crate::object::ObjectId;
use hashbrown::HashMap;
use parking_lot::RwLock;

/// The number of the root, for the kernel.
pub(super) const ROOT: u64 = 1;
/// The root among the directories.
pub(super) const ROOT_DIRECTORY: u32 = 0;
const LINK: u64 = 1 << 63;
/// A directory that is in no snapshot.
pub(super) const NO_SNAPSHOT: u32 = u32::MAX;
const DIRECTORIES_MAX: u32 = 1 << 30;

/// A member of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Place {
    /// The directory.
    pub(super) directory: u32,
    /// The member's number in its listing.
    pub(super) member: u32,
}

#[derive(Debug, Clone, Copy)]
struct Directory {
    place: Place,
    /// The directory that is the root of the snapshot it is in.
    snapshot: u32,
}

/// What makes a file of several names one. The object is part of it: names that were read at different times may stand
/// for different data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct LinkKey {
    pub(super) snapshot: u32,
    pub(super) device: Option<u64>,
    pub(super) inode: u64,
    pub(super) object: ObjectId,
}

#[derive(Debug, Default)]
struct State {
    directories: Vec<Directory>,
    by_place: HashMap<Place, u32>,
    links: Vec<Place>,
    by_link: HashMap<LinkKey, u32>,
}

/// The numbers that were given out.
#[derive(Debug)]
pub(super) struct Numbers(RwLock<State>);

impl Numbers {
    /// With a root that is in a snapshot, or not.
    pub(super) fn new(root_is_stored: bool) -> Self {
        let place = Place { directory: ROOT_DIRECTORY, member: 0 };
        let snapshot = if root_is_stored { ROOT_DIRECTORY } else { NO_SNAPSHOT };
        let directories = vec![Directory { place, snapshot }];
        Self(RwLock::new(State { directories, ..State::default() }))
    }

    /// The number of a member that is no directory and has one name.
    pub(super) fn of_member(place: Place) -> u64 {
        (u64::from(place.directory) << 32) | (u64::from(place.member) + 2)
    }

    /// The number of a directory.
    pub(super) fn of_directory(directory: u32) -> u64 {
        if directory == ROOT_DIRECTORY { ROOT } else { u64::from(directory) << 32 }
    }

    /// The directory at a place; `is_stored` says whether it is part of a snapshot.
    pub(super) fn directory_at(&self, place: Place, is_stored: bool) -> Result<u32> {
        if let Some(known) = self.0.read().by_place.get(&place) {
            return Ok(*known);
        }
        let mut state = self.0.write();
        if let Some(known) = state.by_place.get(&place) {
            return Ok(*known);
        }
        let number = u32::try_from(state.directories.len()).unwrap_or(u32::MAX);
        if number >= DIRECTORIES_MAX {
            return Err(Error::TooMany);
        }
        let above =
            state.directories.get(place.directory as usize).map_or(NO_SNAPSHOT, |above| above.snapshot);
        let snapshot = match above {
            NO_SNAPSHOT if is_stored => number,
            above => above,
        };
        state.directories.push(Directory { place, snapshot });
        state.by_place.insert(place, number);
        Ok(number)
    }

    /// The number of a file of several names, of which one is at `place`.
    pub(super) fn of_link(&self, key: LinkKey, place: Place) -> u64 {
        if let Some(known) = self.0.read().by_link.get(&key) {
            return LINK | u64::from(*known);
        }
        let mut state = self.0.write();
        let State { links, by_link, .. } = &mut *state;
        let number = *by_link.entry(key).or_insert_with(|| {
            links.push(place);
            links.len() as u32 - 1
        });
        LINK | u64::from(number)
    }

    /// The directory of a number, if it is one.
    pub(super) fn directory(&self, number: u64) -> Option<u32> {
        let directory = match number {
            ROOT => ROOT_DIRECTORY,
            _ if number & LINK != 0 || number as u32 != 0 => return None,
            _ => (number >> 32) as u32,
        };
        ((directory as usize) < self.0.read().directories.len()).then_some(directory)
    }

    /// Where the member of a number is; `None` for the root and for what was never given out.
    pub(super) fn place(&self, number: u64) -> Option<Place> {
        if number & LINK != 0 {
            return self.0.read().links.get((number & !LINK) as usize).copied();
        }
        match self.directory(number) {
            Some(ROOT_DIRECTORY) => None,
            Some(directory) => self.place_of_directory(directory),
            None => {
                let (directory, member) = ((number >> 32) as u32, (number as u32).checked_sub(2)?);
                let is_known = (directory as usize) < self.0.read().directories.len();
                is_known.then_some(Place { directory, member })
            }
        }
    }

    /// Where a directory is in the one above; `None` for the root.
    pub(super) fn place_of_directory(&self, directory: u32) -> Option<Place> {
        let state = self.0.read();
        let found = state.directories.get(directory as usize)?;
        (directory != ROOT_DIRECTORY).then_some(found.place)
    }

    /// The snapshot that a directory is in.
    pub(super) fn snapshot_of(&self, directory: u32) -> u32 {
        self.0.read().directories.get(directory as usize).map_or(NO_SNAPSHOT, |found| found.snapshot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_leads_back_to_its_place() {
        let numbers = Numbers::new(true);
        let place = |directory, member| Place { directory, member };
        let sub = numbers.directory_at(place(0, 7), true).unwrap();
        assert_eq!(numbers.directory_at(place(0, 7), true).unwrap(), sub);
        assert_eq!(numbers.directory(Numbers::of_directory(sub)), Some(sub));
        assert_eq!(numbers.place(Numbers::of_directory(sub)), Some(place(0, 7)));
        for file in [place(0, 0), place(sub, 0), place(sub, u32::MAX - 2)] {
            assert_eq!(numbers.place(Numbers::of_member(file)), Some(file));
            assert_eq!(numbers.directory(Numbers::of_member(file)), None);
        }
        let key = |snapshot| LinkKey { snapshot, device: None, inode: 9, object: ObjectId::NONE };
        let link = numbers.of_link(key(0), place(sub, 3));
        assert_eq!(numbers.of_link(key(0), place(0, 1)), link);
        assert_eq!(numbers.place(link), Some(place(sub, 3)));
        assert_ne!(numbers.of_link(key(1), place(0, 1)), link, "another snapshot");
        assert_eq!((numbers.directory(ROOT), numbers.place(ROOT)), (Some(0), None));
        assert_eq!((numbers.directory(99 << 32), numbers.place(99 << 32 | 5)), (None, None));
    }

    #[test]
    fn a_directory_knows_its_snapshot() {
        let numbers = Numbers::new(false);
        let place = |directory, member| Place { directory, member };
        let user = numbers.directory_at(place(0, 0), false).unwrap();
        let snapshot = numbers.directory_at(place(user, 0), true).unwrap();
        let inside = numbers.directory_at(place(snapshot, 0), true).unwrap();
        assert_eq!(numbers.snapshot_of(user), NO_SNAPSHOT);
        assert_eq!((numbers.snapshot_of(snapshot), numbers.snapshot_of(inside)), (snapshot, snapshot));
    }
}
