//! Every kind of blob, damaged in every place: what it hurts is named, what it does not hurt comes back, and nothing comes
//! back wrong.

use crate::support::programs::{PASSWORD, Program, text};
use crate::support::trees::{self, Dice};
use crate::support::world::{clock, environment};
use packhorse::blob::{BlobId, Filesystem, FilesystemOptions, Storage, StorageExt};
use packhorse::index::IndexEntry;
use packhorse::repo::{ClientIdentity, Repository};
use packhorse::snapshot::{EntryType, SnapshotManifest, read_directory};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;
use tempfile::TempDir;

/// What damage comes to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// Everything is proven and comes back.
    Nothing,
    /// These are named and do not come back, everything else does.
    Hurt(BTreeSet<String>),
    /// The repository says what is wrong and gives nothing, with this status.
    Refused(i32),
}

/// A repository on a file system, with one snapshot in it.
struct Stage {
    base: TempDir,
    source: PathBuf,
    ours: Program,
    snapshot: Value,
    storage: Arc<dyn Storage>,
    contents: Vec<IndexEntry>,
    /// By content: the files and directories that hold it.
    holders: BTreeMap<String, BTreeSet<String>>,
    /// By directory and file: all paths at and below it that would be missing.
    below: BTreeMap<String, BTreeSet<String>>,
}

impl Stage {
    fn new(version: &str) -> Self {
        let (base, ours) = (tempfile::tempdir().unwrap(), Program::packhorse());
        let (repository, source) = (base.path().join("repository"), base.path().join("source"));
        let extra = [version, "--object-splitter=FIXED-128K"];
        ours.create(&repository, &extra);
        let mut dice = Dice::new(7);
        std::fs::create_dir_all(source.join("b/c")).unwrap();
        for (name, length) in [("one", 100), ("two", 3000), ("b/big", 400_000), ("b/c/deep", 5000)] {
            trees::write(&source.join(name), &dice.bytes(length));
        }
        std::os::unix::fs::symlink("one", source.join("link")).unwrap();
        ours.snapshot(&source);
        // So that there is another pack and another index.
        trees::write(&source.join("b/new"), &dice.bytes(150_000));
        let snapshot = ours.snapshot(&source);
        let storage: Arc<dyn Storage> =
            Arc::new(Filesystem::open(FilesystemOptions::new(&repository), clock()).unwrap());
        for name in ["_log_20260101000000_0000_1_2_0123456789abcdef", "sdeadbeef-s0123456789abcdef"] {
            storage.put_now(&BlobId::from(name), b"whatever there is").unwrap();
        }
        let (contents, holders, below) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        let mut stage = Self { base, source, ours, snapshot, storage, contents, holders, below };
        stage.look();
        stage
    }

    /// Finds out what hangs on each content, by the library on what is whole.
    fn look(&mut self) {
        let identity = ClientIdentity { username: "a".to_owned(), hostname: "b".to_owned() };
        let environment = environment(clock(), 3);
        let repository =
            Repository::open(Arc::clone(&self.storage), &PASSWORD.into(), identity, environment).unwrap();
        self.contents = repository.contents().index().iter(true).map(|entry| entry.to_entry()).collect();
        let manifest: SnapshotManifest = serde_json::from_value(self.snapshot.clone()).unwrap();
        let mut stack = vec![(String::new(), manifest.root_entry.unwrap())];
        while let Some((path, entry)) = stack.pop() {
            for content in repository.objects().content_ids(entry.obj).unwrap() {
                self.holders.entry(content.to_string()).or_default().insert(path.clone());
            }
            let above = path.match_indices('/').map(|(at, _)| path[..at].to_owned());
            for above in above.chain([path.clone()]) {
                self.below.entry(above).or_default().insert(path.clone());
            }
            if entry.kind == EntryType::Directory {
                for member in read_directory(repository.objects(), entry.obj).unwrap().entries {
                    stack.push((format!("{path}/{}", member.name), member));
                }
            }
        }
    }

    /// All that does not come back without these contents.
    fn hurt_by(&self, contents: &BTreeSet<String>) -> BTreeSet<String> {
        let holders = contents.iter().filter_map(|content| self.holders.get(content)).flatten();
        holders.flat_map(|path| &self.below[path]).cloned().collect()
    }

    /// The contents of a pack that lie, if only in part, in a range.
    fn contents_in(&self, pack: &BlobId, from: u64, to: u64) -> BTreeSet<String> {
        let is_hit = |entry: &&IndexEntry| {
            let start = u64::from(entry.pack_offset);
            entry.pack == *pack && start < to && start + u64::from(entry.packed_length) > from
        };
        self.contents.iter().filter(is_hit).map(|entry| entry.id.to_string()).collect()
    }

    fn outcome(&self, what: &str) -> Outcome {
        let target = self.base.path().join("restored");
        let id = self.snapshot["id"].as_str().unwrap();
        let flags = ["--verify-files-percent=100", "--json", "--max-errors=-1"];
        let verified = self.ours.run(["snapshot", "verify", id].iter().chain(&flags));
        let restored = self.ours.run(["restore", id, &target.display().to_string()]);
        let missing = self.missing(&target, what);
        if target.exists() {
            std::fs::remove_dir_all(&target).unwrap();
        }
        judge(self, what, &verified, &restored, missing)
    }

    /// What did not come back. What did is compared.
    fn missing(&self, target: &Path, what: &str) -> BTreeSet<String> {
        let mut missing = BTreeSet::new();
        for path in &self.below[""] {
            let (was, is) =
                (self.source.join(path.trim_start_matches('/')), target.join(path.trim_start_matches('/')));
            match std::fs::symlink_metadata(&is) {
                Err(_) => {
                    missing.insert(path.clone());
                }
                Ok(meta) if meta.is_file() => {
                    assert_eq!(
                        std::fs::read(&was).unwrap(),
                        std::fs::read(&is).unwrap(),
                        "{what}: {path} is wrong"
                    );
                }
                Ok(meta) if meta.is_symlink() => {
                    assert_eq!(
                        std::fs::read_link(&was).unwrap(),
                        std::fs::read_link(&is).unwrap(),
                        "{what}: {path}"
                    );
                }
                Ok(_) => {}
            }
        }
        let found = walkdir::WalkDir::new(target).into_iter().filter_map(Result::ok).count();
        assert_eq!(found, self.below[""].len() - missing.len(), "{what}: there is more than there was");
        missing
    }
}

/// What both commands said, which must fit together.
fn judge(
    stage: &Stage,
    what: &str,
    verified: &Output,
    restored: &Output,
    missing: BTreeSet<String>,
) -> Outcome {
    let (codes, said) = (
        (verified.status.code().unwrap(), restored.status.code().unwrap()),
        format!("{what}: {}{}{}", text(&verified.stdout), text(&verified.stderr), text(&restored.stderr)),
    );
    let report: Option<Value> = serde_json::from_slice(&verified.stdout).ok();
    let Some(report) = report else {
        assert!(codes.0 != 0 && codes.1 != 0 && missing == stage.below[""], "{codes:?} {said}");
        assert_eq!(codes.0, codes.1, "{said}");
        return Outcome::Refused(codes.0);
    };
    if codes == (0, 0) {
        assert!(missing.is_empty() && report["errorCount"] == 0, "{said}");
        return Outcome::Nothing;
    }
    if is_about_indexes(&report) && codes == (13, 0) {
        assert!(missing.is_empty(), "{said}");
        return Outcome::Nothing;
    }
    assert_eq!(codes, (13, 13), "{said}");
    check_named(stage, &report, &missing, &said);
    for path in missing.iter().filter(|path| !missing.contains(&above(path))) {
        let name = format!("{}{path}", stage.base.path().join("restored").display());
        assert!(text(&restored.stderr).contains(&name), "{path} is not named: {said}");
    }
    Outcome::Hurt(missing)
}

/// What verification says of an index blob, whatever was only named there.
const OF_AN_INDEX: &str = "index blob ";

fn is_about_indexes(report: &Value) -> bool {
    let errors = report["errors"].as_array().unwrap();
    errors.iter().all(|error| error["path"].as_str().unwrap().starts_with(OF_AN_INDEX))
}

fn above(path: &str) -> String {
    path.rsplit_once('/').map_or_else(|| "none".to_owned(), |(above, _)| above.to_owned())
}

/// Whatever does not come back is among the damaged, or below it; files with offset, content and pack.
fn check_named(stage: &Stage, report: &Value, missing: &BTreeSet<String>, said: &str) {
    let mut named = BTreeSet::new();
    let errors = report["errors"].as_array().unwrap().iter();
    for error in errors.filter(|error| !error["path"].as_str().unwrap().starts_with(OF_AN_INDEX)) {
        let also = error["alsoIn"].as_array().into_iter().flatten();
        for path in [&error["path"]].into_iter().chain(also) {
            let path = path.as_str().unwrap();
            let (_, below) = path.split_once(stage.source.to_str().unwrap()).unwrap();
            named.insert(below.find('/').map_or(String::new(), |at| below[at..].to_owned()));
        }
        for part in error["parts"].as_array().into_iter().flatten() {
            let (content, pack) = (part["content"].as_str().unwrap(), part["pack"].as_str());
            let known = stage.contents.iter().find(|entry| entry.id.to_string() == content).unwrap();
            assert!(pack.is_none_or(|pack| pack == known.pack.as_str()), "{said}");
            assert!(part["offset"].as_u64().unwrap() % (128 << 10) == 0, "{said}");
        }
        let path = error["path"].as_str().unwrap();
        let is_file = stage.source.join(path.rsplit_once("Z/").map_or("", |(_, path)| path)).is_file();
        assert!(!is_file || !error["parts"].as_array().unwrap().is_empty(), "{said}");
    }
    let covered: BTreeSet<String> =
        named.iter().filter_map(|path| stage.below.get(path)).flatten().cloned().collect();
    assert!(covered.is_superset(missing), "{missing:?} is not all in {named:?}: {said}");
}

/// A place in a blob, what the blob is then, and the range that has changed.
type Damage = (String, Option<Vec<u8>>, (u64, u64));

/// All that is done to a blob.
fn damages(stage: &Stage, blob: &BlobId, bytes: &[u8]) -> Vec<Damage> {
    let length = bytes.len();
    let flip = |name: &str, at: usize| {
        let mut changed = bytes.to_vec();
        changed[at] ^= 0x10;
        (name.to_owned(), Some(changed), (at as u64, at as u64 + 1))
    };
    let mut out = vec![
        flip("first byte", 0),
        flip("last byte", length - 1),
        ("cut to half".to_owned(), Some(bytes[..length / 2].to_vec()), (length as u64 / 2, length as u64)),
        ("emptied".to_owned(), Some(Vec::new()), (0, length as u64)),
        ("removed".to_owned(), None, (0, length as u64)),
        ("zeros".to_owned(), Some(vec![0; length]), (0, length as u64)),
    ];
    let mut end = 0;
    for entry in stage.contents.iter().filter(|entry| entry.pack == *blob) {
        let at = entry.pack_offset + entry.packed_length / 2;
        out.push(flip("a content", at as usize));
        end = end.max((entry.pack_offset + entry.packed_length) as usize);
    }
    if end == 0 {
        out.push(flip("inside", length / 2));
    } else if end < length {
        out.push(flip("local index", usize::midpoint(end, length)));
    }
    if matches!(kind(blob.as_str()), "s" | "_log_") {
        out.retain(|(place, ..)| matches!(place.as_str(), "first byte" | "removed"));
    }
    out
}

/// The kind of a blob, as the table calls it.
fn kind(blob: &str) -> &str {
    let kinds = ["kopia.repository", "kopia.blobcfg", "_log_", "p", "q", "s"];
    let is_index = blob.starts_with("xn") || blob.starts_with('n');
    let known = || kinds.into_iter().find(|kind| blob.starts_with(kind));
    if is_index { "index" } else { known().unwrap_or(blob) }
}

/// What the index and the packs say that must come of it, where they say something.
fn check_pack(stage: &Stage, blob: &BlobId, range: (u64, u64), outcome: &Outcome, what: &str) {
    let contents = stage.contents_in(blob, range.0, range.1);
    // Manifests are read before anything else.
    if contents.iter().any(|content| content.starts_with('m')) {
        assert!(matches!(outcome, Outcome::Refused(13)), "{what}: {outcome:?}");
        return;
    }
    let hurt = stage.hurt_by(&contents);
    let expected = if hurt.is_empty() { Outcome::Nothing } else { Outcome::Hurt(hurt) };
    assert_eq!(*outcome, expected, "{what}");
}

/// What may come of damage: kind, place or `*` for any other, outcomes. Of packs `check_pack` knows more.
const TABLE: [(&str, &str, &[&str]); 19] = [
    ("kopia.repository", "removed", &["refused 10"]),
    ("kopia.repository", "last byte", &["refused 13", "harmless"]),
    ("kopia.repository", "*", &["refused 13"]),
    // Without it there is no object lock to know of.
    ("kopia.blobcfg", "removed", &["harmless"]),
    ("kopia.blobcfg", "*", &["refused 13"]),
    // What is in no index is not there; the snapshot itself may be.
    ("index", "removed", &["harmless", "named", "refused 1"]),
    // As a crashed writer leaves it; a warning says so.
    ("index", "emptied", &["harmless", "named", "refused 1"]),
    ("index", "zeros", &["harmless", "named", "refused 1"]),
    // What else is damaged is told by every command, and by the status of a verification.
    ("index", "*", &["harmless", "named", "refused 1"]),
    ("p", "first byte", &["harmless"]),
    ("p", "last byte", &["harmless"]),
    ("p", "local index", &["harmless"]),
    ("p", "*", &["named"]),
    ("q", "first byte", &["harmless"]),
    ("q", "last byte", &["harmless"]),
    ("q", "local index", &["harmless"]),
    ("q", "*", &["harmless", "named", "refused 13"]),
    ("_log_", "*", &["harmless"]),
    ("s", "*", &["harmless"]),
];

fn allowed(kind: &str, place: &str) -> &'static [&'static str] {
    let find = |wanted: &str| TABLE.iter().find(|(of, at, _)| (*of, *at) == (kind, wanted)).map(|row| row.2);
    find(place).or_else(|| find("*")).unwrap_or_else(|| panic!("nothing is known of {kind}, {place}"))
}

/// Damages every blob in every place.
fn play(version: &str) {
    let stage = Stage::new(version);
    let mut kinds = BTreeSet::new();
    for blob in stage.storage.list_all("").unwrap() {
        let bytes = stage.storage.get(&blob.id, None).unwrap();
        let kind = kind(blob.id.as_str());
        kinds.insert(kind.to_owned());
        for (place, changed, range) in damages(&stage, &blob.id, &bytes) {
            match changed {
                Some(changed) => stage.storage.put_now(&blob.id, &changed).unwrap(),
                None => stage.storage.delete(&blob.id).unwrap(),
            }
            let what = format!("{version} {} {place}", blob.id);
            let outcome = stage.outcome(&what);
            if kind == "index" {
                // Snapshots may have gone with it: the packs are left to tell, and the blob itself if it is there.
                let verified = stage.ours.run(["snapshot", "verify", "--max-errors=-1"]);
                let said = text(&verified.stderr);
                assert!(said.contains("named by no index"), "{what}: {verified:?}");
                assert!(place == "removed" || said.contains(blob.id.as_str()), "{what}: {verified:?}");
                let is_void = matches!(place.as_str(), "removed" | "emptied" | "zeros");
                assert!(is_void || verified.status.code() == Some(13), "{what}: {verified:?}");
            }
            stage.storage.put_now(&blob.id, &bytes).unwrap();
            if matches!(kind, "p" | "q") {
                check_pack(&stage, &blob.id, range, &outcome, &what);
            }
            let short = match outcome {
                Outcome::Nothing => "harmless".to_owned(),
                Outcome::Hurt(_) => "named".to_owned(),
                Outcome::Refused(code) => format!("refused {code}"),
            };
            assert!(allowed(kind, &place).contains(&short.as_str()), "{what}: {short}");
        }
    }
    assert_eq!(stage.outcome("in the end"), Outcome::Nothing);
    let known = TABLE.iter().map(|row| row.0.to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(kinds, known);
}

#[test]
fn damage_is_named_in_a_repository_with_epochs() {
    play("--format-version=3");
}

#[test]
fn damage_is_named_in_a_repository_without_epochs() {
    play("--format-version=1");
}
