//! Whatever happens to a request: a backup and a restore over S3 succeed or say what went wrong, nothing that was
//! committed is lost, nothing hangs, and no success is a wrong one.

use crate::support::fault_proxy::{FaultProxy, Spoil};
use crate::support::programs::named;
use crate::support::r2::R2;
use crate::support::s3_server::S3Server;
use crate::support::trees::{self, Dice, Times, differences};
use crate::support::world;
use packhorse::base::{
    Clock, Counters, ErrorClass, FixedClock, MemoryBudget, OsEntropy, Quiet, Stopwatch, SystemClock,
};
use packhorse::blob::remote::Timeouts;
use packhorse::blob::{self, Retrying, S3, S3Options, Storage, StorageExt};
use packhorse::crypto::PBKDF2_SHA256_600000;
use packhorse::format::NewFormat;
use packhorse::policy::PolicyTree;
use packhorse::repo::{self, CreateOptions, Repository, WriteOptions};
use packhorse::restore::{RestoreOptions, restore};
use packhorse::snapshot::{Catalog, SourceFilter, UploadOptions, upload};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const PASSWORD: &str = "correct horse";
/// All that may befall a request.
const SPOILS: [Spoil; 13] = [
    Spoil::Reset,
    Spoil::ResetAfter,
    Spoil::Status(500, "InternalError"),
    Spoil::Status(503, "SlowDown"),
    Spoil::Status(429, "TooManyRequests"),
    Spoil::Status(403, "AccessDenied"),
    Spoil::StatusAfter(500, "InternalError"),
    Spoil::Truncate,
    Spoil::Flip,
    Spoil::Trickle,
    Spoil::Silence,
    Spoil::Page,
    Spoil::ErrorIn200,
];
/// So many of the cases are tried in the suite; all of them if `PACKHORSE_TEST_S3_FAULTS` is `all`.
const SAMPLED: usize = 30;
/// Longer than all attempts of one request together.
const LIMIT: Duration = Duration::from_mins(1);

/// Quick enough to be waited for by a test, patient enough for a busy machine.
const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_millis(800),
    first_byte: Duration::from_millis(600),
    stall: Duration::from_millis(600),
    stall_bytes: 8,
    attempt: Duration::from_secs(10),
    ..Timeouts::DEFAULT
};

/// A bucket behind a proxy, a tree, and what it is restored to.
struct Stage {
    server: S3Server,
    proxy: FaultProxy,
    base: TempDir,
}

impl Stage {
    fn new() -> Self {
        let server = S3Server::start();
        let proxy = FaultProxy::start(server.endpoint().parse().unwrap());
        let base = tempfile::tempdir().unwrap();
        trees::make(&base.path().join("source"), &mut Dice::new(41));
        Self { server, proxy, base }
    }

    fn source(&self) -> std::path::PathBuf {
        self.base.path().join("source")
    }

    /// The store through the proxy.
    fn store(&self, bucket: &str) -> Outcome<Arc<dyn Storage>> {
        let options = S3Options { endpoint: self.proxy.address.to_string(), ..self.server.options(bucket) };
        let open = || S3::open(options.clone(), TIMEOUTS, Arc::new(SystemClock));
        // As whoever opens a connection does it.
        let mut opened = open();
        for _ in 1..4 {
            if opened.as_ref().is_err_and(|error| error.class().is_retriable()) {
                opened = open();
            }
        }
        let store = opened?;
        // Pauses between attempts take no time.
        let clock = Arc::new(FixedClock::new(SystemClock.now()));
        Ok(Arc::new(Retrying::with_jitter(store, clock, Arc::new(OsEntropy))))
    }

    /// The store as it is.
    fn directly(&self, bucket: &str) -> Arc<dyn Storage> {
        S3::open(self.server.options(bucket), Timeouts::DEFAULT, Arc::new(SystemClock)).unwrap()
    }

    /// A bucket with a repository and one snapshot.
    fn bucket(&self) -> String {
        let bucket = self.server.new_bucket();
        let format = NewFormat { splitter: "FIXED-128K".to_owned(), ..NewFormat::default() };
        let key_derivation = PBKDF2_SHA256_600000.to_owned();
        let options = CreateOptions { format, key_derivation, ..CreateOptions::default() };
        let store = self.directly(&bucket);
        repo::create(&*store, &PASSWORD.into(), &options, &OsEntropy).unwrap();
        save(store, &self.source()).unwrap();
        bucket
    }

    fn restored(&self, store: Arc<dyn Storage>, name: &str) -> Outcome<Vec<String>> {
        let target = self.base.path().join(name);
        if target.exists() {
            std::fs::remove_dir_all(&target)?;
        }
        bring_back(store, &target)?;
        Ok(differences(&self.source(), &target, Times::Exact))
    }
}

fn environment() -> repo::Environment {
    repo::Environment { clock: Arc::new(SystemClock), entropy: Arc::new(OsEntropy), warn: Arc::new(|_| {}) }
}

fn save(store: Arc<dyn Storage>, source: &Path) -> Outcome<()> {
    let repository = Repository::open(store, &PASSWORD.into(), world::alice(), environment())?;
    let mut writer = repository.begin(&WriteOptions::new(1, MemoryBudget::UNLIMITED))?;
    let (policies, counters) = (PolicyTree::built_in(), Counters::default());
    let start = SystemClock.now();
    let uploaded = upload(&mut writer, source, &policies, &[], &counters, &UploadOptions::default())?;
    world::manifest(world::source(), &uploaded, start, SystemClock.now()).save(&mut writer)?;
    Ok(writer.flush()?)
}

fn bring_back(store: Arc<dyn Storage>, target: &Path) -> Outcome<()> {
    let repository = Repository::open(store, &PASSWORD.into(), world::alice(), environment())?;
    let manifests = repository.load_manifests()?;
    let snapshots = Catalog::new(&manifests).list(&SourceFilter::default())?;
    let newest = snapshots.last().ok_or("no snapshot")?;
    let root = newest.root_entry.as_ref().ok_or("no root")?;
    restore(&repository, root, target, &RestoreOptions::default(), &Quiet)?;
    Ok(())
}

/// One request of a run, and what befalls it.
#[derive(Debug, Clone, Copy)]
struct Case {
    request: u64,
    spoil: Spoil,
    /// Every later request, too: then no number of attempts helps.
    lasts: bool,
}

impl Case {
    fn plant(self, proxy: &FaultProxy) {
        proxy.plan(move |number, _| {
            let is_meant = number == self.request || (self.lasts && number > self.request);
            if is_meant { self.spoil } else { Spoil::Nothing }
        });
    }
}

/// Every request with every fault, once alone and once for ever; a sample of them unless all are asked for.
fn cases(requests: u64) -> Vec<Case> {
    let all = (0..requests).flat_map(|request| {
        SPOILS.iter().flat_map(move |&spoil| [false, true].map(|lasts| Case { request, spoil, lasts }))
    });
    let mut all: Vec<_> = all.collect();
    if named("PACKHORSE_TEST_S3_FAULTS").is_none_or(|asked| asked.to_str() != Some("all")) {
        let mut dice = Dice::new(1_307);
        let sample = (0..SAMPLED).map(|_| all[dice.below(all.len() as u64) as usize]);
        all = sample.collect();
    }
    all
}

/// Requests of an undisturbed run.
fn requests_of(proxy: &FaultProxy, run: impl FnOnce()) -> u64 {
    proxy.plan(|_, _| Spoil::Nothing);
    run();
    proxy.requests()
}

#[test]
fn a_backup_survives_whatever_happens_to_any_request() {
    let stage = Stage::new();
    let bucket = stage.bucket();
    let count = requests_of(&stage.proxy, || save(stage.store(&bucket).unwrap(), &stage.source()).unwrap());
    let mut dice = Dice::new(3);
    let mut saved = 2;
    for case in cases(count) {
        trees::edit(&stage.source(), &mut dice);
        case.plant(&stage.proxy);
        let watch = Stopwatch::start();
        let outcome = stage.store(&bucket).and_then(|store| save(store, &stage.source()));
        assert!(watch.elapsed() < LIMIT, "{case:?} took {:?}", watch.elapsed());
        saved += usize::from(outcome.is_ok());
        if let Err(error) = &outcome {
            speaks_clearly(&**error, case);
        }
        let shown = snapshots(&stage.directly(&bucket));
        assert!(shown >= saved, "{case:?}: {shown} of {saved} snapshots are there");
        saved = shown;
        if outcome.is_ok() {
            assert_eq!(
                stage.restored(stage.directly(&bucket), "check").unwrap(),
                Vec::<String>::new(),
                "{case:?}"
            );
        }
    }
}

#[test]
fn a_restore_is_right_or_says_that_it_failed() {
    let stage = Stage::new();
    let bucket = stage.bucket();
    let whole = || {
        assert_eq!(stage.restored(stage.store(&bucket).unwrap(), "whole").unwrap(), Vec::<String>::new());
    };
    let count = requests_of(&stage.proxy, whole);
    for case in cases(count) {
        case.plant(&stage.proxy);
        let watch = Stopwatch::start();
        match stage.store(&bucket).and_then(|store| stage.restored(store, "spoiled")) {
            Ok(found) => assert_eq!(found, Vec::<String>::new(), "{case:?}"),
            Err(error) => speaks_clearly(&*error, case),
        }
        assert!(watch.elapsed() < LIMIT, "{case:?} took {:?}", watch.elapsed());
    }
}

/// A single fault in passing is got over; what is said of the others names something to do, and no secret.
fn speaks_clearly(error: &dyn std::error::Error, case: Case) {
    let text = crate::support::chain(error);
    let is_passing = !matches!(case.spoil, Spoil::Status(403, _) | Spoil::Page | Spoil::ErrorIn200);
    assert!(case.lasts || !is_passing, "{case:?}: {text}");
    for secret in [crate::support::s3_server::SECRET_KEY, PASSWORD, "Signature", "X-Amz"] {
        assert!(!text.contains(secret), "{case:?}: {text}");
    }
    assert!(text.len() > 30, "{case:?}: {text}");
}

fn snapshots(store: &Arc<dyn Storage>) -> usize {
    let repository =
        Repository::open(Arc::clone(store), &PASSWORD.into(), world::alice(), environment()).unwrap();
    let manifests = repository.load_manifests().unwrap();
    Catalog::new(&manifests).list(&SourceFilter::default()).unwrap().len()
}

#[test]
fn listings_that_lag_lose_nothing() {
    let stage = Stage::new();
    let bucket = stage.bucket();
    let mut dice = Dice::new(5);
    // All listings are answered as they were the first time, as by a store that is slow to tell of what is new.
    stage.proxy.plan(|_, request| {
        let is_listing = request.method == "GET" && request.target.contains("list-type");
        if is_listing { Spoil::Stale } else { Spoil::Nothing }
    });
    for _ in 0..3 {
        trees::edit(&stage.source(), &mut dice);
        save(stage.store(&bucket).unwrap(), &stage.source()).unwrap();
    }
    assert_eq!(snapshots(&stage.directly(&bucket)), 4);
    assert_eq!(stage.restored(stage.directly(&bucket), "after").unwrap(), Vec::<String>::new());
}

#[test]
fn nothing_that_r2_refuses_is_asked_of_it() {
    let stage = Stage::new();
    let bucket = stage.bucket();
    let model = Arc::new(R2::default());
    let judge = Arc::clone(&model);
    stage.proxy.plan(move |_, request| judge.judge(request));
    let mut dice = Dice::new(9);
    for _ in 0..2 {
        trees::edit(&stage.source(), &mut dice);
        save(stage.store(&bucket).unwrap(), &stage.source()).unwrap();
    }
    assert_eq!(stage.restored(stage.store(&bucket).unwrap(), "from r2").unwrap(), Vec::<String>::new());
    let store = stage.store(&bucket).unwrap();
    let ids: Vec<_> = (0..5).map(|n| blob::BlobId::from(format!("z{n}"))).collect();
    for id in &ids {
        store.put_now(id, b"x").unwrap();
    }
    store.delete_many(&ids).unwrap();
    assert!(store.list_all("z").unwrap().is_empty());
    assert_eq!(model.refused(), Vec::<String>::new());
}

#[test]
fn a_denied_key_is_final_and_an_absent_bucket_is_no_empty_one() {
    let stage = Stage::new();
    let bucket = stage.bucket();
    let count = |spoil: Spoil| {
        stage.proxy.plan(move |_, _| spoil);
        let outcome = stage.store(&bucket).map(drop);
        (outcome.is_err(), stage.proxy.requests())
    };
    assert_eq!(count(Spoil::Status(403, "AccessDenied")), (true, 1));
    assert_eq!(count(Spoil::Status(401, "Unauthorized")), (true, 1));
    let options = stage.server.options("no-such-bucket");
    let error = S3::open(options, TIMEOUTS, Arc::new(SystemClock)).unwrap_err();
    assert_eq!(error.class(), ErrorClass::NoRepository);
}
