//! What is stored of a directory, fit to be restored.

use super::new_file::TEMPORARY_PREFIX;
use super::run::Run;
use super::target::is_plain_name;
use super::{Error, Result};
use crate::snapshot::{
    DirEntry, EntryType, Error as SnapshotError, PLACEHOLDER_SUFFIX, PackedEntries, PackedFiles,
    SpecialEntry, read_members, stream_directory,
};
use hashbrown::{DefaultHashBuilder, HashMap, HashSet};
use std::collections::BTreeSet;
use std::hash::BuildHasher;
use std::path::PathBuf;

/// The members of a directory, in the order in which they are stored.
pub(super) struct Listing {
    pub(super) directories: Vec<DirEntry>,
    pub(super) files: PackedFiles,
    /// Bytes in all files.
    pub(super) bytes: u64,
    /// FIFOs, sockets and devices.
    pub(super) specials: Vec<SpecialEntry>,
    /// Names, and whether each is a directory; only for whoever wants to delete what has none of them.
    pub(super) names: HashMap<String, bool>,
    /// Names that look like temporary ones or placeholders, and are none.
    pub(super) prefixed: HashSet<String>,
}

/// Finds names that are there more than once, in eight bytes a name.
#[derive(Default)]
struct Doubles {
    hasher: DefaultHashBuilder,
    seen: HashSet<u64>,
    /// How often a name came that may have been there before.
    again: HashMap<String, usize>,
}

impl Doubles {
    fn look_at(&mut self, name: &str) {
        if !self.seen.insert(self.hasher.hash_one(name)) {
            *self.again.entry(name.to_owned()).or_default() += 1;
        }
    }

    /// Whether another member of the name comes later.
    fn comes_again(&mut self, name: &str) -> bool {
        match self.again.get_mut(name) {
            Some(left) if *left > 0 => {
                *left -= 1;
                true
            }
            _ => false,
        }
    }
}

/// Reads a directory and leaves out what cannot be restored from it. All names have been looked at before the first of
/// them is used.
pub(super) fn read(run: &Run<'_>, entry: &DirEntry, path: impl Fn() -> PathBuf) -> Result<Listing> {
    run.monitor.current(&path().to_string_lossy());
    let objects = run.repository.objects();
    let unreadable = |source| Error::Directory { path: path(), source: Box::new(source) };
    let (mut packed, mut doubles, mut bad) = (PackedEntries::default(), Doubles::default(), BTreeSet::new());
    let rest = stream_directory(objects, entry.obj, |member| {
        if is_plain_name(&member.name) {
            doubles.look_at(&member.name);
            // With doubles all is read once more; a million of them need not be kept.
            if doubles.again.is_empty() {
                packed.push(member);
            }
        } else {
            bad.insert(member.name);
        }
        Ok::<_, SnapshotError>(())
    })
    .map_err(unreadable)?;
    let supplement = rest.supplement;
    for name in bad {
        let error = Error::BadName { path: path(), name };
        if !run.options.ignore_errors {
            return Err(error);
        }
        run.fail(error);
    }
    if !doubles.again.is_empty() {
        packed = PackedEntries::default();
        let warn = |name: &str| {
            let path = path().join(name);
            run.monitor.warn(&format!("{} is stored more than once: the last is restored", path.display()));
        };
        read_members(objects, entry.obj, |member| {
            if !is_plain_name(&member.name) {
                return;
            }
            if doubles.comes_again(&member.name) { warn(&member.name) } else { packed.push(member) }
        })
        .map_err(unreadable)?;
    }
    let specials = supplement.map(|supplement| supplement.specials).unwrap_or_default();
    Ok(Listing::new(run, packed, specials))
}

impl Listing {
    fn new(run: &Run<'_>, packed: PackedEntries, specials: Vec<SpecialEntry>) -> Self {
        let (mut bytes, mut names, mut prefixed) = (0_u64, HashMap::new(), HashSet::new());
        packed.for_each(|name, kind, size| {
            if kind == EntryType::File {
                bytes = bytes.saturating_add(size);
            }
            if run.options.delete_extra {
                names.insert(name.to_owned(), kind == EntryType::Directory);
            }
            if name.starts_with(TEMPORARY_PREFIX) || name.ends_with(PLACEHOLDER_SUFFIX) {
                prefixed.insert(name.to_owned());
            }
        });
        if run.options.delete_extra && !run.options.skip_special_files {
            let text = |special: &SpecialEntry| String::from_utf8(special.name.to_vec()).ok();
            names.extend(specials.iter().filter_map(text).map(|name| (name, false)));
        }
        let (directories, files) = packed.into_parts();
        Self { directories, files, bytes, specials, names, prefixed }
    }
}
