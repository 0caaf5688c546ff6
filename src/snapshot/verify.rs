//! Proof that snapshots can be restored.
//!
//! Trees are walked in waves of directories, each distinct object once. A directory is proven by reading it, a file by
//! an [`ObjectCheck`].

use super::dir_entry::count;
use super::{DirEntry, EntryType, ObjectCheck, read_directory};
use crate::base::{Counter, Monitor, error_chain};
use crate::repo::Repository;
use parking_lot::Mutex;
use rayon::prelude::*;
use serde::Serialize;
use std::collections::HashSet;
use std::sync::Arc;

/// Directories looked into at once: their listings are what is in memory.
const WAVE_DIRECTORIES: usize = 128;

/// How Kopia names a file in whose upload a checkpoint was taken: the entry has the size of the file, and its object
/// what had been stored of it. Source: kopia `snapshot/upload/checkpoint_registry.go`.
const PARTIAL_FILE_PREFIX: &str = ".checkpointed.";

/// How much is to be proven.
#[derive(Debug, Clone, Copy)]
pub struct VerifyOptions {
    /// Share of the files whose bytes are read, 0 to 100.
    pub read_percent: f64,
    /// Stop after this many failures; 0 counts as 1, negative never stops.
    pub max_errors: i64,
}

/// A failure and where it was met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyError {
    /// Snapshot and path.
    pub path: String,
    /// What is wrong.
    pub message: String,
}

/// What was looked at, with Kopia's names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VerifyStats {
    /// Objects looked at.
    pub processed_object_count: u64,
    /// Bytes that the files among them have.
    pub processed_bytes: u64,
    /// Files that were read.
    pub read_file_count: u64,
    /// Bytes that were read.
    pub read_bytes: u64,
    /// Objects that the roots promise.
    pub expected_total_object_count: u64,
    /// Files that the roots promise.
    pub expected_total_file_count: u64,
    /// Bytes that the roots promise.
    pub expected_total_bytes: u64,
}

/// The outcome of a verification.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// What was looked at.
    pub stats: VerifyStats,
    /// What is wrong, in the order it was found.
    pub errors: Vec<VerifyError>,
}

/// Verifies the trees below `roots`, each with a name for messages.
///
/// # Errors
/// Only when the packs cannot be listed; what is wrong with the trees is in the report.
pub fn verify(
    repository: &Repository,
    roots: &[(String, DirEntry)],
    options: &VerifyOptions,
    monitor: &dyn Monitor,
) -> super::Result<VerifyReport> {
    let verifier = Verifier {
        repository,
        check: ObjectCheck::new(repository)?,
        options,
        monitor,
        report: Mutex::new(VerifyReport::default()),
    };
    let mut seen = HashSet::new();
    let mut stack: Vec<Item> = Vec::new();
    for (name, entry) in roots {
        verifier.expect(entry);
        stack.push(Item { path: name.as_str().into(), entry: entry.clone() });
    }
    stack.retain(|item| seen.insert(item.entry.obj));
    while !stack.is_empty() && !verifier.is_done() {
        let wave = stack.split_off(stack.len().saturating_sub(WAVE_DIRECTORIES));
        let members: Vec<Vec<Item>> =
            wave.into_par_iter().map(|item| verifier.directory_or_file(&item)).collect();
        let mut files = Vec::new();
        for member in members.into_iter().flatten() {
            if seen.insert(member.entry.obj) {
                (if member.entry.kind == EntryType::Directory { &mut stack } else { &mut files })
                    .push(member);
            }
        }
        files.par_iter().for_each(|item| verifier.file(item));
    }
    Ok(verifier.report.into_inner())
}

/// Links may have been read longer than they were listed, and partial files are shorter by design.
fn promises_size(entry: &DirEntry) -> bool {
    entry.kind == EntryType::File && !entry.name.starts_with(PARTIAL_FILE_PREFIX)
}

struct Item {
    path: Arc<str>,
    entry: DirEntry,
}

struct Verifier<'a> {
    repository: &'a Repository,
    check: ObjectCheck<'a>,
    options: &'a VerifyOptions,
    monitor: &'a dyn Monitor,
    report: Mutex<VerifyReport>,
}

impl Verifier<'_> {
    fn is_done(&self) -> bool {
        let limit = self.options.max_errors;
        limit >= 0 && self.report.lock().errors.len() as u64 >= limit.max(1) as u64
    }

    fn expect(&self, root: &DirEntry) {
        let mut report = self.report.lock();
        let stats = &mut report.stats;
        if let Some(summary) = &root.summ {
            for objects in [summary.files, summary.dirs, summary.symlinks] {
                count(&mut stats.expected_total_object_count, objects);
            }
            count(&mut stats.expected_total_file_count, summary.files);
            count(&mut stats.expected_total_bytes, summary.size);
        }
    }

    fn fail(&self, path: &str, error: &dyn std::error::Error) {
        let message = error_chain(error);
        self.report.lock().errors.push(VerifyError { path: path.to_owned(), message });
    }

    fn directory_or_file(&self, item: &Item) -> Vec<Item> {
        if item.entry.kind != EntryType::Directory {
            self.file(item);
            return Vec::new();
        }
        self.monitor.add(Counter::VerifiedObjects, 1);
        self.report.lock().stats.processed_object_count += 1;
        match read_directory(self.repository.objects(), item.entry.obj) {
            Ok(manifest) => manifest
                .entries
                .into_iter()
                .map(|entry| Item { path: format!("{}/{}", item.path, entry.name).into(), entry })
                .collect(),
            Err(error) => {
                self.fail(&item.path, &error);
                Vec::new()
            }
        }
    }

    fn file(&self, item: &Item) {
        if self.is_done() {
            return;
        }
        self.monitor.add(Counter::VerifiedObjects, 1);
        let read = self.check.is_drawn(self.options.read_percent);
        let result = self.check.object(item.entry.obj, read, self.monitor);
        {
            let mut report = self.report.lock();
            report.stats.processed_object_count += 1;
            count(&mut report.stats.processed_bytes, item.entry.size);
            if let (true, Ok(bytes)) = (read, &result) {
                report.stats.read_file_count += 1;
                report.stats.read_bytes += bytes;
            }
        }
        match result {
            Ok(bytes) if read && bytes != item.entry.size && promises_size(&item.entry) => {
                let found = FileLength { expected: item.entry.size, found: bytes };
                self.fail(&item.path, &found);
            }
            Ok(_) => {}
            Err(error) => self.fail(&item.path, &error),
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the file has {found} bytes, and its entry says {expected}")]
struct FileLength {
    expected: u64,
    found: u64,
}
