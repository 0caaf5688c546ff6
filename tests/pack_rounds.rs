//! `snapshot verify --max-age`: runs that together read every pack, each once in its time, and never lose sight of damage.

use crate::support::programs::{PASSWORD, Program};
use crate::support::trees::{self, Dice};
use crate::support::world::{clock, environment};
use packhorse::blob::{BlobId, BlobMetadata, Filesystem, FilesystemOptions, Storage, StorageExt};
use packhorse::repo::{ClientIdentity, Repository, VerifiedPacks};
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;

const NOTE_PREFIX: &str = "verified.packhorse.";

struct Stage {
    base: TempDir,
    ours: Program,
    storage: Arc<dyn Storage>,
}

impl Stage {
    /// A repository with several packs of both kinds.
    fn new() -> Self {
        let (base, ours) = (tempfile::tempdir().unwrap(), Program::packhorse());
        let (repository, source) = (base.path().join("repository"), base.path().join("source"));
        ours.create(&repository, &[]);
        std::fs::create_dir(&source).unwrap();
        let mut dice = Dice::new(3);
        for number in 0..4 {
            trees::write(&source.join(format!("f{number}")), &dice.bytes(50_000));
            ours.snapshot(&source);
        }
        let storage: Arc<dyn Storage> =
            Arc::new(Filesystem::open(FilesystemOptions::new(&repository), clock()).unwrap());
        Self { base, ours, storage }
    }

    fn repository(&self) -> PathBuf {
        self.base.path().join("repository")
    }

    /// The newest first.
    fn packs(&self) -> Vec<BlobMetadata> {
        let mut packs = self.storage.list_all("p").unwrap();
        packs.extend(self.storage.list_all("q").unwrap());
        packs.sort_by_key(|pack| std::cmp::Reverse(pack.timestamp));
        packs
    }

    fn verified(&self) -> VerifiedPacks {
        let identity = ClientIdentity { username: "a".to_owned(), hostname: "b".to_owned() };
        let environment = environment(clock(), 3);
        let repository =
            Repository::open(Arc::clone(&self.storage), &PASSWORD.into(), identity, environment).unwrap();
        VerifiedPacks::load(&repository).unwrap()
    }

    /// A run that reads one pack, or as many as it wants; its status and report.
    fn round(&self, more: &[&str]) -> (i32, Value) {
        let args = [&["snapshot", "verify", "--max-age=30d", "--json"], more].concat();
        let output = self.ours.run(args);
        let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
        (output.status.code().unwrap(), report)
    }

    /// Damages a content in the middle of a pack; gives back what was there.
    fn damage(&self, pack: &BlobId) -> Vec<u8> {
        let bytes = self.storage.get(pack, None).unwrap();
        let mut changed = bytes.clone();
        changed[20_000] ^= 1;
        self.put(pack, &changed);
        bytes
    }

    /// Changes a pack where it lies; its time stays.
    fn put(&self, pack: &BlobId, bytes: &[u8]) {
        let name = format!("{}.f", &pack.as_str()[7..]);
        let found = walkdir::WalkDir::new(self.repository()).into_iter().map(Result::unwrap);
        let mut found = found.filter(|found| found.file_name().to_string_lossy().ends_with(&name));
        let path = found.next().unwrap().into_path();
        let time = std::fs::metadata(&path).unwrap().modified().unwrap();
        trees::write(&path, bytes);
        std::fs::File::open(&path).unwrap().set_modified(time).unwrap();
    }
}

#[test]
fn runs_together_read_every_pack_once_the_newest_first() {
    let stage = Stage::new();
    let packs = stage.packs();
    assert!(packs.len() >= 8, "{packs:?}");
    for (number, pack) in packs.iter().enumerate() {
        assert!(stage.verified().time_of(&pack.id).is_none());
        let (status, report) = stage.round(&["--max-bytes=1"]);
        assert_eq!((status, &report["packs"]["readPacks"]), (0, &1.into()), "{report}");
        assert_eq!(report["packs"]["freshPacks"], number as u64 + 1);
        assert!(stage.verified().time_of(&pack.id).is_some(), "the newest comes first: {number}");
    }
    let (status, report) = stage.round(&[]);
    assert_eq!((status, &report["packs"]["readPacks"]), (0, &0.into()), "nothing is read twice: {report}");
    assert_eq!(stage.storage.list_all(NOTE_PREFIX).unwrap().len(), 1);
    // What was read is of an age again when the period is over.
    std::thread::sleep(std::time::Duration::from_secs(2));
    let output = stage.ours.ok(["snapshot", "verify", "--max-age=1s", "--json"]);
    let report: Value = serde_json::from_str(&output).unwrap();
    assert_eq!(report["packs"]["readPacks"], packs.len());
}

#[test]
fn damage_is_found_by_every_run_and_stops_none() {
    let stage = Stage::new();
    let packs = stage.packs();
    let hurt: Vec<_> = packs.iter().filter(|pack| pack.id.as_str().starts_with('p')).take(2).collect();
    let whole: Vec<_> = hurt.iter().map(|pack| stage.damage(&pack.id)).collect();
    let mut runs = 0;
    let mut seen = false;
    loop {
        let (status, report) = stage.round(&["--max-bytes=120KB"]);
        seen |= status == 13;
        assert_eq!(status, if seen { 13 } else { 0 }, "once found, found always: {report}");
        runs += 1;
        assert!(runs <= packs.len(), "the runs do not get on: {report}");
        if report["packs"]["freshPacks"] == packs.len() as u64 - 2 {
            break;
        }
    }
    let (status, report) = stage.round(&[]);
    assert_eq!((status, &report["packs"]["readPacks"]), (13, &2.into()), "{report}");
    for pack in &hurt {
        let damaged = report["packs"]["damaged"].as_array().unwrap();
        assert!(damaged.iter().any(|found| found["pack"] == pack.id.as_str()), "{report}");
    }
    assert_eq!(report["errors"].as_array().unwrap().len(), 2, "the files are named: {report}");
    for (pack, whole) in hurt.iter().zip(&whole) {
        stage.put(&pack.id, whole);
    }
    assert_eq!(stage.round(&[]).0, 0, "what was repaired is good");
    assert_eq!(stage.round(&[]).1["packs"]["readPacks"], 0);
}

#[test]
fn a_read_only_repository_is_read_and_stays_as_it_is() {
    let stage = Stage::new();
    let path = format!("--path={}", stage.repository().display());
    stage.ours.ok(["repository", "connect", "filesystem", &path, "--readonly"]);
    let before = stage.storage.list_all("").unwrap();
    for _ in 0..2 {
        let (status, report) = stage.round(&[]);
        assert_eq!((status, &report["packs"]["readPacks"]), (0, &(stage.packs().len() as u64).into()));
    }
    assert_eq!(stage.storage.list_all("").unwrap(), before);
    let packs = stage.packs();
    stage.damage(&packs.iter().find(|pack| pack.id.as_str().starts_with('p')).unwrap().id);
    assert_eq!(stage.round(&[]).0, 13);
}

#[test]
fn kopia_leaves_the_note_alone() {
    let Some(kopia) = Program::kopia() else { return };
    let stage = Stage::new();
    assert_eq!(stage.round(&[]).0, 0);
    let note = stage.storage.list_all(NOTE_PREFIX).unwrap();
    assert_eq!(note.len(), 1);
    kopia.connect(&stage.repository());
    kopia.verify();
    kopia.ok(["maintenance", "set", "--owner=me"]);
    kopia.ok(["maintenance", "run", "--full", "--safety=none"]);
    kopia.verify();
    assert_eq!(stage.storage.list_all(NOTE_PREFIX).unwrap(), note);
    stage.ours.verify();
    assert_eq!(stage.round(&[]).0, 0);
}
