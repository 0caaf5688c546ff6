//! Contents of files in memory, those used last.

use crate::object::{self, ObjectId};
use hashbrown::HashMap;
use parking_lot::{Condvar, Mutex};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A content, or that somebody reads it.
#[derive(Debug)]
enum Slot {
    Loading,
    Loaded(Arc<Vec<u8>>, u64),
}

#[derive(Debug, Default)]
struct State {
    slots: HashMap<ObjectId, Slot>,
    by_use: BTreeMap<u64, ObjectId>,
    bytes: usize,
    now: u64,
}

/// A cache of contents.
#[derive(Debug)]
pub(super) struct Contents {
    state: Mutex<State>,
    loaded: Condvar,
    max_bytes: usize,
}

impl Contents {
    /// At most so many bytes; the content used last stays in any case.
    pub(super) fn new(max_bytes: usize) -> Self {
        Self { state: Mutex::default(), loaded: Condvar::new(), max_bytes }
    }

    /// Whether a content is here or on its way.
    pub(super) fn has(&self, id: ObjectId) -> bool {
        self.state.lock().slots.contains_key(&id)
    }

    /// A content, which `load` reads if it is not here. Of several who want it one reads it, and if that fails, the next
    /// tries.
    pub(super) fn get_or_load(
        &self,
        id: ObjectId,
        load: impl FnOnce() -> object::Result<Vec<u8>>,
    ) -> object::Result<Arc<Vec<u8>>> {
        let mut state = self.state.lock();
        loop {
            if let Some(bytes) = state.touch(id) {
                return Ok(bytes);
            }
            if !state.slots.contains_key(&id) {
                state.slots.insert(id, Slot::Loading);
                break;
            }
            self.loaded.wait(&mut state);
        }
        drop(state);
        let loaded = load().map(Arc::new);
        let mut state = self.state.lock();
        state.slots.remove(&id);
        if let Ok(bytes) = &loaded {
            state.insert(id, Arc::clone(bytes), self.max_bytes);
        }
        self.loaded.notify_all();
        loaded
    }
}

impl State {
    fn touch(&mut self, id: ObjectId) -> Option<Arc<Vec<u8>>> {
        let Some(Slot::Loaded(bytes, used)) = self.slots.get_mut(&id) else { return None };
        self.now += 1;
        self.by_use.remove(used);
        self.by_use.insert(self.now, id);
        *used = self.now;
        Some(Arc::clone(bytes))
    }

    fn insert(&mut self, id: ObjectId, bytes: Arc<Vec<u8>>, max_bytes: usize) {
        self.bytes += bytes.len();
        while self.bytes > max_bytes {
            let Some((_, oldest)) = self.by_use.pop_first() else { break };
            if let Some(Slot::Loaded(old, _)) = self.slots.remove(&oldest) {
                self.bytes -= old.len();
            }
        }
        self.now += 1;
        self.by_use.insert(self.now, id);
        self.slots.insert(id, Slot::Loaded(bytes, self.now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn id(number: u8) -> ObjectId {
        format!("{number:032x}").parse().unwrap()
    }

    #[test]
    fn bytes_are_bounded_and_each_content_is_read_once() {
        let contents = Contents::new(100);
        let reads = AtomicUsize::new(0);
        let get = |number: u8| {
            let load = || {
                reads.fetch_add(1, Ordering::Relaxed);
                Ok(vec![number; 40])
            };
            contents.get_or_load(id(number), load).unwrap()
        };
        for number in [1, 2, 1, 3, 1] {
            assert_eq!(*get(number), [number; 40]);
        }
        assert_eq!(reads.load(Ordering::Relaxed), 3);
        assert!(!contents.has(id(2)) && contents.has(id(1)) && contents.has(id(3)));
        assert_eq!(contents.state.lock().bytes, 80);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| get(9));
            }
        });
        assert_eq!(reads.load(Ordering::Relaxed), 4);
    }

    #[test]
    fn a_failure_is_not_kept() {
        let contents = Contents::new(100);
        assert!(contents.get_or_load(id(1), || Err(object::Error::NoObject)).is_err());
        assert!(contents.get_or_load(id(1), || Ok(vec![1])).is_ok());
    }
}
