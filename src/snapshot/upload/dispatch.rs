//! The members of one directory: take over what is unchanged, hand out everything else.

use super::big_file::{BigFile, Input};
use super::context::Context;
use super::counts;
use super::identity::Verdict;
use super::look::Look;
use super::node::Node;
use super::placeholder;
use super::previous::{PreviousFiles, is_forced};
use super::small_files::{FileBatch, is_small};
use super::walk::{PendingDirectory, Worker, file_failed, perform};
use crate::base::{Counter, gojson};
use crate::snapshot::DirEntry;
use crate::source::{self, Entry, EntryKind, Listed, Names};
use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;

/// From so many on the members are looked at by a thread of their own, a few pieces ahead.
const MANY_NAMES: usize = 16 << 10;
const PIECES_AHEAD: usize = 4;

/// Hands out the members of one directory.
pub(super) struct Dispatcher<'a, 'b> {
    context: &'a Context<'b>,
    node: &'a Arc<Node>,
    known: PreviousFiles,
    batch: FileBatch,
    directories: Vec<PendingDirectory>,
    unchanged: Vec<DirEntry>,
    mangled: HashSet<String>,
    /// The path of the member at hand, from the root, with a leading slash.
    path: String,
    /// How much of it is the directory's.
    prefix: usize,
}

impl<'a, 'b> Dispatcher<'a, 'b> {
    /// Compares with what is `known` of the directory.
    pub(super) fn new(context: &'a Context<'b>, node: &'a Arc<Node>, known: PreviousFiles) -> Self {
        let path = if node.path.is_empty() { "/".to_owned() } else { format!("/{}/", node.path) };
        Self {
            context,
            node,
            known,
            batch: FileBatch::new(node),
            directories: Vec::new(),
            unchanged: Vec::new(),
            mangled: HashSet::new(),
            prefix: path.len(),
            path,
        }
    }

    /// Looks at the members piece by piece, so that what waits to be read stays little however many they are.
    pub(super) fn members(mut self, names: &Names, worker: &mut Worker) {
        let node = self.node;
        if names.len() < MANY_NAMES {
            let _ = node.directory.members(names).try_for_each(|piece| self.piece(piece, names, worker));
        } else {
            std::thread::scope(|scope| {
                let (sender, pieces) = crossbeam_channel::bounded(PIECES_AHEAD);
                // Ends when nobody receives any more.
                scope.spawn(move || node.directory.members(names).try_for_each(|piece| sender.send(piece)));
                let _ = pieces.into_iter().try_for_each(|piece| self.piece(piece, names, worker));
            });
        }
        self.flush_batch();
        // Taken from the end, so that directories are walked in order.
        self.directories.reverse();
        self.node.arrivals.expect(self.directories.len());
        self.context.queue.push_directories(std::mem::take(&mut self.directories));
    }

    /// Breaks when no more are wanted.
    fn piece(
        &mut self,
        listed: source::Result<Vec<Listed>>,
        names: &Names,
        worker: &mut Worker,
    ) -> ControlFlow<()> {
        if self.context.is_canceled() {
            return ControlFlow::Break(());
        }
        match listed {
            Ok(listed) => self.some(listed, names),
            Err(error) => {
                *self.node.broken.lock() = Some(error);
                return ControlFlow::Break(());
            }
        }
        while let Some(task) = self.context.queue.excess() {
            perform(self.context, task, worker);
        }
        ControlFlow::Continue(())
    }

    fn some(&mut self, listed: Vec<Listed>, names: &Names) {
        let prefix = self.prefix;
        let last = listed.last().map(|member| Box::from(member.name()));
        for member in listed {
            let stands_for = placeholder::target_of(&member).map(str::to_owned);
            let is_placeholder = stands_for.is_some();
            let name = stands_for.unwrap_or_else(|| gojson::lossy(member.name()).into_owned());
            self.path.truncate(prefix);
            self.path.push_str(&name);
            if is_placeholder {
                if self.is_included(&member) {
                    self.placeholder(member.is_directory(), &name, names);
                }
            } else if self.is_included(&member) && self.is_distinct(&member, &name, names) {
                match member {
                    Listed::Entry(entry) => self.member(entry, name),
                    Listed::Failed { is_dir_hint, error, .. } => self.unlisted(&name, is_dir_hint, &error),
                }
            }
        }
        self.node.arrivals.add_entries(std::mem::take(&mut self.unchanged));
        // What comes is behind it, if it has a name that can be known.
        self.known.forget_before(last.as_deref().unwrap_or_default());
    }

    fn is_included(&self, member: &Listed) -> bool {
        let (counts, monitor) = (&self.context.counts, self.context.monitor);
        self.node.ignore.includes(&self.path, member, self.node.own.device, &mut |excluded| {
            if excluded.is_directory() {
                counts::add(&counts.excluded_dir_count, 1);
                monitor.add(Counter::ExcludedDirs, 1);
            } else {
                counts::add(&counts.excluded_file_count, 1);
                counts::add(&counts.excluded_total_size, excluded.entry().map_or(0, |entry| entry.size));
                monitor.add(Counter::ExcludedFiles, 1);
            }
        })
    }

    /// A name whose bytes are no UTF-8 may become one that is there: another such name's, or one that has U+FFFD in it.
    /// Only one entry of a name can be restored, and Kopia would even collect the other's data, so such a name is a
    /// failure and not a silent loss.
    fn is_distinct(&mut self, member: &Listed, name: &str, names: &Names) -> bool {
        if std::str::from_utf8(member.name()).is_ok() {
            return true;
        }
        if !names.contains(name.as_bytes()) && self.mangled.insert(name.to_owned()) {
            return true;
        }
        let ignored = self.node.policies.policy().error_handling.ignore_file_errors.unwrap_or(false);
        let message = format!(
            "its name (bytes {}) is not UTF-8 and becomes equal to another's when stored",
            hex::encode(member.name())
        );
        self.context.entry_failed(self.node, &self.node.path_of(name), message, ignored);
        false
    }

    fn member(&mut self, entry: Entry, name: String) {
        match entry.kind {
            EntryKind::Directory => {
                let parent = Arc::clone(self.node);
                self.directories.push(PendingDirectory { parent, entry, name });
            }
            EntryKind::File | EntryKind::Symlink => self.file(entry, &name),
            EntryKind::Other => self.special(&entry, &name),
        }
    }

    fn placeholder(&mut self, is_directory: bool, name: &str, names: &Names) {
        let (context, node) = (self.context, self.node);
        match placeholder::entry_behind(context, node, is_directory, name, names) {
            Ok(entry) => {
                counts::add(&context.counts.total_size, entry.size);
                self.unchanged.push(entry);
            }
            Err(message) => {
                let ignored =
                    node.policies.child(name).policy().error_handling.ignore_file_errors.unwrap_or(false);
                context.entry_failed(node, &node.path_of(name), message, ignored);
            }
        }
    }

    fn file(&mut self, entry: Entry, name: &str) {
        let context = self.context;
        if let Some(known) = self.find_unchanged(&entry, name) {
            counts::add(&context.counts.cached_files, 1);
            counts::add(&context.counts.total_size, known.size);
            context.monitor.add(Counter::CachedFiles, 1);
            context.monitor.add(Counter::CachedBytes, known.size);
            self.unchanged.push(known);
            return;
        }
        let tree = self.node.policies.child(name);
        let mut plan = context.plan(tree.policy(), name, entry.size);
        if entry.kind == EntryKind::Symlink {
            plan.options.compressor = None;
        } else {
            counts::add(&context.counts.non_cached_files, 1);
            if !is_small(&plan, entry.size) {
                self.node.arrivals.expect(1);
                context.queue.push_big_file(BigFile::new(self.node, entry, plan, Input::ByName));
                return;
            }
        }
        self.batch.push(entry, plan);
        if self.batch.is_full() {
            self.flush_batch();
        }
    }

    /// The entry to store without reading the file: metadata of today, data of the earlier snapshot. A name that is not
    /// UTF-8 never matches: it may stand for another's.
    fn find_unchanged(&self, entry: &Entry, name: &str) -> Option<DirEntry> {
        let options = self.context.options;
        let entropy = self.context.repository().environment().entropy.as_ref();
        std::str::from_utf8(&entry.name).ok()?;
        let (mut known, verdict) = self.known.find_unchanged(entry, name, self.node.identities)?;
        if is_forced(options.force_hash_percent, entropy) {
            return None;
        }
        let look = match (verdict, known.supplement.as_mut()) {
            (Verdict::Unchanged, Some(supplement)) => Look::known(supplement),
            _ => Look::at_member(self.context, self.node, entry),
        };
        look.report(self.context, self.node, &self.node.path_of(name));
        Some(DirEntry { obj: known.obj, ..self.node.member_entry(entry, name.to_owned(), look) })
    }

    /// Saves what is no file, directory or link where directories have room for it.
    fn special(&self, entry: &Entry, name: &str) {
        let (context, node) = (self.context, self.node);
        if node.identities.are_plain() {
            return self.unknown(name);
        }
        match node.directory.special(&entry.name) {
            Ok(Some((entry, kind))) => {
                let look = Look::at_member(context, node, &entry);
                look.report(context, node, &node.path_of(name));
                node.arrivals.add_special(node.special_entry(&entry, kind, look));
            }
            Ok(None) => self.unknown(name),
            Err(error) => file_failed(context, node, entry, &error),
        }
    }

    fn unknown(&self, name: &str) {
        let policy = self.node.policies.child(name).policy();
        if !policy.error_handling.ignore_unknown_types.unwrap_or(true) {
            let message = "it is neither a file, a directory nor a link".to_owned();
            self.context.entry_failed(self.node, &self.node.path_of(name), message, false);
        }
    }

    fn unlisted(&self, name: &str, is_directory: bool, error: &std::io::Error) {
        let handling = &self.node.policies.child(name).policy().error_handling;
        let forgiven =
            if is_directory { handling.ignore_directory_errors } else { handling.ignore_file_errors };
        let path = self.node.path_of(name);
        self.context.entry_failed(self.node, &path, error.to_string(), forgiven.unwrap_or(false));
    }

    fn flush_batch(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let batch = std::mem::replace(&mut self.batch, FileBatch::new(self.node));
        self.node.arrivals.expect(batch.len());
        self.context.queue.push_files(batch);
    }
}
