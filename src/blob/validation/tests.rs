use super::*;
use crate::base::{ErrorClass, FixedClock, SeededEntropy, SystemClock, Timestamp};
use crate::blob::{
    BlobId, BlobMetadata, ByteRange, Fault, Faulty, Filesystem, FilesystemOptions, Memory, Operation,
    PutOptions, StorageExt,
};
use bytes::Bytes;
use parking_lot::Mutex;

const QUICK: ValidationOptions = ValidationOptions {
    clock_drift_max: Duration::from_mins(3),
    concurrency_duration: Duration::from_millis(300),
    put_workers: 2,
    get_workers: 2,
    metadata_workers: 2,
};

/// The checks that ended, and the error.
fn run(stores: &[Arc<dyn Storage>], clock: &dyn Clock) -> (Vec<CheckOutcome>, Result<()>) {
    let said = Mutex::new(Vec::new());
    let entropy = SeededEntropy::new(5);
    let cancel = AtomicBool::new(false);
    let outcome =
        validate(stores, clock, &entropy, &QUICK, &cancel, &|check| said.lock().push(check.clone()));
    (said.into_inner(), outcome)
}

fn memory() -> Arc<dyn Storage> {
    Arc::new(Memory::new(Arc::new(SystemClock)))
}

/// The check that `store` fails.
fn failed_check(store: Arc<dyn Storage>) -> &'static str {
    let (said, outcome) = run(&[Arc::clone(&store), store], &SystemClock);
    let Err(Error::Validation { check, .. }) = outcome else { panic!("{outcome:?}") };
    assert!(said.iter().any(|outcome| outcome.check == check && !outcome.passed));
    check
}

/// The check that `store` fails, which is clean afterwards.
fn failed_cleanly(store: Arc<dyn Storage>, inner: &Arc<dyn Storage>) -> &'static str {
    let check = failed_check(store);
    assert_eq!(inner.list_all("z").unwrap(), [], "cleaned up after {check}");
    check
}

#[test]
fn stores_that_keep_their_promises_pass() {
    let folder = tempfile::tempdir().unwrap();
    let open = || -> Arc<dyn Storage> {
        let options = FilesystemOptions::new(folder.path());
        Arc::new(Filesystem::create(options, Arc::new(SystemClock)).unwrap())
    };
    let one = memory();
    for stores in [vec![open(), open(), open()], vec![Arc::clone(&one), one]] {
        stores[0].put_now(&"p1".into(), b"somebody else's").unwrap();
        let (said, outcome) = run(&stores, &SystemClock);
        outcome.unwrap();
        assert_eq!(said.len(), CHECKS.len() + 1);
        assert!(said.iter().all(|check| check.passed));
        assert_eq!(stores[0].list_all("").unwrap().len(), 1);
    }
}

#[test]
fn each_broken_promise_is_found_by_its_check() {
    let broken = |plan: fn(&crate::blob::Call) -> Fault| {
        let inner = memory();
        failed_cleanly(Arc::new(Faulty::new(Arc::clone(&inner), plan)), &inner)
    };
    let on = broken(|call| match call.operation {
        Operation::Put => Fault::Before(ErrorClass::Denied),
        _ => Fault::None,
    });
    assert_eq!(on, "write");
    let short = broken(|call| match (call.operation, call.range) {
        (Operation::Get, None) => Fault::Truncate(4_999_999),
        _ => Fault::None,
    });
    assert_eq!(short, "full reads from every connection");
    let flipped = broken(|call| match (call.operation, call.range) {
        (Operation::Get, Some(_)) => Fault::Flip(0),
        _ => Fault::None,
    });
    assert_eq!(flipped, "partial reads");
}

/// A store that remembers what it has shown, as a client with a cache may.
#[derive(Debug)]
struct Stale {
    inner: Arc<dyn Storage>,
    shown: Mutex<std::collections::HashMap<BlobId, Vec<u8>>>,
}

impl Storage for Stale {
    crate::blob::pass_on::pass_on!(inner: metadata, put, delete, list, display_name);

    fn get(&self, id: &BlobId, range: Option<ByteRange>) -> Result<Vec<u8>> {
        if range.is_some() {
            return self.inner.get(id, range);
        }
        let got = self.inner.get(id, range)?;
        Ok(self.shown.lock().entry(id.clone()).or_insert(got).clone())
    }
}

/// A store that puts in two steps.
#[derive(Debug)]
struct Torn {
    inner: Arc<dyn Storage>,
}

impl Storage for Torn {
    crate::blob::pass_on::pass_on!(inner: get, metadata, delete, list, display_name);

    fn put(&self, id: &BlobId, data: Bytes, options: PutOptions) -> Result<()> {
        self.inner.put(id, data.slice(..data.len() / 2), options)?;
        std::thread::sleep(Duration::from_millis(30));
        self.inner.put(id, data, options)
    }
}

/// A store that lists late.
#[derive(Debug)]
struct Late {
    inner: Arc<dyn Storage>,
}

impl Storage for Late {
    crate::blob::pass_on::pass_on!(inner: get, metadata, put, delete, display_name);

    fn list(&self, prefix: &str, visit: &mut dyn FnMut(BlobMetadata) -> Result<()>) -> Result<()> {
        let mut last = None;
        self.inner.list(prefix, &mut |blob| last.replace(blob).map_or(Ok(()), &mut *visit))
    }
}

#[test]
fn caches_parts_and_late_listings_are_found() {
    let inner = memory();
    let stale = Stale { inner: Arc::clone(&inner), shown: Mutex::default() };
    assert_eq!(failed_cleanly(Arc::new(stale), &inner), "overwriting");
    let inner = memory();
    let torn = failed_cleanly(Arc::new(Torn { inner: Arc::clone(&inner) }), &inner);
    assert_eq!(torn, "atomic replacement");
    assert_eq!(failed_check(Arc::new(Late { inner: memory() })), "listing");
}

#[test]
fn a_clock_that_is_off_is_named() {
    let clock = |seconds| Arc::new(FixedClock::new(Timestamp::from_seconds(seconds, 0)));
    for (ours, theirs, word) in [(1000, 1300, "300.0 s ahead"), (1000, 600, "399.0 s behind")] {
        let store: Arc<dyn Storage> = Arc::new(Memory::new(clock(theirs)));
        let (said, outcome) = run(&[store], &*clock(ours));
        assert!(matches!(outcome, Err(Error::Validation { check: "clock", .. })), "{outcome:?}");
        assert!(said.iter().any(|check| check.detail.contains(word)), "{said:?}");
    }
}

#[test]
fn a_stop_cleans_up() {
    let store = memory();
    let cancel = AtomicBool::new(false);
    let outcome =
        validate(&[Arc::clone(&store)], &SystemClock, &SeededEntropy::new(1), &QUICK, &cancel, &|check| {
            if check.check == "write" {
                cancel.store(true, std::sync::atomic::Ordering::Relaxed);
            }
        });
    assert!(matches!(outcome, Err(Error::Canceled)), "{outcome:?}");
    assert_eq!(store.list_all("").unwrap(), []);
}
