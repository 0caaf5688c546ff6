//! What comes into an archive, in order, read ahead of whoever writes it.

use super::super::hard_links::Turn;
use super::super::listing;
use super::super::node::DEPTH_MAX;
use super::super::run::Run;
use super::super::target::is_plain_name;
use super::batch::{Batch, Step};
use super::member::{Member, join, place};
use crate::base::{Counter, ErrorClass, gojson};
use crate::object::{ObjectId, Segment};
use crate::restore::{Error, Result};
use crate::snapshot::{DirEntry, EntryType, SpecialEntry};
use crate::source::SpecialKind;
use crossbeam_channel::Sender;
use std::path::Path;
use std::sync::Arc;

/// Share of the memory budget for the contents of one batch; two are there at once.
const BATCH_DIVISOR: u64 = 8;

/// An error that is forgiven is counted; any other comes back.
pub(super) fn forgive(run: &Run<'_>, error: Error) -> Result<()> {
    let is_last = matches!(error.class(), ErrorClass::Canceled | ErrorClass::Full);
    if is_last || !run.options.ignore_errors {
        return Err(error);
    }
    run.fail(error);
    Ok(())
}

/// Directories of one level that are still to come.
struct Level {
    path: Vec<u8>,
    directories: std::vec::IntoIter<DirEntry>,
}

pub(super) struct Walk<'a, 'r> {
    run: &'a Run<'r>,
    archive: &'a Path,
    /// Whether the archive has hard links and special files.
    is_complete: bool,
    batch: Batch,
    filled: Sender<Batch>,
}

impl<'a, 'r> Walk<'a, 'r> {
    pub(super) fn new(run: &'a Run<'r>, archive: &'a Path, is_complete: bool, filled: Sender<Batch>) -> Self {
        Self { run, archive, is_complete, batch: Batch::default(), filled }
    }

    /// Walks all of it.
    pub(super) fn all(mut self, root: &DirEntry) -> Result<()> {
        match root.kind {
            EntryType::Directory => self.tree(root)?,
            EntryType::File | EntryType::Symlink if is_plain_name(&root.name) => {
                self.run.monitor.add(Counter::ExpectedFiles, 1);
                self.run.monitor.add(Counter::ExpectedBytes, root.size);
                self.entry(b"", root.clone())?;
            }
            EntryType::File | EntryType::Symlink => {
                return Err(Error::BadName { path: self.archive.to_owned(), name: root.name.clone() });
            }
            EntryType::Unknown => return Err(Error::UnknownType { path: self.archive.to_owned() }),
        }
        self.send()
    }

    fn tree(&mut self, root: &DirEntry) -> Result<()> {
        if let Some(summary) = &root.summ {
            self.run.monitor.add(Counter::ExpectedFiles, summary.files);
            self.run.monitor.add(Counter::ExpectedBytes, summary.size);
        }
        let mut levels: Vec<Level> = self.directory(Vec::new(), root, None)?.into_iter().collect();
        while let Some(level) = levels.last_mut() {
            let Some(entry) = level.directories.next() else {
                levels.pop();
                continue;
            };
            let (member, path) = (Member::of(self.run, &level.path, &entry), level.path.as_slice());
            let path = join(path, entry.name.as_bytes());
            let entered = if levels.len() >= DEPTH_MAX {
                Err(Error::TooDeep { path: place(self.archive, &path) })
            } else {
                self.directory(path, &entry, Some(member))
            };
            match entered {
                Ok(level) => levels.extend(level),
                Err(error) => forgive(self.run, error)?,
            }
        }
        Ok(())
    }

    /// All of a directory but its directories. The root is no member itself.
    fn directory(
        &mut self,
        path: Vec<u8>,
        entry: &DirEntry,
        member: Option<Member>,
    ) -> Result<Option<Level>> {
        self.run.check_canceled()?;
        let archive = self.archive;
        let listing = match listing::read(self.run, entry, || place(archive, &path)) {
            Ok(listing) => listing,
            Err(error) => return forgive(self.run, error).map(|()| None),
        };
        if let Some(member) = member {
            self.step(Step::Directory(member))?;
        } else {
            self.run.count(|stats| stats.directories += 1);
        }
        for special in &listing.specials {
            self.special(&path, special)?;
        }
        for entry in listing.files {
            self.entry(&path, entry)?;
        }
        Ok(Some(Level { path, directories: listing.directories.into_iter() }))
    }

    fn entry(&mut self, above: &[u8], entry: DirEntry) -> Result<()> {
        self.run.check_canceled()?;
        let member = Member::of(self.run, above, &entry);
        if let Some(step) =
            self.plan(member, entry).or_else(|error| forgive(self.run, error).map(|()| None))?
        {
            self.step(step)?;
        }
        Ok(())
    }

    /// Plans a file or link; `None` if it has been planned as more than one step.
    fn plan(&mut self, member: Member, entry: DirEntry) -> Result<Option<Step>> {
        let unreadable = |source| {
            let path = member.place(self.archive);
            Error::Data { path, source: Box::new(source) }
        };
        if let Some(first) = self.first_name(&member, &entry) {
            return Ok(Some(Step::Link(Box::new((member, entry)), first)));
        }
        let segments = self.run.repository.objects().segments(entry.obj).map_err(unreadable)?;
        match segments {
            Some(segments) if entry.kind == EntryType::File => {
                if self.run.options.ignore_errors {
                    self.prove(entry.obj, &segments).map_err(unreadable)?;
                }
                self.remember(&member, &entry);
                self.parts(member, entry, &segments).map(|()| None)
            }
            Some(_) => {
                let path = member.place(self.archive);
                Err(Error::LongLink { path, length: entry.size })
            }
            None => {
                let lies = self.run.place_of(entry.obj).map_err(unreadable)?;
                self.remember(&member, &entry);
                let slot = self.batch.want(lies, entry.obj);
                Ok(Some(Step::Whole(Box::new((member, entry)), slot)))
            }
        }
    }

    /// Another name of the same file that is in the archive already.
    fn first_name(&self, member: &Member, entry: &DirEntry) -> Option<Arc<[u8]>> {
        let supplement =
            entry.supplement.as_deref().filter(|_| self.is_complete && entry.kind == EntryType::File)?;
        let (key, links) = self.run.link_key(supplement, Some((entry.obj, entry.kind)))?;
        match self.run.hard_links.turn_at_once(&key, links) {
            Turn::Link(first) if *first != *member.path => Some(first),
            _ => None,
        }
    }

    /// Others may be linked to this name.
    fn remember(&self, member: &Member, entry: &DirEntry) {
        let Some(supplement) = entry.supplement.as_deref().filter(|_| self.is_complete) else { return };
        if let Some((key, _)) = self.run.link_key(supplement, Some((entry.obj, entry.kind))) {
            self.run.hard_links.finish_at_once(&key, member.path.as_slice().into());
        }
    }

    fn prove(&self, object: ObjectId, segments: &[Segment]) -> crate::object::Result<()> {
        for segment in segments {
            if self.run.check_canceled().is_err() {
                break;
            }
            self.run.repository.objects().read_segment(object, segment)?;
        }
        Ok(())
    }

    fn parts(&mut self, member: Member, entry: DirEntry, segments: &[Segment]) -> Result<()> {
        let path = member.place(self.archive);
        let length = segments.last().map_or(0, |last| last.start.saturating_add(last.length));
        let whole = entry.obj;
        self.step(Step::Begin(Box::new((member, entry)), length))?;
        for segment in segments {
            self.run.check_canceled()?;
            let unreadable = |source| Error::Data { path: path.clone(), source: Box::new(source) };
            let lies = self.run.place_of(segment.object).map_err(unreadable)?;
            // What is not compressed by itself has the length that the index tells.
            if !segment.object.is_compressed() && u64::from(lies.original_length) != segment.length {
                let (part, expected, found) = (segment.object, segment.length, lies.original_length.into());
                return Err(unreadable(crate::object::Error::PartLength {
                    id: whole,
                    part,
                    expected,
                    found,
                }));
            }
            let slot = self.batch.want(lies, segment.object);
            self.step(Step::Part(slot))?;
        }
        self.step(Step::End)
    }

    fn special(&mut self, above: &[u8], special: &SpecialEntry) -> Result<()> {
        if self.run.options.skip_special_files {
            return Ok(());
        }
        let name = gojson::lossy(&special.name);
        let member = Member::of_special(self.run, above, special);
        if !is_plain_name(&name) {
            let error = Error::BadName { path: place(self.archive, above), name: name.into_owned() };
            return forgive(self.run, error);
        }
        if let Some(kind) = special.kind().filter(|kind| self.is_complete && *kind != SpecialKind::Socket) {
            return self.step(Step::Special(member, kind));
        }
        let path = member.place(self.archive);
        self.run.count(|stats| stats.ignored_specials += 1);
        let text = format!("{} is a special file that such an archive cannot hold", path.display());
        self.run.monitor.warn(&text);
        Ok(())
    }

    fn step(&mut self, step: Step) -> Result<()> {
        self.batch.steps.push(step);
        if self.batch.is_full(self.run.options.memory.buffer_bytes / BATCH_DIVISOR) {
            self.send()
        } else {
            Ok(())
        }
    }

    /// Reads what is planned and hands it over. Whoever wrote may have failed and gone, and then says why.
    fn send(&mut self) -> Result<()> {
        let mut batch = std::mem::take(&mut self.batch);
        batch.read(self.run);
        self.run.check_canceled()?;
        self.filled.send(batch).map_err(|_| Error::Canceled)
    }
}
