//! Finding an entry by id and path.

use super::directory_stream::{Sought, find_member};
use super::{Catalog, DirEntry, EntryType, Error, Mode, Result, SnapshotManifest, read_directory};
use crate::base::gojson;
use crate::manifest::{ManifestId, ManifestStore};
use crate::object::{ObjectId, ObjectReader};

/// Resolves `ID[/path…]`, where the id is that of a manifest, of a snapshot's root, or of any object.
///
/// With `consistent_attributes`, a root that several snapshots share with different attributes is refused; otherwise
/// the latest of them lends its attributes.
///
/// # Errors
/// [`Error::NotFound`], [`Error::NoSuchPath`], [`Error::Ambiguous`], or what reading says.
pub fn resolve(
    objects: &ObjectReader,
    manifests: &ManifestStore,
    text: &str,
    consistent_attributes: bool,
) -> Result<DirEntry> {
    let (id, path) = text.split_once('/').unwrap_or((text, ""));
    let root = resolve_root(objects, manifests, id, consistent_attributes && path.is_empty())?;
    resolve_path(objects, root, path)
}

/// Walks down from `root` along a path with slashes.
///
/// # Errors
/// [`Error::NoSuchPath`], or what reading says.
pub fn resolve_path(objects: &ObjectReader, root: DirEntry, path: &str) -> Result<DirEntry> {
    let mut entry = root;
    for name in path.split('/').filter(|name| !name.is_empty()) {
        let missing = || Error::NoSuchPath { path: path.to_owned() };
        if entry.kind != EntryType::Directory {
            return Err(missing());
        }
        entry = match find_member(objects, entry.obj, name)? {
            Sought::Found(member) => *member,
            Sought::Missing(_) => return Err(missing()),
        };
    }
    Ok(entry)
}

fn resolve_root(
    objects: &ObjectReader,
    manifests: &ManifestStore,
    id: &str,
    consistent: bool,
) -> Result<DirEntry> {
    let catalog = Catalog::new(manifests);
    match catalog.get(&ManifestId::new(id)) {
        Ok(snapshot) => return snapshot.root_entry.ok_or(Error::NoRoot { id: snapshot.id }),
        Err(Error::NotFound { .. }) => {}
        Err(error) => return Err(error),
    }
    let not_found = || Error::NotFound { text: id.to_owned() };
    let object: ObjectId = id.parse().map_err(|_| not_found())?;
    if object.is_none() {
        return Err(not_found());
    }
    let mut snapshots = catalog.with_root(object)?;
    if consistent && differ(&snapshots) {
        return Err(Error::Ambiguous { id: object });
    }
    snapshots.sort_by_key(|snapshot| snapshot.start_time);
    match snapshots.pop().and_then(|snapshot| snapshot.root_entry) {
        Some(root) => Ok(root),
        None => bare_object(objects, object),
    }
}

fn differ(snapshots: &[SnapshotManifest]) -> bool {
    let json = |snapshot: &SnapshotManifest| gojson::to_vec(&snapshot.root_entry).unwrap_or_default();
    snapshots.windows(2).any(|pair| json(&pair[0]) != json(&pair[1]))
}

/// An object that no snapshot has as its root: attributes are made up as Kopia makes them up.
fn bare_object(objects: &ObjectReader, object: ObjectId) -> Result<DirEntry> {
    let known = object.content().is_some_and(|content| objects.contents().info(&content).is_ok());
    if !known {
        return Err(Error::NotFound { text: object.to_string() });
    }
    if object.is_directory() {
        let summary = read_directory(objects, object)?.summary;
        let (kind, mode) = (EntryType::Directory, Mode::from_posix(0o555));
        return Ok(DirEntry { kind, mode, obj: object, summ: summary.map(Box::new), ..DirEntry::default() });
    }
    let size = match objects.segments(object)? {
        Some(segments) => segments.last().map_or(0, |last| last.start + last.length),
        None => objects.read_content(object)?.len() as u64,
    };
    let (kind, mode) = (EntryType::File, Mode::from_posix(0o644));
    Ok(DirEntry { kind, mode, size, obj: object, ..DirEntry::default() })
}
