//! What is kept of an entry beside stat and data: extended attributes, and where a file has holes.
//!
//! 1. Nothing of it is looked at where entries are plain, or where an earlier entry tells that nothing has changed.
//! 2. What cannot be read is a failure that the policy forgives, named in its directory. The entry then says so little
//!    of itself that the next run looks again.

use super::context::Context;
use super::node::Node;
use crate::base::error_chain;
use crate::snapshot::Supplement;
use crate::source::{self, Directory, Entry, EntryKind, FoundXattrs, Holes, Xattrs, find_holes};
use std::fs::File;

/// What a look has found.
#[derive(Debug, Default)]
pub(super) struct Look {
    xattrs: Xattrs,
    holes: Option<Holes>,
    /// In words.
    failure: Option<String>,
}

impl Look {
    /// At a file that is open, with its position at the beginning before and after.
    pub(super) fn at_file(context: &Context<'_>, node: &Node, file: &File, entry: &Entry) -> Self {
        if node.identities.are_plain() {
            return Self::default();
        }
        let mut look = Self::from(context.xattrs.of_open(file, entry));
        look.find_holes(file, entry);
        look
    }

    /// At a member that is not open.
    pub(super) fn at_member(context: &Context<'_>, node: &Node, entry: &Entry) -> Self {
        if node.identities.are_plain() {
            return Self::default();
        }
        let mut look = Self::from(context.xattrs.of_member(&node.directory, entry));
        if entry.kind == EntryKind::File && entry.may_have_holes {
            match node.directory.open_file(&entry.name) {
                Ok(file) => look.find_holes(&file, entry),
                Err(error) => look.failed(&error),
            }
        }
        look
    }

    /// At a directory.
    pub(super) fn at_directory(context: &Context<'_>, directory: &Directory, own: &Entry) -> Self {
        Self::from(context.xattrs.of_open(directory, own))
    }

    /// What an earlier entry of the same file says, in which nothing has changed.
    pub(super) fn known(supplement: &mut Supplement) -> Self {
        let xattrs = supplement.xattrs.take().map_or_else(Xattrs::default, |xattrs| *xattrs);
        Self { xattrs, holes: supplement.holes.take().map(|holes| *holes), failure: None }
    }

    fn find_holes(&mut self, file: &File, entry: &Entry) {
        if !entry.may_have_holes {
            return;
        }
        match find_holes(file, entry.size) {
            Ok(holes) => self.holes = holes,
            Err(source) => self.failed(&source::Error::of_entry("find the holes of", &entry.name, source)),
        }
    }

    fn failed(&mut self, error: &source::Error) {
        self.failure.get_or_insert_with(|| error_chain(error));
    }

    /// Tells what could not be read of the entry at `path`, which is stored all the same.
    pub(super) fn report(&self, context: &Context<'_>, node: &Node, path: &str) {
        if let Some(failure) = &self.failure {
            context.entry_failed(node, path, failure.clone(), true);
        }
    }

    /// What the entry of a directory is to say, and what could not be read.
    pub(super) fn into_directory(mut self) -> (Option<Box<Supplement>>, Option<String>) {
        let failure = self.failure.take();
        let xattrs = Box::new(self.xattrs);
        let is_known = failure.is_none() || !xattrs.is_empty();
        (is_known.then(|| Box::new(Supplement { xattrs: Some(xattrs), ..Supplement::default() })), failure)
    }

    /// Adds it to what stat has told.
    pub(super) fn add_to(self, supplement: &mut Supplement) {
        let Self { xattrs, holes, failure } = self;
        supplement.is_data_only = failure.is_some() && supplement.ctime_nanos.is_some();
        supplement.holes = holes.map(Box::new);
        // A time says that there is no more than this. What could not be read is not known not to be there.
        let is_said = failure.is_some() || supplement.ctime_nanos.is_some();
        supplement.xattrs = (!is_said || !xattrs.is_empty()).then(|| Box::new(xattrs));
    }
}

impl From<FoundXattrs> for Look {
    fn from(found: FoundXattrs) -> Self {
        let failure = found.failure.as_ref().map(|error| error_chain(error));
        Self { xattrs: found.xattrs, holes: None, failure }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(xattrs: &[&str], failure: Option<&str>) -> Look {
        let mut found = Xattrs::new();
        assert!(xattrs.iter().all(|name| found.insert(name.as_bytes(), b"x")));
        Look { xattrs: found, holes: None, failure: failure.map(str::to_owned) }
    }

    #[test]
    fn what_could_not_be_read_is_looked_at_again() {
        for (ctime_nanos, look, json, is_known) in [
            (Some(5), look(&[], None), r#"{"t":5}"#, true),
            (Some(5), look(&["a"], None), r#"{"t":5,"x":{"a":"eA=="}}"#, true),
            (Some(5), look(&["a"], Some("EIO")), r#"{"c":5,"x":{"a":"eA=="}}"#, false),
            (Some(5), look(&[], Some("EIO")), r#"{"c":5}"#, false),
            (None, look(&[], None), r#"{"x":{}}"#, true),
            (None, look(&[], Some("EIO")), "{}", false),
        ] {
            let mut supplement = Supplement { ctime_nanos, ..Supplement::default() };
            look.add_to(&mut supplement);
            assert_eq!(serde_json::to_string(&supplement).unwrap(), json);
            assert_eq!(supplement.known_xattrs().is_some(), is_known, "{json}");
        }
        assert!(look(&[], None).into_directory().0.unwrap().known_xattrs().unwrap().is_empty());
        let (said, failure) = look(&[], Some("EIO")).into_directory();
        assert_eq!((said, failure.as_deref()), (None, Some("EIO")));
    }
}
