//! Trees copied from one repository into another, whose hash, encryption, splitter and policies may differ.
//!
//! 1. Every entry keeps all it has but its object: unlike Kopia, which reads the tree as a file system, copies keep the
//!    times of directories, records of failures and what others have added.
//! 2. Each distinct file and directory is copied once in the life of a [`Migrator`].
//! 3. A tree is copied whole or not at all.
//!
//! Source: kopia `cli/command_snapshot_migrate.go`.

use super::directory::OwnFailures;
use super::{DirEntry, DirectoryManifest, EntryType, Error, Result, read_directory};
use crate::base::{Counter, Monitor, gojson};
use crate::compression::{self, Compressor};
use crate::content::Scratch;
use crate::format::IdPrefix;
use crate::object::{NewChunk, ObjectId, ObjectOptions, ObjectReader, ObjectWriter, PartList};
use crate::policy::{Policy, PolicyTree, compressor_for};
use crate::source::{Entry, EntryKind, IgnoreContext, Listed};
use crate::splitter::{self, Splitter};
use rayon::prelude::*;
use std::collections::{HashMap, HashSet};
use std::io::Cursor;
use std::sync::Arc;

/// Copies trees.
pub struct Migrator<'a> {
    from: &'a ObjectReader,
    to: ObjectWriter,
    monitor: &'a dyn Monitor,
    applies_rules: bool,
    files: HashMap<ObjectId, ObjectId>,
    /// Without rules, which depend on paths, a directory is the same wherever it is.
    directories: HashMap<ObjectId, ObjectId>,
    scratch: Scratch,
}

impl<'a> Migrator<'a> {
    /// Copies from `from` to `to`; with `applies_rules`, what the policies of the destination and ignore files in the
    /// tree leave out is left out.
    pub fn new(
        from: &'a ObjectReader,
        to: ObjectWriter,
        monitor: &'a dyn Monitor,
        applies_rules: bool,
    ) -> Self {
        let (files, directories) = (HashMap::new(), HashMap::new());
        Self { from, to, monitor, applies_rules, files, directories, scratch: Scratch::default() }
    }

    /// Copies the tree below `root`, cut and compressed as `policies` say; its root in the other repository.
    ///
    /// # Errors
    /// [`Error::Invalid`] for what cannot be read; what writing says.
    pub fn copy(&mut self, root: &DirEntry, policies: &PolicyTree) -> Result<DirEntry> {
        let place = Place { path: String::new(), ignore: IgnoreContext::root(), policies: policies.clone() };
        if root.kind != EntryType::Directory {
            let mut entries = vec![root.clone()];
            self.copy_files(&mut entries, &place)?;
            return Ok(entries.pop().expect("one went in"));
        }
        let mut frame = self.open(root.clone(), place)?;
        let mut above: Vec<Frame> = Vec::new();
        loop {
            let Some(entry) = frame.next_directory() else {
                // All of the directory is there.
                let Some(parent) = above.pop() else { return Ok(self.finish(frame)?.0) };
                let (copied, is_filtered) = self.finish(std::mem::replace(&mut frame, parent))?;
                frame.is_filtered |= is_filtered;
                frame.settle(copied);
                continue;
            };
            if let Some(&obj) = self.directories.get(&entry.obj) {
                frame.settle(DirEntry { obj, ..entry });
            } else {
                let place = frame.place.below(&entry.name);
                let inner = self.open(entry, place)?;
                above.push(std::mem::replace(&mut frame, inner));
            }
        }
    }

    /// Reads a directory, leaves out what rules leave out, and copies its files.
    fn open(&mut self, entry: DirEntry, mut place: Place) -> Result<Frame> {
        self.monitor.current(&place.path);
        let mut manifest = read_directory(self.from, entry.obj)
            .map_err(|source| Error::Invalid { path: place.path.clone(), source: Box::new(source) })?;
        let (mut entries, own) = manifest.take_members();
        let mut is_filtered = false;
        if self.applies_rules {
            let before = entries.len();
            place.ignore = self.rules(&place, &entries)?;
            entries.retain(|entry| place.includes(entry));
            is_filtered = entries.len() < before;
            if let Some(supplement) = &mut manifest.supplement {
                supplement.specials.retain(|special| {
                    let name = gojson::lossy(&special.name).into_owned();
                    place.includes(&DirEntry { name, ..DirEntry::default() })
                });
            }
        }
        self.copy_files(&mut entries, &place)?;
        Ok(Frame { entry, place, manifest, own, entries, next: 0, is_filtered })
    }

    /// The rules of a stored directory, ignore files in it included.
    fn rules(&self, place: &Place, entries: &[DirEntry]) -> Result<Arc<IgnoreContext>> {
        let mut failure = None;
        let open = |name: &str| {
            let is_it = |entry: &&DirEntry| entry.kind == EntryType::File && entry.name == name;
            let data = entries.iter().find(is_it).map(|entry| self.from.read_all(entry.obj));
            let data = data.transpose().unwrap_or_else(|error| {
                failure = Some(error);
                None
            });
            Ok(data.map(Cursor::new))
        };
        let entered = IgnoreContext::enter_with(
            &place.ignore,
            &place.path,
            place.policies.ignore_policy().as_ref(),
            open,
        );
        match (failure, entered) {
            (Some(error), _) => {
                Err(Error::Invalid { path: place.path.clone(), source: Box::new(error.into()) })
            }
            (None, Ok(context)) => Ok(context),
            (None, Err(source)) => Err(Error::Source { path: place.path.clone().into(), source }),
        }
    }

    /// Copies the files and links among `entries` that were not copied before, and gives all of them their new objects.
    fn copy_files(&mut self, entries: &mut [DirEntry], place: &Place) -> Result<()> {
        let mut wanted = HashSet::new();
        let new: Vec<&DirEntry> = entries
            .iter()
            .filter(|entry| entry.kind != EntryType::Directory)
            .filter(|entry| !self.files.contains_key(&entry.obj) && wanted.insert(entry.obj))
            .collect();
        let copied = new.into_par_iter().map_init(Scratch::default, |scratch, entry| {
            let plan = Plan::new(&self.to, place.policies.child(&entry.name).policy(), entry);
            let object = self.copy_object(entry.obj, &plan, scratch).map_err(|source| Error::Invalid {
                path: format!("{}/{}", place.path, entry.name),
                source: Box::new(source),
            })?;
            self.monitor.add(Counter::HashedFiles, 1);
            Ok((entry.obj, object))
        });
        let copied = copied.collect::<Result<Vec<_>>>()?;
        self.files.extend(copied);
        for entry in entries.iter_mut().filter(|entry| entry.kind != EntryType::Directory) {
            entry.obj = self.files.get(&entry.obj).copied().unwrap_or_default();
        }
        Ok(())
    }

    fn copy_object(&self, id: ObjectId, plan: &Plan, scratch: &mut Scratch) -> Result<ObjectId> {
        let mut cutter =
            Cutter { to: &self.to, plan, buffer: Vec::new(), scanned: 0, parts: PartList::default() };
        match self.from.segments(id)? {
            None => cutter.take(&self.from.read_content(id)?, self.monitor, scratch)?,
            Some(segments) => {
                for segment in &segments {
                    cutter.take(&self.from.read_segment(id, segment)?, self.monitor, scratch)?;
                }
            }
        }
        cutter.finish(scratch)
    }

    /// Stores a directory whose members are all there; whether its totals are new, too.
    fn finish(&mut self, frame: Frame) -> Result<(DirEntry, bool)> {
        let Frame { entry, place, mut manifest, own, entries, is_filtered, .. } = frame;
        if is_filtered {
            manifest = manifest.with_members(entries, own, entry.mtime);
        } else {
            manifest.entries = entries;
        }
        let compressor = metadata_compressor(place.policies.policy());
        let options =
            ObjectOptions { prefix: IdPrefix::DIRECTORY, compressor, metadata_compressor: compressor };
        let obj = self.to.write(&mut manifest.to_bytes(), &options, &mut self.scratch)?;
        self.monitor.add(Counter::Directories, 1);
        if !self.applies_rules {
            self.directories.insert(entry.obj, obj);
        }
        let summ = if is_filtered { manifest.summary.map(Box::new) } else { entry.summ };
        Ok((DirEntry { obj, summ, ..entry }, is_filtered))
    }
}

/// A directory some of whose sub-directories are copied. Its files are.
struct Frame {
    entry: DirEntry,
    place: Place,
    manifest: DirectoryManifest,
    own: OwnFailures,
    entries: Vec<DirEntry>,
    next: usize,
    is_filtered: bool,
}

impl Frame {
    /// The next sub-directory that is not copied.
    fn next_directory(&mut self) -> Option<DirEntry> {
        let left = self.entries.get(self.next..)?;
        self.next += left.iter().position(|entry| entry.kind == EntryType::Directory)?;
        self.entries.get(self.next).cloned()
    }

    /// Puts that sub-directory's copy in its place.
    fn settle(&mut self, copy: DirEntry) {
        if let Some(entry) = self.entries.get_mut(self.next) {
            *entry = copy;
        }
        self.next += 1;
    }
}

/// Where a directory stands.
struct Place {
    /// From the root: empty, or with a leading slash.
    path: String,
    /// Its rules; those of its parent until it was opened.
    ignore: Arc<IgnoreContext>,
    policies: PolicyTree,
}

impl Place {
    fn below(&self, name: &str) -> Self {
        Self {
            path: format!("{}/{name}", self.path),
            ignore: Arc::clone(&self.ignore),
            policies: self.policies.child(name).clone(),
        }
    }

    fn includes(&self, entry: &DirEntry) -> bool {
        let listed = Listed::Entry(Entry {
            name: entry.name.as_bytes().into(),
            kind: match entry.kind {
                EntryType::Directory => EntryKind::Directory,
                EntryType::File => EntryKind::File,
                EntryType::Symlink => EntryKind::Symlink,
                EntryType::Unknown => EntryKind::Other,
            },
            permissions: 0,
            size: entry.size,
            mtime: entry.mtime,
            uid: entry.uid,
            gid: entry.gid,
            device: 0,
            inode: 0,
            ctime: entry.mtime,
            links: 1,
            may_have_holes: false,
        });
        self.ignore.includes(&format!("{}/{}", self.path, entry.name), &listed, 0, &mut |_| {})
    }
}

/// How a file is cut and compressed.
struct Plan {
    splitter: Arc<dyn Splitter>,
    options: ObjectOptions,
}

impl Plan {
    fn new(to: &ObjectWriter, policy: &Policy, entry: &DirEntry) -> Self {
        let own = to.splitter();
        let named = splitter::by_name(&policy.splitter.algorithm);
        let compressor = match entry.kind {
            EntryType::File => {
                compression::by_name(compressor_for(&policy.compression, &entry.name, entry.size))
            }
            _ => None,
        };
        let metadata_compressor = metadata_compressor(policy);
        let options = ObjectOptions { prefix: IdPrefix::NONE, compressor, metadata_compressor };
        Self { splitter: named.unwrap_or_else(|| Arc::clone(own)), options }
    }
}

fn metadata_compressor(policy: &Policy) -> Option<&'static dyn Compressor> {
    compression::by_name(policy.metadata_compression.compressor())
}

/// Cuts a stream of bytes anew.
struct Cutter<'a> {
    to: &'a ObjectWriter,
    plan: &'a Plan,
    /// Bytes since the last cut.
    buffer: Vec<u8>,
    /// So many of them were searched for a cut.
    scanned: usize,
    parts: PartList,
}

impl Cutter<'_> {
    fn take(&mut self, data: &[u8], monitor: &dyn Monitor, scratch: &mut Scratch) -> Result<()> {
        monitor.add(Counter::HashedBytes, data.len() as u64);
        self.buffer.extend_from_slice(data);
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut rest = buffer.as_mut_slice();
        while let Some(cut) = self.plan.splitter.boundary(rest, self.scanned) {
            let (chunk, after) = rest.split_at_mut(cut);
            self.store(chunk, scratch)?;
            (rest, self.scanned) = (after, 0);
        }
        let left = rest.len();
        self.scanned = left;
        buffer.drain(..buffer.len() - left);
        self.buffer = buffer;
        Ok(())
    }

    fn store(&mut self, chunk: &mut [u8], scratch: &mut Scratch) -> Result<()> {
        let (length, compressor) = (chunk.len() as u64, self.plan.options.compressor);
        let mut object = ObjectId::NONE;
        self.to.write_chunks(&mut [NewChunk { data: chunk, compressor }], scratch, |_, id| object = id)?;
        self.parts.push(length, object);
        Ok(())
    }

    /// A cut exactly at the end leaves nothing behind it, and nothing is no chunk, unless there is nothing at all.
    fn finish(mut self, scratch: &mut Scratch) -> Result<ObjectId> {
        let mut rest = std::mem::take(&mut self.buffer);
        if !rest.is_empty() || self.parts.length() == 0 {
            self.store(&mut rest, scratch)?;
        }
        Ok(self.to.finish(self.parts, &self.plan.options, scratch)?)
    }
}
