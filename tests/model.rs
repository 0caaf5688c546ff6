//! Random trees, edits between runs, policies and interruptions, against a model that is a map in memory.
//!
//! A complete snapshot holds exactly what the model holds; an incomplete one holds a part of it, and nothing that is
//! wrong; the run after it, left alone, holds all. `PACKHORSE_MODEL_CASES` plays more cases than the usual ones, and
//! `PACKHORSE_MODEL_SEED` others.

mod tree;

use crate::support::compare;
use crate::support::programs::named;
use crate::support::world::{self, World};
use packhorse::base::{Counter, MemoryBudget, Monitor, Quiet, Timestamp};
use packhorse::policy::{Policy, PolicyTree, SourceInfo};
use packhorse::repo::{Repository, WriteOptions};
use packhorse::restore::{RestoreOptions, restore};
use packhorse::snapshot::{
    Catalog, DirEntry, EntryType, UploadOptions, Uploaded, VerifyOptions, upload, verify,
};
use proptest::collection::vec;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use tree::{Node, Rule, Step, Stop, Wanted, step, stored_name};

/// Cases of an ordinary run.
const CASES: u32 = 24;
/// Cases that share a repository, which costs more to make than they do.
const CASES_PER_REPOSITORY: usize = 20;

/// Wants the run to stop after some events.
struct Stopper {
    left: AtomicI64,
    cancel: Arc<AtomicBool>,
}

impl Monitor for Stopper {
    fn add(&self, _counter: Counter, _n: u64) {
        if self.left.fetch_sub(1, Ordering::SeqCst) <= 0 {
            self.cancel.store(true, Ordering::SeqCst);
        }
    }
}

struct Stage {
    repository: Repository,
    cases: usize,
}

struct Case<'a> {
    repository: &'a Repository,
    source: SourceInfo,
    base: tempfile::TempDir,
    tree: Node,
    version: i64,
    runs: i64,
    interrupted: usize,
    roots: Vec<(String, DirEntry)>,
}

impl Case<'_> {
    fn play(&mut self, step: &Step) {
        for edit in &step.edits {
            self.version += 1;
            self.tree.apply(edit, self.version);
        }
        let source = self.base.path().join("source");
        fs::remove_dir_all(&source).ok();
        self.tree.make(&source);
        let wanted = Wanted::of(&self.tree, &step.rule);
        let uploaded = self.upload(step, &step.stop);
        let must_end =
            matches!(step.stop, Stop::Never) || (matches!(step.stop, Stop::FailFast) && wanted.failures == 0);
        assert!(!must_end || uploaded.incomplete_reason.is_empty(), "{}", uploaded.incomplete_reason);
        self.check(&uploaded, &wanted);
        if !uploaded.incomplete_reason.is_empty() {
            self.interrupted += 1;
            let uploaded = self.upload(step, &Stop::Never);
            assert_eq!(uploaded.incomplete_reason, "");
            self.check(&uploaded, &wanted);
        }
    }

    fn upload(&mut self, step: &Step, end: &Stop) -> Uploaded {
        let policies = PolicyTree::new(policy(&step.rule), []);
        let mut options = UploadOptions { parallel: step.workers, ..UploadOptions::default() };
        let mut left = i64::MAX;
        match end {
            Stop::Never => {}
            Stop::Limit(bytes) => options.limit_bytes = *bytes,
            Stop::AfterEvents(events) => left = *events,
            Stop::FailFast => options.fail_fast = true,
        }
        let monitor = Stopper { left: AtomicI64::new(left), cancel: Arc::clone(&options.cancel) };
        let mut writer = self.repository.begin(&WriteOptions::new(2, MemoryBudget::MINIMUM)).unwrap();
        let previous = Catalog::new(writer.manifests()).previous(&self.source, None).unwrap();
        let path = self.base.path().join("source");
        let uploaded = upload(&mut writer, &path, &policies, &previous, &monitor, &options).unwrap();
        self.runs += 1;
        let time = Timestamp::from_nanos(self.runs * 1_000_000_000);
        world::manifest(self.source.clone(), &uploaded, time, time).save(&mut writer).unwrap();
        writer.flush().unwrap();
        drop(writer);
        self.repository.contents().refresh().unwrap();
        uploaded
    }

    fn check(&mut self, uploaded: &Uploaded, wanted: &Wanted) {
        let root = &uploaded.root_entry;
        self.roots.push((format!("run {}", self.runs), root.clone()));
        let options = VerifyOptions::EVERYTHING;
        let report = verify(self.repository, &self.roots, &options, &Quiet).unwrap();
        assert!(report.errors.is_empty(), "{:?}", report.errors);
        let mut found = Vec::new();
        compare::walk(self.repository, root, "", &mut found).unwrap();
        let mut paths = BTreeSet::new();
        for (path, entry) in found.into_iter().skip(1) {
            let bytes = compare::bytes(self.repository, &entry).unwrap();
            assert!(
                entry.kind == EntryType::Directory || entry.size == bytes.len() as u64,
                "{path} {entry:?}"
            );
            let known = wanted.entries.get(&path);
            let (kind, content) = known.unwrap_or_else(|| panic!("{path:?} must not be there"));
            assert_eq!(entry.kind, *kind, "{path:?}");
            assert!(bytes == *content, "{path:?} holds something else");
            assert!(paths.insert(path.clone()), "{path:?} is there twice");
        }
        if uploaded.incomplete_reason.is_empty() {
            let missing: Vec<_> = wanted.entries.keys().filter(|path| !paths.contains(*path)).collect();
            assert!(missing.is_empty(), "{missing:?} are missing");
            let stats = &uploaded.stats;
            let errors = (i64::from(stats.error_count), i64::from(stats.ignored_error_count));
            assert_eq!(errors, (wanted.failures, wanted.ignored), "{:?}", root.summ);
            Self::check_totals(root, wanted);
            self.check_restored(root, wanted);
        }
    }

    fn check_totals(root: &DirEntry, wanted: &Wanted) {
        let summary = root.summ.as_ref().unwrap();
        let of = |kind| wanted.entries.values().filter(move |(other, _)| *other == kind);
        let bytes = of(EntryType::File).map(|(_, content)| content.len() as u64).sum::<u64>();
        let found = (summary.files, summary.symlinks, summary.dirs, summary.size);
        let counts =
            [EntryType::File, EntryType::Symlink, EntryType::Directory].map(|kind| of(kind).count() as u64);
        assert_eq!(found, (counts[0], counts[1], counts[2] + 1, bytes));
        assert_eq!(
            (summary.num_failed, summary.num_ignored_errors),
            (wanted.failures as u64, wanted.ignored as u64)
        );
    }

    fn check_restored(&self, root: &DirEntry, wanted: &Wanted) {
        let target = self.base.path().join(format!("restored-{}", self.runs));
        restore(self.repository, root, &target, &RestoreOptions::default(), &Quiet).unwrap();
        let mut found = BTreeMap::new();
        for entry in walkdir::WalkDir::new(&target).min_depth(1) {
            let entry = entry.unwrap();
            // Its bytes are those it had: restored are the true names.
            let path = entry.path().strip_prefix(&target).unwrap();
            let names: Vec<_> = path.iter().map(|name| stored_name(name.as_bytes())).collect();
            let (kind, bytes) = match entry.file_type() {
                kind if kind.is_dir() => (EntryType::Directory, Vec::new()),
                kind if kind.is_file() => (EntryType::File, fs::read(entry.path()).unwrap()),
                _ => {
                    (EntryType::Symlink, fs::read_link(entry.path()).unwrap().as_os_str().as_bytes().to_vec())
                }
            };
            found.insert(names.join("/"), (kind, bytes));
        }
        assert!(found == wanted.entries, "{:?} instead of {:?}", found.keys(), wanted.entries.keys());
        fs::remove_dir_all(target).unwrap();
    }
}

fn policy(rule: &Rule) -> Policy {
    let mut policy = Policy::built_in();
    policy.files.ignore = rule.policy_rules.iter().map(ToString::to_string).collect();
    policy.files.ignore_dot_files = vec![".kopiaignore".to_owned()];
    policy.files.max_file_size = rule.max_file_bytes as i64;
    rule.compressor.clone_into(&mut policy.compression.compressor_name);
    rule.metadata_compressor.clone_into(&mut policy.metadata_compression.compressor_name);
    rule.splitter.clone_into(&mut policy.splitter.algorithm);
    policy.upload.parallel_upload_above_size = (rule.part_bytes > 0).then_some(rule.part_bytes);
    policy.error_handling.ignore_unknown_types = Some(rule.forgives_pipes);
    policy.error_handling.ignore_file_errors = Some(rule.forgives_files);
    policy
}

/// A repository for this case, a new one now and then.
fn stage(stage: &mut Option<Stage>) -> &mut Stage {
    if stage.as_ref().is_none_or(|stage| stage.cases >= CASES_PER_REPOSITORY) {
        *stage = Some(Stage { repository: World::new(world::small_format()).open(), cases: 0 });
    }
    stage.as_mut().unwrap()
}

fn number(variable: &str) -> Option<u64> {
    named(variable).map(|value| value.to_str().unwrap().parse().unwrap())
}

/// Plays a case; how many of its runs were interrupted.
fn play(open: &mut Option<Stage>, steps: &[Step]) -> usize {
    let stage = stage(open);
    stage.cases += 1;
    let source = SourceInfo::new("alice", "laptop", format!("/case/{}", stage.cases));
    let mut case = Case {
        repository: &stage.repository,
        source,
        base: tempfile::tempdir().unwrap(),
        tree: Node::Directory(BTreeMap::new()),
        version: 0,
        runs: 0,
        interrupted: 0,
        roots: Vec::new(),
    };
    for step in steps {
        case.play(step);
    }
    case.interrupted
}

#[test]
fn snapshots_hold_what_the_model_holds() {
    let cases = number("PACKHORSE_MODEL_CASES").map_or(CASES, |cases| u32::try_from(cases).unwrap());
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 400, ..Config::default() };
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&number("PACKHORSE_MODEL_SEED").unwrap_or(0).to_le_bytes());
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    let (open, interrupted) = (RefCell::new(None), Cell::new(0));
    let result = runner.run(&vec(step(), 1..4), |steps| {
        interrupted.set(interrupted.get() + play(&mut open.borrow_mut(), &steps));
        Ok(())
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
    assert!(interrupted.get() >= cases as usize / 5, "only {} runs were interrupted", interrupted.get());
}
