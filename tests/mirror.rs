//! One run, two places: what the mirror shows is complete at every moment, whichever side fails, and it catches up.

use crate::support::programs::{Program, named};
use crate::support::trees::{self, Dice, Times, differences};
use crate::support::world;
use packhorse::base::{Clock, Counters, ErrorClass, FixedClock, MemoryBudget, Quiet, SystemClock};
use packhorse::blob::{
    Call, Fault, Faulty, Filesystem, FilesystemOptions, Mirrored, Operation, Recording, Storage, StorageExt,
};
use packhorse::format::NewFormat;
use packhorse::policy::PolicyTree;
use packhorse::repo::mirror;
use packhorse::repo::{self, CreateOptions, OpenOptions, Repository, WriteOptions};
use packhorse::snapshot::{Catalog, SourceFilter, UploadOptions, VerifyOptions, upload, verify};
use parking_lot::Mutex;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tempfile::TempDir;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Runs of the suite; `PACKHORSE_TEST_MIRROR` asks for another number.
const FAILURES: u64 = 24;
const PASSWORD: &str = "correct horse";

fn failures() -> u64 {
    let asked = named("PACKHORSE_TEST_MIRROR");
    asked.map_or(FAILURES, |number| number.to_str().and_then(|text| text.parse().ok()).expect("a number"))
}

/// Which calls of which side fail in a run.
#[derive(Debug, Clone, Copy)]
struct Storm {
    on_mirror: bool,
    first: u64,
    last: u64,
    is_after: bool,
}

impl Storm {
    const NONE: Self = Self { on_mirror: false, first: u64::MAX, last: u64::MAX, is_after: false };

    fn draw(dice: &mut Dice) -> Self {
        let first = dice.below(40);
        let last = if dice.percent(50) { u64::MAX } else { first + dice.below(3) };
        Self { on_mirror: dice.percent(60), first, last, is_after: dice.percent(30) }
    }
}

/// A repository in one folder and its mirror in another, on a clock that stands still between runs.
struct Pair {
    base: TempDir,
    clock: Arc<FixedClock>,
    storm: Arc<Mutex<Storm>>,
    calls: Arc<AtomicU64>,
    runs: AtomicU64,
}

impl Pair {
    fn new(seed: u64) -> Self {
        let pair = Self {
            base: tempfile::tempdir().unwrap(),
            clock: Arc::new(FixedClock::new(SystemClock.now())),
            storm: Arc::new(Mutex::new(Storm::NONE)),
            calls: Arc::default(),
            runs: AtomicU64::new(1),
        };
        let entropy = packhorse::base::SeededEntropy::new(seed);
        let format = NewFormat { splitter: "FIXED-128K".to_owned(), ..NewFormat::default() };
        let options = CreateOptions { format, ..CreateOptions::default() };
        repo::create(&*pair.folder("primary"), &PASSWORD.into(), &options, &entropy).unwrap();
        pair.folder("mirror");
        pair
    }

    fn path(&self, side: &str) -> PathBuf {
        self.base.path().join(side)
    }

    fn folder(&self, side: &str) -> Arc<dyn Storage> {
        Arc::new(Filesystem::create(FilesystemOptions::new(self.path(side)), self.clock.clone()).unwrap())
    }

    /// A side that the storm may hit.
    fn side(&self, side: &'static str) -> Arc<dyn Storage> {
        let (storm, calls) = (Arc::clone(&self.storm), Arc::clone(&self.calls));
        Arc::new(Faulty::new(self.folder(side), move |_: &Call| {
            let storm = *storm.lock();
            if storm.on_mirror != (side == "mirror") {
                return Fault::None;
            }
            let call = calls.fetch_add(1, Ordering::Relaxed);
            match (storm.first..=storm.last).contains(&call) {
                true if storm.is_after => Fault::After(ErrorClass::Denied),
                true => Fault::Before(ErrorClass::Denied),
                false => Fault::None,
            }
        }))
    }

    fn open(&self) -> Outcome<Repository> {
        let mirrored =
            Arc::new(Mirrored::new(self.side("primary"), self.side("mirror"), false, Arc::new(|_| {})));
        let options = OpenOptions { mirrored: Some(mirrored.clone()), ..OpenOptions::default() };
        Ok(Repository::open_with(mirrored, &PASSWORD.into(), world::alice(), self.environment(), &options)?)
    }

    fn environment(&self) -> repo::Environment {
        world::environment(self.clock.clone(), self.runs.fetch_add(1, Ordering::Relaxed))
    }

    fn save(&self, source: &Path) -> Outcome<()> {
        let repository = self.open()?;
        let mut writer = repository.begin(&WriteOptions::new(2, MemoryBudget::UNLIMITED))?;
        writer.objects().contents().adopt_abandoned_packs()?;
        let previous = Catalog::new(writer.manifests()).previous(&world::source(), None)?;
        let (policies, counters) = (PolicyTree::built_in(), Counters::default());
        let start = self.clock.now();
        let uploaded =
            upload(&mut writer, source, &policies, &previous, &counters, &UploadOptions::default())?;
        let mut manifest = world::manifest(world::source(), &uploaded, start, self.clock.now());
        manifest.save(&mut writer)?;
        Ok(writer.flush()?)
    }

    /// How many snapshots one side alone shows; each of them is read to the last byte.
    fn snapshots(&self, side: &str) -> usize {
        let folder = self.folder(side);
        if folder.get_optional(&"kopia.repository".into()).unwrap().is_none() {
            assert_eq!(side, "mirror");
            return 0;
        }
        let repository =
            Repository::open(folder, &PASSWORD.into(), world::alice(), self.environment()).unwrap();
        let manifests = repository.load_manifests().unwrap();
        let snapshots = Catalog::new(&manifests).list(&SourceFilter::default()).unwrap();
        let roots: Vec<_> = snapshots
            .iter()
            .filter_map(|snapshot| Some((snapshot.id.to_string(), snapshot.root_entry.clone()?)))
            .collect();
        let report = verify(&repository, &roots, &VerifyOptions::EVERYTHING, &Quiet).unwrap();
        assert!(report.errors.is_empty(), "{side}: {:?}", report.errors);
        snapshots.len()
    }
}

#[test]
fn whichever_side_fails_nothing_is_lost_and_the_mirror_never_lies() {
    let pair = Pair::new(7);
    let source = pair.path("source");
    let mut dice = Dice::new(2026);
    trees::make(&source, &mut dice);
    let (mut saved, mut shown, mut hit) = (0, 0, 0);
    for run in 0..failures() {
        trees::edit(&source, &mut dice);
        *pair.storm.lock() = Storm::draw(&mut dice);
        pair.calls.store(0, Ordering::Relaxed);
        let storm = *pair.storm.lock();
        let outcome = pair.save(&source);
        hit += u64::from(pair.calls.load(Ordering::Relaxed) > storm.first);
        assert!(outcome.is_ok() || !storm.on_mirror, "run {run}, {storm:?}: {}", outcome.unwrap_err());
        *pair.storm.lock() = Storm::NONE;
        pair.clock.sleep(std::time::Duration::from_mins(61));

        let (primary, mirror) = (pair.snapshots("primary"), pair.snapshots("mirror"));
        saved += usize::from(outcome.is_ok());
        assert!(primary >= saved, "run {run}: {primary} of {saved} snapshots are in the primary");
        assert!(mirror >= shown && mirror <= primary, "run {run}: {shown}, {mirror}, {primary}");
        (saved, shown) = (primary, mirror);
    }
    assert!(hit >= failures() / 2, "only {hit} runs were hit");
    finish(&pair, &source);
}

/// The next run without a failure brings the mirror up to date, and each side stands alone, in Kopia, too.
fn finish(pair: &Pair, source: &Path) {
    pair.save(source).unwrap();
    let found = mirror::compare(&*pair.folder("primary"), &*pair.folder("mirror")).unwrap();
    let lacks: Vec<_> = found.missing.iter().filter(|id| !id.as_str().starts_with(['p', 'q'])).collect();
    // Packs of failed runs are in no index, and nobody needs them in the mirror.
    assert!(lacks.is_empty() && found.different.is_empty(), "{found:?}");
    assert_eq!(pair.snapshots("mirror"), pair.snapshots("primary"));
    for side in ["primary", "mirror"] {
        let Some(kopia) = Program::kopia() else { return };
        let kopia = kopia.with_password(PASSWORD);
        kopia.connect(&pair.path(side));
        kopia.verify();
    }
}

#[test]
fn the_source_is_read_once_and_no_pack_is_read_back() {
    let pair = Pair::new(7);
    let source = pair.path("source");
    trees::make(&source, &mut Dice::new(5));
    let (primary, copy) =
        (Arc::new(Recording::new(pair.folder("primary"))), Arc::new(Recording::new(pair.folder("mirror"))));
    let mirrored = Arc::new(Mirrored::new(primary.clone(), copy.clone(), false, Arc::new(|_| {})));
    let options = OpenOptions { mirrored: Some(mirrored.clone()), ..OpenOptions::default() };
    let environment = pair.environment();
    let repository =
        Repository::open_with(mirrored, &PASSWORD.into(), world::alice(), environment, &options).unwrap();
    world::snapshot(&repository, &source);
    let read_packs = |calls: Vec<Call>| {
        let is_pack = |call: &Call| call.id_or_prefix.starts_with(['p', 'q']);
        calls.iter().filter(|call| call.operation == Operation::Get && is_pack(call)).count()
    };
    assert_eq!((read_packs(primary.calls()), read_packs(copy.calls())), (0, 0));
    assert_eq!(pair.snapshots("mirror"), 1);
}

#[test]
fn a_foreign_repository_is_not_written_to() {
    let (pair, other) = (Pair::new(7), Pair::new(8));
    let mirrored =
        Arc::new(Mirrored::new(pair.folder("primary"), other.folder("primary"), false, Arc::new(|_| {})));
    let options = OpenOptions { mirrored: Some(mirrored.clone()), ..OpenOptions::default() };
    let before = other.folder("primary").list_all("").unwrap();
    let environment = pair.environment();
    let repository =
        Repository::open_with(mirrored.clone(), &PASSWORD.into(), world::alice(), environment, &options)
            .unwrap();
    let source = pair.path("source");
    trees::make(&source, &mut Dice::new(5));
    world::snapshot(&repository, &source);
    let error = mirror::catch_up(&repository, &mirrored).unwrap_err();
    assert!(matches!(error, repo::Error::ForeignMirror { .. }), "{error}");
    assert_eq!(other.folder("primary").list_all("").unwrap(), before);
    assert_eq!(pair.snapshots("primary"), 1);
}

#[test]
fn commands_set_compare_and_remove_a_mirror_and_read_from_it() {
    let base = tempfile::tempdir().unwrap();
    let path = |name: &str| base.path().join(name);
    let (repository, mirror, source) = (path("repository"), path("mirror"), path("source"));
    trees::make(&source, &mut Dice::new(6));
    let ours = Program::packhorse();
    ours.create(&repository, &[]);
    ours.snapshot(&source);
    let to = format!("--path={}", mirror.display());
    ours.ok(["repository", "mirror", "set", "filesystem", &to]);
    ours.ok(["repository", "mirror", "compare"]);
    trees::edit(&source, &mut Dice::new(8));
    let second = ours.snapshot(&source);
    let found: serde_json::Value =
        serde_json::from_str(&ours.ok(["repository", "mirror", "compare", "--json"])).unwrap();
    assert_eq!((&found["missing"], &found["different"]), (&serde_json::json!([]), &serde_json::json!([])));

    // The folder of the repository is gone, as when it is not mounted.
    std::fs::rename(&repository, path("unmounted")).unwrap();
    ours.restore(&second, &path("restored"));
    assert_eq!(differences(&source, &path("restored"), Times::Exact), Vec::<String>::new());
    assert!(!ours.run(["snapshot", "create", &source.display().to_string()]).status.success());
    std::fs::rename(path("unmounted"), &repository).unwrap();

    let alone = Program::packhorse();
    alone.connect(&mirror);
    alone.verify();
    if let Some(kopia) = Program::kopia() {
        kopia.connect(&mirror);
        kopia.verify();
        kopia.restore(&second, &path("by kopia"));
        assert_eq!(differences(&source, &path("by kopia"), Times::Kopia), Vec::<String>::new());
    }
    ours.ok(["repository", "mirror", "remove"]);
    assert!(!ours.run(["repository", "mirror", "compare"]).status.success());
}
