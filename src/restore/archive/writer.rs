//! What was read ahead, into an archive.

use super::super::run::Run;
use super::batch::{Batch, Data, Step};
use super::member::Member;
use super::sink::Sink;
use super::walk::{Walk, forgive};
use crate::base::Counter;
use crate::object;
use crate::restore::{Error, Result};
use crate::snapshot::{DirEntry, EntryType};
use crossbeam_channel::bounded;
use std::collections::HashSet;
use std::io;
use std::path::Path;

/// Writes an entry and all below it.
pub(super) fn write(run: &Run<'_>, root: &DirEntry, archive: &Path, sink: Box<dyn Sink>) -> Result<()> {
    let is_complete = sink.is_complete();
    std::thread::scope(|scope| {
        let (filled, batches) = bounded(0);
        let walk = Walk::new(run, archive, is_complete, filled);
        let ahead = std::thread::Builder::new().name("restore-ahead".to_owned());
        let ahead = ahead.spawn_scoped(scope, move || walk.all(root)).map_err(|source| {
            let path = archive.to_owned();
            Error::File { operation: "start a thread to read for", path, source }
        })?;
        let mut writer = Writer { run, archive, sink, open: None, failed: HashSet::new() };
        let written = batches.iter().try_for_each(|batch| writer.batch(batch));
        // Nobody takes what is read ahead of a failure.
        drop(batches);
        let walked = ahead.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        written.and(walked)?;
        writer.sink.finish().map_err(failed(archive))
    })
}

fn failed(archive: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::File { operation: "write", path: archive.to_owned(), source }
}

struct Writer<'a, 'r> {
    run: &'a Run<'r>,
    archive: &'a Path,
    sink: Box<dyn Sink>,
    /// The file in several contents that is being written.
    open: Option<Box<(Member, DirEntry)>>,
    /// Files that others were to be linked to.
    failed: HashSet<Vec<u8>>,
}

impl Writer<'_, '_> {
    fn batch(&mut self, mut batch: Batch) -> Result<()> {
        for step in batch.steps {
            self.run.check_canceled()?;
            // A content is not there if reading was broken off.
            let mut take =
                |slot: usize| batch.data.get_mut(slot).and_then(Option::take).ok_or(Error::Canceled);
            match step {
                Step::Directory(member) => self.directory(&member)?,
                Step::Special(member, kind) => {
                    self.sink.special(&member, kind).map_err(failed(self.archive))?;
                    self.count_member(&member, |stats| stats.specials += 1);
                }
                Step::Whole(of, slot) => self.whole(&of.0, &of.1, take(slot)?)?,
                Step::Link(of, first) => self.link(&of.0, &of.1, &first)?,
                Step::Begin(of, length) => {
                    self.sink.begin_file(&of.0, length).map_err(failed(self.archive))?;
                    self.warn_of_length(&of.0, &of.1, length);
                    self.count_file(&of.0, length);
                    self.open = Some(of);
                }
                Step::Part(slot) => self.part(take(slot)?)?,
                Step::End => {
                    self.open = None;
                    self.sink.end_file().map_err(failed(self.archive))?;
                }
            }
        }
        Ok(())
    }

    fn directory(&mut self, member: &Member) -> Result<()> {
        self.sink.directory(member).map_err(failed(self.archive))?;
        self.run.monitor.add(Counter::Directories, 1);
        self.count_member(member, |stats| stats.directories += 1);
        Ok(())
    }

    fn whole(&mut self, member: &Member, entry: &DirEntry, data: Data) -> Result<()> {
        let data = match data {
            Ok(data) => data,
            Err(source) => {
                if entry.supplement.as_deref().is_some_and(|supplement| supplement.hard_link.is_some()) {
                    self.failed.insert(member.path.clone());
                }
                let path = member.place(self.archive);
                return forgive(self.run, Error::Data { path, source: Box::new(source) });
            }
        };
        let written = if entry.kind == EntryType::Symlink {
            self.sink.symlink(member, &data)
        } else {
            let length = data.len() as u64;
            let begun = self.sink.begin_file(member, length);
            begun.and_then(|()| self.sink.data(&data)).and_then(|()| self.sink.end_file())
        };
        written.map_err(failed(self.archive))?;
        self.run.monitor.add(Counter::RestoredBytes, data.len() as u64);
        if entry.kind == EntryType::Symlink {
            self.count_member(member, |stats| stats.symlinks += 1);
        } else {
            self.warn_of_length(member, entry, data.len() as u64);
            self.count_file(member, data.len() as u64);
        }
        Ok(())
    }

    /// Links to a file that is there; to one that is not, nothing can be linked.
    fn link(&mut self, member: &Member, entry: &DirEntry, first: &[u8]) -> Result<()> {
        if self.failed.contains(first) {
            let data = self.run.repository.objects().read_content(entry.obj);
            return self.whole(member, entry, data);
        }
        self.sink.hard_link(member, first).map_err(failed(self.archive))?;
        self.run.count(|stats| stats.hard_links += 1);
        self.run.monitor.add(Counter::RestoredFiles, 1);
        self.run.monitor.add(Counter::RestoredBytes, entry.size);
        Ok(())
    }

    /// What fails here cannot be forgiven: the file's header is written.
    fn part(&mut self, data: Data) -> Result<()> {
        let data = data.map_err(|source| self.broken(source))?;
        self.sink.data(&data).map_err(failed(self.archive))?;
        self.run.monitor.add(Counter::RestoredBytes, data.len() as u64);
        Ok(())
    }

    fn broken(&self, source: object::Error) -> Error {
        let open = self.open.as_ref();
        let path = open.map_or_else(|| self.archive.to_owned(), |open| open.0.place(self.archive));
        Error::Data { path, source: Box::new(source) }
    }

    fn warn_of_length(&self, member: &Member, entry: &DirEntry, length: u64) {
        if length != entry.size {
            let (path, size) = (member.place(self.archive), entry.size);
            let text = format!("{}: {length} bytes restored where its entry says {size}", path.display());
            self.run.monitor.warn(&text);
        }
    }

    fn count_file(&self, member: &Member, length: u64) {
        self.run.monitor.add(Counter::RestoredFiles, 1);
        self.count_member(member, |stats| {
            stats.files += 1;
            stats.bytes += length;
        });
    }

    fn count_member(&self, member: &Member, count: impl FnOnce(&mut crate::restore::RestoreStats)) {
        let xattrs = if self.sink.is_complete() { member.xattrs.len() as u64 } else { 0 };
        self.run.count(|stats| {
            stats.xattrs += xattrs;
            count(stats);
        });
    }
}
