//! Whether two uploads of one source have come to the same tree.

use super::compare::walk;
use packhorse::object::ObjectId;
use packhorse::repo::Repository;
use packhorse::snapshot::{DirEntry, EntryType};

/// Where two trees part, if they do.
///
/// Without compressed contents (index version 1) an object's id depends on what the compressor makes of it, and no two
/// implementations of zstd make the same: there such objects, and with them the directories above, may differ in their
/// ids and in nothing else. So may directories where only one of both says which files its entries stood for.
pub(crate) fn first_difference(
    twin: &Repository,
    ours: &DirEntry,
    original: &Repository,
    kopias: &DirEntry,
) -> Option<String> {
    if ours.obj == kopias.obj {
        return None;
    }
    let list = |repository: &Repository, root: &DirEntry| {
        let mut found = Vec::new();
        walk(repository, root, "", &mut found).unwrap();
        found
    };
    let (ours, kopias) = (list(twin, ours), list(original, kopias));
    let compresses = |entry: &DirEntry| holds_self_compressed(twin, original, entry.obj);
    let self_compressed = ours.iter().chain(&kopias).any(|(_, entry)| compresses(entry));
    let is_supplemented =
        |list: &[(String, DirEntry)]| list.iter().any(|(_, entry)| entry.supplement.is_some());
    let supplemented = is_supplemented(&ours) || is_supplemented(&kopias);
    let named =
        |entry: &DirEntry, obj| DirEntry { obj, name: String::new(), supplement: None, ..entry.clone() };
    // What one compressor takes for incompressible need not be so for another.
    let equal = |ours: &DirEntry, kopias: &DirEntry| {
        let is_directory = ours.kind == EntryType::Directory;
        let free = self_compressed && (is_directory || compresses(ours) || compresses(kopias))
            || supplemented && is_directory;
        let of = |entry: &DirEntry| if free { ObjectId::NONE } else { entry.obj };
        named(ours, of(ours)) == named(kopias, of(kopias))
    };
    if ours.len() != kopias.len() {
        return Some(format!("{} entries instead of {}", ours.len(), kopias.len()));
    }
    // The deepest difference is the cause of those above it.
    let differs = |((path, ours), (theirs_path, theirs)): (&(String, DirEntry), &(String, DirEntry))| {
        let same = path.is_empty() || (path == theirs_path && equal(ours, theirs));
        (!same).then(|| format!("{path}: {ours:?} instead of {theirs:?}"))
    };
    let found = ours.iter().zip(&kopias).rev().find_map(differs);
    found.or_else(|| {
        (!self_compressed && !supplemented).then(|| "the same entries in another manifest".to_owned())
    })
}

fn holds_self_compressed(twin: &Repository, original: &Repository, id: ObjectId) -> bool {
    id.is_compressed()
        || [twin, original].iter().any(|repository| {
            let parts = repository.objects().segments(id).ok().flatten().unwrap_or_default();
            parts.iter().any(|part| part.object.is_compressed())
        })
}
