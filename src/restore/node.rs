//! Directories of the target that are not finished yet.

use super::Error;
use super::attributes::Attributes;
use super::hard_links::RestoredPath;
use super::target::TargetDirectory;
use crate::snapshot::Supplement;
use rustix::io::Errno;
use std::collections::HashSet;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// Directories kept open while their members are being restored; those beyond are opened anew when they are needed.
/// Descriptors are few: 1024 in many places.
const OPEN_DIRECTORIES_MAX: usize = 256;
/// Twice as deep as a path can name. Directories deeper than that can be made step by step, but no tool reaches them.
pub(super) const DEPTH_MAX: usize = 4096;

/// How many directories are kept open.
#[derive(Debug, Default)]
pub(super) struct OpenCount(AtomicUsize);

/// A directory kept open.
#[derive(Debug)]
struct Held {
    directory: TargetDirectory,
    count: Arc<OpenCount>,
}

impl Held {
    fn new(directory: TargetDirectory, count: &Arc<OpenCount>) -> Self {
        count.0.fetch_add(1, Ordering::Relaxed);
        Self { directory, count: Arc::clone(count) }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.count.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A directory of the target from its making until everything below it is done.
#[derive(Debug)]
pub(super) struct Node {
    parent: Option<Arc<Node>>,
    /// The name inside the parent; of the root the whole path of the target.
    name: PathBuf,
    /// `None` for the directory that a single file is restored into: it is not ours.
    attributes: Option<Attributes>,
    /// Whether it was made by this restore, so that nothing can be in the way.
    fresh: bool,
    held: Option<Held>,
    depth: usize,
    pending: AtomicUsize,
    /// Owner and group that new files get here.
    owner_of_new: OnceLock<(u32, u32)>,
    /// Temporary names that were there before.
    leftovers: OnceLock<HashSet<String>>,
    /// Names of which there were placeholders before.
    placeholders: OnceLock<HashSet<String>>,
    /// What the snapshot says of it beside Kopia's.
    supplement: Option<Box<Supplement>>,
    /// Whether new files get extended attributes here.
    has_heirs: OnceLock<bool>,
}

impl Node {
    /// The top of the tree.
    pub(super) fn root(
        directory: TargetDirectory,
        path: &Path,
        attributes: Option<Attributes>,
        fresh: bool,
        count: &Arc<OpenCount>,
    ) -> Self {
        let held = Some(Held::new(directory, count));
        Self::build(None, path.to_owned(), attributes, fresh, held, 0)
    }

    /// With what the snapshot says of it beside Kopia's.
    #[must_use]
    pub(super) fn with(self, supplement: Option<Box<Supplement>>) -> Self {
        Self { supplement, ..self }
    }

    /// A directory inside another.
    pub(super) fn child(
        parent: &Arc<Self>,
        name: &str,
        directory: &TargetDirectory,
        attributes: Attributes,
        fresh: bool,
        count: &Arc<OpenCount>,
    ) -> Self {
        let room = count.0.load(Ordering::Relaxed) < OPEN_DIRECTORIES_MAX;
        let held = room.then(|| Held::new(directory.clone(), count));
        let depth = parent.depth + 1;
        Self::build(Some(Arc::clone(parent)), PathBuf::from(name), Some(attributes), fresh, held, depth)
    }

    fn build(
        parent: Option<Arc<Self>>,
        name: PathBuf,
        attributes: Option<Attributes>,
        fresh: bool,
        held: Option<Held>,
        depth: usize,
    ) -> Self {
        Self {
            parent,
            name,
            attributes,
            fresh,
            held,
            depth,
            pending: AtomicUsize::new(0),
            owner_of_new: OnceLock::new(),
            leftovers: OnceLock::new(),
            placeholders: OnceLock::new(),
            supplement: None,
            has_heirs: OnceLock::new(),
        }
    }

    pub(super) fn parent(&self) -> Option<&Arc<Self>> {
        self.parent.as_ref()
    }

    pub(super) fn attributes(&self) -> Option<&Attributes> {
        self.attributes.as_ref()
    }

    pub(super) fn is_fresh(&self) -> bool {
        self.fresh
    }

    pub(super) fn is_too_deep(&self) -> bool {
        self.depth >= DEPTH_MAX
    }

    pub(super) fn owner_of_new(&self) -> &OnceLock<(u32, u32)> {
        &self.owner_of_new
    }

    pub(super) fn supplement(&self) -> Option<&Supplement> {
        self.supplement.as_deref()
    }

    pub(super) fn has_heirs(&self) -> &OnceLock<bool> {
        &self.has_heirs
    }

    /// Where a member lies below the root.
    pub(super) fn relative(&self, name: &[u8]) -> RestoredPath {
        let mut names = vec![name];
        let mut node = self;
        while let Some(parent) = node.parent.as_deref() {
            names.push(node.name.as_os_str().as_bytes());
            node = parent;
        }
        names.reverse();
        names.join(&b'/').into()
    }

    /// Opens the directory of a member by where it lies below the root, and gives its name in it.
    pub(super) fn open_restored(&self, path: &[u8]) -> Result<(TargetDirectory, CString), Errno> {
        let mut root = self;
        while let Some(parent) = root.parent.as_deref() {
            root = parent;
        }
        let mut directory = root.directory()?;
        let mut names = path.split(|byte| *byte == b'/');
        let name = names.next_back().unwrap_or_default();
        for above in names {
            directory = directory.open_directory(above)?;
        }
        Ok((directory, CString::new(name).map_err(|_| Errno::INVAL)?))
    }

    /// What interrupted restores have left here.
    pub(super) fn leftovers(&self) -> &HashSet<String> {
        self.leftovers.get_or_init(HashSet::new)
    }

    /// Tells what interrupted restores have left here, before anybody asks.
    pub(super) fn set_leftovers(&self, names: HashSet<String>) {
        self.leftovers.get_or_init(|| names);
    }

    /// Names of which there are placeholders here that nothing has filled in yet.
    pub(super) fn placeholders(&self) -> &HashSet<String> {
        self.placeholders.get_or_init(HashSet::new)
    }

    /// Tells of which names there are placeholders here, before anybody asks.
    pub(super) fn set_placeholders(&self, names: HashSet<String>) {
        self.placeholders.get_or_init(|| names);
    }

    /// Levels below the root.
    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    pub(super) fn name(&self) -> &Path {
        &self.name
    }

    /// Its handle: the one kept, or one opened step by step from the nearest directory above that is kept.
    pub(super) fn directory(&self) -> Result<TargetDirectory, Errno> {
        let mut closed = Vec::new();
        let mut node = self;
        let held = loop {
            match (&node.held, &node.parent) {
                (Some(held), _) => break held,
                (None, Some(parent)) => {
                    closed.push(node);
                    node = parent;
                }
                (None, None) => return Err(Errno::BADF),
            }
        };
        let mut directory = held.directory.clone();
        for node in closed.iter().rev() {
            directory = directory.open_directory(node.name.as_path())?;
        }
        Ok(directory)
    }

    /// The path for messages.
    pub(super) fn path(&self) -> PathBuf {
        let mut names = Vec::new();
        let mut node = Some(self);
        while let Some(at) = node {
            names.push(at.name.as_path());
            node = at.parent.as_deref();
        }
        names.iter().rev().collect()
    }

    /// So many members are still to be done.
    pub(super) fn expect(&self, members: usize) {
        self.pending.fetch_add(members, Ordering::AcqRel);
    }

    /// So many members are done; true for the last of all.
    pub(super) fn complete(&self, members: usize) -> bool {
        self.pending.fetch_sub(members, Ordering::AcqRel) == members
    }
}

/// A member of a directory, for messages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) node: &'a Node,
    pub(super) name: &'a str,
}

impl Place<'_> {
    pub(super) fn path(&self) -> PathBuf {
        self.node.path().join(self.name)
    }

    /// Turns what the system said into an error.
    pub(super) fn failed(&self, operation: &'static str) -> impl FnOnce(Errno) -> Error {
        move |errno| Error::File { operation, path: self.path(), source: errno.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Timestamp;

    #[test]
    fn directories_beyond_the_limit_are_opened_by_their_way() {
        let temp = tempfile::tempdir().unwrap();
        let count = Arc::default();
        let root = TargetDirectory::open_root(temp.path()).unwrap();
        let mut node = Arc::new(Node::root(root, temp.path(), None, true, &count));
        let attributes =
            Attributes { uid: 0, gid: 0, mode: 0o755, mtime: Timestamp::EPOCH, is_directory: true };
        let depth = OPEN_DIRECTORIES_MAX + 20;
        for _ in 0..depth {
            let directory = node.directory().unwrap();
            directory.create_directory("d").unwrap();
            let child = directory.open_directory("d").unwrap();
            node = Arc::new(Node::child(&node, "d", &child, attributes, true, &count));
        }
        assert_eq!(count.0.load(Ordering::Relaxed), OPEN_DIRECTORIES_MAX);
        assert_eq!(node.path().components().count(), temp.path().components().count() + depth);
        assert!(node.directory().unwrap().is_empty().unwrap());
        let path = node.relative(b"f\xff");
        assert_eq!(path.len(), 2 * depth + 2);
        let (directory, name) = node.open_restored(&path).unwrap();
        assert!(directory.is_empty().unwrap() && name.as_bytes() == b"f\xff");
        drop(node);
        assert_eq!(count.0.load(Ordering::Relaxed), 0);
    }
}
