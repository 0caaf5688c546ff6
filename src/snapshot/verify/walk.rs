//! Through the trees, each distinct object once, in waves of directories.

use super::Verifier;
use super::reading::{FileCheck, Window};
use crate::base::Counter;
use crate::object::{ObjectId, Segment};
use crate::snapshot::{DirEntry, EntryType, read_members};
use parking_lot::Mutex;
use rayon::prelude::*;
use std::collections::HashSet;
use std::sync::Arc;

/// Directories looked into at once.
const WAVE_DIRECTORIES: usize = 128;
/// The set of objects seen is cut in so many, so that threads do not meet at one lock.
const SHARDS: usize = 16;

/// How Kopia names a file in whose upload a checkpoint was taken: the entry has the size of the file, and its object
/// what had been stored of it. Source: kopia `snapshot/upload/checkpoint_registry.go`.
const PARTIAL_FILE_PREFIX: &str = ".checkpointed.";

/// Objects that were met.
#[derive(Default)]
struct Seen([Mutex<HashSet<ObjectId>>; SHARDS]);

impl Seen {
    /// Whether an object is met for the first time.
    fn insert(&self, id: ObjectId) -> bool {
        let byte = id.content().and_then(|content| content.hash().as_bytes().first().copied());
        let shard = usize::from(byte.unwrap_or(0)) % SHARDS;
        self.0[shard].lock().insert(id)
    }
}

type Directory = (Arc<str>, DirEntry);

/// A walk through trees.
pub(super) struct Walk<'v, 'a> {
    verifier: &'v Verifier<'a>,
    seen: Seen,
    window: Mutex<Window>,
}

impl<'v, 'a> Walk<'v, 'a> {
    pub(super) fn new(verifier: &'v Verifier<'a>) -> Self {
        Self { verifier, seen: Seen::default(), window: Mutex::default() }
    }

    pub(super) fn run(&self, roots: impl Iterator<Item = Directory>) {
        let mut stack: Vec<Directory> = Vec::new();
        for (path, entry) in roots {
            if self.seen.insert(entry.obj) {
                match entry.kind {
                    EntryType::Directory => stack.push((path, entry)),
                    _ => self.file(&path, &entry),
                }
            }
        }
        while !stack.is_empty() && !self.verifier.report.is_done() {
            let wave = stack.split_off(stack.len().saturating_sub(WAVE_DIRECTORIES));
            let below: Vec<Vec<Directory>> =
                wave.into_par_iter().map(|found| self.directory(&found)).collect();
            stack.extend(below.into_iter().flatten());
        }
        let rest = std::mem::take(&mut *self.window.lock());
        rest.read(self.verifier);
    }

    /// Reading a directory is its proof. Returns the directories in it that are new.
    fn directory(&self, (path, entry): &Directory) -> Vec<Directory> {
        let Verifier { repository, report, monitor, .. } = self.verifier;
        if report.is_done() {
            return Vec::new();
        }
        monitor.add(Counter::VerifiedObjects, 1);
        report.count(|stats| stats.processed_object_count += 1);
        let mut directories = Vec::new();
        let result = read_members(repository.objects(), entry.obj, |member| {
            if !self.is_sane(path, entry.obj, &member) || !self.seen.insert(member.obj) {
                return;
            }
            match member.kind {
                EntryType::Directory => {
                    let path = format!("{path}/{}", member.name).into();
                    directories.push((path, DirEntry { summ: None, ..member }));
                }
                _ => self.file(path, &member),
            }
        });
        if let Err(error) = result {
            report.fail(path, entry.obj, &error, None);
        }
        directories
    }

    /// A member that no restore would take is as good as lost.
    fn is_sane(&self, path: &str, directory: ObjectId, member: &DirEntry) -> bool {
        let name = member.name.as_str();
        let reason = if matches!(name, "" | "." | "..") || name.contains(['/', '\0']) {
            "its name could lead out of its directory"
        } else if member.kind == EntryType::Unknown {
            "it is of unknown type"
        } else if member.obj.is_none() {
            "it has no data"
        } else {
            return true;
        };
        let error = BadMember { name: name.to_owned(), reason };
        self.verifier.report.fail(path, directory, &error, None);
        false
    }

    /// Every content of a file has to be in the index, and its pack there; if it is drawn, its bytes are to be read.
    fn file(&self, directory: &str, entry: &DirEntry) {
        let verifier = self.verifier;
        if verifier.report.is_done() {
            return;
        }
        verifier.monitor.add(Counter::VerifiedObjects, 1);
        let is_root = entry.name.is_empty();
        let path = if is_root { directory.to_owned() } else { format!("{directory}/{}", entry.name) };
        let check = Arc::new(FileCheck::new(path, entry.obj));
        let is_drawn = verifier.check.is_drawn(verifier.read_percent);
        verifier.report.count(|stats| {
            stats.processed_object_count += 1;
            stats.processed_bytes = stats.processed_bytes.saturating_add(entry.size);
            stats.read_file_count += u64::from(is_drawn);
        });
        let objects = verifier.repository.objects();
        // The lists themselves are proven by being read.
        let segments = match objects.segments(entry.obj) {
            Ok(segments) => segments,
            Err(error) => return check.fail(verifier, &error.into(), None),
        };
        let promised = promises_size(entry).then_some(entry.size);
        let Some(segments) = segments else {
            let whole = Segment { start: 0, length: entry.size, object: entry.obj };
            return self.part(&check, &whole, promised, is_drawn);
        };
        let found = segments.last().map_or(0, |last| last.start.saturating_add(last.length));
        if let Some(expected) = promised.filter(|&expected| expected != found && is_drawn) {
            check.fail(verifier, &crate::snapshot::Error::FileLength { expected, found }, None);
        }
        for segment in &segments {
            self.part(&check, segment, Some(segment.length), is_drawn);
        }
    }

    fn part(&self, check: &Arc<FileCheck>, segment: &Segment, length: Option<u64>, is_drawn: bool) {
        let place = match self.verifier.check.content_of(segment.object) {
            Ok(place) => place,
            Err(error) => return check.fail(self.verifier, &error, Some(segment)),
        };
        if !is_drawn {
            return;
        }
        let full = {
            let mut window = self.window.lock();
            window.add(place, check, *segment, length);
            window.is_full().then(|| std::mem::take(&mut *window))
        };
        if let Some(window) = full {
            window.read(self.verifier);
        }
    }
}

/// Links may have been read longer than they were listed, and partial files are shorter by design.
fn promises_size(entry: &DirEntry) -> bool {
    entry.kind == EntryType::File && !entry.name.starts_with(PARTIAL_FILE_PREFIX)
}

#[derive(Debug, thiserror::Error)]
#[error("the member {name:?} cannot be restored: {reason}")]
struct BadMember {
    name: String,
    reason: &'static str,
}
