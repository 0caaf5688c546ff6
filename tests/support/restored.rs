//! Restores the trees of a fixture and compares what is on disk with what Kopia lists.

use super::chain;
use super::compare::snapshots;
use super::fixture::Fixture;
use super::live_tree::can_change_owners;
use packhorse::base::Quiet;
use packhorse::repo::Repository;
use packhorse::restore::{RestoreOptions, restore};
use packhorse::snapshot::DirEntry;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Times that every file system in use can hold, in seconds.
const COMMON_TIMES: std::ops::Range<i64> = -(1 << 31)..(1 << 31);

/// The differences between what is listed and what comes back.
pub(crate) fn compare(fixture: &Fixture, repository: &Repository) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let roots = snapshots(fixture).into_iter().filter_map(|snapshot| snapshot.root_entry);
    let differences = roots
        .filter(|root| seen.insert(root.obj))
        .flat_map(|root| compare_tree(repository, &root, &fixture.facts["trees"][root.obj.to_string()]));
    differences.map(|difference| format!("{}: {difference}", fixture.name)).take(8).collect()
}

fn compare_tree(repository: &Repository, root: &DirEntry, facts: &Value) -> Vec<String> {
    let place = tempfile::tempdir().unwrap();
    let target = place.path().join("restored");
    let result = restore(repository, root, &target, &RestoreOptions::default(), &Quiet);
    // Of two names that became one the last is restored, as by Kopia.
    let entries = facts.as_array().unwrap().iter();
    let listed: BTreeMap<_, _> =
        entries.map(|entry| (entry["path"].as_str().unwrap().to_owned(), entry)).collect();
    let is_lost = listed.values().any(|entry| entry.get("content_missing").is_some());
    match (result, is_lost) {
        (Ok(_), false) => {}
        (Err(_), true) => return Vec::new(),
        (Ok(_), true) => return vec!["what is lost was restored".to_owned()],
        (Err(error), false) => return vec![format!("{}: {}", root.obj, chain(&error))],
    }
    let mut found = BTreeMap::new();
    describe(&target, "", &mut found);
    let mut differences: Vec<_> = found
        .keys()
        .filter(|path| !listed.contains_key(*path))
        .map(|path| format!("{path} is not listed"))
        .collect();
    for (path, facts) in &listed {
        let Some(found) = found.get(path) else {
            differences.push(format!("{path} is not restored"));
            continue;
        };
        for (key, value) in found.as_object().unwrap() {
            if is_promised(facts, key) && facts[key] != *value {
                differences.push(format!("{key} of {path}: {value} instead of {}", facts[key]));
            }
        }
    }
    differences
}

fn is_promised(facts: &Value, key: &str) -> bool {
    let seconds = facts["mtime_ns"].as_i64().unwrap().div_euclid(1_000_000_000);
    match key {
        "mtime_ns" => COMMON_TIMES.contains(&seconds),
        "uid" | "gid" => can_change_owners(),
        // A partial file has the size of the whole one in its entry; an ambiguous name the facts of either.
        "size" => facts["sha256"].is_string(),
        _ => !facts[key].is_null(),
    }
}

fn describe(path: &Path, relative: &str, found: &mut BTreeMap<String, Value>) {
    let metadata = fs::symlink_metadata(path).unwrap();
    let mut facts = json!({
        "uid": metadata.uid(),
        "gid": metadata.gid(),
        "mtime_ns": metadata.mtime() * 1_000_000_000 + metadata.mtime_nsec(),
    });
    if metadata.is_symlink() {
        facts["type"] = "s".into();
        facts["target_hex"] = hex::encode(fs::read_link(path).unwrap().as_os_str().as_bytes()).into();
    } else {
        facts["mode"] = format!("{:04o}", metadata.mode() & 0o7777).into();
        facts["type"] = if metadata.is_dir() { "d".into() } else { "f".into() };
    }
    if metadata.is_file() {
        facts["size"] = metadata.len().into();
        facts["sha256"] = digest(path).into();
    }
    found.insert(relative.to_owned(), facts);
    if metadata.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            let name = entry.unwrap().file_name();
            let name = name.to_str().unwrap();
            let below = if relative.is_empty() { name.to_owned() } else { format!("{relative}/{name}") };
            describe(&path.join(name), &below, found);
        }
    }
}

fn digest(path: &Path) -> String {
    let mut digest = Sha256::new();
    std::io::copy(&mut fs::File::open(path).unwrap(), &mut digest).unwrap();
    hex::encode(digest.finalize())
}
