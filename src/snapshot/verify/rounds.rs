//! Every pack once in a while: each run reads as much as it may, first the packs that were found damaged, so that every run
//! tells of them, then those that nobody has read, the newest first, then those that were read longest ago. At least one
//! is read that is not known to be damaged, so that the runs get on however much damage there is.

use super::reading::batches;
use super::walk::Walk;
use super::{Report, Verifier, VerifyReport, hurt};
use crate::base::{ByteGate, Counter, MemoryBudget, Monitor, Timestamp, error_chain};
use crate::blob::{BlobId, BlobMetadata, StorageExt};
use crate::content::{self, PackKind, PackRead, ReadPlan};
use crate::format::ContentId;
use crate::repo::{Repository, VerifiedPacks};
use crate::snapshot::{DirEntry, ObjectCheck, Result};
use parking_lot::Mutex;
use rayon::prelude::*;
use serde::Serialize;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

/// Packs whose contents are planned together, in bytes: what is known of them is in memory.
const SLICE_BYTES: u64 = 512 << 20;

/// How much a run is to do.
#[derive(Debug, Clone, Copy)]
pub struct RoundOptions {
    /// In this time every pack is to be read.
    pub period: Duration,
    /// Bytes of packs to read at most; one pack that is not known to be damaged is read in any case.
    pub max_bytes: Option<u64>,
    /// What is read and decoded at once may have a third of this.
    pub memory: MemoryBudget,
}

/// A content that is damaged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DamagedContent {
    /// The content.
    pub content: String,
    /// The pack that should hold it.
    pub pack: String,
    /// What is wrong.
    pub message: String,
}

/// What a run did, and how far all runs have come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RoundReport {
    /// Packs read by this run.
    pub read_packs: u64,
    /// Bytes in them.
    pub read_bytes: u64,
    /// All packs.
    pub total_packs: u64,
    /// Bytes in them.
    pub total_bytes: u64,
    /// Packs that some run has read and found good within the period.
    pub fresh_packs: u64,
    /// Bytes in them.
    pub fresh_bytes: u64,
    /// When the pack that has waited longest was read last, or written if nobody has read it yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest: Option<Timestamp>,
    /// What is damaged, pack by pack.
    pub damaged: Vec<DamagedContent>,
}

/// A run over the packs that are due.
struct Round<'a> {
    repository: &'a Repository,
    monitor: &'a dyn Monitor,
    gate: ByteGate,
    damaged: Mutex<HashMap<ContentId, DamagedContent>>,
}

/// Reads the packs that are due. What is damaged is looked for in the trees below `roots`, each with a name for messages.
///
/// # Errors
/// When the packs cannot be listed, or what was read cannot be noted.
pub fn verify_round(
    repository: &Repository,
    roots: &[(String, DirEntry)],
    options: &RoundOptions,
    monitor: &dyn Monitor,
) -> Result<(RoundReport, VerifyReport)> {
    let packs = list_packs(repository)?;
    let mut verified = VerifiedPacks::load(repository)?;
    let now = repository.environment().clock.now();
    let due = due_packs(&packs, &verified, options, now);
    let round = Round {
        repository,
        monitor,
        gate: ByteGate::new(options.memory.buffer_bytes / 3),
        damaged: Mutex::default(),
    };
    let mut report = RoundReport::default();
    for slice in slices(&due) {
        round.read(slice);
        let damaged: HashSet<String> =
            round.damaged.lock().values().map(|found| found.pack.clone()).collect();
        for pack in slice {
            report.read_packs += 1;
            report.read_bytes += pack.length;
            if damaged.contains(pack.id.as_str()) {
                verified.note_damaged(&pack.id);
            } else {
                verified.note(&pack.id, now);
            }
        }
        // A run that is killed later has not read this in vain.
        verified.save(repository, packs.iter().map(|pack| &pack.id))?;
    }
    summarize(&mut report, &packs, &verified, options, now);
    let damaged = round.damaged.into_inner();
    report.damaged = damaged.values().cloned().collect();
    report.damaged.sort_by(|a, b| (&a.pack, &a.content).cmp(&(&b.pack, &b.content)));
    let mut hurt = if damaged.is_empty() {
        VerifyReport::default()
    } else {
        find_hurt(repository, roots, damaged.into_keys().collect(), monitor)?
    };
    hurt.errors.extend(super::damaged_indexes(repository));
    Ok((report, hurt))
}

fn list_packs(repository: &Repository) -> Result<Vec<BlobMetadata>> {
    let mut packs = Vec::new();
    for kind in [PackKind::Data, PackKind::Metadata] {
        let listed = repository.storage().list_all(kind.prefix());
        packs.extend(
            listed.map_err(|source| crate::repo::Error::Storage { action: "list the packs", source })?,
        );
    }
    Ok(packs)
}

/// Whether a pack was read within the period. A time in the future is a clock that was wrong.
fn is_fresh(verified: Option<Timestamp>, options: &RoundOptions, now: Timestamp) -> bool {
    verified.is_some_and(|at| {
        let age = now.nanos_since(at);
        age >= 0 && i128::from(age) < i128::try_from(options.period.as_nanos()).unwrap_or(i128::MAX)
    })
}

fn due_packs<'p>(
    packs: &'p [BlobMetadata],
    verified: &VerifiedPacks,
    options: &RoundOptions,
    now: Timestamp,
) -> Vec<&'p BlobMetadata> {
    let is_due = |pack: &&BlobMetadata| {
        verified.is_damaged(&pack.id) || !is_fresh(verified.time_of(&pack.id), options, now)
    };
    let mut due: Vec<_> = packs.iter().filter(is_due).collect();
    due.sort_by_key(|pack| match verified.time_of(&pack.id) {
        _ if verified.is_damaged(&pack.id) => (0, 0),
        None => (1, pack.timestamp.as_nanos().saturating_neg()),
        Some(at) => (2, at.as_nanos()),
    });
    let mut left = options.max_bytes.unwrap_or(u64::MAX);
    let mut is_first = true;
    due.retain(|pack| {
        let is_needed = !verified.is_damaged(&pack.id) && std::mem::take(&mut is_first);
        let fits = is_needed || pack.length <= left;
        left = if fits { left.saturating_sub(pack.length) } else { 0 };
        fits
    });
    due
}

fn slices<'s, 'p>(mut due: &'s [&'p BlobMetadata]) -> Vec<&'s [&'p BlobMetadata]> {
    let mut slices = Vec::new();
    while !due.is_empty() {
        let mut bytes = 0;
        let fitting = due.iter().take_while(|pack| {
            bytes += pack.length;
            bytes <= SLICE_BYTES
        });
        let (slice, rest) = due.split_at(fitting.count().max(1));
        slices.push(slice);
        due = rest;
    }
    slices
}

fn summarize(
    report: &mut RoundReport,
    packs: &[BlobMetadata],
    verified: &VerifiedPacks,
    options: &RoundOptions,
    now: Timestamp,
) {
    for pack in packs {
        let at = verified.time_of(&pack.id);
        report.total_packs += 1;
        report.total_bytes += pack.length;
        if is_fresh(at, options, now) {
            report.fresh_packs += 1;
            report.fresh_bytes += pack.length;
        }
        let waits_since = at.unwrap_or(pack.timestamp);
        report.oldest = Some(report.oldest.map_or(waits_since, |oldest| oldest.min(waits_since)));
    }
}

impl Round<'_> {
    /// Reads every content that the index places in these packs, deleted ones included: they may be wanted again.
    fn read(&self, packs: &[&BlobMetadata]) {
        let wanted: HashSet<&BlobId> = packs.iter().map(|pack| &pack.id).collect();
        let contents = self.repository.contents();
        let index = contents.index();
        let mut plan = ReadPlan::default();
        for entry in index.iter(true).filter(|entry| wanted.contains(entry.pack())) {
            plan.add(entry.to_entry(), ());
        }
        batches(plan.into_reads()).into_par_iter().for_each(|batch| {
            let _pass = self.gate.enter(batch.iter().map(PackRead::memory_bytes).sum());
            let bytes = batch.iter().map(PackRead::stored_bytes).sum();
            contents.verify_planned(batch, |pieces, data| {
                if let (Some(piece), Err(error)) = (pieces.first(), data) {
                    self.note(piece.id(), &error);
                }
            });
            self.monitor.add(Counter::VerifiedBytes, bytes);
        });
    }

    fn note(&self, id: ContentId, error: &content::Error) {
        let pack = error.content_and_pack().1;
        let pack = pack.map_or_else(String::new, |pack| pack.as_str().to_owned());
        let damaged = DamagedContent { content: id.to_string(), pack, message: error_chain(error) };
        self.damaged.lock().insert(id, damaged);
    }
}

/// The files and directories that hold damaged contents.
fn find_hurt(
    repository: &Repository,
    roots: &[(String, DirEntry)],
    damaged: HashSet<ContentId>,
    monitor: &dyn Monitor,
) -> Result<VerifyReport> {
    let verifier = Verifier {
        repository,
        check: ObjectCheck::new(repository)?.knowing(damaged),
        read_percent: 0.0,
        monitor,
        report: Report::new(-1),
        gate: ByteGate::new(0),
    };
    Walk::new(&verifier).run(roots.iter().map(|(name, entry)| (Arc::from(name.as_str()), entry.clone())));
    let mut report = verifier.report.into_inner();
    hurt::name_all(repository.objects(), roots, &mut report.errors);
    Ok(report)
}
