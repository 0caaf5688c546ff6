//! Where a file is in the snapshots of a source: when it changed, and which snapshot has its last copy.
//!
//! 1. A directory that several snapshots share is read once.
//! 2. Of a path only the directories on the way are read, and none of them further than the member that is wanted.
//! 3. A directory that cannot be read is reported and passed over: what else there is of a lost file is still found.
//!
//! Memory follows the number of different directories, not of snapshots.

use super::directory_stream::{Sought, find_member};
use super::{
    DirEntry, EntryType, Error, NamePattern, Result, SnapshotManifest, SpecialEntry, stream_directory,
};
use crate::base::Timestamp;
use crate::manifest::ManifestId;
use crate::object::{ObjectId, ObjectReader};
use std::collections::HashMap;
use std::rc::Rc;

/// What is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// One path below the root; the empty one is the root.
    Path(String),
    /// Whatever has a name like this, anywhere.
    Name(NamePattern),
}

/// A snapshot that holds a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The snapshot.
    pub id: ManifestId,
    /// When it began.
    pub start_time: Timestamp,
}

/// A file as it was for a while: the same object, size and modification time.
#[derive(Debug, Clone, PartialEq)]
pub struct Version {
    /// Below the root of the snapshots.
    pub path: String,
    /// The entry, as the first of the snapshots has it.
    pub entry: DirEntry,
    /// The first snapshot that holds it.
    pub first: Holder,
    /// The last one.
    pub last: Holder,
    /// How many do.
    pub snapshots: u64,
    /// The first snapshot after the last, if the path is in no later complete one.
    pub gone_since: Option<Holder>,
}

/// Follows what is wanted through `snapshots` of one source, in any order. Versions come by path, the oldest first.
/// `failed` hears of directories that could not be read.
///
/// # Errors
/// What `failed` says.
pub fn find_versions<E>(
    objects: &ObjectReader,
    mut snapshots: Vec<SnapshotManifest>,
    wanted: &Wanted,
    failed: impl FnMut(Error) -> Result<(), E>,
) -> Result<Vec<Version>, E> {
    snapshots.sort_by_key(|snapshot| snapshot.start_time);
    let mut search = Search { objects, failed, on_the_way: HashMap::new(), inside: HashMap::new() };
    let mut versions = Versions::default();
    for snapshot in &snapshots {
        let Some(root) = &snapshot.root_entry else { continue };
        let holder = Holder { id: snapshot.id.clone(), start_time: snapshot.start_time };
        match wanted {
            Wanted::Path(path) => {
                if let Some(entry) = search.at_path(root, path)? {
                    versions.add(path.clone(), &entry, &holder);
                }
            }
            Wanted::Name(pattern) => {
                let found = search.inside(root, pattern)?;
                found.each(|path, entry| versions.add(path, entry, &holder));
            }
        }
    }
    Ok(versions.finish(&snapshots))
}

/// What of a directory and all below has a name that is wanted.
#[derive(Default)]
struct Found {
    own: Vec<DirEntry>,
    below: Vec<(String, Rc<Found>)>,
}

impl Found {
    fn each(&self, mut each: impl FnMut(String, &DirEntry)) {
        let mut todo = vec![(self, String::new())];
        while let Some((found, prefix)) = todo.pop() {
            for entry in &found.own {
                each(format!("{prefix}{}", entry.name), entry);
            }
            let below = found.below.iter();
            todo.extend(below.map(|(name, inside)| (inside.as_ref(), format!("{prefix}{name}/"))));
        }
    }
}

/// A directory being searched.
struct Level {
    id: ObjectId,
    name: String,
    /// Directories in it that are not searched yet.
    todo: Vec<(String, ObjectId)>,
    found: Found,
}

struct Search<'a, F> {
    objects: &'a ObjectReader,
    failed: F,
    /// Members by directory and name.
    on_the_way: HashMap<(ObjectId, String), Option<DirEntry>>,
    inside: HashMap<ObjectId, Rc<Found>>,
}

impl<E, F: FnMut(Error) -> Result<(), E>> Search<'_, F> {
    fn at_path(&mut self, root: &DirEntry, path: &str) -> Result<Option<DirEntry>, E> {
        let mut entry = root.clone();
        for name in path.split('/').filter(|name| !name.is_empty()) {
            if entry.kind != EntryType::Directory {
                return Ok(None);
            }
            match self.member(entry.obj, name)? {
                Some(member) => entry = member,
                None => return Ok(None),
            }
        }
        Ok(Some(entry))
    }

    fn member(&mut self, directory: ObjectId, name: &str) -> Result<Option<DirEntry>, E> {
        let key = (directory, name.to_owned());
        if let Some(known) = self.on_the_way.get(&key) {
            return Ok(known.clone());
        }
        let member = match find_member(self.objects, directory, name) {
            Ok(Sought::Found(member)) => Some(*member),
            Ok(Sought::Missing(rest)) => {
                let special = rest.specials().iter().find(|special| *special.name == *name.as_bytes());
                special.map(SpecialEntry::as_entry)
            }
            Err(error) => {
                (self.failed)(error)?;
                None
            }
        };
        self.on_the_way.insert(key, member.clone());
        Ok(member)
    }

    /// Searches a directory and all below; the way down is on the heap, not on the stack.
    fn inside(&mut self, root: &DirEntry, pattern: &NamePattern) -> Result<Rc<Found>, E> {
        if root.kind != EntryType::Directory {
            let own = if pattern.matches(&root.name) { vec![root.clone()] } else { Vec::new() };
            return Ok(Rc::new(Found { own, below: Vec::new() }));
        }
        if let Some(known) = self.inside.get(&root.obj) {
            return Ok(Rc::clone(known));
        }
        let mut way = vec![self.read(root.obj, String::new(), pattern)?];
        loop {
            let Some(level) = way.last_mut() else { return Ok(Rc::default()) };
            if let Some((name, id)) = level.todo.pop() {
                match self.inside.get(&id) {
                    Some(known) => level.add(name, Rc::clone(known)),
                    None => way.push(self.read(id, name, pattern)?),
                }
                continue;
            }
            let Some(Level { id, name, found, .. }) = way.pop() else { continue };
            let found = Rc::new(found);
            self.inside.insert(id, Rc::clone(&found));
            match way.last_mut() {
                Some(above) => above.add(name, found),
                None => return Ok(found),
            }
        }
    }

    fn read(&mut self, id: ObjectId, name: String, pattern: &NamePattern) -> Result<Level, E> {
        let (mut found, mut todo) = (Found::default(), Vec::new());
        let outcome = stream_directory(self.objects, id, |entry| {
            if entry.kind == EntryType::Directory {
                todo.push((entry.name.clone(), entry.obj));
            }
            if pattern.matches(&entry.name) {
                found.own.push(entry);
            }
            Ok::<_, Error>(())
        });
        match outcome {
            Ok(rest) => {
                let specials = rest.specials().iter().map(SpecialEntry::as_entry);
                found.own.extend(specials.filter(|special| pattern.matches(&special.name)));
            }
            Err(error) => (self.failed)(error)?,
        }
        Ok(Level { id, name, todo, found })
    }
}

impl Level {
    fn add(&mut self, name: String, inside: Rc<Found>) {
        if !inside.own.is_empty() || !inside.below.is_empty() {
            self.found.below.push((name, inside));
        }
    }
}

/// What makes a version: path, object, size, modification time.
type Key = (String, ObjectId, u64, Timestamp);

#[derive(Default)]
struct Versions {
    places: HashMap<Key, usize>,
    versions: Vec<Version>,
}

impl Versions {
    fn add(&mut self, path: String, entry: &DirEntry, holder: &Holder) {
        let key = (path.clone(), entry.obj, entry.size, entry.mtime);
        if let Some(version) = self.places.get(&key).and_then(|at| self.versions.get_mut(*at)) {
            version.last = holder.clone();
            version.snapshots += 1;
            return;
        }
        self.places.insert(key, self.versions.len());
        let (first, last) = (holder.clone(), holder.clone());
        let entry = entry.clone();
        self.versions.push(Version { path, entry, first, last, snapshots: 1, gone_since: None });
    }

    /// Only complete snapshots can tell that a file is gone.
    fn finish(self, snapshots: &[SnapshotManifest]) -> Vec<Version> {
        let mut versions = self.versions;
        let mut last_seen: HashMap<String, Timestamp> = HashMap::new();
        for version in &versions {
            let seen = last_seen.entry(version.path.clone()).or_insert(version.last.start_time);
            *seen = version.last.start_time.max(*seen);
        }
        for version in &mut versions {
            let seen = last_seen.get(&version.path).copied().unwrap_or_default();
            let later = snapshots
                .iter()
                .find(|snapshot| snapshot.is_complete() && snapshot.start_time > seen)
                .map(|snapshot| Holder { id: snapshot.id.clone(), start_time: snapshot.start_time });
            version.gone_since = later;
        }
        versions.sort_by(|a, b| (&a.path, a.first.start_time).cmp(&(&b.path, b.first.start_time)));
        versions
    }
}
