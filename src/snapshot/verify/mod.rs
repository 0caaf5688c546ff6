//! Proof that snapshots can be restored.
//!
//! ```text
//! roots ─► walk: each distinct object once ─► every content in the index, its pack there and long enough
//!                                    │ those drawn to be read
//!                                    ▼
//!          window of contents ─► packs, each from front to back ─► authentic? hashes to its name? as long as listed?
//!                                    │ what is damaged
//!                                    ▼
//!          once more through the trees: all snapshots and paths that hold it
//! ```

mod hurt;
mod reading;
mod report;
mod rounds;
mod walk;

pub use report::{DamagedPart, VerifyError, VerifyReport, VerifyStats};
pub use rounds::{RoundOptions, RoundReport, verify_round};

use super::{DirEntry, ObjectCheck};
use crate::base::{ByteGate, MemoryBudget, Monitor};
use crate::repo::Repository;
use report::Report;
use std::sync::Arc;
use walk::Walk;

/// How much is to be proven.
#[derive(Debug, Clone, Copy)]
pub struct VerifyOptions {
    /// Share of the files whose bytes are read, 0 to 100.
    pub read_percent: f64,
    /// Stop after this many failures; 0 counts as 1, negative never stops.
    pub max_errors: i64,
    /// What is read and decoded at once may have a third of this.
    pub memory: MemoryBudget,
}

impl VerifyOptions {
    /// Reads every byte and tells all that is wrong.
    pub const EVERYTHING: Self =
        Self { read_percent: 100.0, max_errors: -1, memory: MemoryBudget::UNLIMITED };
}

/// What the parts of a verification share.
struct Verifier<'a> {
    repository: &'a Repository,
    check: ObjectCheck<'a>,
    read_percent: f64,
    monitor: &'a dyn Monitor,
    report: Report,
    gate: ByteGate,
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
        read_percent: options.read_percent,
        monitor,
        report: Report::new(options.max_errors),
        gate: ByteGate::new(options.memory.buffer_bytes / 3),
    };
    warn_of_unnamed_packs(&verifier);
    for (_, entry) in roots {
        verifier.report.expect(entry);
    }
    Walk::new(&verifier).run(roots.iter().map(|(name, entry)| (Arc::from(name.as_str()), entry.clone())));
    let mut report = verifier.report.into_inner();
    hurt::name_all(repository.objects(), roots, &mut report.errors);
    report.errors.extend(damaged_indexes(repository));
    Ok(report)
}

/// What is missing with an index blob is unknown, and may be a whole snapshot: the blob itself is the finding.
fn damaged_indexes(repository: &Repository) -> Vec<VerifyError> {
    let damaged = repository.contents().damaged_index_blobs();
    let broken = damaged.iter().filter_map(|index| Some((&index.blob, index.error.as_deref()?)));
    broken.map(|(blob, error)| VerifyError::of_path(format!("index blob {blob}"), error)).collect()
}

/// A lost index blob takes snapshots with it without a trace but this.
fn warn_of_unnamed_packs(verifier: &Verifier<'_>) {
    let unnamed = verifier.check.unnamed_packs();
    if let Some(first) = unnamed.first() {
        verifier.monitor.warn(&format!(
            "{} packs are named by no index, {first} among them: a run in progress or a killed one has stored them, or an \
             index blob is lost, and snapshots with it",
            unnamed.len()
        ));
    }
}
