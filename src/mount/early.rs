//! Files of wide directories that were asked for before their directory was read.
//!
//! Whoever opens one file of a million must not wait for the others. But a member's number is its place, which nobody
//! knows then: such a file gets a number from a list instead, and keeps it when its directory is read later. Only the
//! first few of a directory, and none once it was read, since then places have been given out.

use crate::snapshot::Member;
use hashbrown::{HashMap, HashSet};
use parking_lot::RwLock;

/// So many files of one directory; whoever asks for more is likely to want all.
const EACH_MAX: usize = 16;
const EARLY: u64 = 1 << 62;

#[derive(Debug, Default)]
struct State {
    members: Vec<(u32, Member)>,
    numbers: HashMap<u32, HashMap<Vec<u8>, u64>>,
    /// Directories that were read.
    closed: HashSet<u32>,
}

/// The files that were asked for early.
#[derive(Debug, Default)]
pub(super) struct Early(RwLock<State>);

impl Early {
    /// Whether another file of a directory may be added.
    pub(super) fn is_open(&self, directory: u32) -> bool {
        let state = self.0.read();
        let count = state.numbers.get(&directory).map_or(0, HashMap::len);
        count < EACH_MAX && !state.closed.contains(&directory)
    }

    /// From now on members of this directory are numbered by their places.
    pub(super) fn close(&self, directory: u32) {
        self.0.write().closed.insert(directory);
    }

    /// Adds a file; its number, unless the directory was read meanwhile.
    pub(super) fn add(&self, directory: u32, member: &Member) -> Option<u64> {
        let mut state = self.0.write();
        let State { members, numbers, closed } = &mut *state;
        let name = member.entry.name_bytes();
        if let Some(known) = numbers.get(&directory).and_then(|numbers| numbers.get(name)) {
            return Some(*known);
        }
        if closed.contains(&directory) {
            return None;
        }
        let number = EARLY | members.len() as u64;
        members.push((directory, member.clone()));
        numbers.entry(directory).or_default().insert(name.to_vec(), number);
        Some(number)
    }

    /// The number that a file has from here.
    pub(super) fn number_of(&self, directory: u32, name: &[u8]) -> Option<u64> {
        self.0.read().numbers.get(&directory)?.get(name).copied()
    }

    /// The file of a number, and its directory.
    pub(super) fn get(&self, number: u64) -> Option<(u32, Member)> {
        let at = number.checked_sub(EARLY).filter(|at| *at < EARLY)?;
        self.0.read().members.get(at as usize).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::DirEntry;

    #[test]
    fn a_number_stays_and_none_is_given_out_later() {
        let member = |name: &str| Member {
            entry: DirEntry { name: name.to_owned(), ..DirEntry::default() },
            special: None,
        };
        let early = Early::default();
        let number = early.add(7, &member("a")).unwrap();
        assert_eq!(early.get(number), Some((7, member("a"))));
        early.close(7);
        assert_eq!(early.add(7, &member("a")), Some(number));
        assert_eq!((early.add(7, &member("b")), early.is_open(7), early.is_open(8)), (None, false, true));
        assert_eq!((early.number_of(7, b"a"), early.number_of(8, b"a")), (Some(number), None));
        assert!([0, 1, 7 << 32, 1 << 63, EARLY + 1].iter().all(|other| early.get(*other).is_none()));
    }
}
