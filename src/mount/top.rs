//! What is mounted: one directory, or all snapshots by source and time.

use super::safe_names::safe_names;
use crate::base::Timestamp;
use crate::manifest::ManifestStore;
use crate::policy::SourceInfo;
use crate::snapshot::{self, Catalog, DirEntry, EntryType, Listing, Mode, SnapshotManifest, SourceFilter};
use std::collections::{BTreeMap, HashMap};

/// What is mounted.
#[derive(Debug)]
pub enum Top {
    /// One stored directory.
    Directory(Box<DirEntry>),
    /// All snapshots there are now: `user@host`, the path of the source, the time.
    All(AllSources),
}

impl Top {
    /// All snapshots in `manifests`, as of `now`.
    pub fn all(manifests: ManifestStore, now: Timestamp) -> Self {
        Self::All(AllSources::new(manifests, now))
    }
}

/// All snapshots of a repository.
#[derive(Debug)]
pub struct AllSources {
    manifests: ManifestStore,
    now: Timestamp,
    /// By the names of their directories: `user@host`, then the path.
    sources: BTreeMap<String, BTreeMap<String, SourceInfo>>,
}

impl AllSources {
    fn new(manifests: ManifestStore, now: Timestamp) -> Self {
        let mut of_users: BTreeMap<String, Vec<SourceInfo>> = BTreeMap::new();
        for source in Catalog::new(&manifests).sources() {
            of_users.entry(source.with_path("").to_string()).or_default().push(source);
        }
        let names = safe_names(of_users.keys().cloned());
        let sources = of_users
            .into_iter()
            .map(|(user, sources)| {
                let paths = safe_names(sources.iter().map(|source| source.path.clone()));
                let name_of = |source: &SourceInfo| paths.get(&source.path).cloned().unwrap_or_default();
                let sources = sources.into_iter().map(|source| (name_of(&source), source)).collect();
                (names.get(&user).cloned().unwrap_or(user), sources)
            })
            .collect();
        Self { manifests, now, sources }
    }

    /// The directory above all.
    pub(super) fn root(&self) -> DirEntry {
        self.directory(String::new())
    }

    /// The directories of `user@host`.
    pub(super) fn users(&self) -> Listing {
        Listing::of(self.sources.keys().map(|name| self.directory(name.clone())))
    }

    /// The directories of paths in one of those.
    pub(super) fn paths(&self, user: &str) -> Listing {
        let paths = self.sources.get(user).into_iter().flat_map(BTreeMap::keys);
        Listing::of(paths.map(|name| self.directory(name.clone())))
    }

    /// The snapshots of a source.
    pub(super) fn snapshots(&self, user: &str, path: &str) -> Result<Listing, snapshot::Error> {
        let source = self.sources.get(user).and_then(|paths| paths.get(path));
        let Some(source) = source else { return Ok(Listing::default()) };
        let mut snapshots = Catalog::new(&self.manifests).list(&SourceFilter::from(source))?;
        snapshots.sort_by(|a, b| (a.start_time, &a.id).cmp(&(b.start_time, &b.id)));
        let mut taken: HashMap<String, u64> = HashMap::new();
        let entries = snapshots.into_iter().filter_map(|snapshot| {
            let name = time_name(&snapshot);
            let root = snapshot.root_entry?;
            let number = taken.entry(name.clone()).and_modify(|number| *number += 1).or_insert(1);
            let name = if *number == 1 { name } else { format!("{name} ({number})") };
            Some(DirEntry { name, ..root })
        });
        Ok(Listing::of(entries))
    }

    fn directory(&self, name: String) -> DirEntry {
        let (kind, mode, mtime) = (EntryType::Directory, Mode::from_posix(0o555), self.now);
        DirEntry { name, kind, mode, mtime, ..DirEntry::default() }
    }
}

/// `20260821-100000`, in UTC, and why it is not complete.
fn time_name(snapshot: &SnapshotManifest) -> String {
    let text = snapshot.start_time.to_string();
    let digits: String = text.chars().take(19).filter(char::is_ascii_digit).collect();
    let (date, time) = digits.split_at_checked(8).unwrap_or((&digits, ""));
    let name = format!("{date}-{time}");
    match snapshot.incomplete_reason.as_str() {
        "" => name,
        reason => format!("{name} ({})", reason.replace('/', "_")),
    }
}
