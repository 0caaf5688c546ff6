//! The next entries of an archive, with the contents for them.

use super::super::hard_links::RestoredPath;
use super::super::run::Run;
use super::member::Member;
use crate::content::{PackRead, ReadPlan};
use crate::index::IndexEntry;
use crate::object::{self, ObjectId};
use crate::snapshot::DirEntry;
use crate::source::SpecialKind;
use parking_lot::Mutex;
use std::ops::ControlFlow;

/// Entries of a batch, whatever is in them.
const STEPS_MAX: usize = 4096;

/// What a content came to.
pub(super) type Data = object::Result<Vec<u8>>;

/// What the writer does next. Numbers are those of contents of the batch.
pub(super) enum Step {
    Directory(Member),
    Special(Member, SpecialKind),
    /// A file or link in one content.
    Whole(Box<(Member, DirEntry)>, usize),
    /// Another name of a file.
    Link(Box<(Member, DirEntry)>, RestoredPath),
    /// A file of so many bytes in several contents.
    Begin(Box<(Member, DirEntry)>, u64),
    /// One of them.
    Part(usize),
    End,
}

/// A content that is wanted.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    slot: usize,
    object: ObjectId,
}

#[derive(Default)]
pub(super) struct Batch {
    pub(super) steps: Vec<Step>,
    /// By number; each is taken once.
    pub(super) data: Vec<Option<Data>>,
    plan: ReadPlan<Wanted>,
    bytes: u64,
}

impl Batch {
    /// Plans a content and gives its number.
    pub(super) fn want(&mut self, lies: IndexEntry, object: ObjectId) -> usize {
        let slot = self.data.len();
        self.bytes = self.bytes.saturating_add(lies.original_length.into());
        self.data.push(None);
        self.plan.add(lies, Wanted { slot, object });
        slot
    }

    /// Whether there is enough in it.
    pub(super) fn is_full(&self, bytes_max: u64) -> bool {
        self.bytes >= bytes_max || self.steps.len() >= STEPS_MAX
    }

    /// Reads all contents, by pack and on all workers.
    pub(super) fn read(&mut self, run: &Run<'_>) {
        let reads = std::mem::take(&mut self.plan).into_reads();
        let workers = run.options.workers().min(reads.len());
        let (reads, data) = (Mutex::new(reads.into_iter()), Mutex::new(std::mem::take(&mut self.data)));
        let work = || {
            loop {
                // A guard in a `while let` would live as long as the body.
                let next = reads.lock().next();
                let Some(read) = next.filter(|_| run.check_canceled().is_ok()) else { return };
                read_stretch(run, read, &data);
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..workers {
                if std::thread::Builder::new().spawn_scoped(scope, work).is_err() {
                    // Fewer workers are slower, and this one is enough.
                    break;
                }
            }
            work();
        });
        self.data = data.into_inner();
    }
}

fn read_stretch(run: &Run<'_>, read: PackRead<Wanted>, data: &Mutex<Vec<Option<Data>>>) {
    let _pass = run.gate.enter(read.memory_bytes());
    run.count(|stats| stats.stored_bytes += read.stored_bytes());
    let objects = run.repository.objects();
    run.repository.contents().read_planned(read, |pieces, stored| {
        for Wanted { slot, object } in pieces.into_iter().map(|piece| piece.purpose) {
            let found = match &stored {
                Ok(stored) => objects.of_content(object, stored).map(std::borrow::Cow::into_owned),
                // Errors belong to one entry each, so everybody meets their own.
                Err(_) => objects.read_content(object),
            };
            if let Some(place) = data.lock().get_mut(slot) {
                *place = Some(found);
            }
        }
        ControlFlow::Continue(())
    });
}
