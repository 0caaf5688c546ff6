//! What an upload has done is saved while it goes on, and whoever goes on from there reads nothing twice.

use crate::support::fixture::Fixture;
use crate::support::live_tree::{can_change_owners, materialize, write};
use crate::support::programs::{Program, text};
use crate::support::trees::{self, Dice, Times, differences};
use crate::support::world::{self, PACK_BYTES, World, begin, noise};
use packhorse::base::{Counter, Counters, ExtraFields, MIB, Monitor, Quiet};
use packhorse::manifest::ManifestId;
use packhorse::policy::PolicyTree;
use packhorse::repo::{Repository, RepositoryWriter};
use packhorse::snapshot::upload::CHECKPOINT;
use packhorse::snapshot::{
    Catalog, Checkpoints, DirEntry, SnapshotManifest, SnapshotStats, SourceFilter, Upload, UploadOptions,
    UploadSource, VerifyOptions, upload, verify,
};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const KILLS: u64 = 8;

/// Counts, and makes the upload wait at some of its files until the next checkpoint was saved.
#[derive(Default)]
struct Paced {
    counters: Counters,
    saved: AtomicU64,
}

impl Monitor for Paced {
    fn add(&self, counter: Counter, n: u64) {
        self.counters.add(counter, n);
        if counter == Counter::HashedFiles && self.counters.get(counter).is_multiple_of(50) {
            let before = self.saved.load(Ordering::SeqCst);
            // Long enough for a machine that is busy with other things.
            for _ in 0..5_000 {
                if self.saved.load(Ordering::SeqCst) > before {
                    return;
                }
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    }
}

fn manifest(root: DirEntry, incomplete: &str, writer: &RepositoryWriter<'_>) -> SnapshotManifest {
    let now = writer.repository().environment().clock.now();
    SnapshotManifest {
        id: ManifestId::default(),
        source: world::source(),
        description: String::new(),
        start_time: now,
        end_time: now,
        stats: SnapshotStats::default(),
        incomplete_reason: incomplete.to_owned(),
        root_entry: Some(root),
        tags: BTreeMap::new(),
        storage_stats: None,
        pins: Vec::new(),
        extra: ExtraFields::default(),
    }
}

/// Three levels of directories with 300 files in them, and a file that fills a pack.
fn source() -> tempfile::TempDir {
    let source = tempfile::tempdir().unwrap();
    for number in 0..300_u64 {
        let path = source.path().join(format!("a{}/b{}/f{number}", number % 3, number % 7));
        write(&path, &noise(number, 3000 + number as usize));
    }
    write(&source.path().join("big"), &noise(1000, (PACK_BYTES + 3 * MIB) as usize));
    source
}

/// Uploads with a checkpoint as often as can be; every one is saved and handed to `look`.
fn upload_with_checkpoints(
    writer: &mut RepositoryWriter<'_>,
    path: &Path,
    monitor: &Paced,
    look: impl FnMut(&DirEntry) + Send,
) -> packhorse::snapshot::Result<DirEntry> {
    let (policies, options) = (PolicyTree::built_in(), UploadOptions::default());
    let mut look = look;
    let save = |writer: &mut RepositoryWriter<'_>, root: DirEntry| {
        look(&root);
        manifest(root, CHECKPOINT, writer).save(writer)?;
        writer.flush()?;
        monitor.saved.fetch_add(1, Ordering::SeqCst);
        Ok(())
    };
    let checkpoints = Checkpoints {
        interval: Duration::from_millis(1),
        uploaded_bytes: Checkpoints::UPLOADED_BYTES,
        save: Box::new(save),
    };
    let upload = Upload {
        policies: &policies,
        previous: &[],
        options: &options,
        actions: None,
        checkpoints: Some(checkpoints),
        monitor,
    };
    upload.run(writer, UploadSource::Path(path)).map(|uploaded| uploaded.root_entry)
}

fn saved(repository: &Repository) -> Vec<SnapshotManifest> {
    Catalog::new(&repository.load_manifests().unwrap()).list(&SourceFilter::default()).unwrap()
}

fn files_in(root: &DirEntry) -> u64 {
    root.summ.as_ref().unwrap().files
}

#[test]
fn every_checkpoint_is_a_tree_of_its_own_and_the_result_is_the_same() {
    let (source, world, paced) = (source(), World::new(world::small_format()), Paced::default());
    let repository = world.open();
    let mut writer = begin(&repository);
    let mut seen = Vec::new();
    let root =
        upload_with_checkpoints(&mut writer, source.path(), &paced, |root| seen.push(root.clone())).unwrap();
    assert!(seen.len() >= 4, "only {} checkpoints", seen.len());
    let counts: Vec<_> = seen.iter().map(files_in).collect();
    // The stored part of the big file counts as one, which is missing while the file itself is being finished.
    let grows = counts.windows(2).all(|pair| pair[1] + 1 >= pair[0]);
    assert!(grows && counts[0] < 300, "{counts:?}");
    for root in &seen {
        assert_eq!(root.summ.as_ref().unwrap().incomplete, "checkpoint");
    }
    // Others see all of them, without this session's end, and every byte is there.
    let other = world.open();
    let roots: Vec<_> = saved(&other)
        .into_iter()
        .map(|snapshot| (snapshot.id.to_string(), snapshot.root_entry.unwrap()))
        .collect();
    assert_eq!(roots.len(), seen.len());
    let report = verify(&other, &roots, &VerifyOptions::EVERYTHING, &Quiet).unwrap();
    assert!(report.errors.is_empty(), "{:?}", report.errors);
    let plain = World::new(world::small_format());
    let repository = plain.open();
    let (policies, options) = (PolicyTree::built_in(), UploadOptions::default());
    let undisturbed =
        upload(&mut begin(&repository), source.path(), &policies, &[], &Quiet, &options).unwrap();
    assert_eq!(undisturbed.root_entry.summ, root.summ);
}

#[test]
fn a_run_after_a_lost_one_reads_only_what_its_checkpoint_lacks() {
    let (source, world, paced) = (source(), World::new(world::small_format()), Paced::default());
    let repository = world.open();
    let mut writer = begin(&repository);
    upload_with_checkpoints(&mut writer, source.path(), &paced, |_| {}).unwrap();
    // The process dies here.
    let after = world.copy();
    std::mem::forget(writer);
    let repository = after.open();
    let best =
        saved(&repository).iter().map(|snapshot| files_in(snapshot.root_entry.as_ref().unwrap())).max();
    let run = world::snapshot(&repository, source.path());
    let (cached, hashed) = (run.counters.get(Counter::CachedFiles), run.counters.get(Counter::HashedFiles));
    // Of the files that a checkpoint counts one may be the stored part of the big one.
    assert!(cached + 1 >= best.unwrap() && cached >= 100, "{cached} of {best:?}");
    assert_eq!(cached + hashed, 301);
}

#[test]
fn bytes_call_for_a_checkpoint_before_its_time() {
    let (source, world) = (source(), World::new(world::small_format()));
    let repository = world.open();
    let mut writer = begin(&repository);
    let (policies, options, paced) = (PolicyTree::built_in(), UploadOptions::default(), Paced::default());
    let save = |_: &mut RepositoryWriter<'_>, _| {
        paced.saved.fetch_add(1, Ordering::SeqCst);
        Ok(())
    };
    let interval = Checkpoints::INTERVAL_MAX;
    let checkpoints = Some(Checkpoints { interval, uploaded_bytes: PACK_BYTES, save: Box::new(save) });
    let upload = Upload {
        policies: &policies,
        previous: &[],
        options: &options,
        actions: None,
        checkpoints,
        monitor: &paced,
    };
    upload.run(&mut writer, UploadSource::Path(source.path())).unwrap();
    assert!((1..=2).contains(&paced.saved.load(Ordering::SeqCst)));
}

#[test]
fn a_checkpoint_that_cannot_be_saved_ends_the_upload() {
    let (source, world, paced) = (source(), World::new(world::small_format()), Paced::default());
    let repository = world.open();
    let mut writer = begin(&repository);
    let (policies, options) = (PolicyTree::built_in(), UploadOptions::default());
    let save = |writer: &mut RepositoryWriter<'_>, root| {
        let mut nameless = manifest(root, CHECKPOINT, writer);
        nameless.source.path.clear();
        nameless.save(writer).map(drop)
    };
    let checkpoints = Some(Checkpoints {
        interval: Duration::from_millis(1),
        uploaded_bytes: Checkpoints::UPLOADED_BYTES,
        save: Box::new(save),
    });
    let upload = Upload {
        policies: &policies,
        previous: &[],
        options: &options,
        actions: None,
        checkpoints,
        monitor: &paced,
    };
    let error = upload.run(&mut writer, UploadSource::Path(source.path())).unwrap_err();
    assert!(matches!(error, packhorse::snapshot::Error::IncompleteSource { .. }), "{error}");
}

#[test]
fn kopias_interrupted_runs_are_gone_on_from() {
    let fixture = Fixture::load("incomplete-checkpoint");
    let folder = fixture.unpack();
    let manifests = fixture.open(folder.path()).unwrap().load_manifests().unwrap();
    assert_eq!(Catalog::new(&manifests).previous(&world::source(), None).unwrap().len(), 3);

    if !can_change_owners() {
        eprintln!("skipped: files cannot be given away here");
        return;
    }
    let fixture = Fixture::load("incomplete-canceled");
    let folder = fixture.unpack();
    let repository = fixture.open(folder.path()).unwrap();
    let incomplete = saved(&repository).into_iter().find(|snapshot| !snapshot.is_complete()).unwrap();
    let root = incomplete.root_entry.clone().unwrap();
    let live = tempfile::tempdir().unwrap();
    materialize(&repository, &fixture.facts["trees"][root.obj.to_string()], live.path());
    let (mut writer, counters) = (begin(&repository), Counters::default());
    let (policies, options) = (PolicyTree::built_in(), UploadOptions::default());
    upload(&mut writer, live.path(), &policies, &[incomplete], &counters, &options).unwrap();
    assert_eq!(counters.get(Counter::HashedFiles), 0);
    assert_eq!(counters.get(Counter::CachedFiles), 5, "four files and a link");
}

/// 1200 files of 64 KiB in 30 directories.
fn many(root: &Path, dice: &mut Dice) {
    for number in 0..1200 {
        let folder = root.join(format!("d{}", number % 30));
        std::fs::create_dir_all(&folder).unwrap();
        trees::write(&folder.join(format!("f{number}")), &dice.bytes(64 << 10));
    }
}

fn start(program: &Program, source: &Path, more: &[&str]) -> Child {
    let source = source.display().to_string();
    let args = [&["snapshot", "create", "--json", &source][..], more].concat();
    program.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn signal(child: &Child, name: &str) {
    let id = child.id().to_string();
    assert!(std::process::Command::new("kill").args([name, &id]).status().unwrap().success());
}

fn list(program: &Program) -> Vec<Value> {
    serde_json::from_str(&program.ok(["snapshot", "list", "--incomplete", "--json"])).unwrap()
}

fn create_with_stats(program: &Program, source: &Path) -> Value {
    let source = source.display().to_string();
    let json = program.ok(["snapshot", "create", "--json", "--json-verbose", &source]);
    serde_json::from_str(&json).unwrap()
}

#[test]
fn a_stopped_run_loses_nothing_it_had_finished() {
    for (name, status) in [("-TERM", 143), ("-INT", 130)] {
        let base = tempfile::tempdir().unwrap();
        let (repository, source) = (base.path().join("repository"), base.path().join("source"));
        many(&source, &mut Dice::new(21));
        let ours = Program::packhorse();
        ours.create(&repository, &[]);
        let child = start(&ours, &source, &["--parallel=1"]);
        while !repository.join("p").exists() {
            std::thread::sleep(Duration::from_millis(1));
        }
        signal(&child, name);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(status), "{}", text(&output.stderr));
        let stopped: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(stopped["incomplete"], "canceled");
        let finished = stopped["rootEntry"]["summ"]["files"].as_u64().unwrap();
        assert!(finished > 0, "{stopped}");
        let next = create_with_stats(&ours, &source);
        assert_eq!(next["stats"]["cachedFiles"], finished, "{next}");
        assert!(next["incomplete"].is_null() && next["rootEntry"]["summ"]["files"] == 1200, "{next}");
        assert_eq!(list(&ours).len(), 1, "the incomplete one has served its purpose");
        ours.verify();
    }
}

/// Kills a run with checkpoints after a while; whether it was still running.
fn killed(program: &Program, source: &Path, after: Duration) -> bool {
    let mut child = start(program, source, &["--checkpoint-interval=20ms", "--parallel=1"]);
    std::thread::sleep(after);
    child.kill().unwrap();
    !child.wait().unwrap().success()
}

#[test]
fn killed_runs_are_gone_on_from_their_checkpoints() {
    let base = tempfile::tempdir().unwrap();
    let (repository, source) = (base.path().join("repository"), base.path().join("source"));
    let mut dice = Dice::new(22);
    many(&source, &mut dice);
    let (ours, kopia) = (Program::packhorse(), Program::kopia());
    ours.create(&repository, &[]);
    if let Some(kopia) = &kopia {
        kopia.connect(&repository);
    }
    for number in 0..KILLS {
        let was_running = killed(&ours, &source, Duration::from_millis(150 + 40 * number));
        if !was_running {
            assert!(number > 2, "the first runs were to be killed");
            break;
        }
        ours.verify();
        if let Some(kopia) = &kopia {
            kopia.verify();
        }
    }
    let known = list(&ours).iter().map(|one| one["rootEntry"]["summ"]["files"].as_u64().unwrap()).max();
    let finisher = kopia.as_ref().unwrap_or(&ours);
    let last = create_with_stats(finisher, &source);
    let cached = last["stats"]["cachedFiles"].as_u64().unwrap();
    assert!(cached >= known.unwrap_or(0), "{cached} of {known:?}");
    let left = list(&ours);
    assert!(left.iter().all(|one| one["incomplete"].is_null()), "checkpoints go with the snapshot: {left:?}");
    ours.verify();
    let target = base.path().join("restored");
    ours.restore(&last, &target);
    assert_eq!(differences(&source, &target, Times::Exact), Vec::<String>::new());
}

#[test]
fn a_limit_stops_and_the_next_run_goes_on() {
    let base = tempfile::tempdir().unwrap();
    let (repository, source) = (base.path().join("repository"), base.path().join("source"));
    many(&source, &mut Dice::new(23));
    let ours = Program::packhorse();
    ours.create(&repository, &[]);
    let path = source.display().to_string();
    let other = base.path().display().to_string();
    let output =
        ours.run(["snapshot", "create", "--json", "--upload-limit-mb=10", "--parallel=1", &path, &other]);
    assert_eq!(output.status.code(), Some(0));
    let limited: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(limited["incomplete"], "limit reached");
    assert!(text(&output.stderr).contains("stopped before "), "{}", text(&output.stderr));
    let size = limited["rootEntry"]["summ"]["size"].as_u64().unwrap();
    assert!((9 << 20..12 << 20).contains(&size), "{size}");
    let next = create_with_stats(&ours, &source);
    assert_eq!(next["stats"]["cachedFiles"], limited["rootEntry"]["summ"]["files"]);
}
