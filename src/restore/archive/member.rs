//! The attributes of one entry of an archive.

use super::super::run::Run;
use crate::base::Timestamp;
use crate::restore::attributes::Attributes;
use crate::snapshot::{DirEntry, SpecialEntry, Supplement};
use crate::source::Xattrs;
use std::path::{Path, PathBuf};

/// An entry's name and attributes.
#[derive(Debug)]
pub(super) struct Member {
    /// From the archive's root: plain names with slashes between them.
    pub(super) path: Vec<u8>,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mtime: Timestamp,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Member {
    pub(super) fn of(run: &Run<'_>, above: &[u8], entry: &DirEntry) -> Self {
        Self::new(
            run,
            join(above, entry.name.as_bytes()),
            &Attributes::of(entry),
            entry.supplement.as_deref(),
        )
    }

    pub(super) fn of_special(run: &Run<'_>, above: &[u8], special: &SpecialEntry) -> Self {
        let attributes = Attributes::of_special(special);
        Self::new(run, join(above, &special.name), &attributes, special.supplement.as_deref())
    }

    fn new(run: &Run<'_>, path: Vec<u8>, attributes: &Attributes, supplement: Option<&Supplement>) -> Self {
        let &Attributes { uid, gid, mtime, .. } = attributes;
        let xattrs = supplement.and_then(|supplement| supplement.xattrs.as_deref());
        let xattrs = xattrs.into_iter().flat_map(Xattrs::iter);
        let wanted = xattrs.filter(|(name, _)| !run.options.skip_xattrs && run.sets_xattr(name));
        let xattrs = wanted.map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
        Self { path, mode: attributes.kept_mode(run.options), uid, gid, mtime, xattrs }
    }

    /// For messages: below the archive.
    pub(super) fn place(&self, archive: &Path) -> PathBuf {
        place(archive, &self.path)
    }
}

/// A name in a directory of the archive.
pub(super) fn join(above: &[u8], name: &[u8]) -> Vec<u8> {
    if above.is_empty() { name.to_vec() } else { [above, name].join(&b'/') }
}

/// For messages: a path below the archive.
pub(super) fn place(archive: &Path, path: &[u8]) -> PathBuf {
    archive.join(String::from_utf8_lossy(path).as_ref())
}
