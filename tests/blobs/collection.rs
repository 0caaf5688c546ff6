//! `blob gc`: what is deleted and what is kept.

use super::{names, stage};
use crate::support::live_tree::write;
use crate::support::programs::{Program, text};
use crate::support::world::{self, World, noise, small_format};
use packhorse::base::ErrorClass;
use packhorse::blob::{BlobId, Fault, Faulty, Operation, StorageExt};
use packhorse::maintenance::{BlobGc, BlobGcReport, Error, SafetyParameters, collect_blobs};
use packhorse::repo::Repository;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tempfile::TempDir;

const FULL: BlobGc<'_> = BlobGc { prefix: None, safety: SafetyParameters::FULL, dry_run: false };
const NONE: BlobGc<'_> = BlobGc { safety: SafetyParameters::NONE, ..FULL };

/// A repository with a snapshot and packs of a run that broke off.
fn broken_run() -> (World, TempDir, Vec<BlobId>) {
    let (world, source) = (World::new(small_format()), tempfile::tempdir().unwrap());
    write(&source.path().join("kept"), &noise(1, 300_000));
    world::snapshot(&world.open(), source.path());
    let indexed: Vec<_> = world.storage.list_all("").unwrap().into_iter().map(|blob| blob.id).collect();
    write(&source.path().join("lost"), &noise(2, 25_000_000));
    let failing = Faulty::new(Arc::clone(&world.storage), |call| match call.operation {
        Operation::Put if call.id_or_prefix.starts_with('x') => Fault::Before(ErrorClass::Full),
        _ => Fault::None,
    });
    let repository = world.open_through(Arc::new(failing));
    let mut writer = world::begin(&repository);
    world::upload_only(&mut writer, source.path());
    writer.flush().unwrap_err();
    drop(writer);
    let mut orphans: Vec<_> = world.storage.list_all("").unwrap().into_iter().map(|blob| blob.id).collect();
    orphans.retain(|id| !indexed.contains(id));
    assert!(orphans.len() >= 3, "packs and a marker: {orphans:?}");
    (world, source, orphans)
}

fn collect(repository: &Repository, gc: BlobGc<'_>) -> Result<BlobGcReport, Error> {
    collect_blobs(repository, gc, &AtomicBool::new(false))
}

fn left(world: &World, orphans: &[BlobId]) -> usize {
    orphans.iter().filter(|id| world.storage.metadata(id).is_ok()).count()
}

#[test]
fn margins_protect_runs_at_work() {
    let (world, _source, orphans) = broken_run();
    let all = orphans.len() as u64;
    // Younger than a day; then of a session that is younger than four; then neither.
    for (hours, gone) in [(1, 0), (30, 0), (60, 0), (6, all)] {
        world.clock.advance(Duration::from_hours(hours));
        let counted = collect(&world.open(), BlobGc { dry_run: true, ..FULL }).unwrap();
        assert_eq!((counted.unreferenced.blobs, counted.deleted.blobs), (gone, 0), "after {hours} more");
        let report = collect(&world.open(), FULL).unwrap();
        assert_eq!((report.deleted.blobs, report.retained.blobs), (gone, all - gone), "after {hours} more");
    }
    assert_eq!(left(&world, &orphans), 0);
    world.open().load_manifests().unwrap();
}

#[test]
fn without_margins_everything_goes_that_no_index_names() {
    let (world, _source, orphans) = broken_run();
    let packs = orphans.iter().filter(|id| id.as_str().starts_with('p')).count();
    assert_eq!(
        collect(&world.open(), BlobGc { prefix: Some("p"), ..NONE }).unwrap().deleted.blobs,
        packs as u64
    );
    assert_eq!(collect(&world.open(), NONE).unwrap().deleted.blobs, (orphans.len() - packs) as u64);
    assert_eq!(collect(&world.open(), NONE).unwrap(), BlobGcReport::default());
    for prefix in ["x", "kopia.", "n", "_log_", "verified"] {
        let refused = collect(&world.open(), BlobGc { prefix: Some(prefix), ..NONE });
        assert!(matches!(refused, Err(Error::NoPacks { .. })), "{prefix}");
    }
}

#[test]
fn nothing_goes_when_it_is_not_certain_what_is_in_use() {
    let (world, _source, orphans) = broken_run();
    // A marker that cannot be read, and an index blob that a crash has emptied.
    let repository = world.open();
    let marker = BlobId::from("s0123456789abcdef0123456789abcdef-s0123456789abcdef146");
    world.storage.put_now(&marker, b"no marker").unwrap();
    assert!(matches!(collect(&repository, NONE), Err(Error::Marker { .. })));
    world.storage.delete(&marker).unwrap();
    let index = world.storage.list_all("x").unwrap().remove(0);
    let bytes = world.storage.get(&index.id, None).unwrap();
    let damaged = |by: &[u8]| {
        world.storage.put_now(&index.id, by).unwrap();
        let refused = collect(&repository, NONE).unwrap_err();
        assert_eq!(refused.class(), ErrorClass::Corrupt, "{refused}");
        refused
    };
    assert!(matches!(damaged(b""), Error::EmptyIndex { .. }));
    damaged(&vec![0; bytes.len()]);
    damaged(b"no index");
    damaged(&bytes[..bytes.len() - 1]);
    world.storage.put_now(&index.id, &bytes).unwrap();
    assert_eq!(left(&world, &orphans), orphans.len());
    let stopped = collect_blobs(&world.open(), NONE, &AtomicBool::new(true));
    assert!(matches!(stopped, Err(Error::Canceled)));
    assert_eq!(left(&world, &orphans), orphans.len());
}

#[test]
fn an_index_written_meanwhile_saves_its_packs() {
    let (world, source, orphans) = broken_run();
    let repository = world.open();
    // The next run takes the packs over after this one has read the index.
    world::snapshot(&world.open(), source.path());
    let before = left(&world, &orphans);
    collect(&repository, NONE).unwrap();
    let packs = |ids: &[BlobId]| ids.iter().filter(|id| id.as_str().starts_with('p')).count();
    assert!(packs(&orphans) > 0 && left(&world, &orphans) >= packs(&orphans) && before >= packs(&orphans));
    for entry in world.open().contents().index().iter(false) {
        assert!(world.storage.metadata(&entry.to_entry().pack).is_ok());
    }
}

#[test]
fn kopia_deletes_the_same() {
    let Some(kopia) = Program::kopia() else { return };
    let ours = Program::packhorse();
    let (base, repository) = stage(&kopia);
    // Without their index blobs the packs of a second snapshot are nobody's.
    ours.connect(&repository);
    let before = names(&ours, &["--prefix=x"]);
    trees_edit(&base);
    kopia.snapshot(&base.path().join("source"));
    let new: Vec<_> =
        names(&ours, &["--prefix=xn"]).into_iter().filter(|name| !before.contains(name)).collect();
    ours.ok(["blob", "delete"].into_iter().map(str::to_owned).chain(new));
    let twin = base.path().join("twin");
    let copied = Command::new("cp").arg("-a").args([&repository, &twin]).status().unwrap();
    assert!(copied.success());
    let theirs = Program::kopia().unwrap();
    theirs.connect(&twin);
    let said = text(&ours.run(["blob", "gc", "--safety=none"]).stderr);
    assert!(said.contains("Pass --delete=yes to delete."), "{said}");
    ours.ok(["blob", "gc", "--safety=none", "--delete=yes"]);
    theirs.ok(["blob", "gc", "--safety=none", "--delete=yes"]);
    let mine = names(&ours, &["--exclude-prefix=_"]);
    let reader = Program::packhorse();
    reader.connect(&twin);
    assert_eq!(mine, names(&reader, &["--exclude-prefix=_"]));
    ours.verify();
}

fn trees_edit(base: &TempDir) {
    write(&base.path().join("source/added"), &noise(9, 2_000_000));
}
