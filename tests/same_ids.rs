//! The same source in a repository with the same keys and policies gets the ids that Kopia gave it.
//!
//! A directory's id is the keyed hash of its manifest's bytes, so equal roots prove equal manifests all the way down,
//! and with them equal cuts, equal lists of parts and equal content ids.

use crate::support::compare::snapshots;
use crate::support::fixture::{Fixture, storage};
use crate::support::live_tree::{can_change_owners, materialize};
use crate::support::same_tree::first_difference;
use crate::support::{chain, world};
use packhorse::base::{MemoryBudget, Quiet};
use packhorse::blob::{BlobId, Memory, Storage, StorageExt};
use packhorse::format::{CONFIG_BLOB, REPOSITORY_BLOB};
use packhorse::policy::PolicyStore;
use packhorse::repo::{Repository, RepositoryWriter, WriteOptions};
use packhorse::snapshot::{DirEntry, EntryType, SnapshotManifest, UploadOptions, upload};
use rayon::prelude::*;
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;

/// An empty repository with the keys and parameters of another.
fn empty_twin(fixture: &Fixture, original: &dyn Storage) -> Repository {
    let clock = world::clock();
    let twin = Arc::new(Memory::new(clock.clone()));
    for name in [REPOSITORY_BLOB, CONFIG_BLOB] {
        let id = BlobId::from(name);
        if let Some(data) = original.get_optional(&id).unwrap() {
            twin.put_now(&id, &data).unwrap();
        }
    }
    Repository::open(twin, &fixture.password(), world::alice(), world::environment(clock, 2)).unwrap()
}

/// Whether the source can be made again from what Kopia lists, and today's parameters are those it was stored under.
fn is_remakeable(original: &Repository, fixture: &Fixture, snapshot: &SnapshotManifest) -> bool {
    let Some(root) = &snapshot.root_entry else { return false };
    let tree = &fixture.facts["trees"][root.obj.to_string()];
    let entries = tree.as_array().unwrap();
    // Names that became one and years beyond 2262 are listed as what they are not.
    let is_unlike_its_source = |entry: &Value| {
        entry.get("ambiguous_name").is_some()
            || entry.get("content_missing").is_some()
            || entry["mtime_ns"].as_i64().unwrap() < -(1 << 62)
    };
    // A copy from another repository lists sizes of directories, which no upload does.
    let is_copied = |entry: &Value| entry["type"] == "d" && entry["path"] != "" && entry["size"] != 0;
    let compresses_itself = |entry: &Value| entry["object"].as_str().unwrap().starts_with('Z');
    let upgraded_since = original.contents().format().compresses_contents();
    root.kind == EntryType::Directory
        && snapshot.is_complete()
        && snapshot.fatal_errors() + snapshot.ignored_errors() == 0
        && !entries.iter().any(|entry| is_unlike_its_source(entry) || is_copied(entry))
        && !(upgraded_since && entries.iter().any(compresses_itself))
        && has_compressor(original, snapshot)
}

/// LZ4 is only read: Kopia has given up writing it, too.
fn has_compressor(original: &Repository, snapshot: &SnapshotManifest) -> bool {
    let manifests = original.load_manifests().unwrap();
    let policies = PolicyStore::new(&manifests).tree(&snapshot.source).unwrap();
    policies.policy().compression.compressor_name != "lz4"
}

/// Uploads every remakeable snapshot of a fixture; how many, and which got another root.
fn compare(fixture: &Fixture) -> (usize, Vec<String>) {
    let (folder, clock) = (fixture.unpack(), world::clock());
    let Ok(original) = fixture.open(folder.path()) else { return (0, Vec::new()) };
    let twin = empty_twin(fixture, storage(folder.path(), clock).as_ref());
    let options = WriteOptions::new(2, MemoryBudget::UNLIMITED);
    let mut writer = twin.begin(&options).unwrap();
    let (mut roots, mut differences) = (Vec::new(), Vec::new());
    for snapshot in snapshots(fixture).iter().filter(|snapshot| is_remakeable(&original, fixture, snapshot)) {
        let kopias = snapshot.root_entry.clone().unwrap();
        match remake(fixture, &original, &mut writer, snapshot) {
            Ok(ours) => roots.push((ours, kopias)),
            Err(error) => differences.push(format!("{}: {}: {error}", fixture.name, kopias.obj)),
        }
    }
    writer.flush().unwrap();
    for (ours, kopias) in &roots {
        if let Some(difference) = first_difference(&twin, ours, &original, kopias) {
            differences.push(format!("{}: {difference}", fixture.name));
        }
    }
    (roots.len(), differences)
}

fn remake(
    fixture: &Fixture,
    original: &Repository,
    writer: &mut RepositoryWriter<'_>,
    snapshot: &SnapshotManifest,
) -> Result<DirEntry, String> {
    let source = tempfile::tempdir().unwrap();
    let kopias = snapshot.root_entry.as_ref().unwrap().obj;
    materialize(original, &fixture.facts["trees"][kopias.to_string()], source.path());
    let manifests = original.load_manifests().unwrap();
    let policies = PolicyStore::new(&manifests).tree(&snapshot.source).unwrap();
    let uploaded = upload(writer, source.path(), &policies, &[], &Quiet, &UploadOptions::default())
        .map_err(|error| chain(&error))?;
    Ok(uploaded.root_entry)
}

fn check(names: &[&str]) {
    if !can_change_owners() {
        return;
    }
    let results: Vec<_> = names.par_iter().map(|name| compare(&Fixture::load(name))).collect();
    let differences: Vec<_> = results.iter().flat_map(|(_, differences)| differences.clone()).collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    for (name, (made, _)) in names.iter().zip(&results) {
        assert!(*made > 0, "nothing of {name} was compared");
    }
}

#[test]
fn with_every_format_version() {
    check(&["format-v1-plain", "format-v2-plain", "format-v3-plain", "format-v2-upgrade-begin"]);
}

#[test]
fn where_objects_compress_themselves() {
    check(&["format-v1"]);
}

#[test]
fn with_splitters_and_compression() {
    check(&[
        "splitter-dynamic-512k-buzhash",
        "splitter-dynamic-512k-rabinkarp",
        "compress-s2-better",
        "compress-each",
    ]);
}

#[test]
fn with_odd_names_modes_and_times() {
    check(&["tree-weird-v1", "tree-ignore"]);
}

#[test]
fn of_the_full_collection() {
    #[expect(clippy::disallowed_methods, reason = "where the collection is differs from machine to machine")]
    let Some(folder) = std::env::var_os("PACKHORSE_TEST_FIXTURES").map(PathBuf::from) else { return };
    let names = Fixture::names(&folder);
    let results: Vec<_> = names.par_iter().map(|name| compare(&Fixture::load_from(&folder, name))).collect();
    let made: usize = results.iter().map(|(made, _)| made).sum();
    let differences: Vec<_> = results.into_iter().flat_map(|(_, differences)| differences).collect();
    assert!(differences.is_empty(), "of {made} snapshots:\n{}", differences.join("\n"));
    println!("{made} snapshots have the ids that Kopia gave them");
}
