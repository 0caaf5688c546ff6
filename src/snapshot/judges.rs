//! Reasons to rewrite a tree: files that cannot be read, and files that nobody wants.

use super::{DirEntry, EntryType, Judge, Judgement, NamePattern, ObjectCheck};
use crate::base::{Monitor, Quiet};
use crate::object::ObjectId;
use parking_lot::Mutex;
use std::collections::HashSet;

/// Finds files and links that cannot be read. Directories are left to who reads them.
#[derive(Debug)]
pub struct InvalidFiles<'a> {
    check: ObjectCheck<'a>,
    read_percent: f64,
    proven: Mutex<HashSet<ObjectId>>,
}

impl<'a> InvalidFiles<'a> {
    /// Proves objects by `check`; of a share of them, 0 to 100 percent, every byte is read.
    pub fn new(check: ObjectCheck<'a>, read_percent: f64) -> Self {
        Self { check, read_percent, proven: Mutex::default() }
    }
}

impl Judge for InvalidFiles<'_> {
    fn judge(&self, _path: &str, entry: &DirEntry) -> Judgement {
        if entry.kind == EntryType::Directory || self.proven.lock().contains(&entry.obj) {
            return Judgement::Keep;
        }
        let monitor: &dyn Monitor = &Quiet;
        match self.check.object(entry.obj, self.check.is_drawn(self.read_percent), monitor) {
            Ok(_) => {
                self.proven.lock().insert(entry.obj);
                Judgement::Keep
            }
            Err(error) => Judgement::Invalid(Box::new(error)),
        }
    }
}

/// Finds entries by their objects and by their names.
#[derive(Debug, Clone, Default)]
pub struct UnwantedFiles {
    /// Files and directories with one of these objects go.
    pub objects: HashSet<ObjectId>,
    /// And those whose name matches one of these.
    pub names: Vec<NamePattern>,
}

impl Judge for UnwantedFiles {
    fn judge(&self, _path: &str, entry: &DirEntry) -> Judgement {
        if self.objects.contains(&entry.obj) || self.names.iter().any(|name| name.matches(&entry.name)) {
            return Judgement::Remove;
        }
        Judgement::Keep
    }

    fn removes_special(&self, special: &str) -> bool {
        self.names.iter().any(|name| name.matches(special))
    }
}
