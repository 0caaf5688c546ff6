//! Two stores as one: what is saved goes to both, and the first decides.
//!
//! Packs, which are nearly all of the bytes, go to both at the same time, so that the source is read once and no pack is
//! read back. Everything else goes to the primary alone: an index blob may reach the mirror only when every pack it names
//! is there, and that is seen to by whoever knows what is in index blobs (`repo::mirror`).
//!
//! Invariants:
//! - **M1** the result of a change is that of the primary; the mirror can make nothing fail;
//! - **M2** nothing but packs is written to the mirror from here, and nothing is deleted there;
//! - **M3** a pack counts as mirrored only when the mirror has confirmed it;
//! - **M4** while anything may be written, listings and times are the primary's alone.

use super::pass_on::pass_on;
use super::{BlobId, BlobMetadata, ByteRange, Error, PutOptions, Result, Storage};
use crate::base::{ErrorClass, error_chain};
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What begins the names of blobs that any reader may ask both stores for: their names say what is in them.
const DATA_PREFIXES: [&str; 6] = ["p", "q", "n", "xn", "xs", "xr"];

type Warn = dyn Fn(&str) + Send + Sync;

/// A store and its mirror.
pub struct Mirrored {
    primary: Arc<dyn Storage>,
    mirror: Arc<dyn Storage>,
    /// Whether no change will come: then the mirror may stand in for everything.
    is_for_reading: bool,
    /// Whether packs go to the mirror, too.
    takes_packs: AtomicBool,
    state: Mutex<State>,
    has_stood_in: AtomicBool,
    warn: Arc<Warn>,
}

#[derive(Default)]
struct State {
    packs: HashSet<BlobId>,
    failure: Option<String>,
    deleted: HashSet<BlobId>,
}

impl Mirrored {
    /// Mirrors `primary` in `mirror`. Packs are held back until [`Mirrored::take_packs`] says that the mirror is one of
    /// this repository. `warn` hears, once, that the mirror failed or stands in.
    pub fn new(
        primary: Arc<dyn Storage>,
        mirror: Arc<dyn Storage>,
        is_for_reading: bool,
        warn: Arc<Warn>,
    ) -> Self {
        Self {
            primary,
            mirror,
            is_for_reading,
            takes_packs: AtomicBool::new(false),
            state: Mutex::default(),
            has_stood_in: AtomicBool::new(false),
            warn,
        }
    }

    /// The store that decides.
    pub fn primary(&self) -> &Arc<dyn Storage> {
        &self.primary
    }

    /// The other one.
    pub fn mirror(&self) -> &Arc<dyn Storage> {
        &self.mirror
    }

    /// From now on packs go to the mirror, too.
    pub fn take_packs(&self) {
        self.takes_packs.store(true, Ordering::Release);
    }

    /// What went wrong with the mirror, if anything did. No further pack is sent there in this run.
    pub fn failure(&self) -> Option<String> {
        self.state.lock().failure.clone()
    }

    /// Whether the mirror has confirmed the pack in this run.
    pub fn has_pack(&self, id: &BlobId) -> bool {
        self.state.lock().packs.contains(id)
    }

    /// Forgets which packs the mirror has confirmed: a power cut may have taken them.
    pub fn doubt_packs(&self) {
        self.state.lock().packs.clear();
    }

    /// Notes packs that were found in the mirror or copied there.
    pub fn note_packs(&self, ids: impl IntoIterator<Item = BlobId>) {
        self.state.lock().packs.extend(ids);
    }

    /// Takes the names of what was deleted in the primary and may still be in the mirror.
    pub fn take_deleted(&self) -> Vec<BlobId> {
        std::mem::take(&mut self.state.lock().deleted).into_iter().collect()
    }

    /// Gives back what could not be deleted.
    pub fn owe_deleted(&self, ids: Vec<BlobId>) {
        self.state.lock().deleted.extend(ids);
    }

    fn sends(&self, id: &BlobId) -> bool {
        id.as_str().starts_with(['p', 'q'])
            && self.takes_packs.load(Ordering::Acquire)
            && self.state.lock().failure.is_none()
    }

    fn put_to_mirror(&self, id: &BlobId, data: Bytes, options: PutOptions) {
        let unlocked = PutOptions { retention: None, ..options };
        let stored = match self.mirror.put(id, data.clone(), options) {
            // The primary may have locks where the mirror has none.
            Err(error) if options.retention.is_some() && error.class() == ErrorClass::Unsupported => {
                self.mirror.put(id, data, unlocked)
            }
            stored => stored,
        };
        match stored {
            Ok(()) => self.note_packs([id.clone()]),
            Err(error) => self.fail(&error),
        }
    }

    fn fail(&self, error: &Error) {
        let text = error_chain(error);
        let is_first = self.state.lock().failure.replace(text.clone()).is_none();
        if is_first {
            let name = self.mirror.display_name();
            (self.warn)(&format!("the mirror {name} failed and falls behind for now: {text}"));
        }
    }

    /// Asks the mirror after the primary failed, if the mirror can know.
    fn stand_in<T>(
        &self,
        error: Error,
        asks: bool,
        ask: impl FnOnce(&dyn Storage) -> Result<T>,
    ) -> Result<T> {
        if !asks {
            return Err(error);
        }
        let Ok(answer) = ask(&*self.mirror) else { return Err(error) };
        if !self.has_stood_in.swap(true, Ordering::Relaxed) {
            let name = self.mirror.display_name();
            (self.warn)(&format!("reading from the mirror {name} instead: {}", error_chain(&error)));
        }
        Ok(answer)
    }

    /// Whether the mirror may answer for a blob in spite of `error`.
    fn may_stand_in(&self, id: &BlobId, error: &Error) -> bool {
        let is_data = DATA_PREFIXES.iter().any(|prefix| id.as_str().starts_with(prefix));
        let is_lost = is_data && error.is_not_found() && !self.state.lock().deleted.contains(id);
        is_lost || ((is_data || self.is_for_reading) && is_out_of_reach(error))
    }
}

/// Whether the store, not the blob, is the trouble.
fn is_out_of_reach(error: &Error) -> bool {
    matches!(error.class(), ErrorClass::Unavailable | ErrorClass::NoRepository | ErrorClass::Denied)
}

impl Storage for Mirrored {
    pass_on!(primary: barrier, adopt, extend_retention, capacity, is_read_only, parallelism);

    fn get(&self, id: &BlobId, range: Option<ByteRange>) -> Result<Vec<u8>> {
        self.primary.get(id, range).or_else(|error| {
            let asks = self.may_stand_in(id, &error);
            self.stand_in(error, asks, |mirror| mirror.get(id, range))
        })
    }

    fn get_within(&self, id: &BlobId, range: ByteRange) -> Result<Vec<u8>> {
        self.primary.get_within(id, range).or_else(|error| {
            let asks = self.may_stand_in(id, &error);
            self.stand_in(error, asks, |mirror| mirror.get_within(id, range))
        })
    }

    fn metadata(&self, id: &BlobId) -> Result<BlobMetadata> {
        self.primary.metadata(id).or_else(|error| {
            let asks = self.is_for_reading && is_out_of_reach(&error);
            self.stand_in(error, asks, |mirror| mirror.metadata(id))
        })
    }

    fn put(&self, id: &BlobId, data: Bytes, options: PutOptions) -> Result<()> {
        if !self.sends(id) {
            return self.primary.put(id, data, options);
        }
        std::thread::scope(|scope| {
            let copy = data.clone();
            let sending = scope.spawn(move || self.put_to_mirror(id, copy, options));
            let stored = self.primary.put(id, data, options);
            sending.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            stored
        })
    }

    fn delete(&self, id: &BlobId) -> Result<()> {
        self.primary.delete(id)?;
        self.owe_deleted(vec![id.clone()]);
        Ok(())
    }

    fn delete_many(&self, ids: &[BlobId]) -> Result<()> {
        self.primary.delete_many(ids)?;
        self.owe_deleted(ids.to_vec());
        Ok(())
    }

    fn list(&self, prefix: &str, visit: &mut dyn FnMut(BlobMetadata) -> Result<()>) -> Result<()> {
        let mut has_visited = false;
        let listed = self.primary.list(prefix, &mut |blob| {
            has_visited = true;
            visit(blob)
        });
        listed.or_else(|error| {
            let asks = self.is_for_reading && !has_visited && is_out_of_reach(&error);
            self.stand_in(error, asks, |mirror| mirror.list(prefix, visit))
        })
    }

    fn display_name(&self) -> String {
        format!("{}, mirrored in {}", self.primary.display_name(), self.mirror.display_name())
    }
}

impl fmt::Debug for Mirrored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mirrored")
            .field("primary", &self.primary)
            .field("mirror", &self.mirror)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{FixedClock, Timestamp};
    use crate::blob::{Fault, Faulty, Memory, Operation, StorageExt};

    fn memory() -> Arc<Memory> {
        Arc::new(Memory::new(Arc::new(FixedClock::new(Timestamp::EPOCH))))
    }

    struct Pair {
        primary: Arc<Memory>,
        mirror: Arc<Memory>,
        warnings: Arc<Mutex<Vec<String>>>,
    }

    impl Pair {
        fn new() -> Self {
            Self { primary: memory(), mirror: memory(), warnings: Arc::default() }
        }

        /// Both stores as one, in which the calls `broken` names fail.
        fn store(&self, is_for_reading: bool, broken: fn(&str, Operation) -> bool) -> Mirrored {
            let side = |name: &'static str, store: &Arc<Memory>| -> Arc<dyn Storage> {
                Arc::new(Faulty::new(store.clone(), move |call| {
                    let unavailable = Fault::Before(ErrorClass::Unavailable);
                    if broken(name, call.operation) { unavailable } else { Fault::None }
                }))
            };
            let warnings = Arc::clone(&self.warnings);
            let warn = Arc::new(move |text: &str| warnings.lock().push(text.to_owned()));
            let store = Mirrored::new(
                side("primary", &self.primary),
                side("mirror", &self.mirror),
                is_for_reading,
                warn,
            );
            store.take_packs();
            store
        }
    }

    fn has(store: &Memory, name: &str) -> bool {
        store.metadata(&name.into()).is_ok()
    }

    #[test]
    fn packs_go_to_both_and_nothing_else_does() {
        let pair = Pair::new();
        let store = pair.store(false, |_, _| false);
        for name in ["p1", "q1", "xn0_1", "n1", "kopia.repository", "s1"] {
            store.put_now(&name.into(), b"x").unwrap();
            assert!(has(&pair.primary, name));
            assert_eq!(has(&pair.mirror, name), name.starts_with(['p', 'q']), "{name}");
            assert_eq!(store.has_pack(&name.into()), name.starts_with(['p', 'q']));
        }
        store.delete(&"p1".into()).unwrap();
        assert!(
            !has(&pair.primary, "p1") && has(&pair.mirror, "p1"),
            "an index blob there may still name it"
        );
        assert_eq!(store.take_deleted(), ["p1".into()]);
    }

    #[test]
    fn a_mirror_that_fails_is_left_alone_and_told_of_once() {
        let pair = Pair::new();
        let store = pair.store(false, |side, operation| side == "mirror" && operation == Operation::Put);
        store.put_now(&"p1".into(), b"x").unwrap();
        store.put_now(&"p2".into(), b"x").unwrap();
        assert!(has(&pair.primary, "p2") && store.failure().is_some() && !store.has_pack(&"p1".into()));
        assert_eq!(pair.warnings.lock().len(), 1);
    }

    #[test]
    fn the_primary_decides() {
        let pair = Pair::new();
        let store = pair.store(false, |side, operation| side == "primary" && operation == Operation::Put);
        assert!(store.put_now(&"p1".into(), b"x").is_err());
    }

    #[test]
    fn the_mirror_stands_in_for_data_and_for_readers() {
        let pair = Pair::new();
        for name in ["p1", "kopia.repository"] {
            pair.mirror.put_now(&name.into(), b"mirrored").unwrap();
        }
        let store = pair.store(false, |_, _| false);
        assert_eq!(store.get(&"p1".into(), None).unwrap(), b"mirrored");
        assert!(store.get(&"kopia.repository".into(), None).unwrap_err().is_not_found());
        assert!(store.list_all("").unwrap().is_empty(), "the primary is what is written to");
        assert_eq!(pair.warnings.lock().len(), 1);

        let down = |side: &str, _: Operation| side == "primary";
        let reader = pair.store(true, down);
        assert_eq!(reader.get(&"kopia.repository".into(), None).unwrap(), b"mirrored");
        assert_eq!(reader.list_all("").unwrap().len(), 2);
        let writer = pair.store(false, down);
        assert!(writer.get(&"kopia.repository".into(), None).is_err() && writer.list_all("").is_err());
    }
}
