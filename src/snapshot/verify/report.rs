//! What a verification has found.

use crate::base::error_chain;
use crate::blob::BlobId;
use crate::format::ContentId;
use crate::object::{self, ObjectId};
use crate::snapshot::dir_entry::count;
use crate::snapshot::{DirEntry, Error};
use parking_lot::Mutex;
use serde::Serialize;
use std::collections::HashMap;

/// Damaged parts of one file that are told; all are counted.
const PARTS_MAX: usize = 1000;

/// A damaged stretch of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DamagedPart {
    /// First byte in the file.
    pub offset: u64,
    /// Bytes of the file that are lost.
    pub length: u64,
    /// The content that holds them.
    pub content: String,
    /// The pack of the content, if an index names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pack: Option<String>,
}

/// A damaged object and where it was met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyError {
    /// Snapshot and path.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// The object.
    pub object: ObjectId,
    /// What of the file is damaged, if it is a file and that is known.
    pub parts: Vec<DamagedPart>,
    /// Other snapshots and paths that hold the object.
    pub also: Vec<String>,
    /// How many of those there are; more than are named, where there are too many.
    pub also_count: u64,
}

impl VerifyError {
    /// Something wrong that is about no object.
    pub fn of_path(path: String, error: &(dyn std::error::Error + 'static)) -> Self {
        Self::of_object(path, ObjectId::NONE, error)
    }

    fn of_object(path: String, object: ObjectId, error: &(dyn std::error::Error + 'static)) -> Self {
        let (parts, also) = (Vec::new(), Vec::new());
        Self { path, message: error_chain(error), object, parts, also, also_count: 0 }
    }
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

/// The report while it is being made.
#[derive(Debug)]
pub(super) struct Report {
    max_errors: i64,
    found: Mutex<VerifyReport>,
    /// Which error is that of an object.
    errors: Mutex<HashMap<ObjectId, usize>>,
}

impl Report {
    pub(super) fn new(max_errors: i64) -> Self {
        Self { max_errors, found: Mutex::default(), errors: Mutex::default() }
    }

    pub(super) fn into_inner(self) -> VerifyReport {
        self.found.into_inner()
    }

    /// Whether enough is wrong to stop.
    pub(super) fn is_done(&self) -> bool {
        self.max_errors >= 0 && self.found.lock().errors.len() as u64 >= self.max_errors.max(1) as u64
    }

    pub(super) fn count(&self, change: impl FnOnce(&mut VerifyStats)) {
        change(&mut self.found.lock().stats);
    }

    pub(super) fn expect(&self, root: &DirEntry) {
        let Some(summary) = &root.summ else { return };
        self.count(|stats| {
            for objects in [summary.files, summary.dirs, summary.symlinks] {
                count(&mut stats.expected_total_object_count, objects);
            }
            count(&mut stats.expected_total_file_count, summary.files);
            count(&mut stats.expected_total_bytes, summary.size);
        });
    }

    /// Notes what is wrong with an object; its parts one by one.
    pub(super) fn fail(
        &self,
        path: &str,
        object: ObjectId,
        error: &(dyn std::error::Error + 'static),
        part: Option<DamagedPart>,
    ) {
        let mut known = self.errors.lock();
        let mut report = self.found.lock();
        let next = report.errors.len();
        let at = *known.entry(object).or_insert(next);
        if at == next {
            report.errors.push(VerifyError::of_object(path.to_owned(), object, error));
        }
        if let Some(error) = report.errors.get_mut(at).filter(|error| error.parts.len() < PARTS_MAX) {
            error.parts.extend(part);
        }
    }
}

/// The content and the pack that an error is about.
pub(super) fn culprit(error: &Error) -> Option<(ContentId, Option<BlobId>)> {
    let of_content = |error: &crate::content::Error| {
        let (id, pack) = error.content_and_pack();
        id.map(|id| (id, pack))
    };
    match error {
        Error::KnownDamage { id, pack } => Some((*id, Some(pack.clone()))),
        Error::Content(error) => of_content(error),
        Error::Object(object::Error::Content { source, .. }) => of_content(source),
        _ => None,
    }
}
