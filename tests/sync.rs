//! Copies of repositories: what is copied, in which order, and what is left when a copy ends before its time.

mod programs;

use crate::support::live_tree::write;
use crate::support::world::{self, World, noise, small_format};
use packhorse::base::{Counters, ErrorClass, MIB, MemoryBudget, Quiet};
use packhorse::blob::{
    Call, Fault, Faulty, Memory, Operation, PutOptions, Recording, Retrying, Storage, StorageExt,
};
use packhorse::repo::{Error, SyncOptions, SyncPlan, SyncReport, sync_to};
use packhorse::snapshot::{Catalog, SourceFilter, VerifyOptions, verify};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tempfile::TempDir;

const OPTIONS: SyncOptions = SyncOptions {
    update: true,
    delete: false,
    dry_run: false,
    must_exist: false,
    keep_times: false,
    threads: 3,
    in_flight_bytes: 32 * MIB,
};

fn sync(from: &dyn Storage, to: &dyn Storage, options: &SyncOptions) -> Result<SyncReport, Error> {
    sync_to(from, to, options, &AtomicBool::new(false), &Quiet, &|_: &SyncPlan| {})
}

/// A repository with as many snapshots, and the folder they are of.
fn repository(snapshots: u64) -> (World, TempDir) {
    let (world, source) = (World::new(small_format()), tempfile::tempdir().unwrap());
    add_snapshots(&world, &source, 0, snapshots);
    (world, source)
}

fn add_snapshots(world: &World, source: &TempDir, first: u64, count: u64) {
    for number in first..first + count {
        world.clock.advance(Duration::from_mins(1));
        write(&source.path().join(format!("file{number}")), &noise(number, 300_000));
        world::snapshot(&world.open(), source.path());
    }
}

fn empty(world: &World) -> Arc<Memory> {
    Arc::new(Memory::new(world.clock.clone()))
}

fn blobs(store: &dyn Storage) -> Vec<(String, Vec<u8>)> {
    let all = store.list_all("").unwrap().into_iter();
    all.map(|blob| (blob.id.to_string(), store.get(&blob.id, None).unwrap())).collect()
}

/// How many snapshots the repository in a store has; each must be complete.
fn sound_snapshots(world: &World, store: &Arc<dyn Storage>) -> usize {
    let repository = world.open_through(Arc::clone(store));
    let manifests = repository.load_manifests().unwrap();
    let snapshots = Catalog::new(&manifests).list(&SourceFilter::default()).unwrap();
    let roots: Vec<_> = snapshots
        .iter()
        .map(|snapshot| (snapshot.id.to_string(), snapshot.root_entry.clone().unwrap()))
        .collect();
    let options = VerifyOptions { memory: MemoryBudget::UNLIMITED, ..VerifyOptions::EVERYTHING };
    let report = verify(&repository, &roots, &options, &Quiet).unwrap();
    assert!(report.errors.is_empty(), "{:?}", report.errors);
    snapshots.len()
}

fn changes(calls: Vec<Call>) -> Vec<Call> {
    let is_change =
        |call: &Call| matches!(call.operation, Operation::Put | Operation::Delete | Operation::DeleteMany);
    calls.into_iter().filter(is_change).collect()
}

/// Rank of a blob in the order in which blobs may appear.
fn rank(id: &str) -> u32 {
    match id.as_bytes() {
        b"kopia.repository" => 3,
        [b'p' | b'q', ..] => 0,
        [b'n' | b'x', ..] => 1,
        _ => 2,
    }
}

#[test]
fn a_copy_is_equal_and_what_is_there_is_not_copied_again() {
    let (world, source) = repository(3);
    let to: Arc<dyn Storage> = empty(&world);
    world.clock.advance(Duration::from_mins(1));
    let report = sync(&*world.storage, &*to, &OPTIONS).unwrap();
    assert_eq!(report.copied.copied, report.plan.source.blobs);
    assert_eq!(report.copied.copied_bytes, report.plan.source.bytes);
    assert_eq!(blobs(&*world.storage), blobs(&*to));
    assert_eq!(sound_snapshots(&world, &to), 3);
    let again = sync(&*world.storage, &*to, &OPTIONS).unwrap();
    assert_eq!((again.copied.copied, again.plan.in_sync), (0, again.plan.source));
    add_snapshots(&world, &source, 3, 1);
    let report = sync(&*world.storage, &*to, &OPTIONS).unwrap();
    assert!(report.copied.copied > 0 && report.plan.in_sync.blobs >= again.plan.source.blobs - 1);
    assert_eq!(sound_snapshots(&world, &to), 4);
}

#[test]
fn blobs_appear_and_vanish_in_an_order_that_is_sound() {
    let (world, source) = repository(2);
    let to = Arc::new(Recording::new(empty(&world)));
    sync(&*world.storage, &*to, &OPTIONS).unwrap();
    let calls = changes(to.calls());
    assert!(calls[0].id_or_prefix.starts_with("copying.packhorse."));
    let puts: Vec<_> = calls[1..].iter().filter(|call| call.operation == Operation::Put).collect();
    for (at, later) in puts.iter().enumerate() {
        for earlier in &puts[..at] {
            let (a, b) = (rank(&earlier.id_or_prefix), rank(&later.id_or_prefix));
            assert!(a <= b && (a == b || earlier.is_before(later)), "{earlier:?} {later:?}");
        }
    }
    // Before each kind a barrier has made the one before it durable.
    let barriers: Vec<_> =
        to.calls().into_iter().filter(|call| call.operation == Operation::Barrier).collect();
    let first_index = puts.iter().find(|call| rank(&call.id_or_prefix) == 1).unwrap();
    let last_pack = puts.iter().rfind(|call| rank(&call.id_or_prefix) == 0).unwrap();
    assert!(barriers.iter().any(|call| last_pack.is_before(call) && call.is_before(first_index)));
    assert_eq!(rank(&puts.last().unwrap().id_or_prefix), 3);

    // The destination has more than the source: what was added to another copy of it.
    let older = world.copy();
    add_snapshots(&world, &source, 2, 2);
    world.clock.advance(Duration::from_hours(1));
    sync(&*world.storage, &*to, &OPTIONS).unwrap();
    let before = to.calls().len();
    let report = sync(&*older.storage, &*to, &SyncOptions { delete: true, ..OPTIONS }).unwrap();
    assert!(report.deleted.blobs >= 4, "{report:?}");
    let deleted = changes(to.calls().split_off(before));
    let ranks: Vec<_> = deleted
        .iter()
        .filter(|call| call.operation == Operation::DeleteMany)
        .map(|call| rank(&call.id_or_prefix))
        .collect();
    assert_eq!(ranks, [1, 0]);
    let store: Arc<dyn Storage> = to;
    assert_eq!(sound_snapshots(&world, &store), 2);
}

#[test]
fn a_destination_is_sound_whichever_change_was_its_last() {
    let (world, source) = repository(1);
    let old = World::copy(&world);
    add_snapshots(&world, &source, 1, 2);
    for first in [true, false] {
        for delete in [false, true] {
            stop_after_each_change(&world, (!first).then_some(&old), delete);
        }
    }
}

/// Copies into an empty store, or one with an older copy, which fails for good after 0, 1, 2 … changes.
fn stop_after_each_change(world: &World, old: Option<&World>, delete: bool) {
    let extra = [("xn9_ffffffffffffffffffffffffffffffff-s1-c1", &b"no index"[..])];
    for allowed in 0.. {
        let to: Arc<dyn Storage> =
            old.map_or_else(|| empty(world) as Arc<dyn Storage>, |old| old.copy().storage);
        if delete && old.is_some() {
            // Something to delete that does no harm while it is there: a session that is over.
            to.put_now(&extra[0].0.replace("xn9_", "s").into(), extra[0].1).unwrap();
        }
        let left = AtomicU64::new(allowed);
        let failing = Faulty::new(Arc::clone(&to), move |call| match call.operation {
            Operation::Put | Operation::Delete | Operation::DeleteMany
                if left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_err() =>
            {
                Fault::Before(ErrorClass::Full)
            }
            _ => Fault::None,
        });
        let outcome = sync(&*world.storage, &failing, &SyncOptions { delete, ..OPTIONS });
        let is_repository = to.get_optional(&"kopia.repository".into()).unwrap().is_some();
        assert!(is_repository || old.is_none());
        if is_repository {
            let found = sound_snapshots(world, &to);
            assert!(found >= 1 || old.is_none());
            assert!(old.is_some() || found == 3, "a first copy is complete when it can be opened");
        }
        if outcome.is_ok() {
            assert_eq!(sound_snapshots(world, &to), 3);
            assert_eq!(to.list_all("copying").unwrap(), []);
            return;
        }
        // The next run completes it.
        sync(&*world.storage, &*to, &OPTIONS).unwrap();
        assert_eq!(sound_snapshots(world, &to), 3);
    }
}

#[test]
fn a_dry_run_writes_nothing() {
    let (world, _source) = repository(1);
    let to = Recording::new(empty(&world));
    let report = sync(&*world.storage, &to, &SyncOptions { dry_run: true, delete: true, ..OPTIONS }).unwrap();
    assert_eq!(report.plan.to_copy, report.plan.source);
    assert_eq!(report.copied.copied, 0);
    assert_eq!(changes(to.calls()), []);
}

#[test]
fn no_other_data_is_copied_over() {
    let (world, _source) = repository(1);
    let other = World::new(packhorse::format::NewFormat { max_pack_size: 12 * MIB, ..small_format() });
    let foreign = empty(&world);
    foreign
        .put_now(&"kopia.repository".into(), &world.storage.get(&"kopia.repository".into(), None).unwrap())
        .unwrap();
    let text = String::from_utf8(foreign.get(&"kopia.repository".into(), None).unwrap()).unwrap();
    let id = text.split("\"uniqueID\": \"").nth(1).unwrap().get(..4).unwrap().to_owned();
    foreign.put_now(&"kopia.repository".into(), text.replacen(&id, "AAAA", 1).as_bytes()).unwrap();
    let error = sync(&*world.storage, &*foreign, &OPTIONS).unwrap_err();
    assert!(matches!(error, Error::OtherRepository { .. }), "{error}");

    let data = empty(&world);
    data.put_now(&"somebody-elses".into(), b"data").unwrap();
    let error = sync(&*world.storage, &*data, &SyncOptions { delete: true, ..OPTIONS }).unwrap_err();
    assert!(matches!(error, Error::NotEmpty { .. }), "{error}");
    assert_eq!(blobs(&*data).len(), 1);

    let nothing = empty(&world);
    let error = sync(&*world.storage, &*nothing, &SyncOptions { must_exist: true, ..OPTIONS }).unwrap_err();
    assert!(matches!(error, Error::NoCopy { .. }), "{error}");
    let error = sync(&*nothing, &*other.storage, &OPTIONS).unwrap_err();
    assert_eq!(error.class(), ErrorClass::NoRepository);
}

#[test]
fn what_is_newer_longer_or_rewritten_is_copied_again() {
    let (world, _source) = repository(1);
    let to = empty(&world);
    world.clock.advance(Duration::from_mins(1));
    sync(&*world.storage, &*to, &OPTIONS).unwrap();
    let pack = world.storage.list_all("p").unwrap().remove(0);
    let copied = |options: &SyncOptions| sync(&*world.storage, &*to, options).unwrap().copied.copied;
    // A broken copy is replaced even where nothing is updated.
    to.put_now(&pack.id, b"short").unwrap();
    assert_eq!(copied(&SyncOptions { update: false, ..OPTIONS }), 1);
    assert_eq!(copied(&OPTIONS), 0);
    // Newer in the source, as Kopia has it.
    let later = world.clock.as_ref();
    later.advance(Duration::from_mins(1));
    let bytes = world.storage.get(&pack.id, None).unwrap();
    world.storage.put_now(&pack.id, &bytes).unwrap();
    assert_eq!(copied(&SyncOptions { update: false, ..OPTIONS }), 0);
    assert_eq!(copied(&OPTIONS), 1);
    // Settings are compared by their bytes, whatever the clocks say.
    to.put_now(&"kopia.blobcfg".into(), b"something that is newer").unwrap();
    later.advance(Duration::from_mins(1));
    let format = world.storage.get(&"kopia.repository".into(), None).unwrap();
    let mut other = format.clone();
    other.push(b'\n');
    to.put_now(&"kopia.repository".into(), &other).unwrap();
    assert_eq!(copied(&SyncOptions { update: false, ..OPTIONS }), 0);
    assert!(copied(&OPTIONS) >= 1);
    assert_eq!(to.get(&"kopia.repository".into(), None).unwrap(), format);
}

#[test]
fn times_are_kept_if_asked_for_and_notes_on_another_store_are_not() {
    let (world, _source) = repository(1);
    let to = empty(&world);
    world.storage.put_now(&"verified.packhorse.0123".into(), b"of the source").unwrap();
    to.put_now(&"verified.packhorse.4567".into(), b"of the destination").unwrap();
    world.clock.advance(Duration::from_mins(1));
    let options = SyncOptions { keep_times: true, delete: true, ..OPTIONS };
    assert!(matches!(sync(&*world.storage, &*to, &options), Err(Error::NotEmpty { .. })));
    to.delete(&"verified.packhorse.4567".into()).unwrap();
    sync(&*world.storage, &*to, &options).unwrap();
    to.put_now(&"verified.packhorse.4567".into(), b"of the destination").unwrap();
    sync(&*world.storage, &*to, &options).unwrap();
    let (mut theirs, mut ours) = (world.storage.list_all("").unwrap(), to.list_all("").unwrap());
    theirs.retain(|blob| !blob.id.as_str().starts_with("verified"));
    assert!(ours.iter().any(|blob| blob.id.as_str() == "verified.packhorse.4567"));
    ours.retain(|blob| !blob.id.as_str().starts_with("verified"));
    assert_eq!(ours, theirs);
}

/// A store whose packs and index are replaced by those of a later moment when the first pack is read.
fn changing(world: &World, later: &World) -> Faulty {
    let (now, later) = (Arc::clone(&world.storage), Arc::clone(&later.storage));
    let is_done = AtomicBool::new(false);
    Faulty::new(Arc::clone(&world.storage), move |call| {
        let is_pack = call.operation == Operation::Get && call.id_or_prefix.starts_with('p');
        if is_pack && !is_done.swap(true, Ordering::SeqCst) {
            for blob in now.list_all("").unwrap() {
                now.delete(&blob.id).unwrap();
            }
            for blob in later.list_all("").unwrap() {
                let options = PutOptions { set_timestamp: Some(blob.timestamp), ..PutOptions::default() };
                now.put(&blob.id, later.get(&blob.id, None).unwrap().into(), options).unwrap();
            }
        }
        Fault::None
    })
}

#[test]
fn a_source_that_changes_on_the_way_is_compared_anew() {
    let (world, source) = repository(2);
    // The same repository after a maintenance that has rewritten every pack.
    let later = World::new(small_format());
    add_snapshots(&later, &source, 0, 3);
    let to: Arc<dyn Storage> = empty(&world);
    let report = sync(&changing(&world, &later), &*to, &OPTIONS).unwrap();
    assert!(!report.copied.vanished.is_empty());
    assert_eq!(sound_snapshots(&later, &to), 3);
}

#[test]
fn faults_that_pass_do_no_harm_and_others_are_named() {
    let (world, _source) = repository(1);
    let to: Arc<dyn Storage> = empty(&world);
    let count = AtomicU64::new(0);
    let flaky = Faulty::new(Arc::clone(&world.storage), move |call| {
        let hit = call.operation == Operation::Get && count.fetch_add(1, Ordering::SeqCst).is_multiple_of(3);
        if hit { Fault::Before(ErrorClass::Unavailable) } else { Fault::None }
    });
    let retrying = Retrying::new(Arc::new(flaky), world.clock.clone());
    sync(&retrying, &*to, &OPTIONS).unwrap();
    assert_eq!(sound_snapshots(&world, &to), 1);

    let short = Faulty::new(Arc::clone(&world.storage), |call| match call.operation {
        Operation::Get if call.id_or_prefix.starts_with('q') => Fault::Truncate(10),
        _ => Fault::None,
    });
    let error = sync(&short, &*empty(&world), &OPTIONS).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Corrupt);
}

#[test]
fn a_flag_stops_it() {
    let (world, _source) = repository(1);
    let (to, counters) = (empty(&world), Counters::default());
    let error =
        sync_to(&*world.storage, &*to, &OPTIONS, &AtomicBool::new(true), &counters, &|_| {}).unwrap_err();
    assert!(matches!(error, Error::Canceled), "{error}");
    assert!(to.get_optional(&"kopia.repository".into()).unwrap().is_none());
    sync(&*world.storage, &*to, &OPTIONS).unwrap();
}
