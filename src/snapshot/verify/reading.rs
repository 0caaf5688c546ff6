//! Reading the contents of files, pack by pack.

use super::Verifier;
use super::report::{DamagedPart, culprit};
use crate::base::Counter;
use crate::content::{self, PackRead, Piece, ReadPlan};
use crate::index::IndexEntry;
use crate::object::{ObjectId, Segment};
use crate::snapshot::{Error, Result};
use rayon::prelude::*;
use std::sync::Arc;

/// Contents planned before they are read: the more, the longer each pack's part of them.
const CONTENTS_MAX: usize = 32_768;
/// Short stretches are read by one thread in a row up to about so many bytes, so that what is in them is hashed several at once,
/// and is still near the processor then.
const BATCH_BYTES: u64 = 4 << 20;

/// A file that is being verified.
#[derive(Debug)]
pub(super) struct FileCheck {
    path: String,
    object: ObjectId,
}

impl FileCheck {
    pub(super) fn new(path: String, object: ObjectId) -> Self {
        Self { path, object }
    }

    pub(super) fn fail(&self, verifier: &Verifier<'_>, error: &Error, segment: Option<&Segment>) {
        let part = segment.and_then(|segment| {
            let (content, pack) = culprit(error).or_else(|| Some((segment.object.content()?, None)))?;
            let pack = pack.map(|pack| pack.as_str().to_owned());
            let (offset, length) = (segment.start, segment.length);
            Some(DamagedPart { offset, length, content: content.to_string(), pack })
        });
        verifier.report.fail(&self.path, self.object, error, part);
    }
}

/// What a content is read for.
struct Wanted {
    check: Arc<FileCheck>,
    segment: Segment,
    /// The length that somebody has promised.
    length: Option<u64>,
}

/// Contents to be read next.
#[derive(Default)]
pub(super) struct Window(ReadPlan<Wanted>);

impl Window {
    pub(super) fn add(
        &mut self,
        place: IndexEntry,
        check: &Arc<FileCheck>,
        segment: Segment,
        length: Option<u64>,
    ) {
        self.0.add(place, Wanted { check: Arc::clone(check), segment, length });
    }

    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= CONTENTS_MAX
    }

    /// Reads everything.
    pub(super) fn read(self, verifier: &Verifier<'_>) {
        batches(self.0.into_reads()).into_par_iter().for_each(|batch| {
            if !verifier.report.is_done() {
                let _pass = verifier.gate.enter(batch.iter().map(PackRead::memory_bytes).sum());
                let contents = verifier.repository.contents();
                contents.verify_planned(batch, |pieces, data| judge(verifier, pieces, data));
            }
        });
    }
}

/// Joins stretches that one thread reads in a row.
pub(super) fn batches<T>(reads: Vec<PackRead<T>>) -> Vec<Vec<PackRead<T>>> {
    let mut batches: Vec<Vec<PackRead<T>>> = Vec::new();
    let mut bytes = 0;
    for read in reads {
        bytes += read.stored_bytes();
        if let Some(batch) = batches.last_mut().filter(|_| bytes <= BATCH_BYTES) {
            batch.push(read);
        } else {
            bytes = read.stored_bytes();
            batches.push(vec![read]);
        }
    }
    batches
}

fn judge(verifier: &Verifier<'_>, pieces: Vec<Piece<Wanted>>, data: content::Result<&[u8]>) {
    let mut error = None;
    let data = data.map_err(|source| error = Some(Error::Content(source))).ok();
    for Piece { purpose, .. } in pieces {
        let Wanted { check, segment, length } = purpose;
        let Some(data) = data else {
            if let Some(error) = &error {
                check.fail(verifier, error, Some(&segment));
            }
            continue;
        };
        let proven = length_of(verifier, &segment, data).and_then(|found| match length {
            Some(expected) if expected != found => Err(Error::FileLength { expected, found }),
            _ => Ok(found),
        });
        match proven {
            Ok(found) => {
                verifier.monitor.add(Counter::VerifiedBytes, found);
                verifier.report.count(|stats| stats.read_bytes += found);
            }
            Err(error) => check.fail(verifier, &error, Some(&segment)),
        }
    }
}

fn length_of(verifier: &Verifier<'_>, segment: &Segment, data: &[u8]) -> Result<u64> {
    Ok(verifier.repository.objects().of_content(segment.object, data)?.len() as u64)
}
