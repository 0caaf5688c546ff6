//! What a snapshot would hold, without reading a file.
//!
//! Source: kopia `snapshot/upload/estimate.go`. Unlike there, a directory that cannot be read does not end the walk.

use super::{Error, Result};
use crate::base::{Monitor, error_chain, gojson};
use crate::policy::PolicyTree;
use crate::source::{self, Directory, Entry, EntryKind, IgnoreContext, Listed, is_cache_directory};
use std::path::Path;
use std::sync::Arc;

/// Least sizes of the classes of files, in bytes.
const CLASSES: [u64; 14] = {
    let mut classes = [0; 14];
    let (mut class, mut bytes) = (1, 1000);
    while class < classes.len() {
        classes[class] = bytes;
        class += 1;
        bytes *= 10;
    }
    classes
};

/// Files of about the same size.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SizeClass {
    /// The least size in it, in bytes.
    pub least_bytes: u64,
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The first of them, with their sizes.
    pub examples: Vec<(String, u64)>,
}

/// Files, by size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSizes {
    /// From the smallest to the largest.
    pub classes: Vec<SizeClass>,
    examples_max: usize,
}

impl FileSizes {
    fn new(examples_max: usize) -> Self {
        let class = |least_bytes| SizeClass { least_bytes, ..SizeClass::default() };
        Self { classes: CLASSES.map(class).into(), examples_max }
    }

    fn add(&mut self, path: &str, bytes: u64) {
        let fits = |class: &&mut SizeClass| bytes >= class.least_bytes;
        if let Some(class) = self.classes.iter_mut().rev().find(fits) {
            class.files += 1;
            class.bytes = class.bytes.saturating_add(bytes);
            if class.examples.len() < self.examples_max {
                class.examples.push((path.to_owned(), bytes));
            }
        }
    }

    /// How many there are.
    pub fn files(&self) -> u64 {
        self.classes.iter().map(|class| class.files).sum()
    }

    /// How many bytes they have.
    pub fn bytes(&self) -> u64 {
        self.classes.iter().fold(0, |sum, class| sum.saturating_add(class.bytes))
    }
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Estimate {
    /// Files that would be saved.
    pub included: FileSizes,
    /// Files that rules leave out; one counts for every level of rules that does.
    pub excluded: FileSizes,
    /// Directories, the root included.
    pub directories: u64,
    /// Directories that rules leave out.
    pub excluded_directories: u64,
    /// The first of them.
    pub excluded_directory_examples: Vec<String>,
    /// What could not be read.
    pub errors: u64,
    /// What could not be read and is forgiven by the policy.
    pub ignored_errors: u64,
}

/// Walks the directory at `path` as an upload would. `monitor` hears of every directory, and of what cannot be read.
///
/// # Errors
/// [`Error::Source`] when the root is no directory or cannot be read.
pub fn estimate(
    path: &Path,
    policies: &PolicyTree,
    examples_max: usize,
    monitor: &dyn Monitor,
) -> Result<Estimate> {
    let unreadable = |source| Error::Source { path: path.to_owned(), source };
    let (directory, own) = Directory::open_root(path).map_err(unreadable)?;
    let mut walk = Walk { estimate: Estimate::new(examples_max), examples_max, monitor, pending: Vec::new() };
    let root = Place { own, path: String::new(), ignore: IgnoreContext::root(), policies: policies.clone() };
    walk.directory(&directory, root).map_err(unreadable)?;
    while let Some((parent, place)) = walk.pending.pop() {
        let (path, policies) = (place.path.clone(), place.policies.clone());
        let looked_at =
            parent.open_directory(&place.own.name).and_then(|directory| walk.directory(&directory, place));
        if let Err(error) = looked_at {
            let handling = &policies.policy().error_handling;
            walk.failed(&path, &error_chain(&error), handling.ignore_directory_errors);
        }
    }
    Ok(walk.estimate)
}

impl Estimate {
    fn new(examples_max: usize) -> Self {
        Self {
            included: FileSizes::new(examples_max),
            excluded: FileSizes::new(examples_max),
            directories: 0,
            excluded_directories: 0,
            excluded_directory_examples: Vec::new(),
            errors: 0,
            ignored_errors: 0,
        }
    }

    fn exclude(&mut self, path: &str, listed: &Listed, examples_max: usize) {
        if !listed.is_directory() {
            return self.excluded.add(path, listed.entry().map_or(0, |entry| entry.size));
        }
        self.excluded_directories += 1;
        if self.excluded_directory_examples.len() < examples_max {
            self.excluded_directory_examples.push(path.to_owned());
        }
    }
}

/// A directory that is still to be looked at.
struct Place {
    own: Entry,
    /// Relative to the root.
    path: String,
    /// What holds in its parent; once it is looked at, what holds in it.
    ignore: Arc<IgnoreContext>,
    policies: PolicyTree,
}

struct Walk<'a> {
    estimate: Estimate,
    examples_max: usize,
    monitor: &'a dyn Monitor,
    pending: Vec<(Directory, Place)>,
}

impl Walk<'_> {
    fn directory(&mut self, directory: &Directory, place: Place) -> source::Result<()> {
        let Place { own, path, ignore, policies } = place;
        self.monitor.current(if path.is_empty() { "." } else { &path });
        let names = directory.names()?;
        let rooted = if path.is_empty() { String::new() } else { format!("/{path}") };
        let ignore =
            IgnoreContext::enter(&ignore, directory, &names, &rooted, policies.ignore_policy().as_ref())?;
        self.estimate.directories += 1;
        let skips_caches = policies.policy().files.ignore_cache_dirs.unwrap_or(true);
        if skips_caches && is_cache_directory(directory, &names) {
            self.estimate.excluded_directories += 1;
            return Ok(());
        }
        let first = self.pending.len();
        let place = Place { own, path, ignore, policies };
        for members in directory.members(&names) {
            members?.into_iter().for_each(|member| self.member(directory, member, &place));
        }
        // Taken from the end, so that directories are walked in order.
        self.pending[first..].reverse();
        Ok(())
    }

    /// Looks at a member of the directory at `parent`, whose rules `place` has.
    fn member(&mut self, directory: &Directory, member: Listed, parent: &Place) {
        let name = gojson::lossy(member.name());
        let path = if parent.path.is_empty() { name.to_string() } else { format!("{}/{name}", parent.path) };
        let (estimate, examples_max) = (&mut self.estimate, self.examples_max);
        let mut on_excluded = |listed: &Listed| estimate.exclude(&path, listed, examples_max);
        if !parent.ignore.includes(&format!("/{path}"), &member, parent.own.device, &mut on_excluded) {
            return;
        }
        let policies = parent.policies.child(&name).clone();
        let handling = &policies.policy().error_handling;
        match member {
            Listed::Entry(own) => match own.kind {
                EntryKind::Directory => {
                    let place = Place { own, path, ignore: Arc::clone(&parent.ignore), policies };
                    self.pending.push((directory.clone(), place));
                }
                EntryKind::File => self.estimate.included.add(&path, own.size),
                EntryKind::Symlink => {}
                EntryKind::Other if handling.ignore_unknown_types.unwrap_or(true) => {}
                EntryKind::Other => {
                    self.failed(&path, "it is neither a file, a directory nor a link", None);
                }
            },
            Listed::Failed { is_dir_hint, error, .. } => {
                let forgiven =
                    if is_dir_hint { handling.ignore_directory_errors } else { handling.ignore_file_errors };
                self.failed(&path, &error.to_string(), forgiven);
            }
        }
    }

    fn failed(&mut self, path: &str, message: &str, is_forgiven: Option<bool>) {
        let ignored = is_forgiven.unwrap_or(false);
        *(if ignored { &mut self.estimate.ignored_errors } else { &mut self.estimate.errors }) += 1;
        self.monitor.source_error(path, message, ignored);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_fall_into_decades() {
        let mut sizes = FileSizes::new(1);
        for (name, bytes) in [("a", 0), ("b", 999), ("c", 1000), ("d", 9999), ("e", 10_000), ("f", u64::MAX)]
        {
            sizes.add(name, bytes);
        }
        let counts: Vec<_> = sizes.classes.iter().map(|class| class.files).collect();
        assert_eq!(counts, [2, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(sizes.classes[13].least_bytes, 1_000_000_000_000_000);
        assert_eq!(sizes.classes[0].examples, [("a".to_owned(), 0)]);
        assert_eq!((sizes.files(), sizes.bytes()), (6, u64::MAX));
    }
}
