//! Files that are there already: what of them need not be written again.
//!
//! The name of a content is the keyed hash of its bytes, so a file is compared with what belongs there without reading
//! that. A file that an interrupted restore has left under its temporary name is gone on with; from a file that is to be
//! replaced, the parts that are right are copied, which costs nothing where the file system shares blocks.

use super::Result;
use super::assembly::Assembly;
use super::new_file::NewFile;
use super::node::{Node, Place};
use super::run::Run;
use super::sparse::Sparse;
use super::target::TargetDirectory;
use crate::object::Segment;
use crate::snapshot::DirEntry;
use rustix::fs::Stat;
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Parts are compared in groups of about so many bytes.
const GROUP_BYTES: u64 = 16 << 20;
/// No splitter makes parts longer than this; what claims to be is not compared.
const PART_BYTES_MAX: u64 = 32 << 20;

/// What is compared.
#[derive(Debug)]
enum Basis {
    /// A file to be replaced.
    Existing(OwnedFd, Box<Stat>),
    /// What an interrupted restore has left of this very file.
    Leftover(NewFile),
}

/// A file being compared with what belongs there.
#[derive(Debug)]
pub(super) struct Examination {
    node: Arc<Node>,
    directory: TargetDirectory,
    entry: DirEntry,
    replaced: Option<Stat>,
    basis: Basis,
    segments: Vec<Segment>,
    /// For each part, whether it is right.
    right: Vec<AtomicBool>,
    /// The first part of each group.
    groups: Vec<usize>,
    pending: AtomicUsize,
}

impl Examination {
    fn new(
        node: &Arc<Node>,
        directory: &TargetDirectory,
        entry: DirEntry,
        replaced: Option<Stat>,
        basis: Basis,
        segments: Vec<Segment>,
    ) -> Self {
        let right = segments.iter().map(|_| AtomicBool::new(false)).collect();
        let mut groups = Vec::new();
        let mut begin = None;
        for (number, segment) in segments.iter().enumerate() {
            if begin.is_none_or(|begin| segment.start.saturating_sub(begin) >= GROUP_BYTES) {
                groups.push(number);
                begin = Some(segment.start);
            }
        }
        let (node, directory, pending) =
            (Arc::clone(node), directory.clone(), AtomicUsize::new(groups.len()));
        Self { node, directory, entry, replaced, basis, segments, right, groups, pending }
    }

    fn length(&self) -> u64 {
        self.segments.last().map_or(0, |last| last.start.saturating_add(last.length))
    }

    fn is_right(&self, part: usize) -> bool {
        self.right.get(part).is_some_and(|right| right.load(Ordering::Acquire))
    }

    fn missing(&self) -> Vec<Segment> {
        let parts = self.segments.iter().enumerate();
        parts.filter(|(number, _)| !self.is_right(*number)).map(|(_, segment)| *segment).collect()
    }
}

impl Run<'_> {
    /// Begins to compare a file, if there is something to compare. Otherwise it gives back what it was given.
    pub(super) fn examine(
        &self,
        node: &Arc<Node>,
        directory: &TargetDirectory,
        entry: DirEntry,
        replaced: Option<Stat>,
        segments: Option<&[Segment]>,
    ) -> Option<(DirEntry, Option<Stat>)> {
        if node.is_fresh() {
            return Some((entry, replaced));
        }
        let whole = [Segment { start: 0, length: entry.size, object: entry.obj }];
        let is_list = segments.is_some();
        let segments = segments.unwrap_or(&whole);
        match self.basis(node, directory, &entry, replaced.as_ref(), segments, is_list) {
            Some(basis) => {
                let segments = segments.to_vec();
                let examination = Examination::new(node, directory, entry, replaced, basis, segments);
                let groups = examination.groups.len();
                self.queue.push_examination(examination, groups);
                None
            }
            None => Some((entry, replaced)),
        }
    }

    fn basis(
        &self,
        node: &Node,
        directory: &TargetDirectory,
        entry: &DirEntry,
        replaced: Option<&Stat>,
        segments: &[Segment],
        is_list: bool,
    ) -> Option<Basis> {
        if segments.iter().any(|segment| segment.length > PART_BYTES_MAX || segment.object.is_compressed()) {
            return None;
        }
        if is_list {
            let name = self.resumable_name(entry);
            let left = node.leftovers().contains(&name);
            if let Some(file) =
                left.then(|| NewFile::adopt(directory, &name, &self.options.cancel).ok()).flatten()
            {
                return Some(Basis::Leftover(file));
            }
        }
        let stat = replaced.filter(|stat| super::attributes::is_regular(stat))?;
        let size = u64::try_from(stat.st_size).ok()?;
        let may_be_right = if is_list { size > 0 } else { size == entry.size };
        let fd = may_be_right.then(|| directory.open_file(&entry.name).ok()).flatten()?;
        let stat = rustix::fs::fstat(&fd).ok().filter(super::attributes::is_regular)?;
        Some(Basis::Existing(fd, Box::new(stat)))
    }

    /// Compares a group of parts; whoever has the last one goes on with the file.
    pub(super) fn examine_group(&self, examination: &Arc<Examination>, group: usize) {
        if let Err(error) = self.check_canceled() {
            return self.fail(error);
        }
        let from = examination.groups.get(group).copied().unwrap_or_default();
        let to = examination.groups.get(group + 1).copied().unwrap_or(examination.segments.len());
        let segments = examination.segments.get(from..to).unwrap_or_default();
        let longest = segments.iter().map(|segment| segment.length).max().unwrap_or(0);
        let pass = self.gate.enter(longest);
        let mut buffer = Vec::new();
        for (segment, right) in segments.iter().zip(&examination.right[from..to]) {
            right.store(self.is_part_right(&examination.basis, segment, &mut buffer), Ordering::Release);
        }
        drop((buffer, pass));
        if examination.pending.fetch_sub(1, Ordering::AcqRel) > 1 {
            return;
        }
        let is_there = match self.conclude(examination) {
            Ok(true) => return,
            Ok(false) => true,
            Err(error) => {
                self.fail(error);
                false
            }
        };
        self.settle(&examination.node, &examination.entry, is_there);
        self.complete(Arc::clone(&examination.node), 1);
    }

    /// Whether a file holds the bytes of a part. What cannot be read is not right.
    fn is_part_right(&self, basis: &Basis, segment: &Segment, buffer: &mut Vec<u8>) -> bool {
        let fd = match basis {
            Basis::Existing(fd, _) => fd,
            // Most of what is missing was never written.
            Basis::Leftover(file) if is_hole(file.fd(), segment) => return false,
            Basis::Leftover(file) => file.fd(),
        };
        buffer.resize(segment.length as usize, 0);
        read_exact(fd, buffer, segment.start).is_ok() && self.hashes_to(buffer, segment)
    }

    fn hashes_to(&self, data: &[u8], segment: &Segment) -> bool {
        let hasher = self.repository.contents().format().crypto.hasher();
        segment.object.content().is_some_and(|content| hasher.hash(data) == *content.hash())
    }

    /// Whether these bytes are the object of an entry, as far as that can be told without reading it.
    pub(super) fn is_object(&self, data: &[u8], entry: &DirEntry) -> bool {
        let segment = Segment { start: 0, length: entry.size, object: entry.obj };
        entry.obj.list().is_none() && !entry.obj.is_compressed() && self.hashes_to(data, &segment)
    }

    /// Goes on with a file that has been compared; `false` if it is complete.
    fn conclude(&self, examination: &Arc<Examination>) -> Result<bool> {
        let Examination { node, directory, entry, .. } = &**examination;
        let place = Place { node, name: &entry.name };
        let missing = examination.missing();
        let length = examination.length();
        match &examination.basis {
            Basis::Leftover(file) => {
                let file = file.take();
                // Zeros that are left out of what is written must find zeros there.
                for part in missing.iter().filter(|part| !is_hole(file.fd(), part)) {
                    file.clear(part.start, part.length).map_err(place.failed("write"))?;
                }
                file.set_length(length).map_err(place.failed("set the length of"))?;
                let assembly =
                    Assembly::list(node, entry.clone(), examination.replaced, file, length, missing);
                self.queue_list(assembly)
            }
            Basis::Existing(fd, stat) => {
                let is_long = u64::try_from(stat.st_size).is_ok_and(|size| size > length);
                if missing.is_empty() && !is_long && self.touch_up(&place, fd, stat, entry)? {
                    self.count_unchanged(length);
                    return Ok(false);
                }
                self.rebuild(examination, directory, fd, &place, missing)
            }
        }
    }

    /// Makes a new file of what is right in the old one, and queues the rest.
    fn rebuild(
        &self,
        examination: &Examination,
        directory: &TargetDirectory,
        fd: &OwnedFd,
        place: &Place<'_>,
        missing: Vec<Segment>,
    ) -> Result<bool> {
        let Examination { node, entry, segments, replaced, .. } = examination;
        if entry.obj.list().is_none() && !missing.is_empty() {
            let mut planned = Vec::new();
            self.plan_single(node, entry.clone(), *replaced, &mut planned)?;
            self.queue.plan(planned);
            return Ok(true);
        }
        let file = self.create_resumable(place, directory, entry)?;
        for (number, segment) in segments.iter().enumerate() {
            if examination.is_right(number) {
                let copied = match Sparse::of(entry, self.options) {
                    Sparse::No => file.copy_from(fd, segment.start, segment.length),
                    sparse => self.copy_sparsely(&file, fd, segment, sparse),
                };
                copied.map_err(place.failed("write"))?;
                self.monitor.add(crate::base::Counter::RestoredBytes, segment.length);
            }
        }
        let assembly = Assembly::list(node, entry.clone(), *replaced, file, examination.length(), missing);
        self.queue_list(assembly)
    }
}

impl Run<'_> {
    /// A copy by the system would fill holes with zeros.
    fn copy_sparsely(
        &self,
        file: &NewFile,
        from: &OwnedFd,
        segment: &Segment,
        sparse: Sparse<'_>,
    ) -> Result<(), Errno> {
        let _pass = self.gate.enter(segment.length);
        let mut buffer = vec![0; segment.length as usize];
        read_exact(from, &mut buffer, segment.start)?;
        sparse.write(file, &buffer, segment.start)
    }
}

fn is_hole(fd: &OwnedFd, segment: &Segment) -> bool {
    match rustix::fs::seek(fd, rustix::fs::SeekFrom::Data(segment.start)) {
        Ok(data) => data >= segment.start.saturating_add(segment.length),
        Err(errno) => errno == Errno::NXIO,
    }
}

fn read_exact(fd: &OwnedFd, buffer: &mut [u8], offset: u64) -> Result<(), Errno> {
    let mut done = 0;
    while done < buffer.len() {
        match rustix::io::retry_on_intr(|| rustix::io::pread(fd, &mut buffer[done..], offset + done as u64))?
        {
            0 => return Err(Errno::IO),
            read => done += read,
        }
    }
    Ok(())
}
