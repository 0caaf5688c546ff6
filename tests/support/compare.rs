//! Compares everything that can be read from a repository with what Kopia says of it.

use super::chain;
use super::fixture::Fixture;
use packhorse::base::{ErrorClass, ExtraFields, Quiet, Timestamp};
use packhorse::blob::StorageExt;
use packhorse::manifest::ManifestStore;
use packhorse::object::ObjectId;
use packhorse::repo::{self, Repository};
use packhorse::snapshot::{
    Catalog, DirEntry, DirSummary, EntryType, SnapshotManifest, SourceFilter, VerifyOptions, read_directory,
    verify,
};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

/// Differences shown of one fixture; more would hide those of others.
const SHOWN: usize = 8;

/// Compares what opening a fixture has brought with what Kopia says; the differences, none if it is all the same.
pub(crate) fn compare(fixture: &Fixture, opened: &Result<Repository, Box<repo::Error>>) -> Vec<String> {
    let mut comparison = Comparison::new(&fixture.facts);
    match (opened, fixture.facts.get("open_fails")) {
        (Ok(repository), None) => comparison.everything(repository),
        (Ok(_), Some(_)) => comparison.differences.push("it opens, and must not".to_owned()),
        (Err(error), None) => comparison.differences.push(format!("it does not open: {}", chain(error))),
        (Err(error), Some(_)) => {
            let class = error.class();
            let refused = matches!(class, ErrorClass::Unsupported | ErrorClass::Locked);
            comparison.check("class of the refusal", &refused, &true);
        }
    }
    let mut shown = comparison.differences;
    let total = shown.len();
    shown.truncate(SHOWN);
    if total > SHOWN {
        shown.push(format!("and {} more", total - SHOWN));
    }
    shown.into_iter().map(|difference| format!("{}: {difference}", fixture.name)).collect()
}

/// Compares section by section with facts of which each is under the name it has in a fixture.
pub(crate) struct Comparison<'a> {
    facts: &'a Value,
    pub(crate) differences: Vec<String>,
}

impl<'a> Comparison<'a> {
    pub(crate) fn new(facts: &'a Value) -> Self {
        Self { facts, differences: Vec::new() }
    }

    fn facts(&self, key: &str) -> &'a Value {
        &self.facts[key]
    }

    fn check<T: PartialEq + Debug>(&mut self, what: &str, ours: &T, kopias: &T) {
        if ours != kopias {
            self.differences.push(format!("{what}: {ours:?} instead of {kopias:?}"));
        }
    }

    /// Compares two maps key by key.
    fn check_maps<T: PartialEq + Debug>(
        &mut self,
        what: &str,
        ours: &BTreeMap<String, T>,
        kopias: &BTreeMap<String, T>,
    ) {
        for key in ours.keys().chain(kopias.keys()).collect::<BTreeSet<_>>() {
            self.check(&format!("{what} {key}"), &ours.get(key), &kopias.get(key));
        }
    }

    fn everything(&mut self, repository: &Repository) {
        self.format(repository);
        self.blobs(repository);
        self.contents(repository);
        match repository.load_manifests() {
            Ok(manifests) => {
                self.manifests(&manifests);
                self.policies(&manifests);
                self.snapshots(&manifests);
            }
            Err(error) => self.differences.push(format!("no manifests: {}", chain(&error))),
        }
        self.trees(repository);
        self.chunks(repository);
        self.verification(repository);
    }

    /// The parameters of the repository.
    pub(crate) fn format(&mut self, repository: &Repository) {
        let format = repository.format();
        let facts = self.facts("repository").clone();
        let kopias = &facts["contentFormat"];
        let epochs = &format.epoch_parameters;
        let ours = json!({
            "hash": format.hash,
            "encryption": format.encryption,
            "version": format.version,
            "maxPackSize": format.max_pack_size,
            "indexVersion": format.index_version,
            "enablePasswordChange": format.enable_password_change,
            "epochParameters": epochs,
        });
        for (key, value) in ours.as_object().unwrap() {
            if key != "epochParameters" || epochs.enabled {
                self.check(key, &value, &&kopias[key]);
            }
        }
        let overhead = kopias["eccOverheadPercent"].as_u64().unwrap_or_default();
        self.check("eccOverheadPercent", &u64::from(format.ecc_overhead_percent), &overhead);
        self.check("splitter", &Some(format.splitter.as_str()), &facts["objectFormat"]["splitter"].as_str());
        let id = hex::encode(repository.unique_id());
        self.check("uniqueIDHex", &Some(id.as_str()), &facts["uniqueIDHex"].as_str());
    }

    /// The blobs and their lengths.
    pub(crate) fn blobs(&mut self, repository: &Repository) {
        let listed = repository.storage().list_all("").unwrap();
        let ours = listed.into_iter().map(|blob| (blob.id.to_string(), blob.length)).collect();
        let kopias = by_key(self.facts("blobs"), "id", |blob| blob["length"].as_u64().unwrap());
        self.check_maps("blob", &ours, &kopias);
    }

    /// The contents, of which each is read.
    pub(crate) fn contents(&mut self, repository: &Repository) {
        let index = repository.contents().index();
        let entry = |entry: packhorse::index::IndexEntry| {
            let json = json!({
                "packFile": entry.pack.as_str(),
                "packOffset": entry.pack_offset,
                "length": entry.packed_length,
                "originalLength": entry.original_length,
                "time": entry.timestamp_seconds,
                "deleted": entry.deleted,
                "formatVersion": entry.format_version,
                "compression": entry.compression.0,
            });
            (entry.id.to_string(), json)
        };
        let ours = index.iter(true).map(|found| entry(found.to_entry())).collect();
        let kopias = by_key(&self.facts("contents")["list"], "contentID", |content| {
            let mut facts = content.as_object().unwrap().clone();
            facts.remove("contentID");
            facts.entry("compression").or_insert(0.into());
            Value::Object(facts)
        });
        self.check_maps("content", &ours, &kopias);
        for id in index.iter(true).map(|entry| entry.id()) {
            let data = repository.contents().verify(&id);
            if let Err(error) = data {
                self.differences.push(format!("content {id} cannot be read: {}", chain(&error)));
            }
        }
    }

    /// The list of manifests: labels, lengths and times.
    pub(crate) fn manifests(&mut self, manifests: &ManifestStore) {
        let mut ours = BTreeMap::new();
        for entry in manifests.find(&[]) {
            let facts = json!({"length": entry.length(), "labels": entry.labels});
            ours.insert(entry.id.to_string(), (entry.modified, facts));
        }
        let kopias = by_key(self.facts("manifests"), "id", |manifest| {
            let modified: Timestamp = manifest["mtime"].as_str().unwrap().parse().unwrap();
            (modified, json!({"length": manifest["length"], "labels": manifest["labels"]}))
        });
        self.check_maps("manifest", &ours, &kopias);
    }

    fn policies(&mut self, manifests: &ManifestStore) {
        let ours: BTreeMap<String, Value> = manifests
            .find(&[("type", "policy")])
            .into_iter()
            .map(|entry| (entry.id.to_string(), entry.decode().unwrap()))
            .collect();
        let kopias = by_key(self.facts("policy_manifests"), "id", |policy| policy["payload"].clone());
        self.check_maps("policy", &ours, &kopias);
    }

    /// The snapshots, each as a whole.
    pub(crate) fn snapshots(&mut self, manifests: &ManifestStore) {
        let listed = match Catalog::new(manifests).list(&SourceFilter::default()) {
            Ok(listed) => listed,
            Err(error) => return self.differences.push(format!("no snapshots: {}", chain(&error))),
        };
        let ours = listed.into_iter().map(|snapshot| (snapshot.id.to_string(), snapshot)).collect();
        let kopias =
            listed_snapshots(self.facts).into_iter().map(|snapshot| (snapshot.id.to_string(), snapshot));
        self.check_maps("snapshot", &ours, &kopias.collect());
    }

    fn trees(&mut self, repository: &Repository) {
        let trees: Map<String, Value> = self.facts("trees").as_object().cloned().unwrap_or_default();
        let roots: BTreeMap<ObjectId, DirEntry> = listed_snapshots(self.facts)
            .into_iter()
            .filter_map(|snapshot| snapshot.root_entry)
            .map(|root| (root.obj, root))
            .collect();
        for (root, kopias) in &trees {
            let root = &roots[&root.parse().unwrap()];
            let mut ours = Vec::new();
            if let Err(error) = walk(repository, root, "", &mut ours) {
                self.differences.push(format!("tree {}: {error}", root.obj));
            }
            let kopias = kopias.as_array().unwrap();
            self.check(&format!("entries of {}", root.obj), &ours.len(), &kopias.len());
            for ((path, entry), kopias) in ours.iter().zip(kopias) {
                self.entry(repository, path, entry, kopias);
            }
        }
    }

    fn entry(&mut self, repository: &Repository, path: &str, entry: &DirEntry, kopias: &Value) {
        let mut ours = json!({
            "path": path,
            "type": match entry.kind {
                EntryType::File => "f",
                EntryType::Directory => "d",
                EntryType::Symlink => "s",
                EntryType::Unknown => "",
            },
            "mode": format!("{:04o}", entry.mode.posix()),
            "uid": entry.uid,
            "gid": entry.gid,
            "mtime_ns": entry.mtime.as_nanos(),
            "size": entry.size,
            "object": entry.obj,
        });
        if kopias.get("content_missing").is_some() {
            let class = repository.objects().read_all(entry.obj).map_err(|error| error.class());
            self.check(path, &class, &Err(ErrorClass::NotFound));
        } else {
            let data = bytes(repository, entry);
            match (&data, entry.kind) {
                // Kopia makes up a name for a file it was interrupted in, and its restore shows none of it.
                (Ok(_), EntryType::File) if entry.name.starts_with(".checkpointed.") => {}
                (Ok(data), EntryType::File) => ours["sha256"] = hex::encode(Sha256::digest(data)).into(),
                (Ok(data), EntryType::Symlink) => ours["target_hex"] = hex::encode(data).into(),
                (Ok(_), _) => {}
                (Err(error), _) => self.differences.push(format!("{path} cannot be read: {error}")),
            }
        }
        for (key, value) in ours.as_object().unwrap() {
            self.check(&format!("{key} of {path}"), &value, &&kopias[key]);
        }
        let summary = kopias.get("summary").map(DirSummary::deserialize_from);
        self.check(&format!("summary of {path}"), &entry.summ.as_deref(), &summary.as_ref());
    }

    fn chunks(&mut self, repository: &Repository) {
        let objects: Map<String, Value> = self.facts("objects").as_object().cloned().unwrap_or_default();
        for (id, kopias) in &objects {
            let segments = repository.objects().segments(id.parse().unwrap());
            let ours: Vec<_> = match segments {
                Ok(segments) => segments
                    .unwrap()
                    .iter()
                    .map(|part| json!([part.start, part.length, part.object]))
                    .collect(),
                Err(error) => {
                    self.differences.push(format!("object {id}: {}", chain(&error)));
                    continue;
                }
            };
            self.check(&format!("chunks of {id}"), &Value::from(ours), &kopias["chunks"]);
        }
    }

    /// Where Kopia's own collection has taken a content its verification finds nothing, and ours finds that.
    fn verification(&mut self, repository: &Repository) {
        let roots: Vec<_> = listed_snapshots(self.facts)
            .into_iter()
            .filter_map(|snapshot| Some((snapshot.id.to_string(), snapshot.root_entry?)))
            .collect();
        let lost = self.facts("trees").as_object().into_iter().flat_map(Map::values);
        let lost = lost.flat_map(|tree| tree.as_array().unwrap());
        let lost = lost.filter(|entry| entry.get("content_missing").is_some()).count();
        self.check("Kopia's verification", &self.facts("verify")["rc"].as_i64(), &Some(0));
        let options = VerifyOptions::EVERYTHING;
        let report = verify(repository, &roots, &options, &Quiet).unwrap();
        if report.errors.len() != lost {
            self.differences.push(format!("verification found {:?}", report.errors));
        }
    }
}

trait FromJson: Sized {
    fn deserialize_from(json: &Value) -> Self;
}

impl<T: serde::de::DeserializeOwned> FromJson for T {
    fn deserialize_from(json: &Value) -> Self {
        T::deserialize(json).unwrap()
    }
}

/// The elements of a list by one of their members.
fn by_key<T>(list: &Value, key: &str, value: impl Fn(&Value) -> T) -> BTreeMap<String, T> {
    let elements = list.as_array().into_iter().flatten();
    elements.map(|element| (element[key].as_str().unwrap().to_owned(), value(element))).collect()
}

/// Kopia's list of snapshots.
pub(crate) fn snapshots(fixture: &Fixture) -> Vec<SnapshotManifest> {
    listed_snapshots(&fixture.facts)
}

/// What a listing adds to the manifests, such as why a snapshot is kept, is not in them.
fn listed_snapshots(facts: &Value) -> Vec<SnapshotManifest> {
    let listed = facts["snapshots"].as_array().into_iter().flatten();
    let manifest = |snapshot: &Value| {
        let stored = SnapshotManifest::deserialize_from(&snapshot["manifest"]);
        SnapshotManifest { extra: ExtraFields::NONE, ..stored }
    };
    listed.map(manifest).collect()
}

/// All entries of a tree in stored order, a directory before its members.
pub(crate) fn walk(
    repository: &Repository,
    entry: &DirEntry,
    path: &str,
    found: &mut Vec<(String, DirEntry)>,
) -> Result<(), String> {
    found.push((path.to_owned(), entry.clone()));
    if entry.kind == EntryType::Directory {
        let directory = read_directory(repository.objects(), entry.obj).map_err(|error| chain(&error))?;
        for member in directory.entries {
            let below = if path.is_empty() { member.name.clone() } else { format!("{path}/{}", member.name) };
            walk(repository, &member, &below, found)?;
        }
    }
    Ok(())
}

/// The bytes of a file or the target of a link.
pub(crate) fn bytes(repository: &Repository, entry: &DirEntry) -> Result<Vec<u8>, String> {
    if entry.kind == EntryType::Directory {
        return Ok(Vec::new());
    }
    repository.objects().read_all(entry.obj).map_err(|error| chain(&error))
}
