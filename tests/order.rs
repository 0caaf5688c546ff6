//! What reaches the store in which order, and that nothing else does.
//!
//! A crash between any two calls must leave packs that a marker protects and no index that names what is not there.

use crate::support::live_tree::write;
use crate::support::world::{self, World, noise};
use packhorse::base::{ErrorClass, MIB, MemoryBudget};
use packhorse::blob::{
    BlobId, Call, Fault, Faulty, Memory, Operation, PutOptions, Recording, Storage, StorageExt,
};
use packhorse::content::Scratch;
use packhorse::format::IdPrefix;
use packhorse::repo::{Repository, WriteOptions};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// A repository whose store remembers what it was asked.
struct Recorded {
    world: World,
    store: Arc<Recording>,
}

impl Recorded {
    fn new() -> Self {
        let clock = world::clock();
        let store = Arc::new(Recording::new(Arc::new(Memory::new(clock.clone()))));
        let world = World::on(store.clone(), clock, world::small_format());
        Self { world, store }
    }

    /// The calls of `action` that change the store or wait for it.
    fn changes(&self, action: impl FnOnce(&Repository)) -> Vec<Call> {
        let repository = self.world.open();
        let before = self.store.calls().len();
        action(&repository);
        let mut calls = self.store.calls().split_off(before);
        calls
            .retain(|call| matches!(call.operation, Operation::Put | Operation::Delete | Operation::Barrier));
        assert!(calls.iter().all(|call| call.completed.is_some() && call.error.is_none()), "{calls:?}");
        calls
    }
}

fn puts<'a>(calls: &'a [Call], prefix: &str) -> Vec<&'a Call> {
    let put = |call: &&Call| call.operation == Operation::Put && call.id_or_prefix.starts_with(prefix);
    calls.iter().filter(put).collect()
}

fn deletes(calls: &[Call]) -> Vec<&Call> {
    calls.iter().filter(|call| call.operation == Operation::Delete).collect()
}

/// The rules of one session: marker, packs, barrier, one index blob, the marker's end.
#[track_caller]
fn check_session(calls: &[Call]) {
    let kinds: BTreeSet<_> = puts(calls, "").iter().map(|call| &call.id_or_prefix[..1]).collect();
    assert!(kinds.iter().all(|kind| ["s", "p", "q", "x"].contains(kind)), "{kinds:?}");
    let (markers, indexes, deletes) = (puts(calls, "s"), puts(calls, "x"), deletes(calls));
    assert_eq!((markers.len(), indexes.len(), deletes.len()), (1, 1, 1), "{calls:?}");
    let (marker, index, end) = (markers[0], indexes[0], deletes[0]);
    assert_eq!(marker.id_or_prefix, end.id_or_prefix);
    assert!(index.is_before(end), "the index must be stored before the marker goes");
    for pack in puts(calls, "p").into_iter().chain(puts(calls, "q")) {
        assert!(marker.is_before(pack), "{} was stored before its marker", pack.id_or_prefix);
        let is_between = |call: &Call| {
            call.operation == Operation::Barrier && pack.is_before(call) && call.is_before(index)
        };
        assert!(calls.iter().any(is_between), "no barrier between {} and its index", pack.id_or_prefix);
    }
}

/// A source that fills several packs.
fn big_source() -> TempDir {
    let source = tempfile::tempdir().unwrap();
    write(&source.path().join("sub/big"), &noise(3, 23 * MIB as usize));
    write(&source.path().join("small"), b"small");
    source
}

fn back_up(source: &Path) -> impl FnOnce(&Repository) {
    move |repository| drop(world::snapshot(repository, source))
}

#[test]
fn marker_packs_barrier_index_end() {
    let (recorded, source) = (Recorded::new(), big_source());
    let calls = recorded.changes(back_up(source.path()));
    check_session(&calls);
    assert_eq!((puts(&calls, "p").len(), puts(&calls, "q").len()), (3, 1));
}

#[test]
fn a_run_without_changes_stores_its_manifest_and_no_data() {
    let (recorded, source) = (Recorded::new(), big_source());
    recorded.changes(back_up(source.path()));
    recorded.world.clock.advance(Duration::from_hours(1));
    let calls = recorded.changes(back_up(source.path()));
    check_session(&calls);
    assert_eq!((puts(&calls, "p").len(), puts(&calls, "q").len()), (0, 1));
}

#[test]
fn every_flush_is_a_session_of_its_own() {
    let recorded = Recorded::new();
    let repository = recorded.world.open();
    let mut writer = world::begin(&repository);
    for round in 0..3 {
        let calls = recorded.changes(|_| {
            let mut data = noise(round, 1000);
            let contents = writer.objects().contents();
            contents.write(&mut data, IdPrefix::NONE, None, &mut Scratch::default()).unwrap();
            writer.flush().unwrap();
        });
        check_session(&calls);
    }
    let calls = recorded.changes(|_| writer.flush().unwrap());
    assert_eq!((puts(&calls, "").len(), deletes(&calls).len()), (0, 0), "there was nothing to flush");
}

#[test]
fn a_long_run_becomes_visible_in_sessions_that_each_keep_the_order() {
    let (recorded, source) = (Recorded::new(), big_source());
    for number in 0..40 {
        write(&source.path().join(format!("more/{number}")), &noise(100 + number, 200_000));
    }
    let options =
        WriteOptions { flush_interval: Duration::ZERO, ..WriteOptions::new(2, MemoryBudget::UNLIMITED) };
    let calls = recorded.changes(|repository| {
        let mut writer = repository.begin(&options).unwrap();
        world::upload_only(&mut writer, source.path());
        writer.flush().unwrap();
    });
    let markers = puts(&calls, "s");
    assert!(markers.len() > 2, "only {} sessions", markers.len());
    assert_eq!(markers.len(), deletes(&calls).len(), "every session has ended");
    for pack in puts(&calls, "p").into_iter().chain(puts(&calls, "q")) {
        let session = pack.id_or_prefix.split_once('-').unwrap().1;
        let marker = markers.iter().find(|marker| marker.id_or_prefix.ends_with(session)).unwrap();
        let end = deletes(&calls).into_iter().find(|end| end.id_or_prefix == marker.id_or_prefix).unwrap();
        assert!(marker.is_before(pack) && pack.is_before(end));
        let is_safe = |barrier: &Call, index: &Call| {
            barrier.operation == Operation::Barrier
                && pack.is_before(barrier)
                && barrier.is_before(index)
                && index.is_before(end)
        };
        let indexes = puts(&calls, "x");
        assert!(calls.iter().any(|barrier| indexes.iter().any(|index| is_safe(barrier, index))));
    }
    let repository = recorded.world.open();
    for entry in repository.contents().index().iter(false) {
        repository.contents().verify(&entry.id()).unwrap();
    }
}

#[test]
fn a_pack_that_cannot_be_stored_is_named_by_no_index() {
    let (recorded, source) = (Recorded::new(), big_source());
    let is_pack = |call: &Call| call.operation == Operation::Put && call.id_or_prefix.starts_with('p');
    let fails = move |call: &Call| if is_pack(call) { Fault::Before(ErrorClass::Full) } else { Fault::None };
    let repository = recorded.world.open_through(Arc::new(Faulty::new(recorded.store.clone(), fails)));
    let mut writer = world::begin(&repository);
    let before = recorded.store.calls().len();
    let contents = writer.objects().contents().clone();
    let data = std::fs::read(source.path().join("small")).unwrap();
    contents.write(&mut data.clone(), IdPrefix::NONE, None, &mut Scratch::default()).unwrap();
    let class = writer.flush().map_err(|error| error.class());
    assert_eq!(class, Err(ErrorClass::Full));
    let calls = recorded.store.calls().split_off(before);
    assert_eq!((puts(&calls, "s").len(), puts(&calls, "x").len(), deletes(&calls).len()), (1, 0, 0));
}

/// A run whose packs are all stored and whose index is not.
fn broken_run(recorded: &Recorded, source: &Path) {
    let is_index = |call: &Call| call.operation == Operation::Put && call.id_or_prefix.starts_with('x');
    let fails = move |call: &Call| if is_index(call) { Fault::Before(ErrorClass::Full) } else { Fault::None };
    let repository = recorded.world.open_through(Arc::new(Faulty::new(recorded.store.clone(), fails)));
    let mut writer = world::begin(&repository);
    let run = world::upload_only(&mut writer, source);
    let now = repository.environment().clock.now();
    world::manifest(world::source(), &run.uploaded, now, now).save(&mut writer).unwrap();
    writer.flush().unwrap_err();
}

fn packs(recorded: &Recorded, prefix: &str) -> Vec<BlobId> {
    let mut packs = recorded.store.list_all(prefix).unwrap();
    packs.sort_by_key(|pack| pack.length);
    packs.into_iter().map(|pack| pack.id).collect()
}

#[test]
fn the_next_run_takes_over_what_is_whole_and_no_manifest() {
    let (recorded, source) = (Recorded::new(), big_source());
    broken_run(&recorded, source.path());
    let stored = packs(&recorded, "p");
    assert_eq!((stored.len(), packs(&recorded, "q").len()), (3, 1));
    // One was lost, another has a hole.
    recorded.store.delete(&stored[2]).unwrap();
    let mut holed = recorded.store.get(&stored[1], None).unwrap();
    holed[5 * MIB as usize..][..100].fill(0);
    recorded.store.put(&stored[1], holed.into(), PutOptions::default()).unwrap();

    let repository = recorded.world.open();
    let mut writer = world::begin(&repository);
    let adopted = writer.objects().contents().adopt_abandoned_packs().unwrap();
    writer.flush().unwrap();
    let repository = recorded.world.open();
    let entries: Vec<_> = repository.contents().index().iter(false).map(|entry| entry.id()).collect();
    assert!(adopted > 3 && entries.len() as u64 == adopted, "{adopted} of {}", entries.len());
    for id in &entries {
        assert!(id.prefix() != IdPrefix::MANIFEST);
        repository.contents().verify(id).unwrap();
    }
    assert!(repository.load_manifests().unwrap().find(&[]).is_empty());
    recorded.changes(back_up(source.path()));
    let repository = recorded.world.open();
    let ids: Vec<_> = repository.contents().index().iter(false).map(|entry| entry.id()).collect();
    for id in &ids {
        repository.contents().verify(id).unwrap();
    }
    assert!(ids.len() > entries.len());
}
