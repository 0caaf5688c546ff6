//! Repositories written by Kopia are read as Kopia reads them.
//!
//! The choice that belongs to this package is in `fixtures/repositories`; with `PACKHORSE_TEST_FIXTURES` naming the
//! folder of the full collection, all of that is compared too.

use crate::support::compare::compare;
use crate::support::fixture::Fixture;
use crate::support::restored;
use rayon::prelude::*;
use std::collections::BTreeSet;
use std::path::PathBuf;

const HASHES: &[&str] = &[
    "hash-blake2b-256",
    "hash-blake2b-256-128",
    "hash-blake2s-128",
    "hash-blake2s-256",
    "hash-blake3-256",
    "hash-blake3-256-128",
    "hash-hmac-sha224",
    "hash-hmac-sha256",
    "hash-hmac-sha256-128",
    "hash-hmac-sha3-224",
    "hash-hmac-sha3-256",
];

const PASSWORDS: &[&str] = &["kdf-pbkdf2", "kdf-scrypt", "password-changed", "password-odd"];

/// Format versions 1 to 3 with index versions 1 and 2, both ciphers, both ways of upgrading.
const FORMATS: &[&str] = &[
    "blobcfg-retention",
    "ecc-100",
    "ecc-50",
    "empty",
    "empty-v1",
    "format-v1",
    "format-v1-index-v2",
    "format-v1-plain",
    "format-v1-upgraded",
    "format-v2-plain",
    "format-v2-upgrade-begin",
    "format-v3-plain",
    "old-default",
    "params-changed",
    "params-required-feature-warn",
    "upgrade-rolled-back",
];

/// Must not open.
const REFUSED: &[&str] = &["params-required-feature", "upgrade-lock-left"];

/// A small source under every compressor that Kopia writes; one that it has given up; a larger source.
const COMPRESSORS: &[&str] = &["compress-each", "compress-lz4", "compress-s2-better"];

const SPLITTERS: &[&str] = &["splitter-dynamic-512k-buzhash", "splitter-dynamic-512k-rabinkarp"];

const SHARDS: &[&str] = &["shards-2-2-2", "shards-3-3", "shards-flat", "shards-missing", "shards-override"];

const INDEXES: &[&str] = &["contents-undeleted", "epochs-open", "index-compacted-v1", "index-missing"];

const SOURCES: &[&str] = &[
    "actions",
    "errors-failfast",
    "errors-fatal",
    "errors-ignored",
    "history-moved",
    "policies-changed",
    "single-file",
    "stdin",
    "tree-collide",
    "tree-collide-gc",
    "tree-future",
    "tree-ignore",
    "tree-weird-v1",
    "users-acl",
];

const INCOMPLETE: &[&str] = &["incomplete-canceled", "incomplete-checkpoint", "incomplete-then-complete"];

const ALL: &[&[&str]] =
    &[HASHES, PASSWORDS, FORMATS, REFUSED, COMPRESSORS, SPLITTERS, SHARDS, INDEXES, SOURCES, INCOMPLETE];

fn compare_and_restore(fixture: &Fixture) -> Vec<String> {
    let folder = fixture.unpack();
    let opened = fixture.open(folder.path());
    let mut differences = compare(fixture, &opened);
    differences.extend(opened.iter().flat_map(|repository| restored::compare(fixture, repository)));
    differences
}

fn check(names: &[&str]) {
    let differences: Vec<String> =
        names.par_iter().flat_map_iter(|name| compare_and_restore(&Fixture::load(name))).collect();
    assert!(differences.is_empty(), "of {} fixtures:\n{}", names.len(), differences.join("\n"));
}

#[test]
fn every_hash() {
    check(HASHES);
}

#[test]
fn passwords_and_their_derivations() {
    check(PASSWORDS);
}

#[test]
fn every_format_and_upgrade() {
    check(FORMATS);
}

#[test]
fn what_is_not_understood_is_refused() {
    check(REFUSED);
}

#[test]
fn compressed_contents() {
    check(COMPRESSORS);
}

#[test]
fn objects_of_many_contents() {
    check(SPLITTERS);
}

#[test]
fn every_layout_of_folders() {
    check(SHARDS);
}

#[test]
fn epochs_compaction_and_tombstones() {
    check(INDEXES);
}

#[test]
fn odd_sources_names_and_policies() {
    check(SOURCES);
}

#[test]
fn incomplete_snapshots() {
    check(INCOMPLETE);
}

#[test]
fn no_fixture_is_unused() {
    let used: BTreeSet<String> = ALL.iter().flat_map(|group| group.iter()).map(ToString::to_string).collect();
    let there: BTreeSet<String> = Fixture::names(&Fixture::folder()).into_iter().collect();
    assert_eq!(used, there, "a fixture without a test proves nothing");
}

#[test]
fn the_full_collection() {
    #[expect(clippy::disallowed_methods, reason = "where the collection is differs from machine to machine")]
    let Some(folder) = std::env::var_os("PACKHORSE_TEST_FIXTURES").map(PathBuf::from) else { return };
    let names = Fixture::names(&folder);
    assert!(!names.is_empty(), "{} holds no fixtures", folder.display());
    let differences: Vec<String> = names
        .par_iter()
        .flat_map_iter(|name| compare_and_restore(&Fixture::load_from(&folder, name)))
        .collect();
    assert!(differences.is_empty(), "of {} fixtures:\n{}", names.len(), differences.join("\n"));
}
