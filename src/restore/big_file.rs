//! Files in several contents, written by all workers at once.

use super::file::Plan;
use super::new_file::NewFile;
use super::node::{Node, Place};
use super::run::Run;
use super::target::TargetDirectory;
use super::{Error, Result};
use crate::base::Counter;
use crate::object::Segment;
use crate::snapshot::DirEntry;
use rustix::fs::Stat;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// A file being put together under a temporary name.
#[derive(Debug)]
pub(super) struct BigFile {
    node: Arc<Node>,
    entry: DirEntry,
    file: NewFile,
    replaced: Option<Stat>,
    segments: Vec<Segment>,
    pending: AtomicUsize,
    failed: AtomicBool,
}

impl BigFile {
    pub(super) fn parts(&self) -> usize {
        self.segments.len()
    }

    fn place(&self) -> Place<'_> {
        Place { node: &self.node, name: &self.entry.name }
    }
}

impl Run<'_> {
    /// Makes the file and queues its parts; `false` if there was nothing to do.
    pub(super) fn start_big_file(
        &self,
        node: &Arc<Node>,
        directory: &TargetDirectory,
        entry: DirEntry,
    ) -> Result<bool> {
        let place = Place { node, name: &entry.name };
        let Plan::Write(replaced) = self.plan_file(&place, directory, &entry)? else {
            self.count_skipped(entry.size);
            return Ok(false);
        };
        let segments = self
            .repository
            .objects()
            .segments(entry.obj)
            .map_err(|source| Error::Data { path: place.path(), source: Box::new(source) })?
            .unwrap_or_default();
        self.monitor.current(&place.path().to_string_lossy());
        let file = self.create_temporary(&place, directory)?;
        if segments.is_empty() {
            self.finish_file(&place, &file, &entry, 0, replaced.as_ref())?;
            return Ok(false);
        }
        let pending = AtomicUsize::new(segments.len());
        let (node, failed) = (Arc::clone(node), AtomicBool::new(false));
        self.queue.push_big_file(BigFile { node, entry, file, replaced, segments, pending, failed });
        Ok(true)
    }

    /// Restores one part; whoever does the last one finishes the file.
    pub(super) fn restore_part(&self, big: Arc<BigFile>, part: usize) {
        if !big.failed.load(Ordering::Relaxed)
            && let Err(error) = self.write_part(&big, part)
        {
            self.fail_once(&big, error);
        }
        if big.pending.fetch_sub(1, Ordering::AcqRel) > 1 {
            return;
        }
        if !big.failed.load(Ordering::Relaxed) {
            let length = big.segments.last().map_or(0, |last| last.start.saturating_add(last.length));
            let finished =
                self.finish_file(&big.place(), &big.file, &big.entry, length, big.replaced.as_ref());
            if let Err(error) = finished {
                self.fail_once(&big, error);
            }
        }
        let node = Arc::clone(&big.node);
        // A file that failed goes before its directory is finished: its going changes the directory's time.
        drop(big);
        self.complete(node, 1);
    }

    fn fail_once(&self, big: &BigFile, error: Error) {
        if !big.failed.swap(true, Ordering::AcqRel) {
            self.fail(error);
        }
    }

    fn write_part(&self, big: &BigFile, part: usize) -> Result<()> {
        self.check_canceled()?;
        let segment = big.segments.get(part).expect("the queue hands out parts that are there");
        let data = self
            .repository
            .objects()
            .read_segment(big.entry.obj, segment)
            .map_err(|source| Error::Data { path: big.place().path(), source: Box::new(source) })?;
        big.file
            .write(&data, segment.start, self.options.write_sparse_files)
            .map_err(big.place().failed("write"))?;
        self.monitor.add(Counter::RestoredBytes, data.len() as u64);
        Ok(())
    }
}
