//! What is to be read, as far as it has been planned.

use super::assembly::Assembly;
use crate::content::{PackRead, ReadPlan};
use crate::index::IndexEntry;
use crate::object::ObjectId;
use std::sync::Arc;

/// Contents planned before they are read: the more, the longer each pack's part of them. A quarter of a kilobyte each.
const CONTENTS_MAX: usize = 32_768;
/// Files in several contents planned together; each is an open descriptor, and 1024 is all there may be.
const LISTS_MAX: usize = 192;

/// A content on its way into a file or link.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) assembly: Arc<Assembly>,
    pub(super) object: ObjectId,
    /// Its place in the file, in bytes.
    pub(super) start: u64,
    /// Its length, if a list says it.
    pub(super) length: Option<u64>,
}

/// Contents to be read next, once there are many of them or nothing else is to be done.
#[derive(Debug, Default)]
pub(super) struct Window {
    plan: ReadPlan<Part>,
    lists: usize,
}

impl Window {
    pub(super) fn add(&mut self, entry: IndexEntry, part: Part) {
        self.plan.add(entry, part);
    }

    /// Counts a file in several contents.
    pub(super) fn count_list(&mut self) {
        self.lists += 1;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.plan.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.plan.len() >= CONTENTS_MAX || self.lists >= LISTS_MAX
    }

    pub(super) fn into_reads(self) -> Vec<PackRead<Part>> {
        self.plan.into_reads()
    }
}
