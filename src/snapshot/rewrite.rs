//! Trees with some of their entries replaced or left out.
//!
//! 1. Each distinct directory is looked into once, however many snapshots share it.
//! 2. What does not change keeps its object: only directories on the way to a change are written, and only where the
//!    changes are to be stored.
//! 3. What others have added to entries, directories and summaries stays.
//!
//! Source: kopia `snapshot/snapshotfs/dir_rewriter.go`.

use super::directory::OwnFailures;
use super::{DirEntry, DirSummary, DirectoryManifest, EntryType, Error, Result, read_directory};
use crate::base::{Timestamp, error_chain, gojson};
use crate::compression::Compressor;
use crate::content::Scratch;
use crate::format::IdPrefix;
use crate::object::{ObjectId, ObjectOptions, ObjectReader, ObjectWriter};
use rayon::prelude::*;
use serde::Serialize;
use std::collections::{HashMap, HashSet, VecDeque};

/// Sub-directories read at once.
const READ_AHEAD: usize = 16;

/// How Kopia names what stands in for an entry that cannot be read.
const STUB_PREFIX: &str = ".INVALID.";

/// What is to become of an entry that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handling {
    /// Nothing is rewritten at all.
    Fail,
    /// A small file that says what was there and what is wrong takes its place.
    Stub,
    /// It stays.
    Keep,
    /// It goes.
    Remove,
}

/// What is thought of an entry.
#[derive(Debug)]
pub enum Judgement {
    /// It stays. A directory is looked into.
    Keep,
    /// It goes.
    Remove,
    /// It cannot be read.
    Invalid(Box<Error>),
}

/// Decides on entries, from many threads at once.
pub trait Judge: Sync {
    /// Looks at one entry; `path` is its path in the first snapshot that has it.
    fn judge(&self, path: &str, entry: &DirEntry) -> Judgement;

    /// Whether a special file of this name goes.
    fn removes_special(&self, _name: &str) -> bool {
        false
    }
}

/// What becomes of what cannot be read.
#[derive(Debug, Clone, Copy)]
pub struct RewriteOptions {
    /// Files and links that are judged invalid.
    pub invalid_files: Handling,
    /// Directories that cannot be read, and roots that were to go.
    pub invalid_directories: Handling,
}

/// Rewrites trees.
pub struct Rewriter<'a> {
    objects: &'a ObjectReader,
    /// Without it nothing is written: changed directories and stubs then have no object.
    writer: Option<ObjectWriter>,
    judge: &'a dyn Judge,
    options: RewriteOptions,
    /// Hears about every entry that goes, is replaced, or stays although it cannot be read.
    said: &'a dyn Fn(&str),
    done: HashMap<DirectoryKey, Outcome>,
    scratch: Scratch,
}

/// All that a rewritten directory depends on: an empty one has its own time in its summary.
type DirectoryKey = (ObjectId, Timestamp);

/// What became of a directory.
enum Outcome {
    Same,
    Changed(ObjectId, Option<Box<DirSummary>>),
    Unreadable(String),
}

/// How far one entry has come.
enum Step {
    Same(DirEntry),
    Other(Option<DirEntry>),
    Descend(Box<Frame>),
}

/// What stands in for an entry.
#[derive(Serialize)]
struct Stub<'a> {
    info: &'static str,
    error: &'a str,
    entry: &'a DirEntry,
}

const STUB_INFO: &str = "This file stands for an entry that could not be read; it was put here when its snapshot was \
                         repaired.";

impl<'a> Rewriter<'a> {
    /// A rewriter that stores what it changes through `writer`, or only finds out what would change.
    pub fn new(
        objects: &'a ObjectReader,
        writer: Option<ObjectWriter>,
        judge: &'a dyn Judge,
        options: RewriteOptions,
        said: &'a dyn Fn(&str),
    ) -> Self {
        Self { objects, writer, judge, options, said, done: HashMap::new(), scratch: Scratch::default() }
    }

    /// The root that takes the place of `root`, or `None` if nothing changes. `compressor` is for metadata.
    ///
    /// # Errors
    /// [`Error::Invalid`] and [`Error::RootRemoved`] where options say [`Handling::Fail`]; what writing says.
    pub fn rewrite(
        &mut self,
        root: &DirEntry,
        compressor: Option<&'static dyn Compressor>,
    ) -> Result<Option<DirEntry>> {
        // The frame of a made-up parent, whose only member is the root.
        let mut frame =
            Frame { undecided: [(root.clone(), self.judge.judge(".", root))].into(), ..Frame::default() };
        let mut above: Vec<Frame> = Vec::new();
        loop {
            let step = match frame.undecided.pop_front() {
                Some((entry, judgement)) => self.step(&mut frame, entry, judgement, compressor)?,
                None => match above.pop() {
                    Some(parent) => {
                        let finished = std::mem::replace(&mut frame, parent);
                        self.finish(finished, compressor)?
                    }
                    None => break,
                },
            };
            match step {
                Step::Same(entry) => frame.decided.push(entry),
                Step::Other(entry) => {
                    frame.decided.extend(entry);
                    frame.is_changed = true;
                }
                Step::Descend(inner) => above.push(std::mem::replace(&mut frame, *inner)),
            }
        }
        match frame.decided.pop() {
            Some(replacement) => Ok(frame.is_changed.then_some(replacement)),
            None => self.without_root(root, compressor),
        }
    }

    /// A snapshot keeps a root, whatever was to become of it.
    fn without_root(
        &mut self,
        root: &DirEntry,
        compressor: Option<&'static dyn Compressor>,
    ) -> Result<Option<DirEntry>> {
        let handling = self.options.invalid_directories;
        let step = match handling {
            Handling::Fail | Handling::Remove => return Err(Error::RootRemoved),
            _ => self.invalid(".", root.clone(), &Error::RootRemoved.to_string(), handling, compressor)?,
        };
        Ok(if let Step::Other(replacement) = step { replacement } else { None })
    }

    fn step(
        &mut self,
        parent: &mut Frame,
        entry: DirEntry,
        judgement: Judgement,
        compressor: Option<&'static dyn Compressor>,
    ) -> Result<Step> {
        let path = parent.path_of(&entry.name);
        match judgement {
            Judgement::Remove => {
                (self.said)(&format!("{path} is left out"));
                Ok(Step::Other(None))
            }
            Judgement::Invalid(source) if self.options.invalid_files == Handling::Fail => {
                Err(Error::Invalid { path, source })
            }
            Judgement::Invalid(error) => {
                self.invalid(&path, entry, &error_chain(&*error), self.options.invalid_files, compressor)
            }
            Judgement::Keep if entry.kind != EntryType::Directory => Ok(Step::Same(entry)),
            Judgement::Keep => self.directory(parent, path, entry, compressor),
        }
    }

    fn directory(
        &mut self,
        parent: &mut Frame,
        path: String,
        entry: DirEntry,
        compressor: Option<&'static dyn Compressor>,
    ) -> Result<Step> {
        let key = (entry.obj, entry.mtime);
        let handling = self.options.invalid_directories;
        if !self.done.contains_key(&key) {
            match self.read(parent, entry.obj) {
                Ok(manifest) => {
                    let mut frame = Frame::new(path, entry, manifest, self.judge);
                    self.remove_specials(&mut frame);
                    return Ok(Step::Descend(Box::new(frame)));
                }
                Err(source) if handling == Handling::Fail => {
                    return Err(Error::Invalid { path, source: Box::new(source) });
                }
                Err(error) => drop(self.done.insert(key, Outcome::Unreadable(error_chain(&error)))),
            }
        }
        match self.done.get(&key) {
            Some(Outcome::Changed(obj, summ)) => {
                Ok(Step::Other(Some(DirEntry { obj: *obj, summ: summ.clone(), ..entry })))
            }
            Some(Outcome::Unreadable(message)) => {
                let message = message.clone();
                self.invalid(&path, entry, &message, handling, compressor)
            }
            Some(Outcome::Same) | None => Ok(Step::Same(entry)),
        }
    }

    fn remove_specials(&self, frame: &mut Frame) {
        let Some(supplement) = &mut frame.manifest.supplement else { return };
        let before = supplement.specials.len();
        supplement.specials.retain(|special| {
            let name = gojson::lossy(&special.name);
            let goes = self.judge.removes_special(&name);
            if goes {
                (self.said)(&format!("{} is left out", join(&frame.path, &name)));
            }
            !goes
        });
        frame.is_changed |= supplement.specials.len() < before;
    }

    /// Reads a directory, and some of those whose turn comes next.
    fn read(&self, parent: &mut Frame, id: ObjectId) -> Result<DirectoryManifest> {
        if let Some(read) = parent.ahead.remove(&id) {
            return read;
        }
        let next = parent
            .undecided
            .iter()
            .take(READ_AHEAD)
            .filter(|(entry, judgement)| {
                entry.kind == EntryType::Directory
                    && matches!(judgement, Judgement::Keep)
                    && !self.done.contains_key(&(entry.obj, entry.mtime))
            })
            .map(|(entry, _)| entry.obj);
        let wanted: HashSet<ObjectId> = next.chain([id]).collect();
        let read = wanted.into_par_iter().map(|id| (id, read_directory(self.objects, id)));
        parent.ahead = read.collect();
        parent.ahead.remove(&id).expect("it was among those that were read")
    }

    /// Does with an entry that cannot be read what it is to be done.
    fn invalid(
        &mut self,
        path: &str,
        entry: DirEntry,
        message: &str,
        handling: Handling,
        compressor: Option<&'static dyn Compressor>,
    ) -> Result<Step> {
        let fate = match handling {
            Handling::Stub => "is replaced",
            Handling::Remove => "is left out",
            Handling::Keep | Handling::Fail => "stays",
        };
        (self.said)(&format!("{path} cannot be read and {fate}: {message}"));
        match handling {
            Handling::Stub => Ok(Step::Other(Some(self.stub(&entry, message, compressor)?))),
            Handling::Remove => Ok(Step::Other(None)),
            Handling::Keep | Handling::Fail => Ok(Step::Same(entry)),
        }
    }

    fn stub(
        &mut self,
        entry: &DirEntry,
        error: &str,
        metadata_compressor: Option<&'static dyn Compressor>,
    ) -> Result<DirEntry> {
        let stub = Stub { info: STUB_INFO, error, entry };
        let mut json = gojson::to_indented(&stub, "  ", "    ").expect("an entry has only texts and numbers");
        let size = json.len() as u64;
        let options = ObjectOptions { prefix: IdPrefix::NONE, compressor: None, metadata_compressor };
        Ok(DirEntry {
            name: format!("{STUB_PREFIX}{}", entry.name),
            kind: EntryType::File,
            mode: entry.mode,
            size,
            mtime: entry.mtime,
            uid: entry.uid,
            gid: entry.gid,
            obj: self.write(&mut json, &options)?,
            ..DirEntry::default()
        })
    }

    /// Stores a directory whose members are all decided, unless they are what they were.
    fn finish(&mut self, frame: Frame, compressor: Option<&'static dyn Compressor>) -> Result<Step> {
        let Frame { entry, manifest, own, decided, is_changed, .. } = frame;
        let key = (entry.obj, entry.mtime);
        if !is_changed {
            self.done.insert(key, Outcome::Same);
            return Ok(Step::Same(entry));
        }
        let manifest = manifest.with_members(decided, own, entry.mtime);
        let metadata_compressor = compressor;
        let options = ObjectOptions { prefix: IdPrefix::DIRECTORY, compressor, metadata_compressor };
        let obj = self.write(&mut manifest.to_bytes(), &options)?;
        let summ = manifest.summary.map(Box::new);
        self.done.insert(key, Outcome::Changed(obj, summ.clone()));
        Ok(Step::Other(Some(DirEntry { obj, summ, ..entry })))
    }

    fn write(&mut self, data: &mut [u8], options: &ObjectOptions) -> Result<ObjectId> {
        match &self.writer {
            Some(writer) => Ok(writer.write(data, options, &mut self.scratch)?),
            None => Ok(ObjectId::NONE),
        }
    }
}

/// A directory some of whose members are decided.
#[derive(Default)]
struct Frame {
    entry: DirEntry,
    path: String,
    manifest: DirectoryManifest,
    own: OwnFailures,
    undecided: VecDeque<(DirEntry, Judgement)>,
    decided: Vec<DirEntry>,
    is_changed: bool,
    /// Sub-directories that were read ahead of their turn.
    ahead: HashMap<ObjectId, Result<DirectoryManifest>>,
}

impl Frame {
    /// A directory of which all members are judged, by all threads, and none is decided.
    fn new(path: String, entry: DirEntry, mut manifest: DirectoryManifest, judge: &dyn Judge) -> Self {
        let (members, own) = manifest.take_members();
        let decided = Vec::with_capacity(members.len());
        let mut frame = Self { entry, path, manifest, own, decided, ..Self::default() };
        let judged = members.into_par_iter().map(|member| {
            let judgement = judge.judge(&join(&frame.path, &member.name), &member);
            (member, judgement)
        });
        frame.undecided = judged.collect::<Vec<_>>().into();
        frame
    }

    fn path_of(&self, name: &str) -> String {
        join(&self.path, name)
    }
}

/// The path of a member; the root's is `.`, and those of its members begin with their names.
fn join(path: &str, name: &str) -> String {
    match path {
        "" => ".".to_owned(),
        "." => name.to_owned(),
        path => format!("{path}/{name}"),
    }
}
