//! Listings of directories in memory, those used last.

use super::Result;
use crate::snapshot::Listing;
use hashbrown::{HashMap, HashSet};
use parking_lot::{Condvar, Mutex};
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Debug, Default)]
struct State {
    /// By directory, with the moment of its last use.
    listings: HashMap<u32, (Arc<Listing>, u64)>,
    /// Directories by those moments.
    by_use: BTreeMap<u64, u32>,
    entries: usize,
    now: u64,
    loading: HashSet<u32>,
}

/// A cache of listings.
#[derive(Debug)]
pub(super) struct Listings {
    state: Mutex<State>,
    loaded: Condvar,
    max_entries: usize,
    max_count: usize,
}

impl Listings {
    /// At most so many entries in so many listings; the one used last stays in any case.
    pub(super) fn new(max_entries: usize, max_count: usize) -> Self {
        Self { state: Mutex::default(), loaded: Condvar::new(), max_entries, max_count }
    }

    /// The listing of a directory, if it is here.
    pub(super) fn get(&self, directory: u32) -> Option<Arc<Listing>> {
        self.state.lock().touch(directory)
    }

    /// The listing of a directory, which `load` reads if it is not here. Of several who want it one reads it.
    pub(super) fn get_or_load(
        &self,
        directory: u32,
        load: impl FnOnce() -> Result<Listing>,
    ) -> Result<Arc<Listing>> {
        let mut state = self.state.lock();
        loop {
            if let Some(listing) = state.touch(directory) {
                return Ok(listing);
            }
            if state.loading.insert(directory) {
                break;
            }
            self.loaded.wait(&mut state);
        }
        drop(state);
        let loaded = load().map(Arc::new);
        let mut state = self.state.lock();
        state.loading.remove(&directory);
        if let Ok(listing) = &loaded {
            state.insert(directory, Arc::clone(listing));
            state.shrink(self.max_entries, self.max_count);
        }
        self.loaded.notify_all();
        loaded
    }
}

impl State {
    fn touch(&mut self, directory: u32) -> Option<Arc<Listing>> {
        let (listing, used) = self.listings.get_mut(&directory)?;
        self.now += 1;
        self.by_use.remove(used);
        self.by_use.insert(self.now, directory);
        *used = self.now;
        Some(Arc::clone(listing))
    }

    fn insert(&mut self, directory: u32, listing: Arc<Listing>) {
        self.now += 1;
        self.entries += listing.len();
        self.listings.insert(directory, (listing, self.now));
        self.by_use.insert(self.now, directory);
    }

    fn shrink(&mut self, max_entries: usize, max_count: usize) {
        while self.listings.len() > 1 && (self.entries > max_entries || self.listings.len() > max_count) {
            let Some((_, oldest)) = self.by_use.pop_first() else { return };
            if let Some((listing, _)) = self.listings.remove(&oldest) {
                self.entries -= listing.len();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::DirEntry;

    fn listing(entries: usize) -> Listing {
        Listing::of((0..entries).map(|number| DirEntry { name: number.to_string(), ..DirEntry::default() }))
    }

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let listings = Listings::new(10, 3);
        let load = |directory, entries| listings.get_or_load(directory, || Ok(listing(entries))).unwrap();
        for directory in 0..3 {
            load(directory, 3);
        }
        assert!(listings.get(0).is_some());
        load(3, 1);
        assert!(listings.get(1).is_none() && listings.get(0).is_some());
        assert_eq!(load(4, 100).len(), 100);
        assert!(listings.get(4).is_some() && listings.get(0).is_none(), "the last one stays");
        load(5, 1);
        assert!(listings.get(4).is_none() && listings.get(5).is_some());
        assert_eq!(listings.state.lock().entries, 1);
    }
}
